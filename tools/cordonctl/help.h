// The help texts.
#ifndef CORDON_TOOLS_CORDONCTL_HELP_H_
#define CORDON_TOOLS_CORDONCTL_HELP_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cordon::tools::ctl {

// Of everything for "", of a group ("policy"), or of a command ("policy set").
std::string HelpText(absl::string_view topic);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_HELP_H_

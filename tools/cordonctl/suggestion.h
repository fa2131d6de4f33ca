// What somebody probably meant.
#ifndef CORDON_TOOLS_CORDONCTL_SUGGESTION_H_
#define CORDON_TOOLS_CORDONCTL_SUGGESTION_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cordon::tools::ctl {

// The one of `known` that is most like `typed`; empty if none is much like it.
std::string Nearest(absl::string_view typed,
                    const std::vector<std::string>& known);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_SUGGESTION_H_

// The difference of two texts.
#ifndef CORDON_TOOLS_CORDONCTL_LINE_DIFF_H_
#define CORDON_TOOLS_CORDONCTL_LINE_DIFF_H_

#include <string>

#include "absl/strings/string_view.h"
#include "cordon/tools/cordonctl/style.h"

namespace cordon::tools::ctl {

// The lines that are only in `before` ("- ..."), only in `after` ("+ ..."), and
// up to `context` lines around them; "..." stands for others. Empty if there is
// no difference.
std::string LineDiff(absl::string_view before, absl::string_view after,
                     const Style& style, size_t context = 3);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_LINE_DIFF_H_

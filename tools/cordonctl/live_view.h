// What `stats --watch` shows on a terminal, as lines of text.
#ifndef CORDON_TOOLS_CORDONCTL_LIVE_VIEW_H_
#define CORDON_TOOLS_CORDONCTL_LIVE_VIEW_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cordon/tools/cordonctl/rates.h"
#include "cordon/tools/cordonctl/style.h"

namespace cordon::tools::ctl {

struct FrameSize {
  size_t columns = 80;
  size_t rows = 24;
};

// At most `size.rows` lines of at most `size.columns` columns. What matters
// most comes first. `target` is printable.
std::vector<std::string> DrawFrame(const History& history,
                                   absl::string_view target, FrameSize size,
                                   const Style& style);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_LIVE_VIEW_H_

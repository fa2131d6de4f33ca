// Little graphs in one line of text.
#ifndef CORDON_TOOLS_CORDONCTL_SPARKLINE_H_
#define CORDON_TOOLS_CORDONCTL_SPARKLINE_H_

#include <cstddef>
#include <string>
#include <vector>

namespace cordon::tools::ctl {

// The last `width` of `values` as columns between 0 and the largest of those,
// "▁▂▃▅█"; padded on the left to `width`. Without `unicode`: "_.-=#".
std::string Sparkline(const std::vector<double>& values, size_t width,
                      bool unicode);

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_SPARKLINE_H_

#include "cordon/tools/cordonctl/sparkline.h"

#include <algorithm>
#include <cmath>

namespace cordon::tools::ctl {
namespace {

constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr const char* kAscii[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
constexpr double kLevels = 8;

}  // namespace

std::string Sparkline(const std::vector<double>& values, size_t width,
                      bool unicode) {
  const size_t shown = std::min(width, values.size());
  std::string line(width - shown, ' ');
  const auto begin = values.end() - static_cast<std::ptrdiff_t>(shown);
  double largest = 0;
  for (auto value = begin; value != values.end(); ++value) {
    largest = std::max(largest, *value);
  }
  for (auto value = begin; value != values.end(); ++value) {
    // Only nothing has the lowest column, and only the largest the highest.
    const double share = largest > 0 ? std::max(0.0, *value) / largest : 0;
    const auto level = static_cast<size_t>(
        share >= 1 ? kLevels - 1 : std::ceil(share * (kLevels - 2)));
    line += unicode ? kBlocks[level] : kAscii[level];
  }
  return line;
}

}  // namespace cordon::tools::ctl

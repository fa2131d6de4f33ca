#include "cordon/tools/cordonctl/histogram.h"

#include <algorithm>

#include "cordon/tools/cordonctl/units.h"

namespace cordon::tools::ctl {

uint64_t CountOf(const control::v1::Histogram& histogram) {
  uint64_t count = 0;
  for (const uint64_t one : histogram.counts()) count += one;
  return count;
}

std::optional<absl::Duration> Quantile(const control::v1::Histogram& histogram,
                                       double quantile) {
  const uint64_t count = CountOf(histogram);
  if (count == 0 || histogram.bounds().empty()) return std::nullopt;
  const double wanted =
      std::clamp(quantile, 0.0, 1.0) * static_cast<double>(count);
  double below = 0;
  absl::Duration lower = absl::ZeroDuration();
  for (int i = 0; i < histogram.counts_size(); ++i) {
    if (i >= histogram.bounds_size()) break;
    const absl::Duration upper = ToDuration(histogram.bounds(i));
    const auto here = static_cast<double>(histogram.counts(i));
    if (here > 0 && below + here >= wanted) {
      return lower + (upper - lower) * std::max(0.0, (wanted - below) / here);
    }
    below += here;
    lower = upper;
  }
  return ToDuration(histogram.bounds(histogram.bounds_size() - 1));
}

control::v1::Histogram Between(const control::v1::Histogram& before,
                               const control::v1::Histogram& after) {
  if (before.counts_size() != after.counts_size()) return after;
  control::v1::Histogram between = after;
  for (int i = 0; i < after.counts_size(); ++i) {
    if (after.counts(i) < before.counts(i)) return after;
    between.set_counts(i, after.counts(i) - before.counts(i));
  }
  *between.mutable_sum() =
      ToProto(ToDuration(after.sum()) - ToDuration(before.sum()));
  return between;
}

}  // namespace cordon::tools::ctl

// Counts of durations, from nanoseconds to minutes, in little memory.
#ifndef CORDON_TOOLS_BENCH_LATENCY_HISTOGRAM_H_
#define CORDON_TOOLS_BENCH_LATENCY_HISTOGRAM_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace cordon::tools {

// Percentiles are exact to about one part in 64, the maximum is exact.
class LatencyHistogram {
 public:
  void Record(absl::Duration latency);

  uint64_t count() const { return count_; }
  // The smallest duration that `fraction` (0 to 1) of all do not exceed; 0 if
  // there are none.
  absl::Duration Percentile(double fraction) const;
  absl::Duration max() const { return absl::Nanoseconds(max_ns_); }

 private:
  // A power of two is cut into 2^kBits buckets of equal width.
  static constexpr int kBits = 6;
  static constexpr size_t kPerPower = size_t{1} << kBits;
  static constexpr int kPowers = 40;  // to 2^40 ns, 18 minutes
  static constexpr size_t kBuckets = kPerPower * (kPowers - kBits + 1);

  static size_t BucketOf(uint64_t ns);
  static uint64_t UpperEnd(size_t bucket);

  std::array<uint64_t, kBuckets> buckets_ = {};
  uint64_t count_ = 0;
  int64_t max_ns_ = 0;
};

}  // namespace cordon::tools

#endif  // CORDON_TOOLS_BENCH_LATENCY_HISTOGRAM_H_

#include "cordon/tools/bench/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace cordon::tools {

size_t LatencyHistogram::BucketOf(uint64_t ns) {
  if (ns < kPerPower) return ns;
  const int power = std::bit_width(ns) - 1;
  if (power >= kPowers) return kBuckets - 1;
  const size_t within = (ns >> (power - kBits)) - kPerPower;
  return kPerPower * static_cast<size_t>(power - kBits + 1) + within;
}

uint64_t LatencyHistogram::UpperEnd(size_t bucket) {
  if (bucket < kPerPower) return bucket;
  const size_t shift = bucket / kPerPower - 1;
  const uint64_t first = kPerPower + bucket % kPerPower;
  return ((first + 1) << shift) - 1;
}

void LatencyHistogram::Record(absl::Duration latency) {
  const int64_t ns = std::max<int64_t>(0, absl::ToInt64Nanoseconds(latency));
  ++buckets_[BucketOf(static_cast<uint64_t>(ns))];
  ++count_;
  max_ns_ = std::max(max_ns_, ns);
}

absl::Duration LatencyHistogram::Percentile(double fraction) const {
  if (count_ == 0) return absl::ZeroDuration();
  const auto wanted = std::max<uint64_t>(
      1,
      static_cast<uint64_t>(std::ceil(fraction * static_cast<double>(count_))));
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += buckets_[bucket];
    if (seen < wanted) continue;
    return absl::Nanoseconds(
        std::min(static_cast<int64_t>(UpperEnd(bucket)), max_ns_));
  }
  return max();
}

}  // namespace cordon::tools

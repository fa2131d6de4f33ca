#include "cordon/tools/bench/latency_histogram.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace cordon::tools {
namespace {

TEST(LatencyHistogramTest, EmptyIsZero) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.Percentile(0.5), absl::ZeroDuration());
  EXPECT_EQ(histogram.max(), absl::ZeroDuration());
}

TEST(LatencyHistogramTest, OneValueIsEveryPercentile) {
  for (const int64_t ns : {0LL, 1LL, 63LL, 64LL, 1'000'003LL, 1LL << 50}) {
    LatencyHistogram histogram;
    histogram.Record(absl::Nanoseconds(ns));
    for (const double fraction : {0.0, 0.5, 1.0}) {
      const int64_t got =
          absl::ToInt64Nanoseconds(histogram.Percentile(fraction));
      EXPECT_LE(got, ns);
      // Beyond 18 minutes all are in the last bucket.
      EXPECT_GE(got, std::min<int64_t>(ns, (int64_t{1} << 40) - 1)) << ns;
    }
    EXPECT_EQ(histogram.max(), absl::Nanoseconds(ns));
  }
}

TEST(LatencyHistogramTest, NegativeCountsAsZero) {
  LatencyHistogram histogram;
  histogram.Record(absl::Nanoseconds(-5));
  EXPECT_EQ(histogram.count(), 1U);
  EXPECT_EQ(histogram.max(), absl::ZeroDuration());
}

TEST(LatencyHistogramTest, AgreesWithASortedList) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latencies(10, 3);
  std::vector<int64_t> values(20'000);
  LatencyHistogram histogram;
  for (int64_t& value : values) {
    value = static_cast<int64_t>(latencies(random));
    histogram.Record(absl::Nanoseconds(value));
  }
  std::sort(values.begin(), values.end());
  for (const double fraction : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const auto rank = static_cast<size_t>(
        fraction * static_cast<double>(values.size()) - 0.5);
    const auto exact = static_cast<double>(values[rank]);
    const double got =
        absl::ToDoubleNanoseconds(histogram.Percentile(fraction));
    EXPECT_GE(got, exact) << fraction;
    EXPECT_LE(got, exact * (1 + 1.0 / 64) + 1) << fraction;
  }
  EXPECT_EQ(histogram.Percentile(1), absl::Nanoseconds(values.back()));
}

}  // namespace
}  // namespace cordon::tools

#include "cordon/testing/bench/sample.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace cordon::bench {
namespace {

const Figure kCpu = [](const Sample& s) { return s.cpu_us; };

TEST(SampleTest, ReadsWhatTheGeneratorPrints) {
  const auto sample = ParseSample(
      "{\"load\":\"echo\",\"operations\":200,\"per_second\":12.5,"
      "\"latency\":{\"p50\":1.5,\"p99\":7.25,\"max\":9},\"lost\":4,"
      "\"server_usage\":{\"cpu_us_per_operation\":3.5,"
      "\"resident_bytes\":4096,\"resident_growth_bytes\":1},"
      "\"bytes_per_session\":8000.5,"
      "\"generator_usage\":{\"cpu_us_per_operation\":99,"
      "\"resident_bytes\":1}}");
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->cpu_us, 3.5);
  EXPECT_EQ(sample->per_second, 12.5);
  EXPECT_EQ(sample->p99_us, 7.25);
  EXPECT_EQ(sample->bytes, 8000.5);
  EXPECT_EQ(sample->lost, 0.02);
  EXPECT_EQ(sample->resident, 4096);
}

TEST(SampleTest, WhatIsNotThereIsNoNumber) {
  const auto sample =
      ParseSample("{\"operations\":1,\"server_usage\":{\"cpu_us\":1}}");
  ASSERT_TRUE(sample.ok()) << sample.status();
  for (const double figure :
       {sample->cpu_us, sample->per_second, sample->p99_us, sample->bytes,
        sample->resident}) {
    EXPECT_TRUE(std::isnan(figure)) << figure;
  }
  EXPECT_EQ(sample->lost, 0);
}

TEST(SampleTest, AnythingElseIsRefused) {
  for (const char* text :
       {"", "bench: 127.0.0.1:1: nobody listens", "{\"operations\":5}",
        "{\"operations\":0,\"server_usage\":{}}"}) {
    EXPECT_EQ(ParseSample(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(SampleTest, Medians) {
  EXPECT_TRUE(std::isnan(MedianOf({})));
  EXPECT_EQ(MedianOf({3, 1, 2}), 2);
  EXPECT_EQ(MedianOf({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(MedianOf({NAN, 1, 2, NAN, 3}), 2);
  EXPECT_TRUE(std::isnan(Median({}, "a", "b", kCpu)));
}

// The machine was twice as slow in the second round: that is no difference
// between the servers.
TEST(SampleTest, RatiosAreTakenWithinARound) {
  Samples samples;
  samples["ours"]["echo"] = {{.cpu_us = 1}, {.cpu_us = 2}, {.cpu_us = 1}};
  samples["one"]["echo"] = {{.cpu_us = 4}, {.cpu_us = 4}, {.cpu_us = 9}};
  samples["two"]["echo"] = {{.cpu_us = 2}, {.cpu_us = 9}, {.cpu_us = 2}};
  EXPECT_EQ(MedianRatio(samples, "ours", "echo", {"one", "two"}, "echo", kCpu),
            0.5);
  EXPECT_EQ(MedianRatio(samples, "ours", "echo", {"one"}, "echo", kCpu), 0.25);
  EXPECT_TRUE(std::isnan(
      MedianRatio(samples, "ours", "echo", {"three"}, "echo", kCpu)));
}

}  // namespace
}  // namespace cordon::bench

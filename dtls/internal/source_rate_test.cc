#include "cordon/dtls/internal/source_rate.h"

#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"
#include "cordon/net/base/endpoint.h"
#include "gtest/gtest.h"

namespace cordon::dtls::internal {
namespace {

net::Endpoint Source(uint32_t i) {
  return net::Endpoint::V4(
      {static_cast<uint8_t>(i >> 24), static_cast<uint8_t>(i >> 16),
       static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)},
      0);
}

class SourceRateTest : public ::testing::Test {
 protected:
  // How many of `tries` are allowed.
  size_t Take(const net::Endpoint& source, size_t tries) {
    size_t taken = 0;
    for (size_t i = 0; i < tries; ++i) {
      if (!rate_.Allows(source, limit_, now_)) continue;
      rate_.Count(source, limit_, now_);
      ++taken;
    }
    return taken;
  }

  SourceRate::Limit limit_ = {.per_second = 4, .burst = 10};
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  SourceRate rate_;
};

TEST_F(SourceRateTest, ABurstAndThenTheRate) {
  EXPECT_EQ(Take(Source(1), 100), 10U);
  now_ += absl::Milliseconds(249);
  EXPECT_EQ(Take(Source(1), 100), 0U);
  now_ += absl::Milliseconds(1);
  EXPECT_EQ(Take(Source(1), 100), 1U);
  now_ += absl::Seconds(1);
  EXPECT_EQ(Take(Source(1), 100), 4U);
  now_ += absl::Hours(1);
  EXPECT_EQ(Take(Source(1), 100), 10U);
}

TEST_F(SourceRateTest, AskingCostsNothing) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(rate_.Allows(Source(1), limit_, now_));
  }
  EXPECT_EQ(Take(Source(1), 100), 10U);
}

TEST_F(SourceRateTest, SourcesDoNotTakeFromEachOther) {
  EXPECT_EQ(Take(Source(1), 100), 10U);
  // Of so few, hardly any two have a cell in common.
  for (uint32_t i = 2; i < 5; ++i) EXPECT_EQ(Take(Source(i), 100), 10U) << i;
  const net::Endpoint v6 = net::Endpoint::V6({0x20, 1, 0xd, 0xb8}, 0);
  EXPECT_EQ(Take(v6, 100), 10U);
  EXPECT_EQ(Take(net::Endpoint::V6({0x20, 1, 0xd, 0xb8}, 0, 3), 100), 10U);
}

// However many there are, nobody gets more than he should, and those who come
// when they have gone quiet are not held up.
TEST_F(SourceRateTest, ManySourcesMayBeTakenForBusierButNotForLess) {
  constexpr uint32_t kSources = 100'000;
  for (uint32_t i = 0; i < kSources; ++i) EXPECT_LE(Take(Source(i), 11), 10U);
  now_ += absl::Minutes(10);
  EXPECT_EQ(Take(Source(kSources), 100), 10U);
}

TEST_F(SourceRateTest, ForgetsWhatWasCounted) {
  EXPECT_EQ(Take(Source(1), 100), 10U);
  rate_.Forget();
  EXPECT_EQ(Take(Source(1), 100), 10U);
}

TEST_F(SourceRateTest, TheLimitMayBeNoneOrAsHighAsANumber) {
  limit_ = {.per_second = 4, .burst = 0};
  EXPECT_EQ(Take(Source(1), 100), 0U);
  limit_ = {.per_second = 0, .burst = 10};
  EXPECT_EQ(Take(Source(1), 100), 0U);
  constexpr size_t kMax = std::numeric_limits<size_t>::max();
  limit_ = {.per_second = kMax, .burst = kMax};
  EXPECT_EQ(Take(Source(1), 100'000), 100'000U);
  limit_ = {.per_second = 1, .burst = kMax};
  EXPECT_EQ(Take(Source(2), 100'000), 100'000U);
}

}  // namespace
}  // namespace cordon::dtls::internal

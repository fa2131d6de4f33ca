#include "cordon/net/time/clock.h"

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

TEST(SteadyClockTest, NeverGoesBackAndBeginsAtTheWallTime) {
  SteadyClock* clock = SteadyClock::Get();
  absl::Time last = clock->Now();
  EXPECT_LT(absl::AbsDuration(last - absl::Now()), absl::Minutes(1));
  for (int i = 0; i < 1000; ++i) {
    const absl::Time now = clock->Now();
    EXPECT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace cordon::net

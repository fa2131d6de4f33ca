#include "cordon/dtls/control/limited_log.h"

#include <optional>
#include <string>

#include "cordon/testing/sim/virtual_clock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::cordon::testing::VirtualClock;

TEST(LimitedLogTest, SomeLinesComeAtOnceAndThenOneFromTimeToTime) {
  VirtualClock clock;
  LimitedLog log(&clock);
  for (size_t i = 0; i < LimitedLog::kBurst; ++i) {
    EXPECT_EQ(log.Admit("line"), "line");
  }
  EXPECT_EQ(log.Admit("line"), std::nullopt);
  clock.Advance(LimitedLog::kInterval - absl::Seconds(1));
  EXPECT_EQ(log.Admit("line"), std::nullopt);
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(log.Admit("line"), "line (and 2 more like it before)");
  EXPECT_EQ(log.Admit("line"), std::nullopt);
}

TEST(LimitedLogTest, ARestMakesRoomForAsManyAsInTheBeginning) {
  VirtualClock clock;
  LimitedLog log(&clock);
  while (log.Admit("line").has_value()) {
  }
  clock.Advance(absl::Hours(24));
  EXPECT_EQ(log.Admit("line"), "line (and 1 more like it before)");
  for (size_t i = 1; i < LimitedLog::kBurst; ++i) {
    EXPECT_EQ(log.Admit("line"), "line");
  }
  EXPECT_EQ(log.Admit("line"), std::nullopt);
}

}  // namespace
}  // namespace cordon::dtls::control

#include "cordon/dtls/control/time_proto.h"

#include <cstdint>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::testing::StartsWith;

TEST(TimestampTest, ComesBack) {
  for (const int64_t micros :
       {int64_t{0}, int64_t{1'700'000'000'123'456}, int64_t{-1},
        int64_t{-62'135'596'800} * 1'000'000,
        int64_t{253'402'300'799} * 1'000'000 + 999'999}) {
    const absl::Time time = absl::FromUnixMicros(micros);
    EXPECT_EQ(FromProto(ToTimestamp(time)), time);
  }
}

TEST(TimestampTest, WhatNoMessageCanHaveIsTheNearestThatItCan) {
  for (const absl::Time time :
       {absl::InfiniteFuture(), absl::FromUnixSeconds(253'402'300'800)}) {
    EXPECT_EQ(ToTimestamp(time).seconds(), 253'402'300'799);
    EXPECT_EQ(ToTimestamp(time).nanos(), 999'999'000);
  }
  for (const absl::Time time :
       {absl::InfinitePast(), absl::FromUnixSeconds(-62'135'596'801)}) {
    EXPECT_EQ(ToTimestamp(time).seconds(), -62'135'596'800);
    EXPECT_EQ(ToTimestamp(time).nanos(), 0);
  }
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(ToTimestamp(FromProto(timestamp)).seconds(), 253'402'300'799);
}

google::protobuf::Duration Time(int64_t seconds, int32_t nanos) {
  google::protobuf::Duration duration;
  duration.set_seconds(seconds);
  duration.set_nanos(nanos);
  return duration;
}

TEST(DurationTest, ComesBack) {
  for (const absl::Duration duration :
       {absl::ZeroDuration(), absl::Nanoseconds(1),
        absl::Seconds(1) - absl::Nanoseconds(1),
        absl::Hours(24 * 365) + absl::Nanoseconds(7)}) {
    EXPECT_EQ(
        FromProto(ToDuration(duration), "x").value_or(absl::InfiniteDuration()),
        duration);
  }
}

TEST(DurationTest, WhatIsNoneIsRefusedWithTheFieldsName) {
  constexpr int64_t kMost = 315'576'000'000;
  EXPECT_TRUE(FromProto(Time(kMost, 0), "x").ok());
  for (const auto& wrong :
       {Time(-1, 0), Time(0, -1), Time(1, -1), Time(0, 1'000'000'000),
        Time(kMost + 1, 0), Time(std::numeric_limits<int64_t>::max(), 0),
        Time(std::numeric_limits<int64_t>::min(), 0)}) {
    const absl::Status status = FromProto(wrong, "filter.min_age").status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << wrong.DebugString();
    EXPECT_THAT(std::string(status.message()), StartsWith("filter.min_age: "));
  }
}

}  // namespace
}  // namespace cordon::dtls::control

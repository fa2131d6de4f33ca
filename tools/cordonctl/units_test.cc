#include "cordon/tools/cordonctl/units.h"

#include <string>

#include "gtest/gtest.h"

namespace cordon::tools::ctl {
namespace {

TEST(UnitsTest, AgesHaveTwoUnits) {
  EXPECT_EQ(FormatAge(absl::ZeroDuration()), "0s");
  EXPECT_EQ(FormatAge(absl::Seconds(-5)), "0s");
  EXPECT_EQ(FormatAge(absl::Seconds(59)), "59s");
  EXPECT_EQ(FormatAge(absl::Seconds(192)), "3m12s");
  EXPECT_EQ(FormatAge(absl::Seconds(60)), "1m00s");
  EXPECT_EQ(FormatAge(absl::Hours(2) + absl::Minutes(5)), "2h05m");
  EXPECT_EQ(FormatAge(absl::Hours(76)), "3d04h");
}

TEST(UnitsTest, ShortTimesHaveThreeDigits) {
  EXPECT_EQ(FormatShort(absl::ZeroDuration()), "0s");
  EXPECT_EQ(FormatShort(absl::Microseconds(350)), "350µs");
  EXPECT_EQ(FormatShort(absl::Microseconds(12'340)), "12.3ms");
  EXPECT_EQ(FormatShort(absl::Milliseconds(140)), "140ms");
  EXPECT_EQ(FormatShort(absl::Milliseconds(1250)), "1.25s");
  EXPECT_EQ(FormatShort(absl::Seconds(90)), "1m30s");
}

TEST(UnitsTest, BytesNeverShowAThousandAndMoreOfAUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(1024.0 * 1024 - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(34.1 * 1024 * 1024), "34.1 MiB");
}

TEST(UnitsTest, QuantitiesAreShort) {
  EXPECT_EQ(FormatQuantity(0), "0");
  EXPECT_EQ(FormatQuantity(0.5), "0.5");
  EXPECT_EQ(FormatQuantity(950), "950");
  EXPECT_EQ(FormatQuantity(999.9), "1.00k");
  EXPECT_EQ(FormatQuantity(12'345), "12.3k");
  EXPECT_EQ(FormatQuantity(4'560'000), "4.56M");
}

TEST(UnitsTest, CountsHaveCommas) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
}

TEST(UnitsTest, DurationsSurviveTheWire) {
  for (const absl::Duration duration :
       {absl::Milliseconds(1500), absl::Seconds(7), absl::Nanoseconds(3),
        absl::Milliseconds(-1500)}) {
    EXPECT_EQ(ToDuration(ToProto(duration)), duration);
  }
}

TEST(UnitsTest, ByteCountsHaveUnitsOf1024) {
  ByteCount count;
  std::string error;
  EXPECT_TRUE(AbslParseFlag("1500", &count, &error));
  EXPECT_EQ(count.bytes, 1500U);
  EXPECT_TRUE(AbslParseFlag("64K", &count, &error));
  EXPECT_EQ(count.bytes, 65536U);
  EXPECT_TRUE(AbslParseFlag("1.5mib", &count, &error));
  EXPECT_EQ(count.bytes, 1572864U);
  for (const char* bad : {"", "K", "3Q", "-1", "1e99", "99999999999T"}) {
    EXPECT_FALSE(AbslParseFlag(bad, &count, &error)) << bad;
  }
}

}  // namespace
}  // namespace cordon::tools::ctl

// A short run of what `soak` does for minutes.
#include "cordon/testing/soak/soak.h"

#include <string>

#include "absl/time/time.h"
#include "cordon/testing/process/process.h"
#include "cordon/testing/soak/flood.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SoakTest, EveryMessageIsAccountedForAndMemoryReturns) {
  SoakOptions options;
  options.clients = 60;
  options.duration = absl::Seconds(8);
  options.interval = absl::Milliseconds(100);
  options.longest_stay = absl::Seconds(4);
  options.pause = absl::Milliseconds(100);
  const absl::StatusOr<SoakReport> report =
      RunSoak(Runfile("tools/echo_server"), options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GE(report->sessions, options.clients);
  EXPECT_GT(report->echoed, 1000U);
  EXPECT_GT(report->crashes, 0U);
  EXPECT_GT(report->network.lost, 0U);
  EXPECT_EQ(report->unaccounted, 0U);
  EXPECT_EQ(report->repeated, 0U);
  EXPECT_EQ(report->wrong, 0U);
  EXPECT_THAT(report->refused_acts, IsEmpty());
  EXPECT_GE(report->acts.size(), 6U);
  EXPECT_EQ(report->sessions_left, 0U);
  EXPECT_EQ(report->exit_code, 0);
  EXPECT_THAT(report->last_line, HasSubstr("done"));
}

// What is lost where reactors come and go would be without account.
TEST(SoakTest, NothingIsLostWhereAReactorIsRestarted) {
  SoakOptions options;
  options.clients = 60;
  options.duration = absl::Seconds(8);
  options.interval = absl::Milliseconds(100);
  options.longest_stay = absl::Seconds(4);
  options.pause = absl::Milliseconds(50);
  options.server_flags = {"--restart_reactor=700ms"};
  const absl::StatusOr<SoakReport> report =
      RunSoak(Runfile("testing/soak/restarting_server"), options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GE(report->sessions, options.clients);
  EXPECT_GT(report->echoed, 1000U);
  EXPECT_EQ(report->unaccounted, 0U);
  EXPECT_EQ(report->repeated, 0U);
  EXPECT_EQ(report->wrong, 0U);
  EXPECT_THAT(report->refused_acts, IsEmpty());
  EXPECT_EQ(report->sessions_left, 0U);
  EXPECT_EQ(report->exit_code, 0);
  EXPECT_THAT(report->last_line, HasSubstr(", 0 of these lost"));
}

TEST(FloodTest, AnHonestClientGetsInAndNothingIsKeptOfTheOthers) {
  FloodOptions options;
  options.hellos_per_second = 20'000;
  options.duration = absl::Seconds(2);
  options.clients = 5;
  const absl::StatusOr<FloodReport> report =
      RunFlood(Runfile("tools/echo_server"), options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GT(report->cookies, 10'000U);
  EXPECT_EQ(report->connected, options.clients);
  EXPECT_LE(report->retransmissions_most, 2U);
  EXPECT_LE(report->sessions_most, 1U);
}

}  // namespace
}  // namespace cordon::testing

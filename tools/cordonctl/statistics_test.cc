// Statistics: once, as lines, and as a view on a terminal.
#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "cordon/tools/cordonctl/cordonctl_fixture.h"
#include "cordon/tools/cordonctl/terminal_process.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace cordon::tools::ctl {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

constexpr char kEnter[] = "\x1b[?1049h";
constexpr char kLeave[] = "\x1b[?7h\x1b[?25h\x1b[?1049l";

pb::Statistics Look(int64_t second, uint64_t done) {
  pb::Statistics look;
  look.mutable_time()->set_seconds(7200 + second);
  look.mutable_started()->set_seconds(7200 - 3600);
  for (auto* one : {look.mutable_total(), look.add_listeners()}) {
    one->set_sessions(3);
    one->set_handshakes_completed(done);
    (*one->mutable_handshakes_failed())["no_answer"] = 7;
    (*one->mutable_limits_hit())["max_sessions"] = 1234;
    one->mutable_cookies()->set_sent(99);
    one->mutable_traffic()->set_bytes_sent(1024 * done);
    one->mutable_handshake_time()->add_bounds()->set_nanos(10'000'000);
    one->mutable_handshake_time()->add_counts(done);
  }
  look.mutable_listeners(0)->set_listener("public");
  look.mutable_process()->set_resident_bytes(34 << 20);
  (*look.mutable_control()->mutable_refused())["max_unauthenticated"] = 5;
  auto* reactor = look.add_reactors();
  reactor->set_backend("epoll");
  reactor->set_turns(4321);
  return look;
}

class StatisticsTest : public CordonctlTest {};

TEST_F(StatisticsTest, OnceAsTableAndJson) {
  service_.get_statistics.answer = [](const auto&, auto* response) {
    *response = Look(0, 100);
    return grpc::Status::OK;
  };
  const std::string out = RunOk({"stats", "--listener=public"});
  EXPECT_EQ(service_.get_statistics.requests.at(0).listener(), "public");
  const std::vector<std::string> lines = absl::StrSplit(out, '\n');
  for (const char* line :
       {"Time: +1970-01-01 02:00:00", "Up: +1h00m", "Memory: +34.0 MiB, .*",
        "public +3 +0 +0 +100 +7 .* 100.0 KiB  5.00ms  9.90ms", "no_answer +7",
        "max_sessions +1,234", "CONTROL SERVICE REFUSED +COUNT",
        "max_unauthenticated +5", "Cookies: +99 sent, .*",
        " +0  epoll +4,321 .*"}) {
    EXPECT_THAT(lines, Contains(MatchesRegex(line))) << out;
  }
  pb::Statistics json;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(
                  RunOk({"stats", "--output=json"}), &json)
                  .ok());
  EXPECT_EQ(json.total().limits_hit().at("max_sessions"), 1234U);
}

TEST_F(StatisticsTest, WatchedWithoutATerminalIsALineForEachLook) {
  service_.watch_statistics.messages = {Look(0, 100), Look(2, 140),
                                        Look(3, 140)};
  const std::string out = RunOk({"stats", "--watch=250ms", "--count=3"});
  EXPECT_EQ(service_.watch_statistics.requests.at(0).interval().nanos(),
            250'000'000);
  const std::vector<std::string> lines = absl::StrSplit(out, '\n');
  ASSERT_EQ(lines.size(), 5U) << out;
  EXPECT_THAT(lines[0], MatchesRegex("TIME +SESSIONS .* P50 +P99"));
  EXPECT_THAT(lines[1], MatchesRegex("02:00:00 +3 +0 +- +- .*"));
  EXPECT_THAT(
      lines[2],
      MatchesRegex("02:00:02 +3 +0 +20 +0 +0 B +20.0 KiB +5.00ms +9.90ms"));
  EXPECT_THAT(lines[3], MatchesRegex("02:00:03 +3 +0 +0 +0 +0 B +0 B +- +-"));
  EXPECT_THAT(out, Not(HasSubstr("\x1b")));
}

TEST_F(StatisticsTest, WatchedAsJsonIsAnObjectInEachLine) {
  service_.watch_statistics.messages = {Look(0, 100), Look(1, 101)};
  const std::string out =
      RunOk({"stats", "--watch", "--count=2", "--output=json"});
  const std::vector<std::string> lines = absl::StrSplit(out, '\n');
  ASSERT_EQ(lines.size(), 3U) << out;
  pb::Statistics json;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(lines[1], &json).ok());
  EXPECT_EQ(json.total().handshakes_completed(), 101U);
}

TEST_F(StatisticsTest, LiveViewLeavesTheTerminalCleanOnQ) {
  service_.watch_statistics.messages = {Look(0, 100), Look(1, 120)};
  TerminalProcess view(Command({"stats", "--watch"}), 100, 30);
  const termios before = view.settings();
  ASSERT_TRUE(view.WaitForOutput(kEnter)) << view.output();
  ASSERT_TRUE(view.WaitForOutput("20/s")) << view.output();
  EXPECT_EQ(view.settings().c_lflag & ECHO, 0U);
  view.Type("q");
  EXPECT_EQ(view.Wait(), 0);
  EXPECT_THAT(view.output(), EndsWith(kLeave));
  EXPECT_EQ(view.settings().c_lflag, before.c_lflag);
  EXPECT_EQ(view.settings().c_cc[VSUSP], before.c_cc[VSUSP]);
}

TEST_F(StatisticsTest, LiveViewLeavesTheTerminalCleanOnCtrlCAndSignals) {
  service_.watch_statistics.messages = {Look(0, 100)};
  for (const char* keys : {"\x03", "\x04"}) {
    TerminalProcess view(Command({"stats", "--watch"}), 100, 30);
    ASSERT_TRUE(view.WaitForOutput("handshakes")) << view.output();
    view.Type(keys);
    EXPECT_EQ(view.Wait(), 0);
    EXPECT_THAT(view.output(), EndsWith(kLeave));
  }
}

TEST_F(StatisticsTest, LiveViewFollowsTheTerminalsSize) {
  service_.watch_statistics.messages = {Look(0, 100)};
  TerminalProcess view(Command({"stats", "--watch"}), 40, 30);
  ASSERT_TRUE(view.WaitForOutput("handshakes")) << view.output();
  EXPECT_THAT(view.output(), Not(HasSubstr("all p50 5.00ms p99 9.90ms")));
  view.Resize(120, 30);
  ASSERT_TRUE(view.WaitForOutput("all p50 5.00ms p99 9.90ms")) << view.output();
  view.Type("q");
  EXPECT_EQ(view.Wait(), 0);
}

TEST_F(StatisticsTest, LiveViewTellsThatTheServiceEndedOnAClearScreen) {
  service_.watch_statistics.messages = {Look(0, 100)};
  TerminalProcess view(Command({"stats", "--watch"}), 100, 30);
  ASSERT_TRUE(view.WaitForOutput("handshakes")) << view.output();
  StopServer();
  EXPECT_EQ(view.Wait(), 3);
  EXPECT_TRUE(view.WaitForOutput(kLeave));
  EXPECT_TRUE(view.WaitForOutput("cordonctl: cannot reach ")) << view.output();
}

TEST_F(StatisticsTest, LiveViewEndsAfterACount) {
  service_.watch_statistics.messages = {Look(0, 100), Look(1, 120)};
  TerminalProcess view(Command({"stats", "--watch", "--count=2"}), 100, 30);
  EXPECT_EQ(view.Wait(), 0);
  EXPECT_THAT(view.output(), AllOf(HasSubstr("20/s"), EndsWith(kLeave)));
}

TEST_F(StatisticsTest, LiveViewHasNoColoursIfTheyAreNotWanted) {
  service_.watch_statistics.messages = {Look(0, 100), Look(1, 120)};
  const auto is_green = [this](bool variable, bool flag) {
    std::vector<std::string> command =
        Command({"stats", "--watch", "--count=2"});
    if (variable) command.insert(command.end() - 4, "NO_COLOR=1");
    if (flag) command.push_back("--color=never");
    TerminalProcess view(command, 100, 30);
    EXPECT_EQ(view.Wait(), 0);
    return view.output().find("\x1b[32m") != std::string::npos;
  };
  EXPECT_TRUE(is_green(false, false));
  EXPECT_FALSE(is_green(true, false));
  EXPECT_FALSE(is_green(false, true));
}

TEST_F(StatisticsTest, ATerminalThatCannotBeDrawnOnGetsLines) {
  service_.watch_statistics.messages = {Look(0, 100)};
  std::vector<std::string> command = Command({"stats", "--watch", "--count=1"});
  command.insert(command.end() - 4, "TERM=dumb");
  TerminalProcess lines(command, 100, 30);
  EXPECT_EQ(lines.Wait(), 0);
  EXPECT_THAT(lines.output(),
              AllOf(HasSubstr("02:00:00 "), Not(HasSubstr("\x1b"))));
}

TEST_F(StatisticsTest, RefusesIntervalsThatTheServiceWould) {
  ExpectFailure({"stats", "--watch=1ms"}, 2, "100ms");
  ExpectFailure({"stats", "--count=3"}, 2, "--count is for --watch");
}

}  // namespace
}  // namespace cordon::tools::ctl

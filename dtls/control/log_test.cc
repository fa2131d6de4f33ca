#include "cordon/dtls/control/log.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cordon/net/base/line_writer.h"
#include "cordon/net/base/printable.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Pair;

class LogTest : public ::testing::Test {
 protected:
  // What is told of `text`.
  std::string Told(absl::string_view text) {
    told_.clear();
    log_.Write(LogLevel::kError, text);
    return told_.size() == 1 ? told_[0].second : "not one line";
  }

  std::vector<std::pair<LogLevel, std::string>> told_;
  Log log_{[this](LogLevel level, absl::string_view line) {
    told_.emplace_back(level, std::string(line));
  }};
};

TEST_F(LogTest, TellsUpToItsLevel) {
  EXPECT_EQ(log_.level(), LogLevel::kInfo);
  log_.Write(LogLevel::kError, "a");
  log_.Write(LogLevel::kWarning, "b");
  log_.Write(LogLevel::kInfo, "c");
  log_.Write(LogLevel::kDebug, "d");
  EXPECT_THAT(told_, ElementsAre(Pair(LogLevel::kError, "a"),
                                 Pair(LogLevel::kWarning, "b"),
                                 Pair(LogLevel::kInfo, "c")));
}

TEST_F(LogTest, ItsLevelCanBeChanged) {
  log_.set_level(LogLevel::kError);
  EXPECT_EQ(log_.level(), LogLevel::kError);
  log_.Write(LogLevel::kWarning, "not told");
  EXPECT_THAT(told_, IsEmpty());
  log_.set_level(LogLevel::kDebug);
  log_.Write(LogLevel::kDebug, "told");
  EXPECT_THAT(told_, ElementsAre(Pair(LogLevel::kDebug, "told")));
}

TEST_F(LogTest, LineEndsAreEscaped) {
  EXPECT_EQ(Told("closed: x\n2026-01-01 cordon: info: nothing\r"),
            "closed: x\\n2026-01-01 cordon: info: nothing\\r");
  EXPECT_EQ(Told("a\u0085b"), "a\\u{85}b");
  EXPECT_EQ(Told("a\u2028b\u2029"), "a\\u{2028}b\\u{2029}");
}

TEST_F(LogTest, ControlCharactersAreEscaped) {
  EXPECT_EQ(Told("\x1b[2J\b\t\x7f"), "\\x1b[2J\\x08\\t\\x7f");
  EXPECT_EQ(Told(absl::string_view("a\0b", 3)), "a\\x00b");
  // A terminal takes this one for ESC and "[".
  EXPECT_EQ(Told("\u009b31m"), "\\u{9b}31m");
  EXPECT_EQ(Told("\u0080\u009f"), "\\u{80}\\u{9f}");
}

TEST_F(LogTest, OtherTextStaysAsItIs) {
  EXPECT_EQ(Told("M\u00fcller \u00a0\u2192\u2027 \"\\n\" ~"),
            "M\u00fcller \u00a0\u2192\u2027 \"\\n\" ~");
  EXPECT_EQ(Told(""), "");
}

TEST_F(LogTest, CharactersThatTurnOrAreCutOffAreEscaped) {
  EXPECT_EQ(Told("a\u202eb"), "a\\u{202e}b");
  EXPECT_EQ(Told("\xc2"), "\\xc2");
  EXPECT_EQ(Told("\xe2\x80"), "\\xe2\\x80");
}

TEST_F(LogTest, ALineHasAnEnd) {
  const std::string line = Told(std::string(1'000'000, 'a'));
  EXPECT_LE(line.size(), net::kMaxLineBytes);
  EXPECT_THAT(line, EndsWith("a\u2026"));
}

TEST(StandardErrorTest, GetsOneLineWithTimeAndLevel) {
  Log log;
  ::testing::internal::CaptureStderr();
  log.Write(LogLevel::kWarning, "a\nb");
  log.Write(LogLevel::kDebug, "not told");
  EXPECT_TRUE(net::LineWriter::StandardError().Flush(absl::Minutes(1)));
  const std::string line = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(line, MatchesRegex("[0-9-]+T[0-9:]+\\.[0-9]+Z cordon: .*\n"));
  EXPECT_THAT(line, EndsWith(" cordon: warning: a\\nb\n"));
}

}  // namespace
}  // namespace cordon::dtls::control

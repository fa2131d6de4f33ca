// Tables, graphs, differences and suggestions.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cordon/tools/cordonctl/line_diff.h"
#include "cordon/tools/cordonctl/sparkline.h"
#include "cordon/tools/cordonctl/style.h"
#include "cordon/tools/cordonctl/suggestion.h"
#include "cordon/tools/cordonctl/table.h"
#include "gtest/gtest.h"

namespace cordon::tools::ctl {
namespace {

constexpr Style kPlain = {};
constexpr Style kColoured = {.colours = true};

TEST(TableTest, AlignsByWidthAndEndsWithoutBlanks) {
  Table table({{"NAME"}, {"COUNT", Align::kRight}, {"NOTE"}});
  table.Add({"日本", "7", "x"});
  table.Add({"a", "1,234", ""});
  EXPECT_EQ(table.Render(kPlain),
            "NAME  COUNT  NOTE\n"
            "日本      7  x\n"
            "a     1,234  -\n");
}

TEST(TableTest, ColoursDoNotCountAsWidth) {
  Table table({{"A"}, {"B"}});
  table.Add({"xyz", "1"});
  EXPECT_EQ(table.Render(kColoured),
            "\x1b[1mA\x1b[0m    \x1b[1mB\x1b[0m\n"
            "xyz  1\n");
}

TEST(FieldsTest, LeaveOutWhatHasNoValue) {
  Fields fields;
  fields.Add("Long label", "1");
  fields.Add("Empty", "");
  fields.Add("B", "2");
  EXPECT_EQ(fields.Render(kPlain), "Long label:  1\nB:           2\n");
}

TEST(SparklineTest, ScalesToTheLargestThatIsShown) {
  EXPECT_EQ(Sparkline({0, 1, 4, 8}, 4, true), "▁▂▄█");
  // The 100 has left to the left.
  EXPECT_EQ(Sparkline({100, 0, 8}, 2, true), "▁█");
}

TEST(SparklineTest, PadsOnTheLeftAndDrawsNothingAsALine) {
  EXPECT_EQ(Sparkline({0, 0}, 4, true), "  ▁▁");
  EXPECT_EQ(Sparkline({}, 3, true), "   ");
}

TEST(SparklineTest, CanDoWithoutUnicode) {
  EXPECT_EQ(Sparkline({0, 1, 4, 8}, 4, false), "_.-#");
}

TEST(LineDiffTest, IsEmptyWithoutADifference) {
  EXPECT_EQ(LineDiff("a\nb\n", "a\nb\n", kPlain), "");
  EXPECT_EQ(LineDiff("", "", kPlain), "");
}

TEST(LineDiffTest, ShowsTheLinesAroundAChange) {
  EXPECT_EQ(LineDiff("1\n2\n3\n4\n5\n6\n", "1\n2\n3\nx\n5\n6\n", kPlain, 1),
            "  ...\n  3\n- 4\n+ x\n  5\n  ...\n");
}

TEST(LineDiffTest, FindsWhatStayed) {
  EXPECT_EQ(LineDiff("a\nb\nc\n", "b\nc\nd\n", kPlain), "- a\n  b\n  c\n+ d\n");
}

TEST(LineDiffTest, ColoursWhatGoesAndWhatComes) {
  EXPECT_EQ(LineDiff("a\n", "b\n", kColoured),
            "\x1b[31m- a\x1b[0m\n\x1b[32m+ b\x1b[0m\n");
}

TEST(LineDiffTest, TakesLongTextsAsABlock) {
  std::string before;
  std::string after;
  for (int i = 0; i < 3000; ++i) {
    absl::StrAppend(&before, "a", i, "\n");
    absl::StrAppend(&after, "b", i, "\n");
  }
  const std::string difference = LineDiff(before, after, kPlain);
  const std::vector<std::string> lines = absl::StrSplit(difference, '\n');
  EXPECT_EQ(lines.size(), 6001U);
  EXPECT_EQ(lines[0], "- a0");
  EXPECT_EQ(lines[3000], "+ b0");
}

TEST(SuggestionTest, FindsWhatWasMeant) {
  const std::vector<std::string> known = {"sessions", "stats", "policy",
                                          "listeners"};
  EXPECT_EQ(Nearest("sesions", known), "sessions");
  EXPECT_EQ(Nearest("polciy", known), "policy");
  EXPECT_EQ(Nearest("list", known), "listeners");
  EXPECT_EQ(Nearest("zzzz", known), "");
  EXPECT_EQ(Nearest("", known), "");
}

}  // namespace
}  // namespace cordon::tools::ctl

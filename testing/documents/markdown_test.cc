#include "cordon/testing/documents/markdown.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

using ::testing::ElementsAre;

constexpr char kText[] =
    "# Title\n"
    "See [this](a.md) and [that](#the-end).\n"
    "```sh\n"
    "# no heading\n"
    "| no table |\n"
    "```\n"
    "## First part\n"
    "| Qt | Cordon |\n"
    "|---|---|\n"
    "| `a`, `b` | |\n"
    "| `c` | none |\n"
    "\n"
    "| Other |\n"
    "|---|\n"
    "```\n"
    "x\n"
    "\n"
    "y\n"
    "```\n"
    "### The end\n";

TEST(MarkdownTest, FindsBlocksWithTheirSections) {
  const Markdown m = ParseMarkdown(kText);
  ASSERT_EQ(m.blocks.size(), 2U);
  EXPECT_EQ(m.blocks[0].language, "sh");
  EXPECT_EQ(m.blocks[0].section, "");
  EXPECT_EQ(m.blocks[0].line, 3);
  EXPECT_THAT(m.blocks[0].lines, ElementsAre("# no heading", "| no table |"));
  EXPECT_EQ(m.blocks[1].language, "");
  EXPECT_EQ(m.blocks[1].section, "First part");
  EXPECT_THAT(m.blocks[1].lines, ElementsAre("x", "", "y"));
}

TEST(MarkdownTest, FindsTablesOutsideOfBlocks) {
  const Markdown m = ParseMarkdown(kText);
  ASSERT_EQ(m.tables.size(), 2U);
  EXPECT_EQ(m.tables[0].section, "First part");
  EXPECT_THAT(m.tables[0].header, ElementsAre("Qt", "Cordon"));
  EXPECT_THAT(m.tables[0].rows, ElementsAre(ElementsAre("`a`, `b`", ""),
                                            ElementsAre("`c`", "none")));
  EXPECT_THAT(m.tables[1].header, ElementsAre("Other"));
  EXPECT_TRUE(m.tables[1].rows.empty());
}

TEST(MarkdownTest, FindsHeadingsLinksAndWords) {
  const Markdown m = ParseMarkdown(kText);
  EXPECT_THAT(m.headings, ElementsAre("Title", "First part", "The end"));
  EXPECT_THAT(Links(m.prose), ElementsAre("a.md", "#the-end"));
  EXPECT_THAT(CodeWords(m.prose), ElementsAre("a", "b", "c"));
  EXPECT_EQ(AnchorOf("Where Cordon does otherwise, and why"),
            "where-cordon-does-otherwise-and-why");
}

}  // namespace
}  // namespace cordon::testing

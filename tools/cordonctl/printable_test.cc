#include "cordon/tools/cordonctl/printable.h"

#include <string>

#include "gtest/gtest.h"

namespace cordon::tools::ctl {
namespace {

TEST(PrintableTest, KeepsOrdinaryTextOfAnyScript) {
  EXPECT_EQ(Printable("CN=Müller, O=日本"), "CN=Müller, O=日本");
}

TEST(PrintableTest, EscapesWhatControlsATerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb\r\n\t\x7f"), "a\\x1b[2Jb\\r\\n\\t\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "\\u{9b}31m");
  EXPECT_EQ(Printable(std::string("a\0b", 3)), "a\\x00b");
}

TEST(PrintableTest, EscapesBidirectionalAndInvisibleCharacters) {
  EXPECT_EQ(Printable("a\u202eb\u2066c\u200fd\u061ce"),
            "a\\u{202e}b\\u{2066}c\\u{200f}d\\u{61c}e");
  EXPECT_EQ(Printable("\u200b\ufeff\U000e0041"),
            "\\u{200b}\\u{feff}\\u{e0041}");
}

TEST(PrintableTest, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(Printable("a\xff\xc3"), "a\\xff\\xc3");
  // An overlong newline, a surrogate, and what is above the last character.
  EXPECT_EQ(Printable("\xc0\x8a"), "\\xc0\\x8a");
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");
  EXPECT_EQ(Printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

TEST(PrintableTest, DoublesBackslashesSoThatNothingLooksEscapedThatIsNot) {
  EXPECT_EQ(Printable("\\x1b"), "\\\\x1b");
}

TEST(PrintableJsonTest, EscapesInJsonsOwnWay) {
  EXPECT_EQ(PrintableJson("{\"a\": \"\u202e\u2066\x7f\"}\n"),
            "{\"a\": \"\\u202e\\u2066\\u007f\"}\n");
  EXPECT_EQ(PrintableJson("\"\U000e0041\""), "\"\\udb40\\udc41\"");
  EXPECT_EQ(PrintableJson("\"ü日\""), "\"ü日\"");
}

TEST(DisplayWidthTest, CountsColumnsNotBytes) {
  EXPECT_EQ(DisplayWidth("abc"), 3U);
  EXPECT_EQ(DisplayWidth("Müller"), 6U);
  EXPECT_EQ(DisplayWidth("日本"), 4U);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1U);
}

TEST(ShortenedTest, EndsWithAnEllipsisWithinTheWidth) {
  EXPECT_EQ(Shortened("abcdef", 6), "abcdef");
  EXPECT_EQ(Shortened("abcdef", 5), "abcd…");
  EXPECT_EQ(Shortened("日本語", 4), "日…");
  EXPECT_EQ(Shortened("abc", 0), "");
}

}  // namespace
}  // namespace cordon::tools::ctl

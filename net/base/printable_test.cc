#include "cordon/net/base/printable.h"

#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace cordon::net {
namespace {

TEST(PrintableTest, KeepsOrdinaryTextOfAnyScript) {
  EXPECT_EQ(Printable("CN=Müller, O=日本"), "CN=Müller, O=日本");
  EXPECT_EQ(Printable(""), "");
}

TEST(PrintableTest, EscapesWhatControlsATerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb\r\n\t\x7f"), "a\\x1b[2Jb\\r\\n\\t\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "\\u{9b}31m");
  EXPECT_EQ(Printable(std::string("a\0b", 3)), "a\\x00b");
}

TEST(PrintableTest, EscapesCharactersThatTurnOrHideText) {
  EXPECT_EQ(Printable("a\u202eb\u2066c\u200fd\u061ce"),
            "a\\u{202e}b\\u{2066}c\\u{200f}d\\u{61c}e");
  EXPECT_EQ(Printable("\u200b\ufeff\U000e0041\u2800\u0600\U00013430"),
            "\\u{200b}\\u{feff}\\u{e0041}\\u{2800}\\u{600}\\u{13430}");
  EXPECT_EQ(Printable("\u2028\u2029\ue000\U0010ffff"),
            "\\u{2028}\\u{2029}\\u{e000}\\u{10ffff}");
}

TEST(PrintableTest, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(Printable("a\xff\xc3"), "a\\xff\\xc3");
  // An overlong newline, a surrogate, and what is above the last character.
  EXPECT_EQ(Printable("\xc0\x8a"), "\\xc0\\x8a");
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");
  EXPECT_EQ(Printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

TEST(PrintableTest, OfEachCharacterTheResultIsPrintable) {
  for (uint32_t c = 0; c < 0x11'0000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text;
    if (c < 0x80) {
      text += static_cast<char>(c);
    } else if (c < 0x800) {
      text += static_cast<char>(0xc0 | c >> 6);
      text += static_cast<char>(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
      text += static_cast<char>(0xe0 | c >> 12);
      text += static_cast<char>(0x80 | (c >> 6 & 0x3f));
      text += static_cast<char>(0x80 | (c & 0x3f));
    } else {
      text += static_cast<char>(0xf0 | c >> 18);
      text += static_cast<char>(0x80 | (c >> 12 & 0x3f));
      text += static_cast<char>(0x80 | (c >> 6 & 0x3f));
      text += static_cast<char>(0x80 | (c & 0x3f));
    }
    ASSERT_EQ(FirstCharacter(text).code_point, c);
    ASSERT_EQ(FirstCharacter(text).size, text.size());
    const std::string once = PrintableText(text);
    ASSERT_EQ(once == text, IsPrintable(c)) << c;
    // What is printable is not escaped again.
    ASSERT_EQ(PrintableText(once), once) << c;
  }
}

TEST(PrintableTest, DoublesBackslashesSoThatNothingLooksEscapedThatIsNot) {
  EXPECT_EQ(Printable("\\x1b"), "\\\\x1b");
  EXPECT_EQ(PrintableText("\\x1b"), "\\x1b");
}

TEST(PrintableTest, IsCutBetweenCharacters) {
  EXPECT_EQ(Printable("abcdef", 6), "abcdef");
  EXPECT_EQ(Printable("abcdefg", 6), "abc…");
  // Neither in a character nor in an escape.
  EXPECT_EQ(Printable("aä日本語", 8), "aä…");
  EXPECT_EQ(Printable("a\x1b\x1b", 8), "a\\x1b…");
  EXPECT_EQ(Printable("a\x1b\x1b", 7), "a…");
  EXPECT_EQ(Printable("abc", 2), "");
  EXPECT_EQ(Printable("abc", 0), "");
  for (size_t max = 0; max < 40; ++max) {
    const std::string cut =
        Printable("日本\x1b\u202e\\\xff und so weiter", max);
    EXPECT_LE(cut.size(), max);
    EXPECT_EQ(PrintableText(cut), cut);
  }
}

TEST(PrintableTest, OfALongTextOnlyTheBeginIsLookedAt) {
  const std::string text(10'000'000, '\x1b');
  const std::string cut = Printable(text, kMaxNameBytes);
  EXPECT_LE(cut.size(), kMaxNameBytes);
  EXPECT_LE(cut.capacity(), 4 * kMaxNameBytes);
  EXPECT_TRUE(absl::EndsWith(cut, "…"));
}

}  // namespace
}  // namespace cordon::net

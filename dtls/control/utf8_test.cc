#include "cordon/dtls/control/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace cordon::dtls::control {
namespace {

TEST(Utf8Test, TextThatIsUtf8StaysAsItIs) {
  for (const std::string text : {
           "",
           "robot.example.org",
           "M\u00fcller \u2192 \u65e5\u672c \U0001f916",
           "\x7f\u0080",          // the last of one byte, the first of two
           "\u07ff\u0800",        // the last of two, the first of three
           "\ud7ff\ue000\uffff",  // around the surrogates, the last of three
           "\U00010000\U0010ffff",
       }) {
    EXPECT_EQ(ToUtf8(text), text);
  }
  const std::string zero("a\0b", 3);
  EXPECT_EQ(ToUtf8(zero), zero);
}

TEST(Utf8Test, EachByteOfNoCharacterIsAQuestionMark) {
  EXPECT_EQ(ToUtf8("\x80"), "?");
  EXPECT_EQ(ToUtf8("a\xffz"), "a?z");
  // Latin-1.
  EXPECT_EQ(ToUtf8("M\xfcller"), "M?ller");
  EXPECT_EQ(ToUtf8("\xfe\xff"), "??");
}

TEST(Utf8Test, ACharacterThatIsCutOffHidesNothingBehindIt) {
  EXPECT_EQ(ToUtf8("\xe2\x86"), "??");
  EXPECT_EQ(ToUtf8("\xe2"), "?");
  EXPECT_EQ(ToUtf8("\xf0\x9f\xa4"), "???");
  EXPECT_EQ(ToUtf8("\xc3\n"), "?\n");
  EXPECT_EQ(ToUtf8("\xe2\x86\xe2\x86\x92"), "??\u2192");
}

TEST(Utf8Test, LongFormsOfShortCharactersAreNone) {
  EXPECT_EQ(ToUtf8("\xc0\x80"), "??");            // zero
  EXPECT_EQ(ToUtf8("\xc1\xbf"), "??");            // 0x7f
  EXPECT_EQ(ToUtf8("\xe0\x9f\xbf"), "???");       // 0x7ff
  EXPECT_EQ(ToUtf8("\xf0\x8f\xbf\xbf"), "????");  // 0xffff
}

TEST(Utf8Test, SurrogatesAndWhatIsBeyondUnicodeAreNone) {
  EXPECT_EQ(ToUtf8("\xed\xa0\x80"), "???");
  EXPECT_EQ(ToUtf8("\xed\xbf\xbf"), "???");
  EXPECT_EQ(ToUtf8("\xf4\x90\x80\x80"), "????");
  EXPECT_EQ(ToUtf8("\xf8\x88\x80\x80\x80"), "?????");
}

}  // namespace
}  // namespace cordon::dtls::control

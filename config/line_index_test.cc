#include "config/line_index.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(LineIndexTest, FindsABytePerLineAndColumn) {
  const LineIndex index("ab\ncd\n");
  EXPECT_EQ(index.OffsetOf(0, 0), 0u);
  EXPECT_EQ(index.OffsetOf(0, 1), 1u);
  EXPECT_EQ(index.OffsetOf(1, 1), 4u);
}

TEST(LineIndexTest, WhatIsBeyondIsCutToTheEnd) {
  const LineIndex index("ab\ncd");
  EXPECT_EQ(index.OffsetOf(0, 9), 2u);
  EXPECT_EQ(index.OffsetOf(1, 9), 5u);
  EXPECT_EQ(index.OffsetOf(2, 0), 5u);
  EXPECT_EQ(LineIndex("").OffsetOf(0, 0), 0u);
}

TEST(LineIndexTest, TheTokenizersTabGoesToTheNextMultipleOfEight) {
  const LineIndex index("a\tb\t\tc");
  EXPECT_EQ(index.OffsetOf(0, 8), 2u);
  EXPECT_EQ(index.OffsetOf(0, 24), 5u);
}

TEST(LineIndexTest, CountsFromAnyByteOn) {
  const LineIndex index("abc\ndef\nghi");
  EXPECT_EQ(index.OffsetOf(0, 1, 5), 6u);
  EXPECT_EQ(index.OffsetOf(1, 1, 5), 9u);
}

TEST(LineIndexTest, PeopleCountFromOneAndInCharacters) {
  const LineIndex index("\t\xc3\xa9x\ny");
  EXPECT_EQ(index.Describe(0), "1:1");
  EXPECT_EQ(index.Describe(3), "1:3");
  EXPECT_EQ(index.Describe(5), "2:1");
  EXPECT_EQ(index.Describe(99), "2:2");
}

TEST(EndOfUtf8Test, GoesThroughWhatIsValid) {
  for (const char* text : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(EndOfUtf8(text), absl::string_view(text).size()) << text;
  }
}

TEST(EndOfUtf8Test, StopsAtWhatIsNot) {
  for (const char* text :
       {"a\x80", "a\xc1\xbf", "a\xe0\x9f\xbf", "a\xed\xa0\x80", "a\xc3", "a\xf0\x8f\xbf\xbf",
        "a\xf4\x90\x80\x80", "a\xf5\x80\x80\x80", "a\xc3(", "a\xe2\x82", "a\xff"}) {
    EXPECT_EQ(EndOfUtf8(text), 1u) << text;
  }
}

}  // namespace
}  // namespace salve

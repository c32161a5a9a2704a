#include "config/xml_text.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(ResultTimeTest, HasAlwaysSevenDecimalsAndCutsTheRest) {
  EXPECT_EQ(ResultTime(absl::UnixEpoch()), "1970-01-01T00:00:00.0000000Z");
  EXPECT_EQ(ResultTime(absl::UnixEpoch() + absl::Nanoseconds(1'999'999'999)),
            "1970-01-01T00:00:01.9999999Z");
}

TEST(ResultTimeTest, NeverIsTheEndOfTheYear9999AndSoIsAllThatIsLater) {
  const absl::Time last = absl::FromUnixSeconds(253402300799);
  EXPECT_EQ(ResultTime(last), "9999-12-31T23:59:59.0000000Z");
  EXPECT_EQ(ResultTime(last + absl::Seconds(1)), "9999-12-31T23:59:59.9999999Z");
  EXPECT_EQ(ResultTime(absl::InfiniteFuture()), "9999-12-31T23:59:59.9999999Z");
}

TEST(XmlEscapeTest, EscapesWhatAnAttributeMayNotHold) {
  EXPECT_EQ(XmlEscape("a<b>&\"c\"'"), "a&lt;b&gt;&amp;&quot;c&quot;'");
  EXPECT_EQ(XmlEscape("a\tb\r\nc"), "a&#9;b&#13;&#10;c");
}

TEST(XmlEscapeTest, KeepsUtf8AndReplacesWhatIsNone) {
  EXPECT_EQ(XmlEscape("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(XmlEscape("a\xff\xc3"), "a??");
  EXPECT_EQ(XmlEscape(absl::string_view("a\0b\x01", 4)), "a?b?");
}

TEST(Utf8LengthTest, AcceptsOnlyShortestFormsOfCharacters) {
  EXPECT_EQ(Utf8Length("a"), 1u);
  EXPECT_EQ(Utf8Length("\xc3\xbc"), 2u);
  EXPECT_EQ(Utf8Length("\xe2\x82\xac"), 3u);
  EXPECT_EQ(Utf8Length("\xf0\x9f\x9a\x91"), 4u);
  EXPECT_EQ(Utf8Length("\xc0\x80"), 0u);          // Overlong.
  EXPECT_EQ(Utf8Length("\xe0\x80\x80"), 0u);      // Overlong.
  EXPECT_EQ(Utf8Length("\xed\xa0\x80"), 0u);      // A surrogate.
  EXPECT_EQ(Utf8Length("\xf4\x90\x80\x80"), 0u);  // Beyond Unicode.
  EXPECT_EQ(Utf8Length("\xe2\x82"), 0u);          // Cut.
}

}  // namespace
}  // namespace salve

#include "config/text_file.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/message.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::HasSubstr;

class TextFileTest : public ::testing::Test {
 protected:
  std::string ErrorOf(std::string text) {
    text_ = std::move(text);
    ErrorList errors;
    file_ = TextFile::Parse("f", text_, "HealthSetFile", schema_, errors);
    EXPECT_EQ(file_ == nullptr, !errors.empty());
    return std::string(errors.ToStatus().message());
  }
  Place Parse(std::string text) {
    EXPECT_EQ(ErrorOf(std::move(text)), "");
    return file_->root();
  }

  const Schema schema_;
  std::string text_;
  std::unique_ptr<TextFile> file_;
};

// --- Places.

TEST_F(TextFileTest, APathIsFoundInItsFile) {
  const Place place = Parse("health_set {\n  probe {\n    tcp { port: 7 }\n  }\n}");
  EXPECT_EQ(place.Describe("health_set[0]"), "f:1:1");
  EXPECT_EQ(place.Describe("health_set[0].probe[0].tcp.port"), "f:3:11");
  const Place probe = place.In("health_set").In("probe");
  EXPECT_EQ(probe.Describe("tcp.port"), "f:3:11");
  EXPECT_EQ(probe.DescribeLine("tcp.port"), "f:3");
}

TEST_F(TextFileTest, WhatIsNotWrittenIsFoundWhereItWouldBe) {
  const Place probe = Parse("health_set {\n probe {\n tcp {} } }").In("health_set").In("probe");
  EXPECT_EQ(probe.Describe("tcp.port"), "f:3:2");
  EXPECT_EQ(probe.Describe("interval"), "f:2:2");
  EXPECT_EQ(probe.Describe("no_such.field"), "f:2:2");
  EXPECT_EQ(probe.Describe("tcp[x"), "f:2:2");
  EXPECT_EQ(probe.Describe(""), "f:2:2");
  EXPECT_EQ(file_->root().Describe(), "f:1:1");
}

TEST_F(TextFileTest, RepeatedValuesHaveEachTheirPlace) {
  const Place probe =
      Parse("health_set { probe { http {\n expected_status: '200'\n expected_status: '201' } } }")
          .In("health_set")
          .In("probe");
  EXPECT_EQ(probe.Describe("http.expected_status[0]"), "f:2:2");
  EXPECT_EQ(probe.Describe("http.expected_status[1]"), "f:3:2");
  EXPECT_EQ(probe.Describe("http.expected_status[2]"), "f:1:22");
}

TEST_F(TextFileTest, ValuesOfAListHaveEachTheirPlace) {
  const Place probe = Parse(
                          "health_set { probe { http {\n"
                          " expected_status: ['1', '2' '2',  # ] , [\n"
                          "\t'[3,']\n"
                          " expected_status: '4' } } }")
                          .In("health_set")
                          .In("probe");
  EXPECT_EQ(probe.Describe("http.expected_status[0]"), "f:2:20");
  EXPECT_EQ(probe.Describe("http.expected_status[1]"), "f:2:25");
  EXPECT_EQ(probe.Describe("http.expected_status[2]"), "f:3:2");
  EXPECT_EQ(probe.Describe("http.expected_status[3]"), "f:4:2");
}

TEST_F(TextFileTest, MessagesOfAListHaveEachTheirPlace) {
  const Place set =
      Parse("health_set { probe [{ name: 'a' },\n { name: 'b' }] probe { name: 'c' } }")
          .In("health_set");
  EXPECT_EQ(set.In("probe", 1).Describe(), "f:2:2");
  EXPECT_EQ(set.In("probe", 1).Describe("name"), "f:2:4");
  EXPECT_EQ(set.In("probe", 2).Describe("name"), "f:2:25");
}

TEST_F(TextFileTest, BeyondAThousandValuesThePlaceIsStillTheirs) {
  std::string text = "health_set {\n";
  for (int i = 0; i < 1002; ++i) absl::StrAppend(&text, "probe { name: 'P' }\n");
  const Place set = Parse(text + "}").In("health_set");
  EXPECT_EQ(set.In("probe", 999).Describe("name"), "f:1001:9");
  EXPECT_EQ(set.In("probe", 1000).Describe(), "f:1002:1");
  EXPECT_EQ(set.In("probe", 1001).Describe("name"), "f:1003:9");
}

TEST_F(TextFileTest, AFieldIsThereWhenItIsWrittenEvenAsZero) {
  const Place probe = Parse("health_set { probe { max_retry_attempts: 0 interval: '' tcp {} } }")
                          .In("health_set")
                          .In("probe");
  EXPECT_TRUE(probe.Has("max_retry_attempts"));
  EXPECT_TRUE(probe.Has("interval"));
  EXPECT_TRUE(probe.Has("tcp"));
  EXPECT_FALSE(probe.Has("timeout"));
  EXPECT_FALSE(probe.Has("no_such_field"));
}

// --- What is refused.

TEST_F(TextFileTest, SeveralUnknownFieldsAreToldAtOnce) {
  EXPECT_EQ(ErrorOf("health_set {\n nam: 'x' probe {\n\t\xC3\xA4: 1 } }").substr(0, 62),
            "f:2:2: HealthSet has no field 'nam' (did you mean 'name'?)\nf:3");
}

TEST_F(TextFileTest, AFieldInTheWrongMessageIsNamedWithItsOwners) {
  EXPECT_EQ(ErrorOf("boot_grace: '1s'"),
            "f:1:1: HealthSetFile has no field 'boot_grace' (it is a field of Agent)");
}

TEST_F(TextFileTest, TheParserReadsOnlyWhatIsDeeplyNestedToALimit) {
  std::string deep;
  for (int i = 0; i < 1000000; ++i) deep += "a{";
  EXPECT_NE(ErrorOf("health_set { " + deep), "");
}

TEST_F(TextFileTest, ANumberIsNoEnumValue) {
  EXPECT_THAT(ErrorOf("health_set { group: 77 }"), HasSubstr("group has no value '77'"));
  EXPECT_EQ(ErrorOf("health_set { group: 1 }"), "");
}

TEST_F(TextFileTest, AFieldGivenTwiceIsRefusedEvenAsZero) {
  EXPECT_EQ(ErrorOf("health_set { probe { max_retry_attempts: 0\nmax_retry_attempts: 3 } }"),
            "f:2:1: 'max_retry_attempts' is given twice");
  EXPECT_EQ(ErrorOf("health_set { name: '' name: 'x' }"), "f:1:23: 'name' is given twice");
}

TEST_F(TextFileTest, TwoKindsAreRefused) {
  EXPECT_EQ(ErrorOf("health_set { probe { tcp {} http {} } }"),
            "f:1:29: 'http' is given besides 'tcp': only one of them may be");
}

TEST_F(TextFileTest, ANulByteIsRefusedWithItsPlace) {
  EXPECT_EQ(ErrorOf(std::string("# \xC3\xA4\n \0", 7)), "f:2:2: a NUL byte");
}

TEST_F(TextFileTest, WhatIsNoUtf8IsRefusedWithItsPlace) {
  EXPECT_EQ(ErrorOf("# \xC3\xA4 \xFF"), "f:1:5: no valid UTF-8");
}

TEST_F(TextFileTest, AnEscapedNulIsRefusedButInWhatIsSent) {
  EXPECT_EQ(ErrorOf("health_set { probe { tcp { host: 'a\\000b' } } }"),
            "f:1:28: host: the string holds a NUL");
  EXPECT_EQ(ErrorOf("health_set { probe { tcp { send: 'a\\000b' } } }"), "");
  EXPECT_EQ(ErrorOf("health_set { probe { http { body: 'a\\000b' } } }"), "");
}

TEST_F(TextFileTest, AnEscapedByteThatIsNoUtf8IsRefused) {
  EXPECT_EQ(ErrorOf("health_set { probe { http { expected_status: ['a', '\\xff'] } } }"),
            "f:1:52: expected_status[1]: the string is no valid UTF-8");
}

TEST_F(TextFileTest, AStringHasAtMost64Kibibytes) {
  const auto set = [](size_t bytes) {
    return absl::StrCat("health_set { probe { tcp { send: '", std::string(bytes, 'x'), "' } } }");
  };
  EXPECT_EQ(ErrorOf(set(65536)), "");
  EXPECT_EQ(ErrorOf(set(65537)), "f:1:28: send: a string of 65537 bytes; at most 65536 may be");
}

TEST_F(TextFileTest, ANumberThatIsNotFiniteIsRefused) {
  for (const char* number : {"inf", "-inf", "nan", "1e999"}) {
    EXPECT_THAT(
        ErrorOf(absl::StrCat("health_set { monitor { value_above { threshold: ", number, " } } }")),
        HasSubstr("f:1:38: threshold: the number is not finite"))
        << number;
  }
}

TEST_F(TextFileTest, TextThatEndsTooSoonIsRefused) {
  EXPECT_NE(ErrorOf("health_set { name: 'x'"), "");
  EXPECT_NE(ErrorOf("health_set { name: 'x"), "");
  EXPECT_NE(ErrorOf("health_set"), "");
}

}  // namespace
}  // namespace salve

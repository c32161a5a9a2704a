#include "probes/perf_data.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

// The values of an output as "name=number unit,".
std::string Values(absl::string_view output) {
  std::string text;
  for (const ProbeValue& value : ParsePluginOutput(output).values) {
    absl::StrAppend(&text, value.name, "=", value.number, value.unit, ",");
  }
  return text;
}

TEST(ParsePluginOutputTest, TakesTextAndDataApart) {
  const PluginOutput parsed =
      ParsePluginOutput("DISK OK - free space: / 3326 MB | /=2643MB;5948\n");
  EXPECT_EQ(parsed.text, "DISK OK - free space: / 3326 MB");
  ASSERT_EQ(parsed.values.size(), 1u);
  EXPECT_EQ(parsed.values[0].name, "/");
  EXPECT_EQ(parsed.values[0].number, 2643.0 * 1024 * 1024);
  EXPECT_EQ(parsed.values[0].unit, "bytes");
}

TEST(ParsePluginOutputTest, ReadsDataWithAndWithoutThresholds) {
  EXPECT_EQ(Values("x | time=0.5s;1;2;0;10 load=-1.25;;;; n=3c plain=7"),
            "time=0.5s,load=-1.25,n=3,plain=7,");
}

TEST(ParsePluginOutputTest, KnowsEveryUnit) {
  EXPECT_EQ(Values("|a=1s b=1ms c=1us d=1ns e=1% f=1B g=1KB h=1MB i=1GB j=1c k=1 l=1TB"),
            "a=1s,b=1ms,c=1us,d=1ns,e=1percent,f=1bytes,g=1024bytes,h=1.04858e+06bytes,"
            "i=1.07374e+09bytes,j=1,k=1,l=1.09951e+12bytes,");
}

TEST(ParsePluginOutputTest, LeavesOutWhatIsNoMeasurement) {
  EXPECT_EQ(Values("| a=U b=U;1;2 c= d==1 e=1parsec f=nan g=inf h=1e999 word =5 i=1"), "i=1,");
}

TEST(ParsePluginOutputTest, ReadsExponents) {
  EXPECT_EQ(Values("|a=1e3ms b=2.5E-1"), "a=1000ms,b=0.25,");
}

TEST(ParsePluginOutputTest, AQuotedLabelHoldsBlanksEqualSignsAndQuotes) {
  EXPECT_EQ(Values("| 'C:\\ used = it''s'=12% next=1"), "C:\\ used = it's=12percent,next=1,");
}

TEST(ParsePluginOutputTest, AQuoteThatDoesNotEndSwallowsTheRest) {
  EXPECT_EQ(Values("| a=1 'b=2 c=3"), "a=1,");
}

TEST(ParsePluginOutputTest, ReadsTheSecondSectionOfALongOutput) {
  const absl::string_view output =
      "DISK OK | /=2643MB;5948;5958;0;5968\n"
      "/ 15272 MB (77%);\n"
      "/boot 68 MB (69%); | /boot=68MB;88;93;0;98\n"
      "/home=69357MB\n";
  const PluginOutput parsed = ParsePluginOutput(output);
  EXPECT_EQ(parsed.text, "DISK OK");
  ASSERT_EQ(parsed.values.size(), 3u);
  EXPECT_EQ(parsed.values[1].name, "/boot");
  EXPECT_EQ(parsed.values[2].name, "/home");
}

TEST(ParsePluginOutputTest, AnEmptyOutputHasNeitherTextNorValues) {
  EXPECT_EQ(ParsePluginOutput("").text, "");
  EXPECT_EQ(Values(""), "");
  EXPECT_EQ(Values("|"), "");
}

TEST(ParsePluginOutputTest, KeepsAtMostSixtyFourValues) {
  std::string output = "|";
  for (int i = 0; i < 64; ++i) absl::StrAppend(&output, " v", i, "=1");
  EXPECT_EQ(ParsePluginOutput(output).values.size(), 64u);
  EXPECT_EQ(ParsePluginOutput(output + " v64=1").values.size(), 64u);
}

TEST(ParsePluginOutputTest, LeavesOutLabelsOfMoreThanHundredTwentyEightBytes) {
  EXPECT_EQ(ParsePluginOutput("|" + std::string(128, 'a') + "=1").values.size(), 1u);
  EXPECT_EQ(ParsePluginOutput("|" + std::string(129, 'a') + "=1").values.size(), 0u);
}

}  // namespace
}  // namespace salve

#include <algorithm>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "throttling/policy.h"

namespace salve {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr char kConfig[] =
    "<ThrottleConfig Enabled=\"True\" LocalMinimumMinutesBetweenAttempts=\"60\" "
    "LocalMaximumAllowedAttemptsInOneHour=\"-1\" LocalMaximumAllowedAttemptsInADay=\"4\" "
    "GroupMinimumMinutesBetweenAttempts=\"-1\" GroupMaximumAllowedAttemptsInADay=\"0\"/>";

std::string Entries(const std::string& entries) {
  return absl::StrCat("<ThrottleEntries>", entries, "</ThrottleEntries>");
}
std::string Restart(const std::string& attributes, const std::string& config = kConfig) {
  return absl::StrCat("<RestartService ", attributes, ">", config, "</RestartService>");
}
std::string ConfigWith(const std::string& from, const std::string& to) {
  return absl::StrReplaceAll(kConfig, {{from, to}});
}
std::string FaultOf(const std::string& xml) {
  const auto policy = ParsePolicy(xml, "t.xml");
  if (policy.ok()) return "no fault";
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(policy.status().message());
}
std::string FaultOfConfig(const std::string& from, const std::string& to) {
  return FaultOf(Entries(Restart("ResourceName='*'", ConfigWith(from, to))));
}

TEST(ParsePolicyTest, ReadsEntriesWithTheirLimits) {
  const auto policy = ParsePolicy(
      absl::StrCat("<?xml version='1.0' encoding='UTF-8'?>\n<!-- a comment -->\n",
                   Entries(absl::StrCat(Restart("ResourceName=\"A&amp;B\""), "<!-- one more -->\n",
                                        Restart("ResourceName='*' ResponderCategory='default' "
                                                "ResponderTypeName='T' ResponderName='R'",
                                                ConfigWith("True", "FALSE"))))),
      "t.xml");
  ASSERT_TRUE(policy.ok()) << policy.status();
  ASSERT_EQ(policy->entries().size(), 2u);
  EXPECT_EQ(policy->entries()[0].Identity(), "RestartService/Default/*/*/a&b");
  EXPECT_EQ(policy->entries()[0].limits, (Limits{true, 60, -1, 4, -1, 0}));
  EXPECT_EQ(policy->entries()[1].Identity(), "RestartService/Default/T/R/*");
  EXPECT_FALSE(policy->entries()[1].limits.enabled);
}

TEST(ParsePolicyTest, APolicyMayHaveNoEntries) {
  EXPECT_TRUE(ParsePolicy("<ThrottleEntries/>", "t.xml").ok());
  EXPECT_TRUE(ParsePolicy("\xef\xbb\xbf<ThrottleEntries/>", "t.xml").ok());  // With a BOM.
}

TEST(ParsePolicyTest, FaultsNameFileLineAndColumn) {
  const std::string xml = Entries("\n  " + Restart("ResourceName='*'\n   ResourceNam='x'"));
  EXPECT_EQ(FaultOf(xml),
            "t.xml:3:4: unknown attribute 'ResourceNam' of <RestartService> "
            "(did you mean 'ResourceName'?)");
}

TEST(ParsePolicyTest, AllFaultsAreSaidUpToTwenty) {
  std::string entries;
  for (int i = 0; i < 30; ++i) absl::StrAppend(&entries, "<Nonsense/>\n");
  const std::string faults = FaultOf(Entries(entries));
  EXPECT_EQ(std::count(faults.begin(), faults.end(), '\n'), 19);
}

TEST(ParsePolicyTest, AnUnknownActionIsRefusedWithTheNearest) {
  EXPECT_THAT(FaultOf(Entries(
                  absl::StrCat("<RestartServise ResourceName='*'>", kConfig, "</RestartServise>"))),
              testing::AllOf(StartsWith("t.xml:1:18: unknown action 'RestartServise'"),
                             HasSubstr("'RestartService'")));
  EXPECT_THAT(FaultOf(Entries(
                  absl::StrCat("<restartservice ResourceName='*'>", kConfig, "</restartservice>"))),
              HasSubstr("the action is written <RestartService>"));
}

TEST(ParsePolicyTest, EveryAttributeOfTheLimitsIsRequired) {
  EXPECT_THAT(FaultOfConfig("Enabled=\"True\" ", ""), HasSubstr("has no Enabled"));
  for (const LimitAttribute& attribute : kLimitAttributes) {
    const std::string text = absl::StrCat(" ", attribute.name, "=");
    EXPECT_THAT(FaultOfConfig(text, " Other="), HasSubstr(absl::StrCat("has no ", attribute.name)));
    EXPECT_THAT(FaultOfConfig(text, " Other="), HasSubstr("unknown attribute 'Other'"));
  }
}

TEST(ParsePolicyTest, ADuplicateAttributeIsRefused) {
  EXPECT_THAT(FaultOfConfig("Enabled=\"True\"", "Enabled=\"True\" Enabled=\"True\""),
              HasSubstr("a second attribute 'Enabled'"));
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName='a' ResourceName='b'"))),
              HasSubstr("a second attribute 'ResourceName'"));
}

TEST(ParsePolicyTest, NumbersAreIntegersOfAtLeastMinusOne) {
  for (const char* bad :
       {"", " ", "1.0", "+1", " 1", "1 ", "0x10", "1e3", "--1", "-", "٣", "ten"}) {
    EXPECT_THAT(FaultOfConfig("\"60\"", absl::StrCat("\"", bad, "\"")),
                HasSubstr("which is not an integer"))
        << "'" << bad << "'";
  }
  EXPECT_THAT(FaultOfConfig("\"60\"", "\"-2\""), HasSubstr("is -2; it must be at least -1"));
  EXPECT_THAT(FaultOfConfig("\"60\"", "\"-99999999999\""), HasSubstr("at least -1"));
  EXPECT_THAT(FaultOfConfig("\"60\"", "\"2147483648\""), HasSubstr("at most 2147483647"));
  EXPECT_EQ(FaultOfConfig("\"60\"", "\"2147483647\""), "no fault");
  EXPECT_EQ(FaultOfConfig("\"60\"", "\"-1\""), "no fault");
  EXPECT_EQ(FaultOfConfig("\"60\"", "\"007\""), "no fault");
}

TEST(ParsePolicyTest, EnabledIsTrueOrFalseInAnyCase) {
  EXPECT_EQ(FaultOfConfig("\"True\"", "\"tRUE\""), "no fault");
  EXPECT_THAT(FaultOfConfig("\"True\"", "\"1\""), HasSubstr("it must be True or False"));
}

TEST(ParsePolicyTest, TheOnlyCategoryIsDefault) {
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName='*' ResponderCategory='Other'"))),
              HasSubstr("ResponderCategory is 'Other'"));
}

TEST(ParsePolicyTest, AnEntryNamesItsResourceAndNoNameIsEmpty) {
  EXPECT_THAT(FaultOf(Entries(Restart(""))), HasSubstr("has no ResourceName"));
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName=''"))), HasSubstr("ResourceName is empty"));
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName='*' ResponderName=''"))),
              HasSubstr("ResponderName is empty"));
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName='a&#10;b'"))), HasSubstr("control character"));
}

TEST(ParsePolicyTest, AnEntryHoldsExactlyOneConfig) {
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName='*'", ""))),
              HasSubstr("has no <ThrottleConfig>"));
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName='*'", absl::StrCat(kConfig, kConfig)))),
              HasSubstr("a second <ThrottleConfig>"));
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName='*'", "<Throttle/>"))),
              HasSubstr("unknown element <Throttle>"));
  EXPECT_THAT(FaultOfConfig("/>", "><a/></ThrottleConfig>"), HasSubstr("unknown element <a>"));
}

TEST(ParsePolicyTest, TwoEntriesOfOneIdentityAreRefusedWithTheLineOfTheFirst) {
  EXPECT_THAT(FaultOf(Entries("\n" + Restart("ResourceName='Nginx'") + "\n" +
                              Restart("ResponderName='*' ResourceName='NGINX'"))),
              testing::AllOf(StartsWith("t.xml:3:1: a second entry"), HasSubstr("in line 2")));
}

TEST(ParsePolicyTest, WhatIsNoXmlIsRefused) {
  for (const char* bad : {"",
                          " ",
                          "x",
                          "<",
                          "<ThrottleEntries>",
                          "<ThrottleEntries",
                          "</ThrottleEntries>",
                          "<ThrottleEntries></Throttle>",
                          "<ThrottleEntries/><ThrottleEntries/>",
                          "<ThrottleEntries/>text",
                          "text<ThrottleEntries/>",
                          "<Other/>",
                          "{}",
                          "<ThrottleEntries>text</ThrottleEntries>",
                          "<ThrottleEntries><![CDATA[text]]></ThrottleEntries>",
                          "<!DOCTYPE ThrottleEntries><ThrottleEntries/>",
                          "<!DOCTYPE a [<!ENTITY b 'c'>]><ThrottleEntries/>",
                          "<?php?><ThrottleEntries/>",
                          "<ThrottleEntries/><?xml version='1.0'?>",
                          "<!-- <ThrottleEntries/>",
                          "<?xml version='1.0' encoding='utf-16'?><ThrottleEntries/>",
                          "<ThrottleEntries xmlns='x'/>"}) {
    EXPECT_THAT(FaultOf(bad), StartsWith("t.xml:")) << bad;
  }
}

TEST(ParsePolicyTest, ReferencesThatAreNoneAreRefused) {
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName='a&b'"))), HasSubstr("write &amp;"));
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName='&own;'"))), HasSubstr("write &amp;"));
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName='a&#0;b'"))), HasSubstr("write &amp;"));
  EXPECT_THAT(FaultOf(Entries(Restart("ResourceName='a<b'"))), HasSubstr("write &lt;"));
  EXPECT_EQ(FaultOf(Entries(Restart("ResourceName='&#x41;&#66;&lt;&quot;'"))), "no fault");
}

TEST(ParsePolicyTest, BytesThatAreNoTextAreRefusedWhereTheyStand) {
  EXPECT_THAT(FaultOf(std::string("<ThrottleEntries>\0</ThrottleEntries>", 36)),
              StartsWith("t.xml:1:18: the control character 0"));
  EXPECT_THAT(FaultOf("<ThrottleEntries>\n\xff</ThrottleEntries>"),
              StartsWith("t.xml:2:1: the text is not UTF-8"));
}

TEST(ParsePolicyTest, AFileOverOneMebibyteIsRefused) {
  const std::string fits = "<ThrottleEntries/>";
  EXPECT_TRUE(ParsePolicy(fits + std::string((1 << 20) - fits.size(), ' '), "t.xml").ok());
  EXPECT_THAT(FaultOf(fits + std::string((1 << 20) - fits.size() + 1, ' ')),
              HasSubstr("larger than 1048576 bytes"));
}

TEST(ReadPolicyFileTest, ReadsAFileAndSaysWhenItIsNotThere) {
  const std::string path = testing::TempDir() + "/throttle.xml";
  std::ofstream(path) << Entries(Restart("ResourceName='*'"));
  EXPECT_EQ(ReadPolicyFile(path)->entries().size(), 1u);
  EXPECT_EQ(ReadPolicyFile(path + ".none").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace salve

#include "config/override_xml.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::HasSubstr;

constexpr char kOfTheSpecification[] = R"(<MonitoringOverrides>
  <Override ItemType="Responder" Identity="Search\SearchIndexFailureRestartSearchService"
    PropertyName="ThrottleAttributes.LocalMinimumMinutesBetweenAttempts" PropertyValue="240" ApplyVersion="15.00.1044.025"
    ExpirationTime="2027-11-21T00:00:00.0000000Z" CreatedBy="root" CreatedTime="2026-11-21T00:00:00.0000000Z" Reason="" />
</MonitoringOverrides>
)";

std::string FaultOf(const std::string& attributes) {
  const std::string xml =
      absl::StrCat("<MonitoringOverrides>\n<Override ", attributes, "/>\n</MonitoringOverrides>");
  return std::string(ParseOverrides(xml, "o.xml").status().message());
}

// A good one, with one attribute written otherwise.
std::string FaultWith(const std::string& from, const std::string& to) {
  const std::string good =
      "ItemType='Probe' Identity='a\\b' PropertyName='interval' PropertyValue='1s' "
      "ApplyVersion='' ExpirationTime='2027-01-01T00:00:00Z'";
  EXPECT_EQ(FaultOf(good), "");
  const std::string changed = absl::StrReplaceAll(good, {{from, to}});
  EXPECT_NE(changed, good);
  return FaultOf(changed);
}

TEST(OverrideXmlTest, ReadsTheExampleOfTheSpecification) {
  const auto overrides = ParseOverrides(kOfTheSpecification, "o.xml");
  ASSERT_TRUE(overrides.ok()) << overrides.status();
  ASSERT_EQ(overrides->size(), 1u);
  const Override& one = overrides->front();
  EXPECT_EQ(one.item_type, ItemType::kResponder);
  EXPECT_EQ(one.identity.Text(), "Search\\SearchIndexFailureRestartSearchService");
  EXPECT_EQ(one.property, "ThrottleAttributes.LocalMinimumMinutesBetweenAttempts");
  EXPECT_EQ(one.value, "240");
  EXPECT_EQ(one.version, "15.00.1044.025");
  EXPECT_EQ(one.created_by, "root");
  EXPECT_EQ(one.expiration, absl::FromUnixSeconds(1826755200));
  EXPECT_EQ(one.created, absl::FromUnixSeconds(1795219200));
}

TEST(OverrideXmlTest, WhatIsWrittenIsReadAsTheSame) {
  Override a;
  a.item_type = ItemType::kMonitor;
  a.identity = *ParseIdentity(a.item_type, "Web\\Down");
  a.property = "threshold";
  a.value = "5";
  a.expiration = absl::FromUnixSeconds(1800000000);
  a.created = absl::FromUnixSeconds(1790000000);
  a.created_by = "O'Brien <\"x\"&>";
  a.reason = "two\nlines\tand \xC3\xA4";
  Override b = a;
  b.version = "1.0";
  b.expiration = absl::InfiniteFuture();
  const std::string xml = OverridesXml({b, a});
  const auto read = ParseOverrides(xml, "o.xml");
  ASSERT_TRUE(read.ok()) << read.status() << xml;
  EXPECT_THAT(*read, testing::ElementsAre(a, b));
  EXPECT_EQ(OverridesXml({a, b}), xml);
}

TEST(OverrideXmlTest, NothingIsAnEmptySet) {
  EXPECT_TRUE(ParseOverrides("", "o.xml")->empty());
  EXPECT_TRUE(ParseOverrides(OverridesXml({}), "o.xml")->empty());
  EXPECT_FALSE(ParseOverrides(" ", "o.xml").ok());
}

TEST(OverrideXmlTest, FaultsHaveTheirPlace) {
  EXPECT_THAT(FaultWith("Probe", "Prob"), HasSubstr("o.xml:2:11: ItemType: 'Prob'"));
  EXPECT_THAT(FaultWith("interval", "intervall"), HasSubstr("did you mean 'interval'"));
  EXPECT_THAT(FaultWith("'1s'", "'1'"), HasSubstr("PropertyValue: interval: '1' is no duration"));
  EXPECT_THAT(FaultWith("'a\\b'", "'a'"), HasSubstr("it names no item"));
  EXPECT_THAT(FaultWith("2027-01", "2027-13"), HasSubstr("ExpirationTime: '2027-13"));
  EXPECT_THAT(FaultWith("2027-01-01T00:00:00Z", "infinite-future"), HasSubstr("is no time"));
  EXPECT_THAT(FaultWith("ApplyVersion=''", "ApplyVersion='1..2'"), HasSubstr("is no version"));
  EXPECT_THAT(FaultWith("PropertyValue='1s'", ""), HasSubstr("<Override> has no PropertyValue"));
  EXPECT_THAT(FaultWith("ApplyVersion=''", "Version=''"), HasSubstr("unknown attribute 'Version'"));
  EXPECT_THAT(FaultWith("'a\\b'", absl::StrCat("'a\\", std::string(999, 'b'), "'")),
              HasSubstr("Identity is longer than 1000 bytes"));
}

TEST(OverrideXmlTest, WhatWouldNeverEndIsRefused) {
  const std::string end = "ExpirationTime='2027-01-01T00:00:00Z'";
  EXPECT_THAT(FaultWith(end, ""), HasSubstr("o.xml:2:1: it would never end"));
  EXPECT_THAT(FaultWith("ApplyVersion='' " + end, "ApplyVersion='1.0'"),
              HasSubstr("ExpirationTime or CreatedTime is needed"));
  EXPECT_EQ(
      FaultWith("ApplyVersion='' " + end, "ApplyVersion='1.0' CreatedTime='2026-01-01T00:00:00Z'"),
      "");
}

TEST(OverrideXmlTest, TheSameTwiceIsRefused) {
  const std::string one =
      "<Override ItemType='Probe' Identity='a\\b' PropertyName='interval' PropertyValue='1s' "
      "ExpirationTime='2027-01-01T00:00:00Z'/>\n";
  const std::string two = absl::StrReplaceAll(one, {{"a\\b", "A/B"}, {"interval", "Interval"}});
  EXPECT_THAT(
      ParseOverrides("<MonitoringOverrides>\n" + one + two + "</MonitoringOverrides>", "o.xml")
          .status()
          .message(),
      HasSubstr("o.xml:3:1: a second override of interval of A\\B; the first is in line 2"));
}

TEST(OverrideXmlTest, OtherElementsAreRefused) {
  EXPECT_THAT(
      ParseOverrides("<MonitoringOverrides><X/></MonitoringOverrides>", "o.xml").status().message(),
      HasSubstr("unknown element <X>"));
  EXPECT_THAT(
      ParseOverrides("<MonitoringOverrides><Override><Y/></Override></MonitoringOverrides>", "o")
          .status()
          .message(),
      HasSubstr("unknown element <Y>"));
}

}  // namespace
}  // namespace salve

#include "config/override.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::HasSubstr;

std::string IdentityOf(ItemType type, const std::string& text) {
  const auto identity = ParseIdentity(type, text);
  if (!identity.ok()) return "error: " + std::string(identity.status().message());
  return identity->health_set + "|" + identity->item + "|" + identity->target;
}

TEST(ItemIdentityTest, BothSeparatorsAreOne) {
  EXPECT_EQ(IdentityOf(ItemType::kResponder, "Search\\Restart"), "Search|Restart|");
  EXPECT_EQ(IdentityOf(ItemType::kResponder, "Search/Restart"), "Search|Restart|");
  EXPECT_EQ(ParseIdentity(ItemType::kProbe, "a/b/c")->Text(), "a\\b\\c");
}

TEST(ItemIdentityTest, EverythingAfterTheSecondSeparatorIsTheTarget) {
  EXPECT_EQ(IdentityOf(ItemType::kProbe, "Disk\\Free\\var/lib\\x"), "Disk|Free|var/lib/x");
}

TEST(ItemIdentityTest, AHealthSetHasOnlyItsName) {
  EXPECT_EQ(IdentityOf(ItemType::kHealthSet, "Search"), "Search||");
  EXPECT_THAT(IdentityOf(ItemType::kHealthSet, "Search\\X"), HasSubstr("it names an item"));
}

TEST(ItemIdentityTest, WhatNamesNothingIsRefused) {
  EXPECT_THAT(IdentityOf(ItemType::kProbe, "Search"), HasSubstr("it names no item"));
  for (const std::string bad : {"", "\\", "a\\", "\\b", "a\\\\c", "a\\b\\"}) {
    EXPECT_THAT(IdentityOf(ItemType::kProbe, bad), HasSubstr("error: ")) << bad;
  }
  EXPECT_THAT(IdentityOf(ItemType::kProbe, "a\\b\n"), HasSubstr("control character"));
  EXPECT_THAT(IdentityOf(ItemType::kProbe, "a\\" + std::string(999, 'b')), HasSubstr("too long"));
}

TEST(VersionTest, TheThreeSpellingsAreOneVersion) {
  EXPECT_EQ(*CanonicalVersion("15.00.1044.025"), "15.0.1044.25");
  EXPECT_EQ(*CanonicalVersion("15.0.1044.25"), "15.0.1044.25");
  EXPECT_EQ(*CanonicalVersion("Version 15.0 (Build 1044.25)"), "15.0.1044.25");
  EXPECT_EQ(*CanonicalVersion("version 15.00 (build 1044.025)"), "15.0.1044.25");
}

TEST(VersionTest, NumbersAndLettersMatter) {
  EXPECT_NE(*CanonicalVersion("15.0.1044.25"), *CanonicalVersion("15.0.1044.250"));
  EXPECT_EQ(*CanonicalVersion("2.0-RC1"), *CanonicalVersion("2.0-rc1"));
  EXPECT_EQ(*CanonicalVersion("000"), "0");
}

TEST(VersionTest, WhatIsNoneIsRefused) {
  for (const std::string bad :
       {"", ".", "1.", "1..2", "1,2", "Version 15.0", "Version 15.0 (1044.25)",
        "Version 15.0 (Build )", "Version  (Build 1)", "Version 1 (Build 2", "1 2"}) {
    EXPECT_FALSE(CanonicalVersion(bad).ok()) << bad;
  }
  EXPECT_TRUE(CanonicalVersion(std::string(100, '1')).ok());
  EXPECT_FALSE(CanonicalVersion(std::string(101, '1')).ok());
}

TEST(OverrideDurationTest, IsDaysAndAClock) {
  EXPECT_EQ(*ParseOverrideDuration("1.00:00:00"), absl::Hours(24));
  EXPECT_EQ(*ParseOverrideDuration("00.00:00:01"), absl::Seconds(1));
  EXPECT_EQ(*ParseOverrideDuration("10.23:59:59"), absl::Hours(264) - absl::Seconds(1));
  EXPECT_EQ(*ParseOverrideDuration("3650.00:00:00"), absl::Hours(24 * 3650));
}

TEST(OverrideDurationTest, WhatIsNoneIsRefused) {
  for (const std::string bad :
       {"", "1", "1d", "00:01:00", "0.00:00:00", "1.24:00:00", "1.00:60:00", "1.00:00:60", "1.0:0",
        "-1.00:00:00", "1. 0:00:00", "3650.00:00:01", "99999.00:00:00", "1.00:00:00.5"}) {
    EXPECT_FALSE(ParseOverrideDuration(bad).ok()) << bad;
  }
}

TEST(OverrideTest, WithAVersionItEndsAfter365Days) {
  Override override;
  override.created = absl::FromUnixSeconds(1000);
  override.expiration = absl::FromUnixSeconds(1000) + absl::Hours(24 * 400);
  EXPECT_EQ(override.End(), override.expiration);
  override.version = "1.0";
  EXPECT_EQ(override.End(), override.created + absl::Hours(24 * 365));
  override.expiration = absl::FromUnixSeconds(2000);
  EXPECT_EQ(override.End(), absl::FromUnixSeconds(2000));
}

TEST(OverrideTest, TheKeyKnowsOneSpelling) {
  Override a;
  a.identity = *ParseIdentity(ItemType::kResponder, "Search\\Restart");
  a.property = "Enabled";
  a.version = "15.00.1044.025";
  Override b = a;
  b.identity = *ParseIdentity(ItemType::kResponder, "SEARCH/restart");
  b.version = "Version 15.0 (Build 1044.25)";
  b.value = "another";
  EXPECT_EQ(a.Key(), b.Key());
  b.version = "";
  EXPECT_NE(a.Key(), b.Key());
}

}  // namespace
}  // namespace salve

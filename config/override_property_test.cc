#include "config/override_property.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::HasSubstr;

std::string Canonical(ItemType type, const std::string& name) {
  const auto property = CanonicalProperty(type, name);
  return property.ok() ? *property : "error: " + std::string(property.status().message());
}

std::string Refusal(ItemType type, const std::string& property, const std::string& value) {
  return std::string(CheckOverrideValue(type, property, value).message());
}

constexpr char kLocalMinimum[] = "ThrottleAttributes.LocalMinimumMinutesBetweenAttempts";

TEST(OverridePropertyTest, KnowsTheSixLimitsOfAResponder) {
  EXPECT_THAT(OverrideProperties(ItemType::kResponder),
              testing::ElementsAre("Enabled", "ThrottleAttributes.Enabled",
                                   "ThrottleAttributes.LocalMinimumMinutesBetweenAttempts",
                                   "ThrottleAttributes.LocalMaximumAllowedAttemptsInOneHour",
                                   "ThrottleAttributes.LocalMaximumAllowedAttemptsInADay",
                                   "ThrottleAttributes.GroupMinimumMinutesBetweenAttempts",
                                   "ThrottleAttributes.GroupMaximumAllowedAttemptsInADay"));
}

TEST(OverridePropertyTest, KnowsWhatTheKindsOfMonitorsHave) {
  EXPECT_THAT(
      OverrideProperties(ItemType::kMonitor),
      testing::UnorderedElementsAre("Enabled", "threshold", "window", "minimum", "min_samples",
                                    "samples", "clear", "clear_after", "changes"));
}

TEST(OverridePropertyTest, ClearAfterIsOfEveryMonitorAndChangesOfFlappingOnes) {
  config::Monitor monitor;
  monitor.mutable_flapping();
  EXPECT_TRUE(SetProperty(monitor, "clear_after", "15m").ok());
  EXPECT_EQ(monitor.clear_after(), "15m");
  EXPECT_THAT(SetProperty(monitor, "clear_after", "25h").message(), HasSubstr("[0s, 24h]"));
  EXPECT_TRUE(SetProperty(monitor, "changes", "2").ok());
  EXPECT_EQ(monitor.flapping().changes(), 2u);
  EXPECT_THAT(SetProperty(monitor, "changes", "1").message(),
              HasSubstr("changes: 1 is not in [2, 10000]"));
  EXPECT_TRUE(SetProperty(monitor, "window", "1h").ok());
  monitor.mutable_all_of();
  EXPECT_THAT(SetProperty(monitor, "window", "1h").message(),
              HasSubstr("a Combination monitor has no such property; it has clear_after"));
  MonitorDefinition definition;
  definition.clear_after = absl::Minutes(15);
  EXPECT_EQ(PropertyText(definition, "clear_after"), "15m");
}

TEST(OverridePropertyTest, AnySpellingIsTaken) {
  EXPECT_EQ(Canonical(ItemType::kProbe, "Interval"), "interval");
  EXPECT_EQ(Canonical(ItemType::kMonitor, "MinSamples"), "min_samples");
  EXPECT_EQ(Canonical(ItemType::kHealthSet, "enabled"), "Enabled");
  EXPECT_EQ(Canonical(ItemType::kResponder, "throttleattributes.enabled"),
            "ThrottleAttributes.Enabled");
}

TEST(OverridePropertyTest, AnUnknownOneIsRefusedWithTheNearest) {
  EXPECT_THAT(Canonical(ItemType::kProbe, "intervall"), HasSubstr("did you mean 'interval'"));
  EXPECT_THAT(Canonical(ItemType::kHealthSet, "interval"), HasSubstr("known are Enabled"));
  EXPECT_THAT(Canonical(ItemType::kResponder, "ThrottlePolicyXml"),
              HasSubstr("override single attributes"));
}

TEST(OverridePropertyTest, LimitsAreCheckedAsInAResponder) {
  EXPECT_EQ(Refusal(ItemType::kResponder, kLocalMinimum, "525600"), "");
  EXPECT_THAT(Refusal(ItemType::kResponder, kLocalMinimum, "525601"), HasSubstr("is not in"));
  EXPECT_EQ(Refusal(ItemType::kResponder, kLocalMinimum, "-1"), "");
  EXPECT_THAT(Refusal(ItemType::kResponder, kLocalMinimum, "-2"), HasSubstr("is not in"));
  for (const std::string bad : {"", "x", "1.5", "+1", " 1", "1 ", "99999999999"}) {
    EXPECT_THAT(Refusal(ItemType::kResponder, kLocalMinimum, bad), HasSubstr("whole number"))
        << bad;
  }
  EXPECT_EQ(Refusal(ItemType::kResponder, "ThrottleAttributes.Enabled", "fAlSe"), "");
  EXPECT_THAT(Refusal(ItemType::kResponder, "Enabled", "0"), HasSubstr("not True or False"));
}

TEST(OverridePropertyTest, TimesOfAProbeAreCheckedAsInTheConfiguration) {
  EXPECT_EQ(Refusal(ItemType::kProbe, "interval", "100ms"), "");
  EXPECT_THAT(Refusal(ItemType::kProbe, "interval", "99ms"), HasSubstr("is not in"));
  EXPECT_THAT(Refusal(ItemType::kProbe, "timeout", "10"), HasSubstr("is no duration"));
}

TEST(OverridePropertyTest, AMonitorHasWhatItsKindHas) {
  config::Monitor monitor;
  monitor.mutable_failure_count();
  EXPECT_TRUE(SetProperty(monitor, "threshold", "7").ok());
  EXPECT_TRUE(SetProperty(monitor, "window", "5m").ok());
  EXPECT_EQ(monitor.failure_count().threshold(), 7u);
  EXPECT_EQ(monitor.failure_count().window(), "5m");
  EXPECT_THAT(SetProperty(monitor, "threshold", "0").message(), HasSubstr("0 is not allowed"));
  EXPECT_THAT(SetProperty(monitor, "samples", "2").message(),
              HasSubstr("it has threshold, window"));
}

TEST(OverridePropertyTest, ABoundMayBeAnyNumber) {
  config::Monitor monitor;
  monitor.mutable_value_above()->set_threshold(3);
  EXPECT_TRUE(SetProperty(monitor, "threshold", "0").ok());
  EXPECT_EQ(monitor.value_above().threshold(), 0);
  EXPECT_TRUE(SetProperty(monitor, "clear", "-2.5").ok());
  EXPECT_FALSE(SetProperty(monitor, "clear", "nan").ok());
  EXPECT_FALSE(SetProperty(monitor, "value_name", "x").ok());
}

}  // namespace
}  // namespace salve

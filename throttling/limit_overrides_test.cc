#include "throttling/limit_overrides.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

ScopedOverride Of(const std::string& property, const std::string& value,
                  OverrideScope scope = OverrideScope::kLocal) {
  Override override;
  override.property = property;
  override.value = value;
  return {scope, override};
}

TEST(LimitOverrideTableTest, FindsWhatIsInForceByTheName) {
  const std::vector<ScopedOverride> overrides = {
      Of("ThrottleAttributes.LocalMinimumMinutesBetweenAttempts", "240"),
      Of("ThrottleAttributes.GroupMaximumAllowedAttemptsInADay", "-1", OverrideScope::kGlobal),
      Of("ThrottleAttributes.Enabled", "false"),
      Of("ThrottleAttributes.LocalMaximumAllowedAttemptsInADay", "1"),
  };
  AppliedOverrides applied;
  applied.limits["Restart"] = {0, 1, 2};  // The last one is not in force.
  const LimitOverrideTable table(applied, overrides);
  const LimitOverrides* found = table.Find("RESTART");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->limits[0]->value, 240);
  EXPECT_EQ(found->limits[0]->source, LimitSource::kLocalOverride);
  EXPECT_EQ(found->limits[4]->value, -1);
  EXPECT_EQ(found->limits[4]->source, LimitSource::kGlobalOverride);
  EXPECT_FALSE(found->enabled->value);
  EXPECT_FALSE(found->limits[2].has_value());
  EXPECT_EQ(table.Find("Restart2"), nullptr);
}

TEST(LimitOverrideTableTest, TheLargestMinimumIsOfMinutesOnly) {
  const std::vector<ScopedOverride> overrides = {
      Of("ThrottleAttributes.GroupMinimumMinutesBetweenAttempts", "525600"),
      Of("ThrottleAttributes.LocalMaximumAllowedAttemptsInADay", "999999"),
  };
  AppliedOverrides applied;
  applied.limits["R"] = {0, 1};
  EXPECT_EQ(LimitOverrideTable(applied, overrides).LargestMinimum(), 525600);
  EXPECT_EQ(LimitOverrideTable().LargestMinimum(), 0);
}

TEST(AddLimitOverrideTest, PassesOverWhatIsNoLimit) {
  LimitOverrides limits;
  AddLimitOverride(Of("Enabled", "false"), limits);
  AddLimitOverride(Of("ThrottleAttributes.Enabled", "perhaps"), limits);
  AddLimitOverride(Of("ThrottleAttributes.LocalMinimumMinutesBetweenAttempts", "x"), limits);
  EXPECT_FALSE(limits.enabled.has_value());
  EXPECT_FALSE(limits.limits[0].has_value());
}

}  // namespace
}  // namespace salve

// clear_after of Monitor: how long the rule must no longer hold.
#include "gtest/gtest.h"
#include "monitors/watched_monitor.h"

namespace salve {
namespace {

constexpr absl::Duration kTick = absl::Nanoseconds(1);

MonitorDefinition Definition(std::vector<std::string> probes = {"P"}) {
  MonitorDefinition definition = ThreeInARow(std::move(probes));
  definition.clear_after = absl::Minutes(5);
  return definition;
}

TEST(ClearAfterTest, ClearsExactlyWhenTheRuleHasNotHeldForSoLong) {
  WatchedMonitor monitor = Alerting(Definition());
  EXPECT_EQ(monitor.Good(), "");
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_TRUE(monitor.status().clearing);
  EXPECT_EQ(monitor.next_tick_in(), absl::Minutes(5));
  EXPECT_EQ(monitor.Wait(absl::Minutes(5) - kTick), "");
  EXPECT_EQ(monitor.next_tick_in(), kTick);
  EXPECT_EQ(monitor.Wait(kTick), "DEGRADED>HEALTHY closed");
  EXPECT_FALSE(monitor.status().clearing);
  EXPECT_EQ(monitor.next_tick_in(), absl::InfiniteDuration());
}

TEST(ClearAfterTest, ALookClearsToo) {
  WatchedMonitor monitor = Alerting(Definition());
  monitor.Good();
  monitor.StepWall(-absl::Hours(1));  // Only for people.
  EXPECT_EQ(monitor.Wait(absl::Minutes(5) - kTick), "");
  EXPECT_EQ(monitor.Good(), "");
  EXPECT_EQ(monitor.Wait(kTick), "DEGRADED>HEALTHY closed");
}

TEST(ClearAfterTest, NothingClearsWithoutAGoodLook) {
  WatchedMonitor monitor = Alerting(Definition());
  monitor.Suppress(true);
  monitor.Suppress(false);  // The rule holds no longer: its evidence starts anew.
  EXPECT_FALSE(monitor.status().clearing);
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");
  EXPECT_TRUE(monitor.status().alert);
}

TEST(ClearAfterTest, StartsAnewWhenTheRuleHoldsAgain) {
  WatchedMonitor monitor = Alerting(Definition());
  monitor.Good();
  monitor.Wait(absl::Minutes(4));
  monitor.Bad("P", 2);  // Not yet the rule.
  EXPECT_TRUE(monitor.status().clearing);
  monitor.Bad();
  EXPECT_FALSE(monitor.status().clearing);
  EXPECT_EQ(monitor.Wait(absl::Minutes(2)), "");  // UNHEALTHY came with the third bad look.
  monitor.Good();
  EXPECT_EQ(monitor.Wait(absl::Minutes(5) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "UNHEALTHY>HEALTHY closed");
}

TEST(ClearAfterTest, NoStateIsEnteredAndNothingIsFreshWhileItClears) {
  WatchedMonitor monitor = Alerting(Definition());
  EXPECT_TRUE(monitor.status().fresh);
  monitor.Good();
  EXPECT_FALSE(monitor.status().fresh);
  EXPECT_EQ(monitor.Wait(absl::Minutes(2)), "");  // UNHEALTHY is due, and not entered.
  EXPECT_EQ(monitor.Bad("P", 2), "");
  EXPECT_FALSE(monitor.status().fresh);
  EXPECT_EQ(monitor.Bad(), "DEGRADED>UNHEALTHY");
  EXPECT_TRUE(monitor.status().fresh);
}

TEST(ClearAfterTest, TheEndOfASettleStartsItAnew) {
  WatchedMonitor monitor = Alerting(Definition());
  monitor.Suppress(true);
  monitor.Good();
  EXPECT_TRUE(monitor.status().clearing);
  monitor.Wait(absl::Minutes(4));
  monitor.Suppress(false);
  EXPECT_FALSE(monitor.status().clearing);
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");
  monitor.Good();
  EXPECT_EQ(monitor.Wait(absl::Minutes(5) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "DEGRADED>HEALTHY closed");
}

TEST(ClearAfterTest, GoesOnInAHoldAndClearsInIt) {
  WatchedMonitor monitor = Alerting(Definition());
  monitor.Good();
  monitor.Hold(true);
  EXPECT_EQ(monitor.next_tick_in(), absl::Minutes(5));
  EXPECT_EQ(monitor.Wait(absl::Minutes(5)), "DEGRADED>HEALTHY closed");
}

TEST(ClearAfterTest, ARestartOfTheAgentStartsItAnew) {
  WatchedMonitor monitor = Alerting(Definition());
  monitor.Good();
  monitor.Wait(absl::Minutes(4));
  monitor.Restart();
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");  // Nothing was seen in this life.
  monitor.Good();
  EXPECT_EQ(monitor.Wait(absl::Minutes(5) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "DEGRADED>HEALTHY closed");
}

TEST(ClearAfterTest, ATimeInWhichNobodyCouldLookDoesNotCount) {
  WatchedMonitor monitor = Alerting(Definition());
  monitor.Good();
  monitor.Wait(absl::Minutes(4));
  EXPECT_EQ(monitor.Blind("P", 3), "DEGRADED>UNAVAILABLE");
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");
  EXPECT_EQ(monitor.Good(), "UNAVAILABLE>HEALTHY");
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_EQ(monitor.Wait(absl::Minutes(5) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "HEALTHY>HEALTHY closed");
}

TEST(ClearAfterTest, OfTwoProbesTheLaterOneDecides) {
  WatchedMonitor monitor(Definition({"A", "B"}));
  monitor.Bad("A", 3);
  monitor.Bad("B", 3);
  monitor.Good("A");
  EXPECT_FALSE(monitor.status().clearing);
  monitor.Wait(absl::Seconds(30));
  monitor.Good("B");
  EXPECT_TRUE(monitor.status().clearing);
  EXPECT_EQ(monitor.Wait(absl::Minutes(5) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "DEGRADED>HEALTHY closed");
}

}  // namespace
}  // namespace salve

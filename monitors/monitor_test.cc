#include "monitors/monitor.h"

#include "gtest/gtest.h"
#include "monitors/watched_monitor.h"

namespace salve {
namespace {

MonitorDefinition With(MonitorDefinition definition, config::Monitor::Require require) {
  definition.config.set_require(require);
  return definition;
}

MonitorDefinition Above(double threshold, double clear) {
  MonitorDefinition definition = ThreeInARow();
  definition.config.mutable_value_above()->set_threshold(threshold);
  definition.config.mutable_value_above()->set_clear(clear);
  return definition;
}

TEST(MonitorTest, RefusesWhatItsRuleRefuses) {
  RandomSource random = [] { return 0; };
  MonitorDefinition definition = ThreeInARow();
  definition.config.mutable_consecutive_failures()->set_threshold(1001);
  EXPECT_EQ(Monitor::New(definition, random).status(), CheckMonitor(definition.config));
}

TEST(MonitorTest, IsUninitializedUntilItsProbeHasLooked) {
  WatchedMonitor monitor;
  EXPECT_EQ(monitor.state(), "UNINITIALIZED");
  EXPECT_EQ(monitor.Blind(), "");
  EXPECT_EQ(monitor.state(), "UNINITIALIZED");
  EXPECT_EQ(monitor.Good(), "UNINITIALIZED>HEALTHY");
  EXPECT_EQ(monitor.last().incident_id, "");
  EXPECT_EQ(monitor.Good(), "");
}

TEST(MonitorTest, WhatIsOutdatedJustifiesNothingBeforeAnotherBadLook) {
  WatchedMonitor monitor;
  monitor.Bad("P", 3);
  ASSERT_TRUE(monitor.status().fresh);
  monitor.monitor().Outdate();
  EXPECT_FALSE(monitor.status().fresh);
  EXPECT_EQ(monitor.state(), "DEGRADED");
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_EQ(monitor.Wait(absl::Minutes(2)), "");  // UNHEALTHY was due at one.
  monitor.Blind();
  EXPECT_FALSE(monitor.status().fresh);
  EXPECT_EQ(monitor.Bad(), "DEGRADED>UNHEALTHY");
  EXPECT_TRUE(monitor.status().fresh);
}

TEST(MonitorTest, IsUninitializedUntilEachProbeHasLooked) {
  WatchedMonitor monitor(ThreeInARow({"A", "B"}));
  EXPECT_EQ(monitor.Good("A"), "");
  EXPECT_EQ(monitor.Bad("A"), "");
  EXPECT_EQ(monitor.Bad("B"), "UNINITIALIZED>HEALTHY");
}

TEST(MonitorTest, AnAlertDoesNotWaitForTheOtherProbes) {
  WatchedMonitor monitor(ThreeInARow({"A", "B"}));
  EXPECT_EQ(monitor.Bad("A", 3), "UNINITIALIZED>DEGRADED opened");
}

TEST(MonitorTest, AnAlertThatEndsBeforeItsFirstStateLeavesNoTrace) {
  MonitorDefinition definition = ThreeInARow({"A", "B"});
  definition.transitions = {{config::UNHEALTHY, absl::Seconds(10)}};
  WatchedMonitor monitor(definition);
  EXPECT_EQ(monitor.Bad("A", 3), "");
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_EQ(monitor.Good("A"), "");
  EXPECT_FALSE(monitor.status().alert);
  EXPECT_EQ(monitor.state(), "UNINITIALIZED");  // B has not looked yet.
  EXPECT_EQ(monitor.Good("B"), "UNINITIALIZED>HEALTHY");
}

TEST(MonitorTest, ADisabledOneTakesNoNotice) {
  MonitorDefinition definition = ThreeInARow();
  definition.enabled = false;
  WatchedMonitor monitor(definition);
  EXPECT_EQ(monitor.state(), "DISABLED");
  EXPECT_EQ(monitor.Bad("P", 5), "");
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");
  monitor.Restart();
  EXPECT_EQ(monitor.state(), "DISABLED");
  EXPECT_FALSE(monitor.status().alert);
}

TEST(MonitorTest, ClearingIsHealthyAtOnce) {
  WatchedMonitor monitor;
  monitor.Bad("P", 3);
  monitor.Wait(absl::Minutes(11));
  EXPECT_EQ(monitor.state(), "UNRECOVERABLE");
  EXPECT_EQ(monitor.Good(), "UNRECOVERABLE>HEALTHY closed");
  EXPECT_FALSE(monitor.status().alert);
  EXPECT_EQ(monitor.incident(), "");
}

TEST(MonitorTest, ClearingNeedsAGoodLook) {
  MonitorDefinition definition = ThreeInARow();
  definition.config.mutable_failure_count()->set_threshold(2);
  definition.config.mutable_failure_count()->set_window("10s");
  WatchedMonitor monitor(definition);
  monitor.Good();
  EXPECT_EQ(monitor.Bad("P", 2), "HEALTHY>DEGRADED opened");
  monitor.Wait(absl::Seconds(11));
  EXPECT_EQ(monitor.Bad(), "");  // One failure in the window: the rule no longer holds.
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_EQ(monitor.Good(), "DEGRADED>HEALTHY closed");
}

TEST(MonitorTest, AGoodLookIsNotEnoughWhileTheRuleHolds) {
  MonitorDefinition definition = ThreeInARow();
  definition.config.mutable_failure_count()->set_threshold(2);
  definition.config.mutable_failure_count()->set_window("10s");
  WatchedMonitor monitor(definition);
  monitor.Bad("P", 2);
  monitor.Wait(absl::Seconds(9));
  EXPECT_EQ(monitor.Good(), "");
  monitor.Wait(absl::Seconds(1));
  EXPECT_EQ(monitor.Bad(), "DEGRADED>HEALTHY closed");  // A good one came since, as it must.
}

TEST(MonitorTest, AnyIsTheDefaultOfSeveralProbes) {
  WatchedMonitor monitor(ThreeInARow({"A", "B"}));
  monitor.Good("B");
  EXPECT_EQ(monitor.Bad("A", 3), "UNINITIALIZED>HEALTHY, HEALTHY>DEGRADED opened");
  EXPECT_EQ(monitor.Good("B"), "");  // Another probe's good look says nothing of A.
  EXPECT_EQ(monitor.Bad("B", 3), "");
  EXPECT_EQ(monitor.Good("A"), "");  // B fires now.
  EXPECT_EQ(monitor.Good("B"), "DEGRADED>HEALTHY closed");
}

TEST(MonitorTest, ProbesDoNotAddUp) {
  WatchedMonitor monitor(ThreeInARow({"A", "B"}));
  monitor.Bad("A", 2);
  monitor.Bad("B", 2);
  EXPECT_FALSE(monitor.status().alert);
}

TEST(MonitorTest, AllNeedsEachProbe) {
  WatchedMonitor monitor(With(ThreeInARow({"A", "B"}), config::Monitor::ALL));
  monitor.Bad("A", 5);
  monitor.Bad("B", 2);
  EXPECT_FALSE(monitor.status().alert);
  EXPECT_EQ(monitor.Bad("B"), "HEALTHY>DEGRADED opened");
  EXPECT_EQ(monitor.Good("A"), "DEGRADED>HEALTHY closed");  // One well probe settles it.
}

TEST(MonitorTest, RejectedNeitherCountsNorBreaksARun) {
  WatchedMonitor monitor;
  monitor.Bad("P", 2);
  EXPECT_EQ(monitor.Blind("P", 2), "");
  EXPECT_FALSE(monitor.status().alert);
  EXPECT_EQ(monitor.Bad(), "HEALTHY>DEGRADED opened");
}

TEST(MonitorTest, ThreeRejectedInARowAreUnavailable) {
  WatchedMonitor monitor;
  monitor.Good();
  EXPECT_EQ(monitor.Blind("P", 2), "");
  EXPECT_EQ(monitor.Blind(), "HEALTHY>UNAVAILABLE");
  EXPECT_EQ(monitor.last().incident_id, "");
  EXPECT_EQ(monitor.last().reason, "the probe could not look");
  EXPECT_EQ(monitor.last().evidence, "P: 3 of the last 4 looks could not be made");
  EXPECT_EQ(monitor.status().last_error, "no room");
  EXPECT_EQ(monitor.Good(), "UNAVAILABLE>HEALTHY");
}

TEST(MonitorTest, HalfOfTheLastTenRejectedAreUnavailable) {
  WatchedMonitor monitor;
  for (int i = 0; i < 4; ++i) {
    monitor.Blind();
    monitor.Good();
  }
  EXPECT_EQ(monitor.Good(), "");                      // 4 of 9 …
  EXPECT_EQ(monitor.Blind(), "HEALTHY>UNAVAILABLE");  // … 5 of 10.
  EXPECT_EQ(monitor.Good(), "UNAVAILABLE>HEALTHY");   // The first has left.
}

TEST(MonitorTest, OfLessThanTenLooksHalfSayNothing) {
  WatchedMonitor monitor;
  for (int i = 0; i < 4; ++i) {
    monitor.Good();
    monitor.Blind();
  }
  EXPECT_EQ(monitor.Blind(), "");  // 5 of 9.
  EXPECT_EQ(monitor.Good(), "HEALTHY>UNAVAILABLE");
}

TEST(MonitorTest, AllButHalfOfTheLastTenRejectedAreAvailable) {
  WatchedMonitor monitor;
  for (int i = 0; i < 4; ++i) {
    monitor.Blind();
    monitor.Good();
  }
  EXPECT_EQ(monitor.Good(), "");
  EXPECT_EQ(monitor.Good(), "");  // 4 of 10.
  EXPECT_EQ(monitor.state(), "HEALTHY");
}

TEST(MonitorTest, UnavailableOpensNoIncident) {
  WatchedMonitor monitor;
  EXPECT_EQ(monitor.Blind("P", 9), "UNINITIALIZED>UNAVAILABLE");
  EXPECT_FALSE(monitor.status().alert);
  EXPECT_EQ(monitor.incident(), "");
}

TEST(MonitorTest, UnavailableEndsNoIncident) {
  WatchedMonitor monitor;
  monitor.Bad("P", 3);
  const std::string incident = monitor.incident();
  EXPECT_EQ(monitor.Blind("P", 3), "DEGRADED>UNAVAILABLE");
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_EQ(monitor.incident(), incident);
  EXPECT_FALSE(monitor.last().closed);
  EXPECT_EQ(monitor.Good(), "UNAVAILABLE>HEALTHY closed");
}

TEST(MonitorTest, UnavailableStartsTheTimelineAnew) {
  WatchedMonitor monitor;
  monitor.Bad("P", 3);
  EXPECT_EQ(monitor.Wait(absl::Minutes(1)), "DEGRADED>UNHEALTHY");
  monitor.Blind("P", 3);
  EXPECT_EQ(monitor.Wait(absl::Minutes(20)), "");  // It stands still meanwhile.
  EXPECT_EQ(monitor.Bad(), "UNAVAILABLE>DEGRADED");
  EXPECT_EQ(monitor.Wait(absl::Seconds(59)), "");
  EXPECT_EQ(monitor.Wait(absl::Seconds(1)), "DEGRADED>UNHEALTHY");
}

TEST(MonitorTest, CanLookAgainIsToldAlsoWhenTheAlertGoesOn) {
  MonitorDefinition definition = ThreeInARow();
  definition.config.mutable_failure_count()->set_threshold(2);
  WatchedMonitor monitor(definition);
  monitor.Bad("P", 2);
  monitor.Blind("P", 3);
  EXPECT_EQ(monitor.Good(), "UNAVAILABLE>HEALTHY");  // The failures are still in the window.
  EXPECT_FALSE(monitor.last().closed);
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_EQ(monitor.Bad(), "HEALTHY>DEGRADED");
}

TEST(MonitorTest, AfterUnavailableTheOtherProbesMustStillBeSeen) {
  WatchedMonitor monitor(ThreeInARow({"A", "B"}));
  EXPECT_EQ(monitor.Blind("A", 3), "UNINITIALIZED>UNAVAILABLE");
  EXPECT_EQ(monitor.Good("A"), "UNAVAILABLE>UNINITIALIZED");
  EXPECT_EQ(monitor.Good("B"), "UNINITIALIZED>HEALTHY");
}

TEST(MonitorTest, OneBlindProbeHidesTheWellOnesButNotTheSickOnes) {
  WatchedMonitor monitor(ThreeInARow({"A", "B"}));
  monitor.Good("A");
  EXPECT_EQ(monitor.Blind("B", 3), "UNINITIALIZED>UNAVAILABLE");
  EXPECT_EQ(monitor.Good("A"), "");
  EXPECT_EQ(monitor.Bad("A", 3), "UNAVAILABLE>DEGRADED opened");
}

TEST(MonitorTest, OfAllOneWellProbeMakesUpForABlindOne) {
  WatchedMonitor monitor(With(ThreeInARow({"A", "B"}), config::Monitor::ALL));
  monitor.Good("A");
  EXPECT_EQ(monitor.Blind("B", 3), "");
  EXPECT_EQ(monitor.Bad("A", 3), "UNINITIALIZED>UNAVAILABLE");  // B would decide.
  EXPECT_FALSE(monitor.status().alert);
}

TEST(MonitorTest, AValueBetweenTheMarksDoesNotClearAfterASettle) {
  WatchedMonitor monitor(Above(100, 80));
  EXPECT_EQ(monitor.Value(101), "UNINITIALIZED>DEGRADED opened");
  monitor.Suppress(true);
  EXPECT_EQ(monitor.Value(90), "");
  monitor.Suppress(false);
  EXPECT_EQ(monitor.Value(90), "");
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_FALSE(monitor.status().fresh);
  EXPECT_EQ(monitor.Value(80), "DEGRADED>HEALTHY closed");
}

TEST(MonitorTest, ABadValueIsNotCountedWhileSuppressedThoughTheLookSucceeded) {
  WatchedMonitor monitor(Above(100, 80));
  monitor.Suppress(true);
  monitor.Value(101);
  EXPECT_FALSE(monitor.status().alert);
  monitor.Suppress(false);
  EXPECT_FALSE(monitor.status().alert);
  monitor.Value(101);
  EXPECT_TRUE(monitor.status().alert);
}

TEST(MonitorTest, AGoodValueClearsWhileSuppressed) {
  WatchedMonitor monitor(Above(100, 80));
  monitor.Value(101);
  monitor.Suppress(true);
  EXPECT_EQ(monitor.Value(79), "DEGRADED>HEALTHY closed");
}

TEST(MonitorTest, TellsTheErrorOfTheLastBadLookOnly) {
  MonitorDefinition definition = Above(100, 100);
  WatchedMonitor monitor(definition);
  monitor.Look("P", Failed("refused"));  // Without the value: not this monitor's business.
  monitor.Value(101);
  EXPECT_EQ(monitor.status().last_error, "");
  EXPECT_EQ(monitor.last().evidence, "P: value is 101; above 100 in 1 looks in a row (needs 1)");
}

}  // namespace
}  // namespace salve

// The state timeline of Monitor: what moves it, what stops it, what starts it anew.
#include "gtest/gtest.h"
#include "monitors/watched_monitor.h"

namespace salve {
namespace {

constexpr absl::Duration kTick = absl::Nanoseconds(1);

TEST(TimelineTest, TheStateAtZeroIsEnteredWithTheAlert) {
  WatchedMonitor monitor;
  monitor.Good();
  EXPECT_EQ(monitor.Bad("P", 2), "");
  EXPECT_EQ(monitor.Bad(), "HEALTHY>DEGRADED opened");
  EXPECT_EQ(monitor.last().first_alert, monitor.wall());
  EXPECT_EQ(monitor.status().since, monitor.wall());
}

TEST(TimelineTest, AStateIsEnteredExactlyAtItsAge) {
  WatchedMonitor monitor = Alerting();
  EXPECT_EQ(monitor.next_tick_in(), absl::Seconds(60));
  EXPECT_EQ(monitor.Wait(absl::Seconds(60) - kTick), "");
  EXPECT_EQ(monitor.next_tick_in(), kTick);
  EXPECT_EQ(monitor.Wait(kTick), "DEGRADED>UNHEALTHY");
  EXPECT_EQ(monitor.status().in_state, absl::ZeroDuration());
  EXPECT_EQ(monitor.next_tick_in(), absl::Minutes(9));
  EXPECT_EQ(monitor.Wait(absl::Minutes(9) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "UNHEALTHY>UNRECOVERABLE");
  EXPECT_EQ(monitor.next_tick_in(), absl::InfiniteDuration());
}

TEST(TimelineTest, OneLookEntersAllThatIsDueInOrder) {
  WatchedMonitor monitor = Alerting();
  monitor.Suppress(true);
  monitor.Suppress(false);  // From here on it needs a bad look.
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");
  EXPECT_EQ(monitor.Bad(), "DEGRADED>UNHEALTHY, UNHEALTHY>UNRECOVERABLE");
  EXPECT_EQ(monitor.status().in_state, absl::Minutes(50));  // It came due that long ago.
}

TEST(TimelineTest, AFirstStateMayComeLater) {
  MonitorDefinition definition = ThreeInARow();
  definition.transitions = {{config::UNHEALTHY, absl::Seconds(10)}};
  WatchedMonitor monitor(definition);
  monitor.Good();
  EXPECT_EQ(monitor.Bad("P", 3), "");
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_EQ(monitor.incident(), "");
  EXPECT_EQ(monitor.Wait(absl::Seconds(10) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "HEALTHY>UNHEALTHY opened");
}

TEST(TimelineTest, StandsStillWhileSuppressed) {
  WatchedMonitor monitor = Alerting();
  monitor.Wait(absl::Seconds(20));
  monitor.Suppress(true);
  EXPECT_EQ(monitor.next_tick_in(), absl::InfiniteDuration());
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");
  EXPECT_EQ(monitor.Bad("P", 5), "");  // Recorded, not counted.
  EXPECT_EQ(monitor.status().in_state, absl::Seconds(20));
  monitor.Suppress(false);
  EXPECT_EQ(monitor.Bad(), "");
  EXPECT_EQ(monitor.Wait(absl::Seconds(40) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "DEGRADED>UNHEALTHY");
}

TEST(TimelineTest, GoesOnOnlyOnABadLookMadeAfterTheSettle) {
  WatchedMonitor monitor = Alerting();
  monitor.Suppress(true);
  monitor.Bad();
  monitor.Suppress(false);
  EXPECT_FALSE(monitor.status().fresh);
  EXPECT_EQ(monitor.next_tick_in(), absl::InfiniteDuration());
  EXPECT_EQ(monitor.Wait(absl::Minutes(2)), "");
  EXPECT_EQ(monitor.Bad(), "DEGRADED>UNHEALTHY");
  EXPECT_TRUE(monitor.status().fresh);
}

TEST(TimelineTest, AServiceHealedByTheFirstRungNeverSeesTheSecond) {
  MonitorDefinition definition = ThreeInARow();
  definition.transitions = {{config::DEGRADED, absl::ZeroDuration()},
                            {config::UNHEALTHY, kTick},
                            {config::UNRECOVERABLE, 2 * kTick}};
  WatchedMonitor monitor(definition);
  monitor.Bad("P", 3);
  monitor.Suppress(true);
  monitor.Wait(absl::Minutes(2));
  monitor.Suppress(false);
  EXPECT_EQ(monitor.Wait(absl::Seconds(10)), "");  // No look yet.
  EXPECT_EQ(monitor.Good(), "DEGRADED>HEALTHY closed");
}

TEST(TimelineTest, ASuccessClearsWhileSuppressed) {
  WatchedMonitor monitor = Alerting();
  monitor.Suppress(true);
  EXPECT_EQ(monitor.Good(), "DEGRADED>HEALTHY closed");
  EXPECT_EQ(monitor.Bad("P", 5), "");
  monitor.Suppress(false);
  EXPECT_EQ(monitor.Bad("P", 2), "");  // The evidence starts anew after the settle.
  EXPECT_EQ(monitor.Bad(), "HEALTHY>DEGRADED reopened");
}

TEST(TimelineTest, ASuccessClearsWhileSuppressedAlsoARuleThatLooksBack) {
  MonitorDefinition definition = ThreeInARow();
  definition.config.mutable_percent_success()->set_min_samples(3);
  WatchedMonitor monitor(definition);
  monitor.Bad("P", 5);
  monitor.Suppress(true);
  EXPECT_EQ(monitor.Good(), "DEGRADED>HEALTHY closed");
}

TEST(TimelineTest, AfterTheSettleTheSickProbeItselfMustBeSeenWell) {
  WatchedMonitor monitor(ThreeInARow({"A", "B"}));
  monitor.Good("B");
  monitor.Bad("A", 3);
  monitor.Suppress(true);
  EXPECT_EQ(monitor.Good("B"), "");
  monitor.Suppress(false);
  EXPECT_EQ(monitor.Good("B"), "");
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_EQ(monitor.Good("A"), "DEGRADED>HEALTHY closed");
}

TEST(TimelineTest, AGoodLookBeforeTheSettleIsNoGoodLookAfterIt) {
  MonitorDefinition definition = ThreeInARow();
  definition.config.mutable_failure_count()->set_threshold(2);
  WatchedMonitor monitor(definition);
  monitor.Bad("P", 2);
  monitor.Good();  // The failures are still in the window.
  monitor.Suppress(true);
  monitor.Suppress(false);
  EXPECT_EQ(monitor.Bad(), "");
  EXPECT_TRUE(monitor.status().alert);
}

TEST(TimelineTest, EvidenceThatWasNoAlertYetStartsAnewToo) {
  WatchedMonitor monitor;
  monitor.Good();
  monitor.Bad("P", 2);
  monitor.Suppress(true);
  monitor.Suppress(false);
  EXPECT_EQ(monitor.Bad("P", 2), "");
  EXPECT_EQ(monitor.Bad(), "HEALTHY>DEGRADED opened");
}

TEST(TimelineTest, SuppressingTwiceIsSuppressingOnce) {
  WatchedMonitor monitor = Alerting();
  monitor.Suppress(true);
  monitor.Suppress(true);
  monitor.Suppress(false);
  monitor.Bad();
  monitor.Suppress(false);  // Takes back nothing that was seen since.
  EXPECT_TRUE(monitor.status().fresh);
}

TEST(TimelineTest, IsDoubtfulWhileTheLastLookThatSawSomethingWasBad) {
  WatchedMonitor monitor;
  EXPECT_FALSE(monitor.status().doubtful);
  monitor.Bad();
  EXPECT_TRUE(monitor.status().doubtful);
  EXPECT_FALSE(monitor.status().alert);
  monitor.Blind();
  EXPECT_TRUE(monitor.status().doubtful);
  monitor.Good();
  EXPECT_FALSE(monitor.status().doubtful);
}

TEST(TimelineTest, AHoldStartsItAnewInTheSameIncident) {
  WatchedMonitor monitor = Alerting();
  monitor.Wait(absl::Seconds(70));
  const std::string incident = monitor.incident();
  monitor.Hold(true);
  EXPECT_EQ(monitor.state(), "UNHEALTHY");
  EXPECT_TRUE(monitor.status().held);
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");
  EXPECT_EQ(monitor.Bad(), "UNHEALTHY>DEGRADED");
  EXPECT_EQ(monitor.last().reason, "the timeline starts anew");
  EXPECT_EQ(monitor.last().incident_id, incident);
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");
  monitor.Hold(false);
  EXPECT_EQ(monitor.Wait(absl::Minutes(30)), "");  // Nothing is decided on a backlog.
  monitor.Hold(true);
  monitor.Hold(false);
  EXPECT_EQ(monitor.Bad(), "");
  EXPECT_EQ(monitor.Wait(absl::Seconds(60) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "DEGRADED>UNHEALTHY");
  EXPECT_EQ(monitor.incident(), incident);
}

TEST(TimelineTest, AfterAHoldTheAgeCountsFromItsEnd) {
  WatchedMonitor monitor = Alerting();
  monitor.Hold(true);
  monitor.Wait(absl::Minutes(5));
  monitor.Hold(false);
  monitor.Wait(absl::Seconds(30));
  EXPECT_EQ(monitor.Bad(), "");
  EXPECT_EQ(monitor.status().in_state, absl::Seconds(30));
  EXPECT_EQ(monitor.next_tick_in(), absl::Seconds(30));
}

TEST(TimelineTest, AfterAHoldAFirstStateThatComesLaterIsAwaitedAgain) {
  MonitorDefinition definition = ThreeInARow();
  definition.transitions = {{config::UNHEALTHY, absl::Seconds(10)}};
  WatchedMonitor monitor(definition);
  monitor.Bad("P", 3);
  EXPECT_EQ(monitor.Wait(absl::Seconds(10)), "HEALTHY>UNHEALTHY opened");
  monitor.Hold(true);
  monitor.Hold(false);
  EXPECT_EQ(monitor.Bad(), "UNHEALTHY>HEALTHY");
  EXPECT_FALSE(monitor.last().closed);
  EXPECT_EQ(monitor.Wait(absl::Seconds(10)), "HEALTHY>UNHEALTHY");
  EXPECT_EQ(monitor.Good(), "UNHEALTHY>HEALTHY closed");
}

TEST(TimelineTest, AnIncidentThatIsHealthyAgainForNowStillCloses) {
  MonitorDefinition definition = ThreeInARow();
  definition.transitions = {{config::UNHEALTHY, absl::Seconds(10)}};
  WatchedMonitor monitor(definition);
  monitor.Bad("P", 3);
  monitor.Wait(absl::Seconds(10));
  monitor.Hold(true);
  monitor.Hold(false);
  EXPECT_EQ(monitor.Bad(), "UNHEALTHY>HEALTHY");
  EXPECT_EQ(monitor.Good(), "HEALTHY>HEALTHY closed");
}

TEST(TimelineTest, AnAlertThatBeginsInAHoldIsShownAndStartsAnewAfterIt) {
  WatchedMonitor monitor;
  monitor.Good();
  monitor.Hold(true);
  EXPECT_EQ(monitor.Bad("P", 3), "HEALTHY>DEGRADED opened");
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");
  monitor.Hold(false);
  EXPECT_FALSE(monitor.status().fresh);
  EXPECT_EQ(monitor.Bad(), "");
  EXPECT_EQ(monitor.status().in_state, absl::ZeroDuration());
  EXPECT_EQ(monitor.Wait(absl::Seconds(60)), "DEGRADED>UNHEALTHY");
}

TEST(TimelineTest, AgeInTheStateIsNeverNegative) {
  WatchedMonitor monitor = Alerting();
  monitor.Wait(absl::Seconds(70));
  monitor.Hold(true);
  EXPECT_EQ(monitor.status().in_state, absl::ZeroDuration());
  monitor.Hold(false);
  EXPECT_EQ(monitor.status().in_state, absl::ZeroDuration());
}

TEST(TimelineTest, ARebootStartsItAnewInTheSameIncident) {
  WatchedMonitor monitor = Alerting();
  monitor.Wait(absl::Seconds(70));
  const std::string incident = monitor.incident();
  monitor.Reboot();
  EXPECT_EQ(monitor.incident(), incident);
  EXPECT_EQ(monitor.state(), "UNHEALTHY");
  EXPECT_EQ(monitor.Wait(absl::Minutes(5)), "");
  EXPECT_EQ(monitor.Bad(), "UNHEALTHY>DEGRADED, DEGRADED>UNHEALTHY");
  EXPECT_EQ(monitor.status().in_state, absl::Minutes(4));
}

TEST(TimelineTest, ARestartOfTheAgentResumesTheAge) {
  WatchedMonitor monitor = Alerting();
  monitor.Wait(absl::Seconds(40));
  const std::string incident = monitor.incident();
  monitor.Restart();
  EXPECT_EQ(monitor.incident(), incident);
  EXPECT_FALSE(monitor.status().fresh);
  EXPECT_EQ(monitor.Bad(), "");
  EXPECT_EQ(monitor.Wait(absl::Seconds(20) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "DEGRADED>UNHEALTHY");
}

TEST(TimelineTest, ARestartOfTheAgentKeepsTheAgeWithinTheState) {
  WatchedMonitor monitor = Alerting();
  monitor.Wait(absl::Seconds(60));
  monitor.Wait(absl::Seconds(30));
  monitor.Restart();
  EXPECT_EQ(monitor.state(), "UNHEALTHY");
  EXPECT_EQ(monitor.status().in_state, absl::Seconds(30));
}

TEST(TimelineTest, ARestartInAHoldStartsItAnewToo) {
  WatchedMonitor monitor = Alerting();
  monitor.Wait(absl::Seconds(70));
  monitor.Suppress(true);
  monitor.Suppress(false);
  monitor.Hold(true);
  monitor.Restart();
  EXPECT_EQ(monitor.Bad(), "UNHEALTHY>DEGRADED");
}

TEST(TimelineTest, AShorterTimelineAfterARestartStartsAnew) {
  WatchedMonitor monitor = Alerting();
  monitor.Wait(absl::Minutes(10));
  EXPECT_EQ(monitor.state(), "UNRECOVERABLE");
  MonitorDefinition shorter = ThreeInARow();
  shorter.transitions.resize(2);
  monitor.Restart(shorter);
  EXPECT_EQ(monitor.Bad(), "UNRECOVERABLE>DEGRADED");
}

}  // namespace
}  // namespace salve

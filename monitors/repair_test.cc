// REPAIRING of Monitor: begins and ends by a person's word, or by itself.
#include <limits>

#include "gtest/gtest.h"
#include "monitors/watched_monitor.h"

namespace salve {
namespace {

constexpr absl::Duration kTick = absl::Nanoseconds(1);

TEST(RepairTest, EndsByItselfExactlyAtItsEnd) {
  WatchedMonitor monitor;
  monitor.Good();
  EXPECT_EQ(monitor.BeginRepair(absl::Hours(2)), "HEALTHY>REPAIRING");
  EXPECT_EQ(monitor.last().reason, "repaired by ada: new disk");
  EXPECT_EQ(monitor.last().who, "ada");
  EXPECT_EQ(monitor.status().repair->owner, "ada");
  EXPECT_EQ(monitor.next_tick_in(), absl::Hours(2));
  EXPECT_EQ(monitor.Wait(absl::Hours(2) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "REPAIRING>HEALTHY");
  EXPECT_EQ(monitor.last().reason, "the time for the repair by ada is over");
  EXPECT_EQ(monitor.last().who, "");
  EXPECT_FALSE(monitor.status().repair.has_value());
  EXPECT_EQ(monitor.next_tick_in(), absl::InfiniteDuration());
}

TEST(RepairTest, AStepOfTheWallClockChangesNothing) {
  WatchedMonitor monitor;
  monitor.Good();
  monitor.BeginRepair(absl::Hours(2));
  monitor.StepWall(absl::Hours(10));
  EXPECT_EQ(monitor.Wait(absl::Hours(2) - kTick), "");
  monitor.StepWall(-absl::Hours(20));
  EXPECT_EQ(monitor.Wait(kTick), "REPAIRING>HEALTHY");
}

TEST(RepairTest, NoAlertAndNoIncidentBeginsInIt) {
  WatchedMonitor monitor;
  monitor.Good();
  monitor.BeginRepair(absl::Hours(2));
  EXPECT_EQ(monitor.Bad("P", 5), "");
  EXPECT_EQ(monitor.Wait(absl::Minutes(20)), "");
  EXPECT_EQ(monitor.Blind("P", 5), "");
  EXPECT_EQ(monitor.state(), "REPAIRING");
  EXPECT_EQ(monitor.incident(), "");
}

TEST(RepairTest, NothingComesOfWhatWasSeenBeforeItsEnd) {
  WatchedMonitor monitor;
  monitor.Good();
  monitor.BeginRepair(absl::Hours(2));
  monitor.Bad("P", 2);
  EXPECT_EQ(monitor.EndRepair(), "REPAIRING>HEALTHY");
  EXPECT_EQ(monitor.last().reason, "the repair was ended by bob");
  EXPECT_EQ(monitor.last().who, "bob");
  EXPECT_EQ(monitor.Bad("P", 2), "");
  EXPECT_EQ(monitor.Bad(), "HEALTHY>DEGRADED opened");
}

TEST(RepairTest, AnAlertOfItsTimeNeedsALookAfterItsEnd) {
  WatchedMonitor monitor;
  monitor.Good();
  monitor.BeginRepair(absl::Hours(2));
  monitor.Bad("P", 3);
  monitor.Wait(absl::Hours(1));
  EXPECT_EQ(monitor.EndRepair(), "REPAIRING>UNINITIALIZED");
  EXPECT_FALSE(monitor.status().fresh);
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");
  WatchedMonitor healed = std::move(monitor);
  EXPECT_EQ(healed.Good(), "UNINITIALIZED>HEALTHY");
}

TEST(RepairTest, TheTimelineStartsAnewAtItsEndInTheSameIncident) {
  WatchedMonitor monitor = Alerting();
  const std::string incident = monitor.incident();
  EXPECT_EQ(monitor.Wait(absl::Seconds(60)), "DEGRADED>UNHEALTHY");
  EXPECT_EQ(monitor.BeginRepair(absl::Hours(2)), "UNHEALTHY>REPAIRING");
  EXPECT_EQ(monitor.incident(), incident);
  monitor.Bad("P", 3);
  EXPECT_EQ(monitor.Wait(absl::Hours(2)), "REPAIRING>UNINITIALIZED");
  EXPECT_EQ(monitor.incident(), incident);
  EXPECT_EQ(monitor.Bad(), "UNINITIALIZED>DEGRADED");
  EXPECT_EQ(monitor.incident(), incident);
  EXPECT_EQ(monitor.status().in_state, absl::ZeroDuration());
  EXPECT_EQ(monitor.Wait(absl::Seconds(60) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "DEGRADED>UNHEALTHY");
}

TEST(RepairTest, AnIncidentThatWasHealedInItClosesAtItsEnd) {
  WatchedMonitor monitor = Alerting();
  monitor.BeginRepair(absl::Hours(2));
  EXPECT_EQ(monitor.Good(), "");
  EXPECT_NE(monitor.incident(), "");
  EXPECT_EQ(monitor.EndRepair(), "REPAIRING>HEALTHY closed");
  EXPECT_EQ(monitor.incident(), "");
  EXPECT_EQ(monitor.Bad("P", 3), "HEALTHY>DEGRADED reopened");
}

TEST(RepairTest, AnAlertThatComesBackInItStaysInItsIncident) {
  WatchedMonitor monitor = Alerting();
  const std::string incident = monitor.incident();
  monitor.BeginRepair(absl::Hours(2));
  monitor.Good();
  monitor.Bad("P", 3);
  EXPECT_EQ(monitor.EndRepair(), "REPAIRING>UNINITIALIZED");
  EXPECT_EQ(monitor.Bad(), "UNINITIALIZED>DEGRADED");
  EXPECT_EQ(monitor.incident(), incident);
}

TEST(RepairTest, AnotherOneTakesItsPlaceWithoutATransition) {
  WatchedMonitor monitor;
  monitor.BeginRepair(absl::Hours(2));
  EXPECT_EQ(monitor.BeginRepair(absl::Minutes(1), "bob"), "");
  EXPECT_EQ(monitor.status().repair->owner, "bob");
  EXPECT_EQ(monitor.Wait(absl::Minutes(1)), "REPAIRING>UNINITIALIZED");
}

TEST(RepairTest, ARestartOfTheAgentKeepsItToItsEnd) {
  WatchedMonitor monitor = Alerting();
  monitor.BeginRepair(absl::Hours(2));
  monitor.Wait(absl::Hours(1));
  monitor.Restart();
  EXPECT_EQ(monitor.state(), "REPAIRING");
  EXPECT_EQ(monitor.status().repair->owner, "ada");
  EXPECT_EQ(monitor.status().repair->reason, "new disk");
  EXPECT_EQ(monitor.Wait(absl::Hours(1) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "REPAIRING>UNINITIALIZED");
  EXPECT_NE(monitor.incident(), "");
}

TEST(RepairTest, ARebootKeepsWhatWasLeftOfIt) {
  WatchedMonitor monitor;
  monitor.Good();
  monitor.BeginRepair(absl::Hours(2));
  monitor.Wait(absl::Minutes(30));
  monitor.Reboot();
  EXPECT_EQ(monitor.state(), "REPAIRING");
  EXPECT_EQ(monitor.Wait(absl::Minutes(90) - kTick), "");
  EXPECT_EQ(monitor.Wait(kTick), "REPAIRING>UNINITIALIZED");
}

TEST(RepairTest, AnIncidentHealedInItIsClosedAlsoAfterARestart) {
  WatchedMonitor monitor = Alerting();
  monitor.BeginRepair(absl::Hours(2));
  monitor.Good();
  monitor.Restart();
  EXPECT_NE(monitor.incident(), "");
  EXPECT_EQ(monitor.EndRepair(), "REPAIRING>HEALTHY closed");
}

TEST(RepairTest, ARecordThatAsksForTooLongIsCut) {
  WatchedMonitor monitor;
  monitors::MonitorRecord record;
  record.mutable_repair()->set_owner("ada");
  record.mutable_repair()->set_remaining_ns(std::numeric_limits<int64_t>::max());
  monitor.monitor().Restore(monitor.now(), record, "boot-1");
  EXPECT_EQ(monitor.next_tick_in(), absl::Hours(30 * 24));
}

TEST(UnavailableTest, ItsAgeAndItsFreshnessAreOfNow) {
  WatchedMonitor monitor;
  monitor.Good();
  EXPECT_EQ(monitor.Blind("P", 3), "HEALTHY>UNAVAILABLE");
  EXPECT_TRUE(monitor.status().fresh);
  monitor.Wait(absl::Minutes(3));
  EXPECT_EQ(monitor.status().in_state, absl::Minutes(3));
  monitor.Hold(true);
  monitor.Hold(false);
  EXPECT_EQ(monitor.status().in_state, absl::ZeroDuration());
  EXPECT_FALSE(monitor.status().fresh);
  monitor.Blind();
  EXPECT_TRUE(monitor.status().fresh);
}

}  // namespace
}  // namespace salve

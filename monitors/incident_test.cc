// The incident of Monitor: when it opens and closes, what belongs to it, what survives.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "monitors/watched_monitor.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kTick = absl::Nanoseconds(1);

// An incident that has just closed.
WatchedMonitor Closed() {
  WatchedMonitor monitor;
  monitor.Bad("P", 3);
  monitor.Good();
  return monitor;
}

TEST(IncidentTest, OpensAtTheFirstTransitionAndClosesWithTheAlert) {
  WatchedMonitor monitor;
  monitor.Bad("P", 3);
  const std::string incident = monitor.incident();
  EXPECT_EQ(incident.size(), 32u);
  EXPECT_TRUE(monitor.last().opened);
  EXPECT_TRUE(monitor.last().alert);
  EXPECT_EQ(monitor.last().incident_id, incident);
  monitor.Wait(absl::Seconds(60));
  EXPECT_EQ(monitor.last().incident_id, incident);
  EXPECT_FALSE(monitor.last().opened);
  monitor.Good();
  EXPECT_EQ(monitor.last().incident_id, incident);
  EXPECT_TRUE(monitor.last().closed);
  EXPECT_FALSE(monitor.last().alert);
  EXPECT_EQ(monitor.last().evidence, "P: 0 failures in a row (threshold 3)");
}

TEST(IncidentTest, AnAlertWithinTheTimeReopensIt) {
  WatchedMonitor monitor = Closed();
  const std::string incident = monitor.last().incident_id;
  monitor.Wait(absl::Minutes(10) - kTick);
  EXPECT_EQ(monitor.Bad("P", 3), "HEALTHY>DEGRADED reopened");
  EXPECT_EQ(monitor.incident(), incident);
  EXPECT_EQ(monitor.last().times_reopened, 1);
  monitor.Good();
  EXPECT_EQ(monitor.Bad("P", 3), "HEALTHY>DEGRADED reopened");
  EXPECT_EQ(monitor.last().times_reopened, 2);
}

TEST(IncidentTest, AnAlertAtTheEndOfTheTimeOpensAnother) {
  WatchedMonitor monitor = Closed();
  const std::string incident = monitor.last().incident_id;
  monitor.Wait(absl::Minutes(10));
  EXPECT_EQ(monitor.Bad("P", 3), "HEALTHY>DEGRADED opened");
  EXPECT_NE(monitor.incident(), incident);
  EXPECT_EQ(monitor.last().times_reopened, 0);
}

TEST(IncidentTest, ItIsTheAlertThatMustComeInTimeNotItsFirstState) {
  MonitorDefinition definition = ThreeInARow();
  definition.transitions = {{config::UNHEALTHY, absl::Minutes(5)}};
  WatchedMonitor monitor(definition);
  monitor.Bad("P", 3);
  monitor.Wait(absl::Minutes(5));
  monitor.Good();
  monitor.Wait(absl::Minutes(9));
  monitor.Bad("P", 3);
  EXPECT_EQ(monitor.Wait(absl::Minutes(5)), "HEALTHY>UNHEALTHY reopened");
}

TEST(IncidentTest, ZeroReopensNever) {
  MonitorDefinition definition = ThreeInARow();
  definition.reopen_within = absl::ZeroDuration();
  WatchedMonitor monitor(definition);
  monitor.Bad("P", 3);
  monitor.Good();
  EXPECT_EQ(monitor.Bad("P", 3), "HEALTHY>DEGRADED opened");
}

TEST(IncidentTest, ASteppedWallClockChangesNothing) {
  WatchedMonitor forward = Closed();
  forward.StepWall(absl::Hours(24));
  EXPECT_EQ(forward.Bad("P", 3), "HEALTHY>DEGRADED reopened");
  WatchedMonitor back = Closed();
  back.StepWall(-absl::Hours(24));
  back.Restart();
  EXPECT_EQ(back.Bad("P", 3), "UNINITIALIZED>HEALTHY, HEALTHY>DEGRADED reopened");
  WatchedMonitor late = Closed();
  late.Wait(absl::Minutes(10));
  late.StepWall(-absl::Minutes(5));
  EXPECT_EQ(late.Bad("P", 3), "HEALTHY>DEGRADED opened");
}

TEST(IncidentTest, ReopensAcrossARebootByWallTime) {
  WatchedMonitor soon = Closed();
  const std::string incident = soon.last().incident_id;
  soon.Wait(absl::Minutes(10) - kTick);
  soon.Reboot();
  soon.Bad("P", 3);
  EXPECT_TRUE(soon.last().reopened);
  EXPECT_EQ(soon.incident(), incident);
  WatchedMonitor late = Closed();
  late.Wait(absl::Minutes(10));
  late.Reboot();
  late.Bad("P", 3);
  EXPECT_TRUE(late.last().opened);
}

TEST(IncidentTest, AfterARebootTheClockOfTheBootBeforeSaysNothing) {
  monitors::MonitorRecord record = Closed().Save();
  WatchedMonitor next;
  next.Wait(absl::Minutes(10));
  record.set_closed_boot_ns(next.now().nanos_since_boot());  // As if just now, but in boot-1.
  next.monitor().Restore(next.now(), record, "boot-2");
  next.Bad("P", 3);
  EXPECT_TRUE(next.last().opened);
}

TEST(IncidentTest, AWallClockThatIsBehindAfterARebootReopensIt) {
  WatchedMonitor monitor = Closed();
  monitor.StepWall(-absl::Hours(24));
  monitor.Reboot();
  monitor.Bad("P", 3);
  EXPECT_TRUE(monitor.last().reopened);
}

TEST(IncidentTest, NamesTheBadLooksAlsoThoseBeforeIt) {
  WatchedMonitor monitor;
  monitor.Good();
  monitor.Bad("P", 3);
  EXPECT_THAT(monitor.last().evidence_record_ids, ElementsAre(102, 103, 104));
  EXPECT_EQ(monitor.last().evidence, "P: 3 failures in a row (threshold 3); last error: refused");
  monitor.Bad();
  monitor.Wait(absl::Seconds(60));
  EXPECT_THAT(monitor.last().evidence_record_ids, ElementsAre(102, 103, 104, 105));
  monitor.Good();
  EXPECT_THAT(monitor.last().evidence_record_ids, ElementsAre(102, 103, 104, 105));
}

TEST(IncidentTest, ABadLookThatSpokeForNothingIsNoEvidence) {
  WatchedMonitor monitor;
  monitor.Bad();  // 101: a success follows.
  monitor.Good();
  monitor.Blind();
  monitor.Bad("P", 3);
  EXPECT_THAT(monitor.last().evidence_record_ids, ElementsAre(104, 105, 106));
}

TEST(IncidentTest, LooksThatLeftTheWindowAreNoEvidence) {
  MonitorDefinition definition = ThreeInARow();
  definition.config.mutable_failure_count()->set_threshold(2);
  definition.config.mutable_failure_count()->set_window("10s");
  WatchedMonitor monitor(definition);
  monitor.Bad();
  monitor.Wait(absl::Seconds(10));
  monitor.Bad("P", 2);
  EXPECT_THAT(monitor.last().evidence_record_ids, ElementsAre(102, 103));
}

TEST(IncidentTest, KeepsTheNewestTwentyBadLooks) {
  MonitorDefinition definition = ThreeInARow();
  definition.config.mutable_consecutive_failures()->set_threshold(25);
  WatchedMonitor monitor(definition);
  monitor.Bad("P", 25);
  ASSERT_EQ(monitor.last().evidence_record_ids.size(), 20u);
  EXPECT_EQ(monitor.last().evidence_record_ids.front(), 106u);
  EXPECT_EQ(monitor.last().evidence_record_ids.back(), 125u);
  monitor.Bad();
  monitor.Wait(absl::Seconds(60));
  ASSERT_EQ(monitor.last().evidence_record_ids.size(), 20u);
  EXPECT_EQ(monitor.last().evidence_record_ids.back(), 126u);
}

TEST(IncidentTest, LooksDuringASettleBelongToItToo) {
  WatchedMonitor monitor;
  monitor.Bad("P", 3);
  monitor.Suppress(true);
  monitor.Bad();
  monitor.Good();
  EXPECT_THAT(monitor.last().evidence_record_ids, ElementsAre(101, 102, 103, 104));
}

TEST(IncidentTest, OfSeveralProbesTheFiringOnesAreTheEvidence) {
  WatchedMonitor monitor(ThreeInARow({"A", "B"}));
  monitor.Bad("B");
  monitor.Bad("A", 3);
  EXPECT_THAT(monitor.last().evidence_record_ids, ElementsAre(102, 103, 104));
  EXPECT_EQ(monitor.last().evidence, "A: 3 failures in a row (threshold 3); last error: refused");
}

TEST(IncidentTest, ALookWithoutAnEventIsNamedByNothing) {
  WatchedMonitor monitor;
  for (int i = 0; i < 3; ++i) {
    monitor.monitor().Observe(monitor.now(), monitor.wall(), "P", Failed("refused"), 0);
  }
  monitor.Wait(absl::Seconds(60));
  EXPECT_EQ(monitor.last().to, config::UNHEALTHY);
  EXPECT_THAT(monitor.last().evidence_record_ids, IsEmpty());
}

TEST(IncidentTest, FirstAlertIsToldUntilItCloses) {
  WatchedMonitor monitor;
  monitor.Bad("P", 3);
  const absl::Time began = monitor.wall();
  monitor.Wait(absl::Seconds(60));
  EXPECT_EQ(monitor.last().first_alert, began);
  monitor.Good();
  EXPECT_EQ(monitor.last().first_alert, began);
  monitor.Blind("P", 3);
  EXPECT_EQ(monitor.last().first_alert, absl::InfinitePast());
}

TEST(IncidentTest, ARecordThatIsTakenUpIsSavedAsItWas) {
  WatchedMonitor monitor;
  monitor.Bad("P", 3);
  monitor.Good();
  monitor.Bad("P", 3);
  monitor.Wait(absl::Seconds(70));
  const monitors::MonitorRecord before = monitor.Save();
  EXPECT_EQ(before.reopened(), 1);
  EXPECT_EQ(before.alert_age_ns(), 70'000'000'000);
  EXPECT_EQ(before.firing_probe_size(), 1);
  monitor.Restart();
  EXPECT_EQ(monitor.Save().SerializeAsString(), before.SerializeAsString());
}

TEST(IncidentTest, ARecordWithoutAnAlertKeepsTheIncidentThatMayReopen) {
  WatchedMonitor monitor = Closed();
  monitors::MonitorRecord before = monitor.Save();
  monitor.Restart();
  EXPECT_EQ(monitor.state(), "UNINITIALIZED");  // Found anew by looking.
  monitors::MonitorRecord after = monitor.Save();
  EXPECT_EQ(after.incident_id(), before.incident_id());
  EXPECT_EQ(after.closed_unix_ns(), before.closed_unix_ns());
  EXPECT_EQ(after.closed_boot_ns(), before.closed_boot_ns());
  EXPECT_FALSE(after.incident_open());
}

TEST(IncidentTest, AfterARestartTheSickProbeItselfMustBeSeenWell) {
  WatchedMonitor monitor(ThreeInARow({"A", "B"}));
  monitor.Bad("A", 3);
  monitor.Restart();
  EXPECT_EQ(monitor.Good("B"), "");
  EXPECT_EQ(monitor.Good("A"), "DEGRADED>HEALTHY closed");
}

TEST(IncidentTest, AfterARestartWithOtherProbesEachMustBeSeenWell) {
  WatchedMonitor monitor;
  monitor.Bad("P", 3);
  monitor.Restart(ThreeInARow({"A", "B"}));
  EXPECT_EQ(monitor.Good("B"), "");
  EXPECT_EQ(monitor.Good("A"), "DEGRADED>HEALTHY closed");
}

TEST(IncidentTest, AfterARestartWithOneProbeMoreOfAllTheAlertGoesOn) {
  MonitorDefinition one = ThreeInARow({"A"});
  one.config.set_require(config::Monitor::ALL);
  WatchedMonitor monitor(one);
  monitor.Bad("A", 3);
  MonitorDefinition two = ThreeInARow({"A", "B"});
  two.config.set_require(config::Monitor::ALL);
  monitor.Restart(two);
  EXPECT_EQ(monitor.Bad("A"), "");
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_EQ(monitor.Good("B"), "DEGRADED>HEALTHY closed");
}

TEST(IncidentTest, AnUnavailableOneIsTakenUpAsThat) {
  WatchedMonitor monitor;
  monitor.Bad("P", 3);
  monitor.Blind("P", 3);
  monitor.Restart();
  EXPECT_EQ(monitor.state(), "UNAVAILABLE");
  EXPECT_EQ(monitor.Blind(), "");
  EXPECT_EQ(monitor.state(), "UNAVAILABLE");
  EXPECT_EQ(monitor.Bad(), "UNAVAILABLE>DEGRADED");
}

TEST(IncidentTest, ARecordOfAnUnknownStateIsNotTakenUp) {
  WatchedMonitor monitor;
  monitors::MonitorRecord record;
  record.set_alert(true);
  record.set_state("PURPLE");
  monitor.monitor().Restore(monitor.now(), record, "boot-1");
  EXPECT_FALSE(monitor.status().alert);
  EXPECT_EQ(monitor.Good(), "UNINITIALIZED>HEALTHY");
}

}  // namespace
}  // namespace salve

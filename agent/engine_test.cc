#include "agent/engine.h"

#include <gtest/gtest.h>

#include <string>

#include "agent/simulated_world.h"

namespace salve {
namespace {

// One failing look in ten seconds opens an incident; `touch` is what heals.
constexpr char kWeb[] = R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "web" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 } transition { to: UNHEALTHY } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY settle: "15s" retry_after: "60s"
              throttle { local_minimum_minutes_between_attempts: 5
                         local_maximum_allowed_attempts_in_one_hour: -1
                         local_maximum_allowed_attempts_in_a_day: 100 }
              run_command { command: "touch" resource: "web" } }
})";

class EngineTest : public testing::Test {
 protected:
  void SetUp() override { world_.host.SetProgram("touch", {.takes = absl::Seconds(1)}); }
  size_t Runs() const { return world_.host.started().size(); }
  SimulatedWorld world_;
};

TEST_F(EngineTest, AFailingProbeLeadsToOneRecordedActionAndHealthAgain) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.RunFor(absl::Seconds(20));
  EXPECT_EQ(world_.StateOf("Web"), "HEALTHY");
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(31));
  EXPECT_EQ(world_.StateOf("Web"), "UNHEALTHY");
  EXPECT_EQ(Runs(), 1u);
  world_.Sees("web") = Observation();
  world_.RunFor(absl::Seconds(20));
  EXPECT_EQ(world_.StateOf("Web"), "HEALTHY");
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(world_.Count(v1::RecoveryActionLogs, 2050), 1);
  EXPECT_EQ(world_.Count(v1::RecoveryActionResults, 500), 1);
  EXPECT_EQ(world_.Count(v1::RecoveryActionResults, 501), 1);
  EXPECT_EQ(world_.Count(v1::Monitoring, 1), 1);
  const std::string incident = world_.Events(v1::RecoveryActionResults)[0].incident_id();
  EXPECT_EQ(incident.size(), 32u);
  EXPECT_EQ(world_.Events(v1::Monitoring)[0].incident_id(), incident);
  EXPECT_EQ(world_.Events(v1::RecoveryActionLogs)[0].incident_id(), incident);
}

TEST_F(EngineTest, TheFirstEventOfAnIncidentNamesTheLooksBeforeIt) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(31));
  const v1::Event first = world_.Events(v1::MonitorResult).back();
  ASSERT_EQ(first.monitor_result().evidence_record_ids_size(), 3);
  const uint64_t look = first.monitor_result().evidence_record_ids(0);
  EXPECT_EQ(world_.events.events[look - 1].probe_result().error(), "connection refused");
}

TEST_F(EngineTest, AServiceThatStaysBrokenIsTriedAgainOnlyWhenTheThrottleAllows) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(31));
  ASSERT_EQ(Runs(), 1u);
  world_.RunFor(absl::Minutes(3));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(world_.Count(v1::RecoveryActionLogs, 2051), 1);  // Asked once, then waits.
  world_.RunFor(absl::Minutes(6));  // The built-in 10 minutes are stricter than its own 5.
  EXPECT_EQ(Runs(), 1u);
  world_.RunFor(absl::Minutes(2));
  EXPECT_EQ(Runs(), 2u);
}

TEST_F(EngineTest, IsHeldBackAfterThreeIneffectiveAttemptsAndCallsAPerson) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Hours(2));
  EXPECT_EQ(Runs(), 3u);
  EXPECT_EQ(world_.Count(v1::Monitoring, 4), 1);
}

TEST_F(EngineTest, RejectedLooksNeverLeadToAnAction) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.Sees("web") = Rejected("no descriptors");
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Runs(), 0u);
  EXPECT_EQ(world_.StateOf("Web"), "UNAVAILABLE");
}

TEST_F(EngineTest, ObserveSaysWhatItWouldDoAndDoesNothing) {
  std::string observe = kWeb;
  observe.replace(observe.find("on: UNHEALTHY"), 13, "on: UNHEALTHY mode: OBSERVE");
  ASSERT_TRUE(world_.Configure(observe).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Runs(), 0u);
  EXPECT_TRUE(world_.ledger->Keys().empty());
  ASSERT_EQ(world_.Events(v1::ResponderResult).size(), 1u);
  EXPECT_EQ(world_.Events(v1::ResponderResult)[0].responder_result().reason(),
            "OBSERVE: would run RunCommand on web now");
}

// The simulated server booted an hour before the test begins.
TEST_F(EngineTest, NothingActsDuringTheBootGraceAndNothingOnItsBacklog) {
  ASSERT_TRUE(world_.Configure(kWeb, "boot_grace: \"1h\"").ok());
  EXPECT_EQ(world_.engine->Monitors({})->monitors(0).hold(), "");
  SimulatedWorld fresh(Instant::FromNanosSinceBoot(1));
  fresh.host.SetProgram("touch", {.takes = absl::Seconds(1)});
  ASSERT_TRUE(fresh.Configure(kWeb, "boot_grace: \"10m\"").ok());
  fresh.Sees("web") = Failed("connection refused");
  fresh.RunFor(absl::Minutes(10) - absl::Seconds(1));
  EXPECT_EQ(fresh.StateOf("Web"), "UNHEALTHY");
  EXPECT_NE(fresh.engine->Monitors({})->monitors(0).hold(), "");
  fresh.Sees("web") = Observation();
  fresh.RunFor(absl::Minutes(1));
  EXPECT_TRUE(fresh.host.started().empty());
}

TEST_F(EngineTest, WhatIsStillBrokenAfterTheBootGraceIsHealed) {
  SimulatedWorld fresh(Instant::FromNanosSinceBoot(1));
  fresh.host.SetProgram("touch", {.takes = absl::Seconds(1)});
  ASSERT_TRUE(fresh.Configure(kWeb, "boot_grace: \"10m\"").ok());
  fresh.Sees("web") = Failed("connection refused");
  fresh.RunFor(absl::Minutes(10) + absl::Seconds(11));
  EXPECT_EQ(fresh.host.started().size(), 1u);
}

TEST_F(EngineTest, AfterAKillTheAttemptCountsAndTheLimitHolds) {
  world_.host.SetProgram("touch", {.takes = absl::Seconds(40)});
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(31));
  ASSERT_EQ(Runs(), 1u);
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.RunFor(absl::Minutes(4));
  EXPECT_EQ(world_.Count(v1::RecoveryActionResults, 503), 1);
  EXPECT_EQ(Runs(), 1u);
  EXPECT_GE(world_.Count(v1::RecoveryActionLogs, 2051), 1);
  EXPECT_TRUE(world_.ledger->Unfinished().empty());
}

TEST_F(EngineTest, AnIncidentSurvivesARestartOfTheAgent) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(50));
  const std::string incident = world_.engine->Monitors({})->monitors(0).incident_id();
  ASSERT_EQ(incident.size(), 32u);
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  EXPECT_EQ(world_.engine->Monitors({})->monitors(0).incident_id(), incident);
  world_.Sees("web") = Observation();
  world_.RunFor(absl::Seconds(20));
  EXPECT_EQ(world_.StateOf("Web"), "HEALTHY");
  EXPECT_EQ(world_.Events(v1::Monitoring).back().incident_id(), incident);
}

TEST_F(EngineTest, AReloadKeepsTheStateOfWhatDidNotChange) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(25));  // Two failures so far.
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.RunFor(absl::Seconds(10));
  EXPECT_EQ(world_.StateOf("Web"), "UNHEALTHY");
}

TEST_F(EngineTest, ARefusedReloadChangesNothing) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  EXPECT_FALSE(world_.Configure("health_set { name: \"Web\" nonsense: 1 }").ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(31));
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(EngineTest, AReloadDuringAnActionLetsItEndAndCountsIt) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.host.SetProgram("touch", {.takes = absl::Seconds(40)});
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(31));
  ASSERT_EQ(Runs(), 1u);
  ASSERT_TRUE(world_.Configure("").ok());
  world_.RunFor(absl::Minutes(2));
  EXPECT_EQ(world_.Count(v1::RecoveryActionResults, 501), 1);
  EXPECT_TRUE(world_.ledger->Unfinished().empty());
}

TEST_F(EngineTest, StopWaitsForTheRunningActionAndStartsNoOther) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.host.SetProgram("touch", {.takes = absl::Seconds(20)});
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(31));
  bool stopped = false;
  world_.engine->Stop([&] { stopped = true; });
  world_.RunFor(absl::Seconds(5));
  EXPECT_FALSE(stopped);
  world_.RunFor(absl::Seconds(20));
  EXPECT_TRUE(stopped);
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(EngineTest, AManualRunPassesTheSameGate) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  v1::RunActionRequest request;
  request.set_responder("Web/Fix");
  request.set_user("ann");
  absl::StatusOr<v1::RunActionResponse> first, second;
  world_.engine->RunManually(request, [&](auto response) { first = response; });
  world_.RunFor(absl::Seconds(30));
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(first->allowed());
  EXPECT_EQ(first->result().result(), "Succeeded");
  EXPECT_EQ(first->result().requestor_name(), "operator:ann");
  world_.engine->RunManually(request, [&](auto response) { second = response; });
  world_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE(second->allowed());
  EXPECT_TRUE(second->has_time_to_retry_after());
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(EngineTest, AnUnknownResponderIsNotFoundWithTheNearestNames) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  v1::RunActionRequest request;
  request.set_responder("Fxi");
  absl::StatusOr<v1::RunActionResponse> response;
  world_.engine->RunManually(request, [&](auto answer) { response = answer; });
  EXPECT_TRUE(absl::IsNotFound(response.status()));
  EXPECT_NE(std::string(response.status().message()).find("Fix"), std::string::npos);
}

// Two monitors with a responder each on one resource.
constexpr char kTwoOnOne[] = R"(
health_set {
  name: "Web"
  probe { name: "A" interval: "10s" timeout: "1s" http { url: "a" } }
  probe { name: "B" interval: "10s" timeout: "1s" http { url: "b" } }
  monitor { name: "MA" probe: "A" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  monitor { name: "MB" probe: "B" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "FixA" monitor: "MA" on: UNHEALTHY run_command { command: "touch" resource: "web" } }
  responder { name: "FixB" monitor: "MB" on: UNHEALTHY run_command { command: "touch" resource: "WEB" } }
})";

TEST_F(EngineTest, OneActionAtATimeOnAResourceWhoeverAsks) {
  world_.host.SetProgram("touch", {.takes = absl::Seconds(30)});
  ASSERT_TRUE(world_.Configure(kTwoOnOne).ok());
  world_.Sees("a") = Failed("down");
  world_.Sees("b") = Failed("down");
  for (int second = 0; second < 120; ++second) {
    world_.RunFor(absl::Seconds(1));
    ASSERT_LE(world_.host.running_count(), 1u) << "at second " << second;
  }
  EXPECT_EQ(Runs(), 1u);  // The other one is refused by the same budget.
}

TEST_F(EngineTest, AServiceHealedByTheFirstRungNeverSeesTheSecond) {
  world_.host.SetProgram("reset", {.takes = absl::Seconds(1)});
  ASSERT_TRUE(world_
                  .Configure(R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "1s" timeout: "500ms" http { url: "web" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 1 }
            transition { to: UNHEALTHY } transition { to: UNRECOVERABLE after: "1s" } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY run_command { command: "touch" resource: "web" } }
  responder { name: "Reset" monitor: "Down" on: UNRECOVERABLE run_command { command: "reset" resource: "server" } }
})")
                  .ok());
  world_.RunFor(absl::Seconds(3));
  world_.host.SetProgram("touch", {.takes = absl::Seconds(20)});
  world_.Sees("web") = Failed("down");
  world_.RunFor(absl::Seconds(15));
  ASSERT_EQ(Runs(), 1u);
  world_.Sees("web") = Observation();
  world_.RunFor(absl::Minutes(5));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(world_.StateOf("Web"), "HEALTHY");
}

constexpr char kUnit[] = R"(
health_set {
  name: "Web"
  probe { name: "Unit" interval: "1s" timeout: "500ms" systemd_unit { unit: "nginx.service" } }
  monitor { name: "Down" probe: "Unit" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY restart_service { service: "nginx.service" } }
})";

UnitState Unit(const std::string& active, const std::string& result = "success") {
  UnitState unit;
  unit.id = "nginx.service";
  unit.load_state = "loaded";
  unit.active_state = active;
  unit.result = result;
  unit.restart = "no";
  return unit;
}

TEST_F(EngineTest, AUnitThatAPersonStoppedIsLeftAlone) {
  world_.services.SetUnit("nginx.service", Unit("inactive"));
  ASSERT_TRUE(world_.Configure(kUnit).ok());
  world_.Sees("nginx.service") = Failed("nginx.service is inactive");
  world_.RunFor(absl::Hours(1));
  EXPECT_TRUE(world_.services.restarts().empty());
  EXPECT_TRUE(world_.ledger->Keys().empty());
  ASSERT_FALSE(world_.Events(v1::ResponderResult).empty());
  EXPECT_EQ(world_.Events(v1::ResponderResult).back().responder_result().reason(),
            "nginx.service was stopped on purpose");
}

TEST_F(EngineTest, AFailedUnitIsRestartedByOneJob) {
  world_.services.SetUnit("nginx.service", Unit("failed", "signal"));
  ASSERT_TRUE(world_.Configure(kUnit).ok());
  world_.Sees("nginx.service") = Failed("nginx.service is failed");
  world_.RunFor(absl::Seconds(3));
  ASSERT_EQ(world_.services.restarts().size(), 1u);
}

TEST_F(EngineTest, AJobThatOutlivedTheAgentIsAwaitedAndNotDoubled) {
  world_.services.SetUnit("nginx.service", Unit("failed", "signal"));
  ASSERT_TRUE(world_.Configure(kUnit).ok());
  world_.Sees("nginx.service") = Failed("nginx.service is failed");
  world_.RunFor(absl::Seconds(3));
  UnitState busy = Unit("activating");
  busy.job_id = world_.services.restarts()[0].job_id;
  world_.services.SetUnit("nginx.service", busy);
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kUnit).ok());
  world_.RunFor(absl::Seconds(30));
  EXPECT_EQ(world_.services.restarts().size(), 1u);
  EXPECT_EQ(world_.ledger->Unfinished().size(), 1u);
  world_.services.SetUnit("nginx.service", Unit("active"));
  world_.Sees("nginx.service") = Observation();
  world_.RunFor(absl::Seconds(30));
  EXPECT_TRUE(world_.ledger->Unfinished().empty());
  EXPECT_EQ(world_.Count(v1::RecoveryActionResults, 501), 1);
  EXPECT_EQ(world_.StateOf("Web"), "HEALTHY");
}

// A pool is a part of its unit: nothing else happens to either while one is acted on.
constexpr char kUnitAndPool[] = R"(
health_set {
  name: "Shop"
  probe { name: "A" interval: "10s" timeout: "1s" http { url: "a" } }
  probe { name: "B" interval: "10s" timeout: "1s" http { url: "b" } }
  monitor { name: "MA" probe: "A" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  monitor { name: "MB" probe: "B" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Restart" monitor: "MA" on: UNHEALTHY settle: "5s" restart_service { service: "nginx" } }
  responder { name: "Reset" monitor: "MB" on: UNHEALTHY settle: "5s"
              reset_pool { service: "nginx" pool: "shop" php_fpm {} } }
})";

TEST_F(EngineTest, ARestartOfAUnitAndAResetOfItsPoolNeverOverlap) {
  world_.services.SetUnit("nginx.service", Unit("active"));
  ASSERT_TRUE(world_.Configure(kUnitAndPool).ok());
  world_.Sees("a") = Failed("connection refused");
  world_.RunFor(absl::Seconds(11));
  ASSERT_EQ(world_.services.restarts().size(), 1u);
  world_.Sees("b") = Failed("connection refused");
  world_.RunFor(absl::Seconds(30));
  EXPECT_EQ(world_.Count(v1::RecoveryActionLogs, 2050), 1);
  v1::RunActionRequest request;
  request.set_responder("Reset");
  absl::StatusOr<v1::RunActionResponse> by_hand;
  world_.engine->RunManually(request, [&](auto response) { by_hand = response; });
  EXPECT_EQ(by_hand->refused_because(), "another action on the resource is under way");
  world_.services.EndJob(world_.services.restarts()[0].job_id, "done");
  world_.Sees("a") = Observation();
  world_.RunFor(absl::Seconds(30));
  ASSERT_EQ(world_.Count(v1::RecoveryActionLogs, 2050), 2);
  EXPECT_EQ(
      world_.Events(v1::RecoveryActionResults).back().recovery_action_result().resource_name(),
      "nginx.service/shop");
}

TEST_F(EngineTest, AReloadThatOutlivedTheAgentIsAwaited) {
  world_.services.SetUnit("nginx.service", Unit("active"));
  std::string reload = kUnitAndPool;
  const std::string rolling = "pool: \"shop\" php_fpm {}";
  reload.replace(reload.find(rolling), rolling.size(), "reload {}");
  ASSERT_TRUE(world_.Configure(reload).ok());
  world_.Sees("b") = Failed("connection refused");
  world_.RunFor(absl::Seconds(11));
  ASSERT_EQ(world_.services.reloads().size(), 1u);
  UnitState busy = Unit("reloading");
  busy.job_id = world_.services.reloads()[0].job_id;
  world_.services.SetUnit("nginx.service", busy);
  world_.KillAgent();
  world_.RunFor(absl::Seconds(10));
  EXPECT_EQ(world_.ledger->Unfinished().size(), 1u);
  world_.services.SetUnit("nginx.service", Unit("active"));
  world_.RunFor(absl::Seconds(30));
  EXPECT_TRUE(world_.ledger->Unfinished().empty());
  EXPECT_EQ(world_.Count(v1::RecoveryActionResults, 501), 1);
}

TEST_F(EngineTest, AServiceThatSystemdHealedWhileItWasAwaitedIsNotRestarted) {
  UnitState busy = Unit("activating");
  busy.sub_state = "auto-restart";
  world_.services.SetUnit("nginx.service", busy);
  ASSERT_TRUE(world_.Configure(kUnit).ok());
  world_.Sees("nginx.service") = Failed("nginx.service is activating");
  world_.RunFor(absl::Seconds(5));
  ASSERT_TRUE(world_.services.restarts().empty());
  world_.Sees("nginx.service") = Observation();
  world_.services.SetUnit("nginx.service", Unit("active"));  // Seen by the action first.
  world_.RunFor(absl::Minutes(1));
  EXPECT_TRUE(world_.services.restarts().empty());
  EXPECT_EQ(world_.Count(v1::RecoveryActionLogs, 2050), 0);
  EXPECT_EQ(world_.StateOf("Web"), "HEALTHY");
}

TEST_F(EngineTest, ASettleShorterThanTheIntervalIsNoReasonToCallAnAttemptIneffective) {
  std::string slow = kWeb;
  slow.replace(slow.find("interval: \"10s\""), 15, "interval: \"60s\"");
  ASSERT_TRUE(world_.Configure(slow).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Minutes(3) + absl::Seconds(1));
  ASSERT_EQ(Runs(), 1u);
  world_.Sees("web") = Observation();
  world_.RunFor(absl::Seconds(20));
  EXPECT_EQ(world_.StateOf("Web"), "HEALTHY");
  for (const v1::Event& event : world_.Events(v1::ResponderResult)) {
    EXPECT_EQ(event.responder_result().reason().find("did not help"), std::string::npos);
  }
}

TEST_F(EngineTest, SomebodyElsesJobIsNotTakenForOursAfterARestart) {
  world_.services.SetUnit("nginx.service", Unit("failed", "signal"));
  ASSERT_TRUE(world_.Configure(kUnit).ok());
  world_.Sees("nginx.service") = Failed("nginx.service is failed");
  world_.RunFor(absl::Seconds(3));
  UnitState busy = Unit("activating");
  busy.job_id = world_.services.restarts()[0].job_id + 1;
  world_.services.SetUnit("nginx.service", busy);
  world_.KillAgent();
  world_.RunFor(absl::Minutes(5));
  EXPECT_TRUE(world_.ledger->Unfinished().empty());
  for (uint32_t cancelled : world_.services.cancelled_jobs()) EXPECT_NE(cancelled, busy.job_id);
}

TEST_F(EngineTest, AReloadDuringTheLastLookOfASettleLeavesTheResourceFree) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(31));
  ASSERT_EQ(Runs(), 1u);
  std::string other = kWeb;
  other.replace(other.find("timeout: \"1s\""), 13, "timeout: \"2s\"");
  for (int second = 0; second < 30; ++second) {  // One of these reloads meets it.
    ASSERT_TRUE(world_.Configure(second % 2 == 0 ? other : kWeb).ok());
    world_.RunFor(absl::Seconds(1));
  }
  world_.RunFor(absl::Minutes(11));
  EXPECT_EQ(Runs(), 2u);
}

TEST_F(EngineTest, AnActionOfAnotherServerThatEndsIsAReasonToAskAgain) {
  world_.in_group = true;
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  GroupVerdict& verdict = world_.group->verdict;
  verdict.passed = false;
  verdict.failed = {Check::kGroupRecoveryInProgress};
  verdict.retry_in = absl::Minutes(15);
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(40));
  ASSERT_EQ(world_.Count(v1::RecoveryActionLogs, 2051), 1);
  verdict = GroupVerdict();
  // Something else has ended: that does not concern it.
  world_.group->freed(RecoveryAction::kRunCommand, "other", absl::ZeroDuration());
  world_.group->freed(RecoveryAction::kRestartService, "web", absl::ZeroDuration());
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Runs(), 0u);
  world_.group->freed(RecoveryAction::kRunCommand, "WEB", absl::Seconds(20));
  world_.RunFor(absl::Seconds(19));
  EXPECT_EQ(Runs(), 0u);
  world_.RunFor(absl::Seconds(3));
  EXPECT_EQ(Runs(), 1u);
}

// Waits for systemd, and meanwhile a look takes longer than anything else.
TEST_F(EngineTest, WhatWasSeenBeforeAWaitJustifiesNothingWhileTheNewLookIsOnItsWay) {
  UnitState busy = Unit("activating");
  busy.sub_state = "auto-restart";
  world_.services.SetUnit("nginx.service", busy);
  std::string slow = kUnit;
  slow.replace(slow.find("interval: \"1s\" timeout: \"500ms\""), 31,
               "interval: \"1m\" timeout: \"10s\"");
  ASSERT_TRUE(world_.Configure(slow).ok());
  world_.Sees("nginx.service") = Failed("nginx.service is activating");
  world_.RunFor(absl::Minutes(1) + absl::Seconds(5));
  ASSERT_EQ(world_.StateOf("Web"), "UNHEALTHY");
  world_.looks_take = absl::Seconds(5);
  world_.Sees("nginx.service") = Observation();
  world_.services.SetUnit("nginx.service", Unit("active"));
  world_.RunFor(absl::Seconds(4));
  EXPECT_EQ(world_.StateOf("Web"), "UNHEALTHY");  // As far as is known.
  EXPECT_TRUE(world_.services.restarts().empty());
  world_.RunFor(absl::Seconds(3));
  EXPECT_EQ(world_.StateOf("Web"), "HEALTHY");
  EXPECT_TRUE(world_.services.restarts().empty());
}

// The attempt of kWeb ends a second after its begin, and settles for 15 s.
class SettleTest : public EngineTest {
 protected:
  // Until the attempt has begun.
  void BeginAttempt() {
    world_.Sees("web") = Failed("connection refused");
    while (Runs() == 0) world_.RunFor(absl::Milliseconds(500));
  }
  void KillAndStart(const std::string& boot_id = "boot-1") {
    world_.KillAgent(boot_id);
    ASSERT_TRUE(world_.Configure(text_).ok());
  }
  int Ineffective() const {
    int count = 0;
    for (const v1::Event& event : world_.Events(v1::ResponderResult)) {
      count += event.responder_result().reason().find("did not help") != std::string::npos;
    }
    return count;
  }
  std::string text_ = kWeb;
};

TEST_F(SettleTest, GoesOnAfterAKillAndTheAttemptIsJudgedAtItsEnd) {
  ASSERT_TRUE(world_.Configure(text_).ok());
  BeginAttempt();
  world_.RunFor(absl::Seconds(6));
  KillAndStart();
  world_.RunFor(absl::Seconds(9));
  EXPECT_EQ(Ineffective(), 0);
  world_.RunFor(absl::Seconds(3));
  EXPECT_EQ(Ineffective(), 1);
  EXPECT_EQ(world_.Events(v1::ResponderResult).back().incident_id().size(), 32u);
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(SettleTest, OneThatHealedMeanwhileWasEffective) {
  ASSERT_TRUE(world_.Configure(text_).ok());
  BeginAttempt();
  world_.RunFor(absl::Seconds(6));
  world_.Sees("web") = Observation();
  KillAndStart();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(world_.StateOf("Web"), "HEALTHY");
  EXPECT_EQ(Ineffective(), 0);
}

TEST_F(SettleTest, OneThatEndedWhileNobodyLookedIsJudgedAtOnce) {
  ASSERT_TRUE(world_.Configure(text_).ok());
  BeginAttempt();
  world_.RunFor(absl::Seconds(6));
  world_.engine.reset();
  world_.RunFor(absl::Minutes(2));
  KillAndStart();
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Ineffective(), 1);
}

TEST_F(SettleTest, AnActionThatWasKilledWithTheAgentSettlesInTheNextLife) {
  world_.host.SetProgram("touch", {.takes = absl::Seconds(40)});
  ASSERT_TRUE(world_.Configure(text_).ok());
  BeginAttempt();
  world_.RunFor(absl::Seconds(5));
  KillAndStart();
  world_.RunFor(absl::Seconds(14));
  EXPECT_EQ(Ineffective(), 0);
  world_.RunFor(absl::Seconds(2));
  EXPECT_EQ(Ineffective(), 1);
}

TEST_F(SettleTest, IsForgottenByAReboot) {
  ASSERT_TRUE(world_.Configure(text_).ok());
  BeginAttempt();
  world_.RunFor(absl::Seconds(6));
  KillAndStart("boot-2");
  world_.RunFor(absl::Seconds(14));  // Ten seconds were left, and another attempt takes longer.
  EXPECT_EQ(Ineffective(), 0);
}

TEST_F(SettleTest, AKillDoesNotShortenTheWaitForARetry) {
  text_.replace(text_.find("retry_after: \"60s\""), 18, "retry_after: \"20m\"");
  ASSERT_TRUE(world_.Configure(text_).ok());
  BeginAttempt();
  world_.RunFor(absl::Seconds(30));
  ASSERT_EQ(Ineffective(), 1);
  KillAndStart();
  world_.RunFor(absl::Minutes(19));  // The throttle allows it after ten.
  EXPECT_EQ(Runs(), 1u);
  world_.RunFor(absl::Minutes(2));
  EXPECT_EQ(Runs(), 2u);
}

TEST_F(SettleTest, AfterARebootNobodyWaitsForTheRetry) {
  text_.replace(text_.find("retry_after: \"60s\""), 18, "retry_after: \"20m\"");
  ASSERT_TRUE(world_.Configure(text_).ok());
  BeginAttempt();
  world_.RunFor(absl::Seconds(30));
  KillAndStart("boot-2");
  world_.RunFor(absl::Minutes(12));
  EXPECT_EQ(Runs(), 2u);
}

TEST_F(SettleTest, AJobThatOutlivedTheAgentSettlesAndIsJudged) {
  text_ = kUnit;
  world_.services.SetUnit("nginx.service", Unit("failed", "signal"));
  ASSERT_TRUE(world_.Configure(text_).ok());
  world_.Sees("nginx.service") = Failed("nginx.service is failed");
  world_.RunFor(absl::Seconds(3));
  UnitState busy = Unit("activating");
  busy.job_id = world_.services.restarts()[0].job_id;
  world_.services.SetUnit("nginx.service", busy);
  KillAndStart();
  world_.RunFor(absl::Seconds(30));
  EXPECT_EQ(Ineffective(), 0);
  world_.services.SetUnit("nginx.service", Unit("failed", "signal"));
  world_.RunFor(absl::Seconds(14));
  EXPECT_EQ(Ineffective(), 0);
  world_.RunFor(absl::Seconds(3));
  EXPECT_EQ(Ineffective(), 1);
}

TEST_F(EngineTest, AStepOfTheWallClockIsAnEvent) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.RunFor(absl::Seconds(15));
  EXPECT_EQ(world_.Count(v1::Agent, 4), 0);
  world_.loop.simulated_clock().StepWall(absl::Hours(-1));
  world_.RunFor(absl::Seconds(15));
  EXPECT_EQ(world_.Count(v1::Agent, 4), 1);
}

}  // namespace
}  // namespace salve

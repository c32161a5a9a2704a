// Combinations, clear_after and REPAIRING in a whole engine.
#include <gtest/gtest.h>

#include <string>

#include "agent/simulated_world.h"

namespace salve {
namespace {

// Looks every ten seconds; one failed look alerts; `touch` is what heals.
constexpr char kTwo[] = R"(
health_set {
  name: "Web"
  probe { name: "A" interval: "10s" timeout: "1s" http { url: "a" } }
  probe { name: "B" interval: "10s" timeout: "1s" http { url: "b" } }
  monitor { name: "ADown" probe: "A" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  monitor { name: "BDown" probe: "B" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  monitor { name: "Both" all_of { monitor: "ADown" monitor: "Web/BDown" } transition { to: UNHEALTHY } }
  responder { name: "Fix" monitor: "Both" on: UNHEALTHY settle: "15s" retry_after: "60s"
              throttle { local_minimum_minutes_between_attempts: 1 }
              run_command { command: "touch" resource: "web" } }
})";

constexpr char kOne[] = R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "web" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 1 } clear_after: "2m"
            transition { to: UNHEALTHY } transition { to: UNRECOVERABLE after: "10m" } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY settle: "15s" retry_after: "60s"
              run_command { command: "touch" resource: "web" } }
})";

class EngineMonitorsTest : public testing::Test {
 protected:
  void SetUp() override { world_.host.SetProgram("touch", {.takes = absl::Seconds(1)}); }
  size_t Runs() const { return world_.host.started().size(); }
  v1::MonitorHealth Health(const std::string& name) const {
    v1::ListRequest request;
    request.set_health_set("Web");
    request.set_name(name);
    return world_.engine->Monitors(request)->monitors(0);
  }
  absl::StatusOr<v1::SetMonitorStateResponse> Repair(absl::Duration lasts,
                                                     const std::string& reason = "new disk") {
    v1::SetMonitorStateRequest request;
    request.set_health_set("Web");
    request.set_monitor("Down");
    request.set_repairing(true);
    request.set_duration_seconds(absl::ToInt64Seconds(lasts));
    request.set_reason(reason);
    request.set_user("ada");
    return world_.engine->SetMonitorState(request);
  }
  absl::StatusOr<v1::SetMonitorStateResponse> Clear(const std::string& monitor = "Down") {
    v1::SetMonitorStateRequest request;
    request.set_health_set("Web");
    request.set_monitor(monitor);
    request.set_user("bob");
    return world_.engine->SetMonitorState(request);
  }
  void Fail() { world_.Sees("web") = Failed("refused"); }
  void Heal() { world_.Sees("web") = Observation(); }
  SimulatedWorld world_;
};

// --- Combinations.

TEST_F(EngineMonitorsTest, ACombinationActsWhenAllItsInputsAlertAndClearsWithThem) {
  ASSERT_TRUE(world_.Configure(kTwo).ok());
  world_.RunFor(absl::Seconds(20));
  EXPECT_EQ(Health("Both").state(), "HEALTHY");
  EXPECT_EQ(Health("Both").probes_size(), 2);
  EXPECT_EQ(Health("Both").probes(0), "Web/ADown");
  world_.Sees("a") = Failed("refused");
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Health("Both").state(), "HEALTHY");
  world_.Sees("b") = Failed("refused");
  world_.RunFor(absl::Seconds(11));
  EXPECT_EQ(Health("Both").state(), "UNHEALTHY");
  EXPECT_EQ(Runs(), 1u);
  world_.Sees("b") = Observation();
  world_.RunFor(absl::Seconds(11));
  EXPECT_EQ(Health("Both").state(), "HEALTHY");
  EXPECT_EQ(Health("ADown").state(), "UNHEALTHY");
}

TEST_F(EngineMonitorsTest, ItsEvidenceLeadsToTheTransitionsOfItsInputs) {
  ASSERT_TRUE(world_.Configure(kTwo).ok());
  world_.Sees("a") = Failed("refused");
  world_.Sees("b") = Failed("refused");
  world_.RunFor(absl::Seconds(30));
  for (const v1::Event& event : world_.Events(v1::MonitorResult)) {
    if (event.name() != "Both" || event.monitor_result().to() != "UNHEALTHY") continue;
    EXPECT_EQ(event.monitor_result().evidence(),
              "all of: Web/ADown is UNHEALTHY, Web/BDown is UNHEALTHY");
    ASSERT_EQ(event.monitor_result().evidence_record_ids_size(), 2);
    for (const uint64_t id : event.monitor_result().evidence_record_ids()) {
      const v1::Event& input = world_.events.events[id - 1];
      EXPECT_EQ(input.monitor_result().to(), "UNHEALTHY");
      EXPECT_NE(input.name(), "Both");
    }
    return;
  }
  FAIL() << "Both was never UNHEALTHY";
}

TEST_F(EngineMonitorsTest, AnInputThatCannotLookLeavesItOpen) {
  ASSERT_TRUE(world_.Configure(kTwo).ok());
  world_.Sees("a") = Failed("refused");
  world_.Sees("b") = Rejected("no descriptor");
  world_.RunFor(absl::Minutes(5));
  EXPECT_EQ(Health("Both").state(), "UNAVAILABLE");
  EXPECT_EQ(Health("Both").last_error(),
            "all of: Web/ADown is UNHEALTHY, Web/BDown is UNAVAILABLE");
  EXPECT_EQ(Runs(), 0u);
  world_.Sees("a") = Observation();  // Now it can be said.
  world_.RunFor(absl::Seconds(11));
  EXPECT_EQ(Health("Both").state(), "HEALTHY");
}

TEST_F(EngineMonitorsTest, ACombinationThatStaysBrokenIsJudgedByLooksOfItsInputs) {
  ASSERT_TRUE(world_.Configure(kTwo).ok());
  world_.Sees("a") = Failed("refused");
  world_.Sees("b") = Failed("refused");
  world_.RunFor(absl::Seconds(40));
  EXPECT_EQ(Runs(), 1u);
  world_.RunFor(absl::Minutes(12));
  EXPECT_EQ(Runs(), 2u);  // The built-in 10 minutes are the throttle's.
  EXPECT_GE(world_.Count(v1::ResponderResult, 1), 2);
}

TEST_F(EngineMonitorsTest, ARestartOfTheAgentMakesNoCombinationUnavailable) {
  ASSERT_TRUE(world_.Configure(kTwo).ok());
  world_.Sees("a") = Failed("refused");
  world_.Sees("b") = Failed("refused");
  world_.RunFor(absl::Seconds(40));
  const std::string incident = Health("Both").incident_id();
  ASSERT_FALSE(incident.empty());
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kTwo).ok());
  EXPECT_EQ(Health("Both").state(), "UNHEALTHY");
  world_.RunFor(absl::Seconds(30));
  EXPECT_EQ(Health("Both").state(), "UNHEALTHY");
  EXPECT_EQ(Health("Both").incident_id(), incident);
  for (const v1::Event& event : world_.Events(v1::MonitorResult)) {
    EXPECT_NE(event.monitor_result().to(), "UNAVAILABLE");
  }
}

// --- clear_after.

TEST_F(EngineMonitorsTest, AHealedServiceIsLeftAloneWhileItsAlertClears) {
  ASSERT_TRUE(world_.Configure(kOne).ok());
  Fail();
  world_.RunFor(absl::Seconds(11));
  EXPECT_EQ(Runs(), 1u);
  Heal();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Health("Down").state(), "UNHEALTHY");  // Good looks, and clear_after not over.
  world_.RunFor(absl::Minutes(2));
  EXPECT_EQ(Health("Down").state(), "HEALTHY");
  world_.RunFor(absl::Minutes(20));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(world_.Count(v1::Monitoring, 1), 1);
  for (const v1::Event& event : world_.Events(v1::ResponderResult)) {
    EXPECT_EQ(event.responder_result().reason().find("did not help"), std::string::npos);
  }
}

// --- REPAIRING.

TEST_F(EngineMonitorsTest, NothingActsOnWhatAPersonRepairs) {
  ASSERT_TRUE(world_.Configure(kOne).ok());
  world_.RunFor(absl::Seconds(20));
  const auto repaired = Repair(absl::Hours(1));
  ASSERT_TRUE(repaired.ok()) << repaired.status();
  EXPECT_EQ(repaired->monitor().state(), "REPAIRING");
  EXPECT_EQ(repaired->monitor().repairing_owner(), "ada");
  EXPECT_EQ(repaired->monitor().repairing_reason(), "new disk");
  EXPECT_EQ(repaired->monitor().hold(), "REPAIRING by ada, another 1h: new disk");
  ASSERT_EQ(repaired->monitor().next_size(), 1);
  Fail();
  world_.RunFor(absl::Minutes(59));
  EXPECT_EQ(world_.StateOf("Web"), "REPAIRING");
  EXPECT_EQ(Runs(), 0u);
  EXPECT_EQ(world_.Count(v1::Agent, 15), 1);
  EXPECT_EQ(world_.Count(v1::Agent, 16), 0);
  world_.RunFor(absl::Minutes(2));  // It ends by itself, and the service is broken.
  EXPECT_EQ(world_.Count(v1::Agent, 16), 1);
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(world_.Events(v1::Agent).back().agent().message(),
            "Web/Down is no longer REPAIRING: the time for the repair by ada is over");
}

TEST_F(EngineMonitorsTest, AnActionThatRunsWhenARepairBeginsIsNotCalledIneffective) {
  ASSERT_TRUE(world_.Configure(kOne).ok());
  Fail();
  world_.RunFor(absl::Seconds(11));
  ASSERT_EQ(Runs(), 1u);
  ASSERT_TRUE(Repair(absl::Hours(1)).ok());
  world_.RunFor(absl::Minutes(30));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(world_.Count(v1::Monitoring, 4), 0);
  for (const v1::Event& event : world_.Events(v1::ResponderResult)) {
    EXPECT_EQ(event.responder_result().reason().find("did not help"), std::string::npos);
  }
}

TEST_F(EngineMonitorsTest, APersonEndsARepair) {
  ASSERT_TRUE(world_.Configure(kOne).ok());
  world_.RunFor(absl::Seconds(20));
  EXPECT_EQ(Clear().status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(Repair(absl::Hours(1)).ok());
  ASSERT_TRUE(Repair(absl::Hours(2), "more").ok());
  EXPECT_EQ(world_.Count(v1::Agent, 15), 2);
  const auto cleared = Clear();
  ASSERT_TRUE(cleared.ok());
  EXPECT_EQ(cleared->monitor().state(), "HEALTHY");
  EXPECT_EQ(world_.Events(v1::Agent).back().event_id(), 16);
  EXPECT_EQ(world_.Events(v1::Agent).back().agent().who(), "bob");
  EXPECT_EQ(world_.Events(v1::Agent).back().health_set(), "Web");
}

TEST_F(EngineMonitorsTest, ARepairSurvivesTheAgentAndTheServer) {
  ASSERT_TRUE(world_.Configure(kOne).ok());
  world_.RunFor(absl::Seconds(20));
  ASSERT_TRUE(Repair(absl::Hours(1)).ok());
  Fail();
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kOne).ok());
  EXPECT_EQ(Health("Down").state(), "REPAIRING");
  EXPECT_EQ(Health("Down").repairing_owner(), "ada");
  world_.RunFor(absl::Minutes(30));
  world_.KillAgent("boot-2");
  ASSERT_TRUE(world_.Configure(kOne).ok());
  EXPECT_EQ(Health("Down").state(), "REPAIRING");
  world_.RunFor(absl::Minutes(29));
  EXPECT_EQ(Runs(), 0u);
  EXPECT_EQ(Health("Down").state(), "REPAIRING");
  world_.RunFor(absl::Minutes(2));
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(EngineMonitorsTest, AReloadThatChangesTheMonitorKeepsItsRepair) {
  ASSERT_TRUE(world_.Configure(kOne).ok());
  ASSERT_TRUE(Repair(absl::Hours(1)).ok());
  std::string other = kOne;
  other.replace(other.find("\"2m\""), 4, "\"3m\"");
  ASSERT_TRUE(world_.Configure(other).ok());
  EXPECT_EQ(Health("Down").state(), "REPAIRING");
}

TEST_F(EngineMonitorsTest, AStepOfTheWallClockMovesTheEndThatIsShownAndNothingElse) {
  ASSERT_TRUE(world_.Configure(kOne).ok());
  ASSERT_TRUE(Repair(absl::Hours(1)).ok());
  const int64_t until = Health("Down").repairing_until().seconds();
  world_.loop.simulated_clock().StepWall(absl::Hours(5));
  EXPECT_EQ(Health("Down").repairing_until().seconds(), until + 5 * 3600);
  world_.RunFor(absl::Minutes(59));
  EXPECT_EQ(Health("Down").state(), "REPAIRING");
}

TEST_F(EngineMonitorsTest, RepairingIsRefusedWithWhatIsWrong) {
  ASSERT_TRUE(world_.Configure(kOne).ok());
  EXPECT_EQ(Clear("Dwn").status().message(), "no monitor 'Web/Dwn' (did you mean 'Web/Down'?)");
  EXPECT_EQ(Repair(absl::ZeroDuration()).status().message(),
            "duration_seconds: 0 is not in [1, 2592000]");
  EXPECT_EQ(Repair(absl::Hours(30 * 24) + absl::Seconds(1)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Repair(absl::Seconds(1), std::string(1001, 'x')).status().message(),
            "reason: is longer than 1000 bytes");
  EXPECT_EQ(Health("Down").state(), "UNINITIALIZED");
  EXPECT_TRUE(Repair(absl::Hours(30 * 24), std::string(1000, 'x')).ok());
}

TEST_F(EngineMonitorsTest, ADisabledMonitorCannotBeRepaired) {
  std::string disabled = kOne;
  disabled.replace(disabled.find("clear_after"), 0, "enabled: false ");
  ASSERT_TRUE(world_.Configure(disabled).ok());
  EXPECT_EQ(Repair(absl::Hours(1)).status().message(), "monitor 'Web/Down' is disabled");
}

TEST_F(EngineMonitorsTest, WhatIsRepairedRanksBelowSickAndAboveWell) {
  std::string two = kOne;
  two.insert(two.find("  responder"),
             "  probe { name: \"P2\" interval: \"10s\" timeout: \"1s\" http { url: \"two\" } }\n"
             "  monitor { name: \"Down2\" probe: \"P2\" consecutive_failures { threshold: 1 } }\n");
  ASSERT_TRUE(world_.Configure(two).ok());
  world_.RunFor(absl::Seconds(20));
  ASSERT_TRUE(Repair(absl::Hours(1)).ok());
  EXPECT_EQ(world_.StateOf("Web"), "REPAIRING");
  world_.Sees("two") = Rejected("no room");
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Health("Down2").state(), "UNAVAILABLE");
  EXPECT_EQ(world_.StateOf("Web"), "REPAIRING");
  world_.Sees("two") = Failed("refused");
  world_.RunFor(absl::Seconds(11));
  EXPECT_EQ(world_.StateOf("Web"), "DEGRADED");
}

}  // namespace
}  // namespace salve

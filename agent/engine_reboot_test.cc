// A reboot by the engine: who waits for whom, and what becomes of the attempt at each end.
#include <gtest/gtest.h>

#include <string>

#include "agent/engine.h"
#include "agent/simulated_world.h"

namespace salve {
namespace {

// A service whose first rung is a program, and whose last is the reboot; and another service.
constexpr char kChain[] = R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "web" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 }
            transition { to: UNHEALTHY } transition { to: UNRECOVERABLE after: "5m" } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY settle: "15s"
              run_command { command: "touch" resource: "web" } }
  responder { name: "Reboot" monitor: "Down" on: UNRECOVERABLE settle: "15s" reboot_server {} }
}
health_set {
  name: "Db"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "db" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 }
            transition { to: UNHEALTHY } }
  responder { name: "FixDb" monitor: "Down" on: UNHEALTHY settle: "15s"
              run_command { command: "slow" resource: "db" } }
})";

class EngineRebootTest : public testing::Test {
 protected:
  void SetUp() override {
    world_.host.SetProgram("touch", {.takes = absl::Seconds(1)});
    world_.host.SetProgram("slow", {.takes = absl::Minutes(1)});
    ASSERT_TRUE(world_.Configure(kChain).ok());
  }
  size_t Reboots() const { return world_.services.reboots().size(); }
  // Until the server has been told to reboot.
  void RunToReboot() {
    world_.Sees("web") = Failed("connection refused");
    world_.RunFor(absl::Minutes(7));
    ASSERT_EQ(Reboots(), 1u);
  }
  const Attempt* Unfinished() const {
    const auto unfinished = world_.ledger->Unfinished();
    return unfinished.empty() ? nullptr : unfinished.front();
  }
  v1::RecoveryActionResultEvent LastResult() const {
    return world_.Events(v1::RecoveryActionResults).back().recovery_action_result();
  }
  bool Stop() {
    world_.engine->Stop([this] { stopped_ = true; });
    world_.RunFor(absl::ZeroDuration());
    return stopped_;
  }
  bool stopped_ = false;
  SimulatedWorld world_;
};

TEST_F(EngineRebootTest, AServiceThatStaysBrokenGoesUpTheRungsToTheReboot) {
  RunToReboot();
  EXPECT_EQ(world_.host.started().size(), 1u);  // The first rung, before.
  ASSERT_NE(Unfinished(), nullptr);
  EXPECT_EQ(Unfinished()->action, RecoveryAction::kRebootServer);
  EXPECT_EQ(Unfinished()->resource, "test-1");
  EXPECT_EQ(Unfinished()->effect, "reboot");
  EXPECT_EQ(Unfinished()->timeout, absl::Minutes(15));
}

TEST_F(EngineRebootTest, AServiceThatTheFirstRungHealedNeverSeesTheSecond) {
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(31));
  ASSERT_EQ(world_.host.started().size(), 1u);
  world_.Sees("web") = Observation();
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Reboots(), 0u);
}

TEST_F(EngineRebootTest, WhatAPersonStoppedAndStartsAgainLeadsToNoReboot) {
  constexpr char kUnit[] = R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "web" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 }
            transition { to: UNHEALTHY } transition { to: UNRECOVERABLE after: "5m" } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY restart_service { service: "nginx" } }
  responder { name: "Reboot" monitor: "Down" on: UNRECOVERABLE reboot_server {} }
})";
  UnitState unit = world_.services.Unit("nginx.service");
  unit.active_state = "inactive";
  unit.sub_state = "dead";
  world_.services.SetUnit("nginx.service", unit);
  ASSERT_TRUE(world_.Configure(kUnit).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Minutes(30));
  EXPECT_EQ(world_.Count(v1::RecoveryActionLogs, 2050), 0);
  // While it starts, and is slow to, it still answers nothing.
  unit.active_state = "activating";
  unit.sub_state = "start";
  unit.job_id = 7;
  world_.services.SetUnit("nginx.service", unit);
  world_.RunFor(absl::Minutes(2));
  EXPECT_EQ(Reboots(), 0u);
  unit.active_state = "active";
  unit.sub_state = "running";
  unit.job_id = 0;
  world_.Sees("web") = Observation();
  world_.services.SetUnit("nginx.service", unit);
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Reboots(), 0u);
  EXPECT_EQ(world_.Count(v1::RecoveryActionLogs, 2050), 0);
}

TEST_F(EngineRebootTest, TheNextBootClosesTheAttemptAndTheIncidentGoesOn) {
  RunToReboot();
  const std::string incident = world_.Events(v1::RecoveryActionLogs).back().incident_id();
  world_.KillAgent("boot-2");
  ASSERT_TRUE(world_.Configure(kChain).ok());
  world_.RunFor(absl::ZeroDuration());
  EXPECT_EQ(Unfinished(), nullptr);
  EXPECT_EQ(world_.Events(v1::RecoveryActionResults).back().event_id(), 501);
  EXPECT_EQ(world_.Events(v1::RecoveryActionResults).back().incident_id(), incident);
  EXPECT_EQ(LastResult().id(), "RebootServer");
  EXPECT_EQ(LastResult().context(), "the server has booted");
  // Still broken: the reboot is asked for again, and refused for the rest of twelve hours.
  world_.RunFor(absl::Minutes(8));
  EXPECT_EQ(Reboots(), 1u);
  const v1::Event refused = world_.Events(v1::RecoveryActionLogs).back();
  EXPECT_EQ(refused.event_id(), 2051);
  EXPECT_EQ(refused.incident_id(), incident);
  EXPECT_NE(refused.recovery_action_log().exception_message().find("LocalMinimumMinutes"),
            std::string::npos);
}

TEST_F(EngineRebootTest, ARebootThatDidNotHappenHasTimedOutAtItsDeadline) {
  RunToReboot();
  world_.RunFor(absl::Minutes(15));
  EXPECT_EQ(Unfinished(), nullptr);
  EXPECT_EQ(world_.Count(v1::RecoveryActionResults, 502), 1);
  EXPECT_EQ(LastResult().result(), "TimedOut");
  EXPECT_EQ(LastResult().exception_name(), "NotRebooted");
}

TEST_F(EngineRebootTest, AnAgentThatStartsAgainInTheSameBootAwaitsTheReboot) {
  RunToReboot();
  const Instant deadline = Unfinished()->start + Unfinished()->timeout;
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kChain).ok());
  world_.RunFor(deadline - world_.loop.Now() - absl::Seconds(1));
  ASSERT_NE(Unfinished(), nullptr);
  EXPECT_EQ(Reboots(), 1u);
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Unfinished(), nullptr);
  EXPECT_EQ(world_.Events(v1::RecoveryActionResults).back().event_id(), 502);
  EXPECT_EQ(LastResult().exception_name(), "NotRebooted");
}

TEST_F(EngineRebootTest, AnInhibitorFailsItWithItsName) {
  world_.services.SetRebootAnswer(absl::FailedPreconditionError("inhibited by dpkg"));
  RunToReboot();
  EXPECT_EQ(world_.Events(v1::RecoveryActionResults).back().event_id(), 502);
  EXPECT_EQ(LastResult().exception_message(), "inhibited by dpkg");
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Reboots(), 1u);  // It counted.
}

TEST_F(EngineRebootTest, ItWaitsForAnActionOnAnythingElse) {
  world_.host.SetProgram("slow", {.takes = absl::InfiniteDuration()});
  world_.Sees("db") = Failed("timeout");
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Seconds(31));
  ASSERT_EQ(world_.host.started().size(), 2u);
  // The program of the other service is killed at its deadline of two minutes; until then a reboot
  // by hand is refused.
  v1::RunActionRequest request;
  request.set_responder("Reboot");
  v1::RunActionResponse answer;
  world_.engine->RunManually(request, [&](auto response) { answer = *response; });
  EXPECT_EQ(answer.refused_because(), "another action on the resource is under way");
  EXPECT_EQ(Reboots(), 0u);
  world_.RunFor(absl::Minutes(3));
  world_.engine->RunManually(request, [](auto) {});
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Reboots(), 1u);
}

TEST_F(EngineRebootTest, ItKeepsAllOthersOut) {
  RunToReboot();
  world_.Sees("db") = Failed("timeout");
  world_.RunFor(absl::Minutes(5));
  EXPECT_EQ(world_.StateOf("Db"), "UNHEALTHY");
  EXPECT_EQ(world_.host.started().size(), 1u);
  world_.RunFor(absl::Minutes(11));  // Its deadline is over.
  EXPECT_EQ(world_.host.started().back().command.argv[0], "slow");
}

TEST_F(EngineRebootTest, AStopWhileItRunsEndsTheAgentAtOnceAndLeavesItInProgress) {
  RunToReboot();
  EXPECT_TRUE(Stop());
  ASSERT_NE(Unfinished(), nullptr);
  EXPECT_EQ(world_.Count(v1::RecoveryActionResults, 502), 0);
}

TEST_F(EngineRebootTest, AStopWhileOneOfAnEarlierLifeIsAwaitedEndsTheAgentAtOnceToo) {
  RunToReboot();
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kChain).ok());
  EXPECT_TRUE(Stop());
  EXPECT_NE(Unfinished(), nullptr);
}

TEST_F(EngineRebootTest, AStopWaitsForOtherActions) {
  world_.Sees("db") = Failed("timeout");
  world_.RunFor(absl::Seconds(31));
  EXPECT_FALSE(Stop());
  world_.RunFor(absl::Minutes(2));
  EXPECT_TRUE(stopped_);
}

TEST_F(EngineRebootTest, NothingIsDoneWhileTheSystemStops) {
  world_.services.SetStopping(true);
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Reboots(), 0u);
  EXPECT_TRUE(world_.host.started().empty());
  EXPECT_TRUE(world_.ledger->Keys().empty());
}

TEST_F(EngineRebootTest, ATimeoutThatIsWrittenHolds) {
  std::string text = kChain;
  text.replace(text.find("reboot_server"), 0, "timeout: \"3m\" ");
  ASSERT_TRUE(world_.Configure(text).ok());
  RunToReboot();
  EXPECT_EQ(Unfinished()->timeout, absl::Minutes(3));
}

}  // namespace
}  // namespace salve

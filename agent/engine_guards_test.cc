// Maintenance, the kill switch, dependencies and the health floor, in a whole engine.
#include <string>

#include "absl/strings/str_cat.h"
#include "agent/engine.h"
#include "agent/simulated_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::HasSubstr;

// Three failing looks in thirty seconds; then `touch`, and ten minutes later `reboot`.
constexpr char kWeb[] = R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "web" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 }
            transition { to: UNHEALTHY } transition { to: UNRECOVERABLE after: "10m" } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY
              run_command { command: "touch" resource: "web" } }
  responder { name: "Boot" monitor: "Down" on: UNRECOVERABLE
              run_command { command: "reboot" resource: "server" } }
})";

class EngineGuardsTest : public testing::Test {
 protected:
  void SetUp() override {
    world_.host.SetProgram("touch", {.takes = absl::Seconds(1)});
    world_.host.SetProgram("reboot", {.takes = absl::Seconds(1)});
  }
  size_t Runs() const { return world_.host.started().size(); }
  void Break() { world_.Sees("web") = Failed("connection refused"); }

  absl::StatusOr<v1::MaintenanceResponse> Maintain(v1::MaintenanceRequest::Verb verb,
                                                   const std::string& set = "",
                                                   absl::Duration length = absl::Hours(2)) {
    v1::MaintenanceRequest request;
    request.set_verb(verb);
    request.set_health_set(set);
    request.set_duration_seconds(absl::ToInt64Seconds(length));
    request.set_reason("new disks");
    request.set_user("ada");
    absl::StatusOr<v1::MaintenanceResponse> answer = absl::InternalError("no answer");
    world_.engine->Maintain(request, [&](auto response) { answer = std::move(response); });
    world_.loop.RunPending();
    return answer;
  }
  absl::StatusOr<v1::PauseResponse> Pause(v1::PauseRequest::Verb verb, bool group = false,
                                          absl::Duration length = absl::ZeroDuration()) {
    v1::PauseRequest request;
    request.set_verb(verb);
    request.set_group(group);
    request.set_duration_seconds(absl::ToInt64Seconds(length));
    request.set_reason("storm");
    request.set_user("ada");
    absl::StatusOr<v1::PauseResponse> answer = absl::InternalError("no answer");
    world_.engine->PauseActions(request, [&](auto response) { answer = std::move(response); });
    world_.loop.RunPending();
    return answer;
  }
  v1::RunActionResponse RunByHand(bool dry_run = false) {
    v1::RunActionRequest request;
    request.set_responder("Fix");
    request.set_dry_run(dry_run);
    v1::RunActionResponse answer;
    world_.engine->RunManually(request, [&](auto response) { answer = *std::move(response); });
    world_.RunFor(absl::Seconds(5));
    return answer;
  }
  std::string HoldOf(const std::string& set) const {
    v1::ListRequest request;
    request.set_health_set(set);
    return world_.engine->Monitors(request)->monitors(0).hold();
  }
  std::string LastReason() const {
    return world_.Events(v1::ResponderResult).back().responder_result().reason();
  }
  std::string NextSteps(const std::string& set) const {
    v1::ListRequest request;
    request.set_health_set(set);
    const v1::MonitorHealth monitor = world_.engine->Monitors(request)->monitors(0);
    std::string all;
    for (const std::string& one : world_.engine->NextSteps(monitor.incident_id()))
      all += one + "\n";
    return all;
  }
  SimulatedWorld world_;
};

// -------------------------------------------------------------------------------------------------
// Maintenance.

TEST_F(EngineGuardsTest, DuringAMaintenanceNothingActsAndLooksGoOn) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  ASSERT_TRUE(Maintain(v1::MaintenanceRequest::START).ok());
  Break();
  world_.RunFor(absl::Hours(2) - absl::Seconds(1));
  EXPECT_EQ(Runs(), 0u);
  EXPECT_EQ(world_.StateOf("Web"), "UNHEALTHY");
  EXPECT_THAT(HoldOf("Web"), HasSubstr("maintenance of the whole server by ada"));
  EXPECT_THAT(LastReason(), HasSubstr("held: maintenance of the whole server by ada"));
  EXPECT_THAT(NextSteps("Web"), HasSubstr("maintenance of the whole server"));
  EXPECT_EQ(world_.Count(v1::Agent, 11), 1);
  EXPECT_EQ(world_.Events(v1::Agent).back().agent().who(), "ada");
  EXPECT_THAT(world_.Events(v1::Agent).back().agent().message(), HasSubstr("new disks"));
}

TEST_F(EngineGuardsTest, AfterAMaintenanceWhatIsStillBrokenIsJudgedAnewFromZero) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  Break();
  world_.RunFor(absl::Seconds(31));
  ASSERT_EQ(Runs(), 1u);
  ASSERT_TRUE(Maintain(v1::MaintenanceRequest::START, "", absl::Hours(1)).ok());
  world_.RunFor(absl::Hours(1) + absl::Seconds(1));
  EXPECT_EQ(world_.Count(v1::Agent, 12), 1);
  EXPECT_EQ(Runs(), 1u);  // What was seen before its end is old.
  EXPECT_EQ(HoldOf("Web"), "");
  world_.RunFor(absl::Seconds(15));
  ASSERT_EQ(Runs(), 2u);
  EXPECT_EQ(world_.host.started().back().command.argv[0], "touch");  // And not the reboot.
}

TEST_F(EngineGuardsTest, WhatHealedDuringAMaintenanceIsNotActedOn) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  ASSERT_TRUE(Maintain(v1::MaintenanceRequest::START, "Web", absl::Minutes(10)).ok());
  Break();
  world_.RunFor(absl::Minutes(10) - absl::Seconds(1));
  world_.Sees("web") = Observation();
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Runs(), 0u);
}

TEST_F(EngineGuardsTest, AMaintenanceSurvivesAKillAndARebootAndEndsInTime) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  Break();
  world_.RunFor(absl::Seconds(31));
  ASSERT_EQ(Runs(), 1u);
  ASSERT_TRUE(Maintain(v1::MaintenanceRequest::START, "Web", absl::Hours(1)).ok());
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.RunFor(absl::Minutes(20));
  world_.KillAgent("boot-2");
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  EXPECT_THAT(HoldOf("Web"), HasSubstr("new disks"));
  world_.RunFor(absl::Minutes(39));
  EXPECT_EQ(Runs(), 1u);
  world_.RunFor(absl::Minutes(2));
  EXPECT_EQ(Runs(), 2u);
  EXPECT_EQ(world_.host.started().back().command.argv[0], "touch");
}

TEST_F(EngineGuardsTest, AMaintenanceThatEndedWhileTheAgentWasDeadLeavesTheTimelineAtZero) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  Break();
  world_.RunFor(absl::Minutes(9));  // A minute more, and it reboots.
  const size_t runs = Runs();
  ASSERT_TRUE(Maintain(v1::MaintenanceRequest::START, "", absl::Seconds(1)).ok());
  world_.KillAgent();
  world_.loop.simulated_clock().Advance(absl::Seconds(2));
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.RunFor(absl::Minutes(5));
  for (size_t i = runs; i < Runs(); ++i) {
    EXPECT_EQ(world_.host.started()[i].command.argv[0], "touch");
  }
}

TEST_F(EngineGuardsTest, AMaintenanceOfAnUnknownSetIsRefusedWithTheNearest) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  const auto answer = Maintain(v1::MaintenanceRequest::START, "Wbe");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(answer.status().message(), HasSubstr("did you mean 'Web'"));
}

TEST_F(EngineGuardsTest, ADurationOutOfItsRangeIsRefused) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  const auto start = v1::MaintenanceRequest::START;
  const auto code = [&](absl::Duration length) {
    return Maintain(start, "", length).status().code();
  };
  EXPECT_EQ(code(absl::ZeroDuration()), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(-absl::Hours(1)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(absl::Hours(720) + absl::Seconds(1)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(absl::InfiniteDuration()), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(absl::Seconds(1)), absl::StatusCode::kOk);
  EXPECT_EQ(code(absl::Hours(720)), absl::StatusCode::kOk);
}

TEST_F(EngineGuardsTest, EndIsForAMaintenanceThatThereIs) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  ASSERT_TRUE(Maintain(v1::MaintenanceRequest::START, "Web").ok());
  const auto other = Maintain(v1::MaintenanceRequest::END);
  EXPECT_EQ(other.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(other.status().message(), HasSubstr("there is a maintenance of Web"));
  EXPECT_EQ(Maintain(v1::MaintenanceRequest::END, "Web")->windows_size(), 0);
  EXPECT_EQ(world_.Count(v1::Agent, 12), 1);
}

TEST_F(EngineGuardsTest, APersonActsInAMaintenanceButNotWhilePaused) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  ASSERT_TRUE(Maintain(v1::MaintenanceRequest::START).ok());
  EXPECT_TRUE(RunByHand().allowed());
  ASSERT_TRUE(Pause(v1::PauseRequest::PAUSE).ok());
  const v1::RunActionResponse refused = RunByHand();
  EXPECT_FALSE(refused.allowed());
  EXPECT_EQ(refused.refused_because(), "actions are paused by ada: storm");
  const v1::RunActionResponse dry = RunByHand(/*dry_run=*/true);
  EXPECT_FALSE(dry.allowed());
  EXPECT_EQ(dry.refused_because(), "actions are paused by ada: storm");
  EXPECT_EQ(Runs(), 1u);
}

// -------------------------------------------------------------------------------------------------
// The kill switch.

TEST_F(EngineGuardsTest, APauseHoldsUntilItIsResumedThroughKillsAndReboots) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  EXPECT_TRUE(Pause(v1::PauseRequest::PAUSE)->paused());
  Break();
  world_.RunFor(absl::Hours(1));
  world_.KillAgent("boot-2");
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.RunFor(absl::Hours(2));
  EXPECT_EQ(Runs(), 0u);
  EXPECT_THAT(LastReason(), HasSubstr("held: actions are paused by ada: storm"));
  EXPECT_THAT(HoldOf("Web"), HasSubstr("paused"));
  EXPECT_FALSE(Pause(v1::PauseRequest::RESUME)->paused());
  EXPECT_EQ(Runs(), 0u);
  world_.RunFor(absl::Seconds(12));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(world_.Count(v1::Agent, 13), 1);
  EXPECT_EQ(world_.Count(v1::Agent, 14), 1);
}

TEST_F(EngineGuardsTest, APauseEndsByItself) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  ASSERT_TRUE(Pause(v1::PauseRequest::PAUSE, false, absl::Minutes(30)).ok());
  Break();
  world_.RunFor(absl::Minutes(30) - absl::Seconds(1));
  EXPECT_EQ(Runs(), 0u);
  world_.RunFor(absl::Seconds(13));
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(EngineGuardsTest, SeveralHoldsOverlap) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  ASSERT_TRUE(Maintain(v1::MaintenanceRequest::START, "Web", absl::Minutes(10)).ok());
  world_.engine->SetPauseFiles({{"/x/actions.paused", Guard{.who = "/x/actions.paused"}}});
  Break();
  world_.RunFor(absl::Minutes(5));
  EXPECT_THAT(HoldOf("Web"), HasSubstr("; actions are paused by the file /x/actions.paused"));
  world_.RunFor(absl::Minutes(20));
  EXPECT_EQ(Runs(), 0u);
  world_.engine->SetPauseFiles({});
  world_.RunFor(absl::Seconds(12));
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(EngineGuardsTest, WhatIsAtTheGateWhenAPauseBeginsIsNotDone) {
  world_.in_group = true;
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.group->answer_after = absl::Seconds(1);
  Break();
  world_.RunFor(absl::Seconds(20));
  while (world_.group->reserved.empty()) world_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(Pause(v1::PauseRequest::PAUSE).ok());
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(Runs(), 0u);
  EXPECT_EQ(world_.group->released.size(), 1u);
}

TEST_F(EngineGuardsTest, WithoutAGroupItsSwitchIsAPrecondition) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  EXPECT_EQ(Pause(v1::PauseRequest::PAUSE, true).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(EngineGuardsTest, TheGroupsSwitchHoldsAlsoWhileTheCoordinatorIsAway) {
  world_.in_group = true;
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.loop.RunPending();
  ASSERT_TRUE(Pause(v1::PauseRequest::PAUSE, true).ok());
  EXPECT_THAT(world_.group_pause.text(), HasSubstr("storm"));
  EXPECT_EQ(world_.Count(v1::Agent, 13), 1);
  world_.group_pause.SetAway(true);
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  Break();
  world_.RunFor(absl::Minutes(5));
  EXPECT_EQ(Runs(), 0u);
  EXPECT_EQ(Pause(v1::PauseRequest::RESUME, true).status().code(), absl::StatusCode::kUnavailable);
  world_.group_pause.SetAway(false);
  world_.group_pause.Set("");  // Another server resumes.
  world_.RunFor(absl::Seconds(12));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(world_.Count(v1::Agent, 14), 1);
}

// -------------------------------------------------------------------------------------------------
// Dependencies.

// The name server's monitor is slower to decide than the two that need it.
constexpr char kNetwork[] = R"(
health_set {
  name: "Network"
  probe { name: "Dns" interval: "30s" timeout: "1s" http { url: "dns" } }
  monitor { name: "Gone" probe: "Dns" consecutive_failures { threshold: 3 }
            transition { to: UNHEALTHY } }
}
health_set {
  name: "App"
  depends_on: "Network"
  probe { name: "Ping" interval: "5s" timeout: "1s" http { url: "app" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 1 }
            transition { to: UNHEALTHY } transition { to: UNRECOVERABLE after: "10m" } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY
              run_command { command: "touch" resource: "app" } }
  responder { name: "Boot" monitor: "Down" on: UNRECOVERABLE
              run_command { command: "reboot" resource: "server" } }
})";

class EngineDependencyTest : public EngineGuardsTest {
 protected:
  void BreakBoth() {
    world_.Sees("app") = Failed("no such host");
    world_.Sees("dns") = Failed("timed out");
  }
  void HealBoth() {
    world_.Sees("app") = Observation();
    world_.Sees("dns") = Observation();
  }
};

TEST_F(EngineDependencyTest, WhenBothFailAtOnceTheDependentDoesNotActThoughItIsFirst) {
  ASSERT_TRUE(world_.Configure(kNetwork).ok());
  world_.RunFor(absl::Minutes(2));
  BreakBoth();
  world_.RunFor(absl::Seconds(6));
  EXPECT_EQ(world_.StateOf("App"), "UNHEALTHY");
  EXPECT_EQ(world_.StateOf("Network"), "HEALTHY");  // Not decided yet.
  EXPECT_THAT(LastReason(), HasSubstr("Network/Gone"));
  world_.RunFor(absl::Minutes(2));
  EXPECT_EQ(world_.StateOf("Network"), "UNHEALTHY");
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Runs(), 0u);
  EXPECT_THAT(HoldOf("App"), HasSubstr("Network/Gone is UNHEALTHY"));
  EXPECT_THAT(NextSteps("App"), HasSubstr("its dependency Network"));
  ASSERT_EQ(world_.Count(v1::Agent, 18), 1);
  EXPECT_EQ(world_.Events(v1::Agent).back().incident_id().size(), 32u);
}

TEST_F(EngineDependencyTest, WhatIsWrongStillWhenTheDependencyIsWellIsJudgedAnew) {
  ASSERT_TRUE(world_.Configure(kNetwork).ok());
  world_.RunFor(absl::Minutes(2));
  BreakBoth();
  world_.RunFor(absl::Hours(1));
  ASSERT_EQ(Runs(), 0u);
  world_.Sees("dns") = Observation();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(world_.Count(v1::Agent, 18), 2);
  ASSERT_EQ(Runs(), 1u);
  EXPECT_EQ(world_.host.started()[0].command.argv[0], "touch");
}

TEST_F(EngineDependencyTest, WhatHealsWithItsDependencyIsLeftAlone) {
  ASSERT_TRUE(world_.Configure(kNetwork).ok());
  world_.RunFor(absl::Minutes(2));
  BreakBoth();
  world_.RunFor(absl::Minutes(5));
  HealBoth();
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Runs(), 0u);
  EXPECT_EQ(world_.StateOf("App"), "HEALTHY");
}

TEST_F(EngineDependencyTest, AWellDependencyIsLookedAtOnceAndCostsNoInterval) {
  ASSERT_TRUE(world_.Configure(kNetwork).ok());
  world_.RunFor(absl::Minutes(2));
  world_.Sees("app") = Failed("refused");
  world_.RunFor(absl::Seconds(7));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(world_.Count(v1::Agent, 18), 0);
}

TEST_F(EngineDependencyTest, ADependencyThatCannotBeLookedAtHolds) {
  ASSERT_TRUE(world_.Configure(kNetwork).ok());
  world_.Sees("dns") = Rejected("no descriptors");
  world_.RunFor(absl::Minutes(2));
  ASSERT_EQ(world_.StateOf("Network"), "UNAVAILABLE");
  world_.Sees("app") = Failed("refused");
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Runs(), 0u);
  world_.Sees("dns") = Observation();
  world_.RunFor(absl::Minutes(5));  // More than half of its last ten looks must see something.
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(EngineDependencyTest, OneBadLookOfTheDependencyOnlyDelays) {
  ASSERT_TRUE(world_.Configure(kNetwork).ok());
  world_.RunFor(absl::Minutes(2));
  BreakBoth();
  world_.RunFor(absl::Seconds(10));
  EXPECT_EQ(Runs(), 0u);
  world_.Sees("dns") = Observation();
  world_.RunFor(absl::Seconds(40));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(world_.Count(v1::Agent, 18), 0);
}

TEST_F(EngineDependencyTest, AfterAKillTheDependencyStillHolds) {
  ASSERT_TRUE(world_.Configure(kNetwork).ok());
  BreakBoth();
  world_.RunFor(absl::Minutes(5));
  ASSERT_EQ(world_.StateOf("Network"), "UNHEALTHY");
  for (const char* boot : {"boot-1", "boot-2"}) {
    world_.KillAgent(boot);
    ASSERT_TRUE(world_.Configure(kNetwork).ok());
    world_.RunFor(absl::Minutes(30));
    EXPECT_EQ(Runs(), 0u) << boot;
  }
}

TEST_F(EngineDependencyTest, ByHandADependencyIsNoReason) {
  ASSERT_TRUE(world_.Configure(kNetwork).ok());
  BreakBoth();
  world_.RunFor(absl::Minutes(5));
  EXPECT_TRUE(RunByHand().allowed());
}

// -------------------------------------------------------------------------------------------------
// The health floor.

class EngineFloorTest : public EngineGuardsTest {
 protected:
  void Start(int percent) {
    world_.in_group = true;
    world_.KillAgent();
    ASSERT_TRUE(world_
                    .Configure(kWeb, absl::StrCat("boot_grace: \"0s\" group: \"web\" "
                                                  "min_healthy_percent: ",
                                                  percent,
                                                  " coordinator { etcd { endpoint: "
                                                  "\"http://127.0.0.1:2379\" } }"))
                    .ok());
  }
};

TEST_F(EngineFloorTest, BelowItNothingDisruptiveIsDoneAndThenItIs) {
  Start(50);
  world_.group->health = GroupHealth{.servers = 3, .healthy_others = 1};
  Break();
  world_.RunFor(absl::Minutes(5));
  EXPECT_EQ(Runs(), 0u);
  EXPECT_TRUE(world_.group->reserved.empty());
  EXPECT_THAT(LastReason(), HasSubstr("health floor: 1 of the 2 other servers"));
  EXPECT_EQ(world_.Count(v1::Agent, 18), 1);
  world_.group->health = GroupHealth{.servers = 3, .healthy_others = 2};
  world_.RunFor(absl::Seconds(31));
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(EngineFloorTest, WithoutAnAnswerNothingIsDone) {
  Start(1);
  for (const absl::Status& status :
       {absl::UnavailableError("no answer"), absl::FailedPreconditionError("no servers")}) {
    world_.group->health = status;
    Break();
    world_.RunFor(absl::Minutes(5));
    EXPECT_EQ(Runs(), 0u);
    EXPECT_THAT(LastReason(), HasSubstr("it is not known how many servers are healthy"));
  }
}

TEST_F(EngineFloorTest, WithoutAFloorNobodyIsCounted) {
  Start(0);
  world_.group->health = absl::UnavailableError("no answer");
  Break();
  world_.RunFor(absl::Seconds(31));
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(EngineFloorTest, TheServerSaysWhetherItIsHealthyAndCountsAsUnhealthyWhenItAsks) {
  Start(50);
  world_.RunFor(absl::Seconds(11));
  ASSERT_FALSE(world_.group->reported.empty());
  EXPECT_TRUE(world_.group->reported.back());
  EXPECT_FALSE(world_.group->reported.front());  // Not looked at yet is not known to be healthy.
  Break();
  world_.RunFor(absl::Seconds(31));
  EXPECT_FALSE(world_.group->reported.back());
}

}  // namespace
}  // namespace salve

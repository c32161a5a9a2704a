// Responders that vote on components, by the engine; and what a dry run says of any.
#include <gtest/gtest.h>

#include <string>

#include "agent/engine.h"
#include "agent/simulated_world.h"

namespace salve {
namespace {

constexpr char kAgent[] = "boot_grace: \"0s\" component { name: \"web\" }";
constexpr char kWeb[] = R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "web" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 }
            transition { to: UNHEALTHY } transition { to: UNRECOVERABLE after: "10m" } }
  responder { name: "Off" monitor: "Down" on: UNHEALTHY settle: "0s" take_offline { component: "web" } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY settle: "15s"
              run_command { command: "touch" resource: "nginx" } }
})";

class EngineComponentsTest : public testing::Test {
 protected:
  void SetUp() override { world_.host.SetProgram("touch", {.takes = absl::Seconds(1)}); }
  void Configure(const std::string& text = kWeb) {
    const absl::Status status = world_.Configure(text, kAgent);
    ASSERT_TRUE(status.ok()) << status;
  }
  static std::string With(const std::string& responder) {
    std::string text = kWeb;
    return text.insert(text.rfind('}'), responder);
  }
  static std::string Replaced(const std::string& from, const std::string& to) {
    std::string text = kWeb;
    return text.replace(text.find(from), from.size(), to);
  }
  void Fall() {
    world_.Sees("web") = Failed("connection refused");
    world_.RunFor(absl::Seconds(31));
  }
  void Heal() {
    world_.Sees("web") = Observation();
    world_.RunFor(absl::Seconds(31));
  }
  bool IsOnline() const { return *world_.components->IsOnline("web"); }
  v1::RunActionResponse Run(const std::string& responder, bool dry_run = false) {
    v1::RunActionRequest request;
    request.set_responder(responder);
    request.set_user("ada");
    request.set_reason("a test");
    request.set_dry_run(dry_run);
    v1::RunActionResponse answer;
    bool answered = false;
    world_.engine->RunManually(request, [&](absl::StatusOr<v1::RunActionResponse> response) {
      EXPECT_TRUE(response.ok()) << response.status();
      if (response.ok()) answer = *response;
      answered = true;
    });
    world_.RunFor(absl::Seconds(2));
    EXPECT_TRUE(answered);
    return answer;
  }
  SimulatedWorld world_;
};

TEST_F(EngineComponentsTest, TakesOfflineWhatIsSickAndBringsItBackWhenItIsWell) {
  Configure();
  Fall();
  EXPECT_FALSE(IsOnline());
  const v1::ComponentStatus status = world_.components->List().components(0);
  EXPECT_EQ(status.votes(0).requester(), "Off");
  EXPECT_EQ(status.votes(0).reason(), "Web/Down is UNHEALTHY: connection refused");
  const v1::Event result = world_.Events(v1::RecoveryActionResults)[1];
  EXPECT_EQ(result.event_id(), 501);
  EXPECT_EQ(result.recovery_action_result().id(), "TakeOffline");
  Heal();
  EXPECT_TRUE(IsOnline());
  EXPECT_EQ(world_.Count(v1::Agent, 17), 2);
  EXPECT_EQ(world_.Events(v1::Agent).back().agent().message(),
            "component web is online: the vote of Off was taken back (Web/Down is healthy again)");
  EXPECT_EQ(world_.Events(v1::Agent).back().agent().who(), "Off");
}

TEST_F(EngineComponentsTest, AVoteThatStandsLeavesTheTurnToTheNextAndCallsNobody) {
  Configure();
  Fall();
  world_.RunFor(absl::Minutes(2));
  EXPECT_GE(world_.host.started().size(), 1u);  // The second responder had its turn.
  world_.RunFor(absl::Hours(3));
  int asked = 0;
  for (const v1::Event& event : world_.Events(v1::RecoveryActionLogs)) {
    asked += event.recovery_action_log().action_id() == "TakeOffline";
  }
  EXPECT_EQ(asked, 1);
  EXPECT_FALSE(IsOnline());
}

TEST_F(EngineComponentsTest, AVoteForATimeStaysForThatTime) {
  Configure(Replaced("component: \"web\" }", "component: \"web\" duration: \"10m\" }"));
  Fall();
  Heal();
  EXPECT_FALSE(IsOnline());
  world_.RunFor(absl::Minutes(10));
  EXPECT_TRUE(IsOnline());
}

TEST_F(EngineComponentsTest, TheVoteOutlivesTheAgentAndARebootAndStillEndsWithTheIncident) {
  Configure();
  Fall();
  world_.KillAgent();
  Configure();
  EXPECT_FALSE(IsOnline());
  world_.KillAgent("boot-2");
  Configure();
  world_.RunFor(absl::Seconds(5));
  EXPECT_FALSE(IsOnline());
  Heal();
  EXPECT_TRUE(IsOnline());
}

TEST_F(EngineComponentsTest, AResponderThatIsGoneVotesNoMore) {
  Configure();
  Fall();
  Configure(Replaced("name: \"Off\"", "name: \"Other\""));
  EXPECT_TRUE(IsOnline());
}

TEST_F(EngineComponentsTest, BringOnlinePassesNoThrottleAndWritesNoLedger) {
  Configure(With(R"(responder { name: "On" monitor: "Down" on: UNRECOVERABLE retry_after: "10s"
                                bring_online { component: "web" } })"));
  Fall();
  ASSERT_FALSE(IsOnline());
  world_.RunFor(absl::Minutes(12));  // UNRECOVERABLE.
  EXPECT_TRUE(IsOnline());
  for (const Ledger::Key& key : world_.ledger->Keys()) EXPECT_NE(key.resource, "On");
  int told = 0;
  for (const v1::Event& event : world_.Events(v1::ResponderResult)) {
    told += event.name() == "On" && event.responder_result().is_recovery_attempted();
  }
  EXPECT_EQ(told, 2);  // The vote that it took back, and once that there is none.
  // It has no limits, and nobody stumbles over that.
  v1::ListRequest all;
  EXPECT_EQ(world_.engine->Responders(all)->responders_size(), 3);
  world_.engine->ThrottleConfig();
  world_.engine->ThrottleState({}, [](auto state) { EXPECT_TRUE(state.ok()); });
  v1::CheckThrottleRequest check;
  check.set_action("RunCommand");
  check.set_resource("x");
  check.set_requester("On");
  world_.engine->CheckThrottle(check, [](auto answer) {
    EXPECT_EQ(answer.status().message(), "requester: On passes no throttle");
  });
}

TEST_F(EngineComponentsTest, BringOnlineObservesWithoutDoing) {
  Configure(With(R"(responder { name: "On" monitor: "Down" on: UNRECOVERABLE mode: OBSERVE
                                bring_online { component: "web" } })"));
  Fall();
  world_.RunFor(absl::Minutes(12));
  EXPECT_FALSE(IsOnline());
  EXPECT_EQ(world_.Events(v1::ResponderResult).back().responder_result().reason(),
            "OBSERVE: would run BringOnline on web now");
}

TEST_F(EngineComponentsTest, AVoteByHandIsThePersonsOwn) {
  Configure(With(R"(responder { name: "On" monitor: "Down" on: UNRECOVERABLE
                                bring_online { component: "web" } })"));
  EXPECT_EQ(Run("Off").result().result(), "Succeeded");
  EXPECT_EQ(world_.components->List().components(0).votes(0).requester(), "operator:ada");
  EXPECT_EQ(world_.components->List().components(0).votes(0).reason(), "a test");
  const v1::RunActionResponse online = Run("On");
  EXPECT_TRUE(online.allowed());
  EXPECT_EQ(online.result().id(), "BringOnline");
  EXPECT_EQ(online.result().context(), "no responder votes for web to be offline");
  EXPECT_FALSE(IsOnline());
}

// --- Dry runs.

TEST_F(EngineComponentsTest, ADryRunSaysWhatWouldBeDoneAndDoesNothing) {
  Configure();
  const size_t events = world_.events.events.size();
  const v1::RunActionResponse answer = Run("Fix", /*dry_run=*/true);
  EXPECT_TRUE(answer.allowed());
  EXPECT_EQ(answer.plan(),
            "runs touch. By itself the responder would not act now: the monitor is healthy again");
  EXPECT_NE(answer.verdict().local_throttle_result().find("IsThrottlingInProgress=\"false\""),
            std::string::npos);
  EXPECT_EQ(answer.verdict().exception_message(), "");
  EXPECT_FALSE(answer.has_result());
  EXPECT_TRUE(world_.host.started().empty());
  EXPECT_TRUE(world_.ledger->Keys().empty());
  for (size_t i = events; i < world_.events.events.size(); ++i) {
    EXPECT_EQ(world_.events.events[i].channel(), v1::ProbeResult);
  }
}

TEST_F(EngineComponentsTest, ADryRunTellsTheRefusalOfTheThrottle) {
  Configure();
  Run("Fix");
  const v1::RunActionResponse answer = Run("Fix", /*dry_run=*/true);
  EXPECT_FALSE(answer.allowed());
  EXPECT_NE(answer.verdict().exception_message().find("LocalMinimumMinutes"), std::string::npos);
  EXPECT_TRUE(answer.has_time_to_retry_after());
  EXPECT_EQ(answer.refused_because(), "");
  EXPECT_EQ(world_.Count(v1::RecoveryActionLogs, 2051), 0);
}

TEST_F(EngineComponentsTest, ADryRunTellsWhatIsUnderWayAndThatTheSystemStops) {
  world_.host.SetProgram("touch", {.takes = absl::Minutes(1)});
  Configure();
  v1::RunActionRequest request;
  request.set_responder("Fix");
  world_.engine->RunManually(request, [](auto) {});
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Run("Fix", true).refused_because(), "another action on the resource is under way");
  EXPECT_EQ(Run("Off", true).refused_because(), "");
  world_.services.SetStopping(true);
  const v1::RunActionResponse answer = Run("Off", true);
  EXPECT_FALSE(answer.allowed());
  EXPECT_EQ(answer.refused_because(), "the agent or the system is stopping");
  EXPECT_EQ(answer.verdict().exception_message(), "");
}

TEST_F(EngineComponentsTest, ADryRunOfWhatPassesNoThrottleHasNoVerdict) {
  Configure(With(R"(responder { name: "On" monitor: "Down" on: UNRECOVERABLE
                                bring_online { component: "web" } })"));
  const v1::RunActionResponse answer = Run("On", /*dry_run=*/true);
  EXPECT_TRUE(answer.allowed());
  EXPECT_FALSE(answer.has_verdict());
}

TEST_F(EngineComponentsTest, ADryRunOfAnActionAndItsResourceReadsTheUnit) {
  Configure();
  UnitState nginx = world_.services.Unit("nginx.service");
  world_.services.SetUnit("nginx.service", nginx);
  v1::RunActionRequest request;
  request.set_action("RestartService");
  request.set_resource("nginx.service");
  request.set_dry_run(true);
  v1::RunActionResponse answer;
  world_.engine->RunManually(request, [&](auto response) { answer = *response; });
  world_.RunFor(absl::Seconds(2));
  EXPECT_TRUE(answer.allowed());
  EXPECT_EQ(answer.plan(),
            "restarts nginx.service over D-Bus in job mode `fail` and awaits that it is active; it "
            "is active/running now");
  EXPECT_TRUE(world_.services.restarts().empty());
}

}  // namespace
}  // namespace salve

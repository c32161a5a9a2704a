#include "agent/deferred_actions.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "agent/simulated_world.h"

namespace salve {
namespace {

// The monitor is well and nothing acts by itself; `touch` is what the responder runs.
constexpr char kWeb[] = R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "web" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 } transition { to: UNHEALTHY } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY settle: "15s" timeout: "1m"
              throttle { local_minimum_minutes_between_attempts: 10 }
              run_command { command: "touch" resource: "web" } }
  responder { name: "Call" monitor: "Down" on: UNHEALTHY escalate {} }
  responder { name: "On" monitor: "Down" on: UNHEALTHY bring_online { component: "web" } }
})";
constexpr char kAgent[] = "boot_grace: \"0s\" component { name: \"web\" }";

class DeferredActionsTest : public testing::Test {
 protected:
  void SetUp() override {
    world_.host.SetProgram("touch", {.takes = absl::Seconds(1)});
    const absl::Status status = world_.Configure(kWeb, kAgent);
    ASSERT_TRUE(status.ok()) << status;
  }
  static v1::RunActionRequest Request(const std::string& responder = "Fix") {
    v1::RunActionRequest request;
    request.set_responder(responder);
    request.set_user("ada");
    request.set_reason("by hand");
    request.set_defer(true);
    return request;
  }
  absl::StatusOr<v1::RunActionResponse> Run(const v1::RunActionRequest& request) {
    absl::StatusOr<v1::RunActionResponse> answer = absl::UnknownError("no answer");
    world_.engine->RunManually(request, [&](auto given) { answer = std::move(given); });
    world_.RunFor(absl::Milliseconds(10));
    return answer;
  }
  std::string Defer() {
    const absl::StatusOr<v1::RunActionResponse> answer = Run(Request());
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? answer->mid() : "";
  }
  size_t Runs() const { return world_.host.started().size(); }
  std::vector<const Attempt*> Attempts() const {
    return world_.ledger->List(nullptr, "", absl::InfinitePast(), 100);
  }
  // How the message ended: "done", "failed" …; "waiting", "delivering" while it has not.
  std::string StateOf(const std::string& mid) {
    v1::GetMessageRequest request;
    request.set_id(mid);
    std::string state;
    world_.queue->GetMessage(request, [&](absl::StatusOr<v1::GetMessageResponse> answer) {
      state = answer.ok() ? answer->message().state() : std::string(answer.status().message());
    });
    world_.RunFor(absl::Milliseconds(1));
    return state;
  }
  SimulatedWorld world_;
};

TEST_F(DeferredActionsTest, RunsOnceThroughTheThrottleAndIsLinkedToItsAttempt) {
  const std::string mid = Defer();
  ASSERT_FALSE(mid.empty());
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(Runs(), 1u);
  ASSERT_EQ(Attempts().size(), 1u);
  EXPECT_EQ(Attempts()[0]->requester, "deferred:" + mid + ":ada");
  EXPECT_EQ(StateOf(mid), "done");
  world_.RunFor(absl::Hours(30));
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(DeferredActionsTest, ASecondOneWaitsUntilTheThrottleLetsItAndNoSooner) {
  Defer();
  const std::string second = Defer();
  world_.RunFor(absl::Minutes(9));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(StateOf(second), "waiting");
  world_.RunFor(absl::Minutes(3));
  EXPECT_EQ(Runs(), 2u);
  EXPECT_EQ(StateOf(second), "done");
}

TEST_F(DeferredActionsTest, OneThatTheThrottleRefusesUntilItExpiresIsRejected) {
  Defer();
  world_.RunFor(absl::Seconds(5));
  v1::RunActionRequest request = Request();
  request.set_expire_seconds(300);
  const std::string mid = Run(request)->mid();
  world_.RunFor(absl::Minutes(20));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(StateOf(mid), "rejected");
  EXPECT_EQ(world_.Count(v1::Queue, 40005), 1);
}

TEST_F(DeferredActionsTest, OneThatFailsIsFailedAndNotTriedAgain) {
  world_.host.SetProgram("touch", {.takes = absl::Seconds(1), .result = {.exit_code = 3}});
  const std::string mid = Defer();
  world_.RunFor(absl::Hours(1));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(StateOf(mid), "failed");
}

TEST_F(DeferredActionsTest, APauseHoldsItAndItRunsAfterwards) {
  v1::PauseRequest pause;
  pause.set_verb(v1::PauseRequest::PAUSE);
  world_.engine->PauseActions(pause, [](const auto&) {});
  const std::string mid = Defer();
  world_.RunFor(absl::Minutes(5));
  EXPECT_EQ(Runs(), 0u);
  pause.set_verb(v1::PauseRequest::RESUME);
  world_.engine->PauseActions(pause, [](const auto&) {});
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(StateOf(mid), "done");
}

TEST_F(DeferredActionsTest, OneWhoseResponderIsGoneFailsAndSaysSo) {
  v1::PauseRequest pause;
  pause.set_verb(v1::PauseRequest::PAUSE);
  world_.engine->PauseActions(pause, [](const auto&) {});
  const std::string mid = Defer();
  ASSERT_TRUE(world_.Configure("health_set { name: \"Other\" }", kAgent).ok());
  pause.set_verb(v1::PauseRequest::RESUME);
  world_.engine->PauseActions(pause, [](const auto&) {});
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(StateOf(mid), "failed");
  ASSERT_EQ(world_.Count(v1::Queue, 40004), 1);
  EXPECT_TRUE(absl::StrContains(world_.Events(v1::Queue).back().queue().reason(), "is gone"))
      << world_.Events(v1::Queue).back().ShortDebugString();
}

TEST_F(DeferredActionsTest, ABugOneWhoseResponderActsOnAnotherResourceNowRanThere) {
  v1::PauseRequest pause;
  pause.set_verb(v1::PauseRequest::PAUSE);
  world_.engine->PauseActions(pause, [](const auto&) {});
  const std::string mid = Defer();
  ASSERT_TRUE(
      world_
          .Configure(absl::StrReplaceAll(kWeb, {{"resource: \"web\"", "resource: \"db\""}}), kAgent)
          .ok());
  pause.set_verb(v1::PauseRequest::RESUME);
  world_.engine->PauseActions(pause, [](const auto&) {});
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Runs(), 0u);
  EXPECT_EQ(StateOf(mid), "obsolete");
  EXPECT_EQ(world_.Events(v1::Queue).back().queue().reason(),
            "it was accepted for web; 'Web/Fix' acts on db now");
}

TEST_F(DeferredActionsTest, TheEventOfItsEndNamesItsAttempt) {
  Defer();
  world_.RunFor(absl::Seconds(5));
  ASSERT_EQ(Attempts().size(), 1u);
  ASSERT_EQ(world_.Count(v1::Queue, 40002), 1);
  EXPECT_EQ(world_.Events(v1::Queue).back().queue().attempt_id(), Attempts()[0]->id);
}

TEST_F(DeferredActionsTest, WhatCanNotBeDeferredIsRefusedAtOnce) {
  EXPECT_EQ(Run(Request("Nobody")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Run(Request("Call")).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Run(Request("On")).status().code(), absl::StatusCode::kInvalidArgument);
  v1::RunActionRequest request = Request();
  request.set_priority(11);
  EXPECT_EQ(Run(request).status().code(), absl::StatusCode::kInvalidArgument);
  request.set_priority(10);
  request.set_expire_seconds(4);
  EXPECT_EQ(Run(request).status().code(), absl::StatusCode::kInvalidArgument);
  request.set_expire_seconds(90 * 24 * 3600 + 1);
  EXPECT_EQ(Run(request).status().code(), absl::StatusCode::kInvalidArgument);
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Runs(), 0u);
}

TEST_F(DeferredActionsTest, ADryRunDefersNothing) {
  v1::RunActionRequest request = Request();
  request.set_dry_run(true);
  const auto answer = Run(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->mid(), "");
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Runs(), 0u);
}

TEST_F(DeferredActionsTest, KilledWhileItRunsItIsFailedAndNeverRunsAgain) {
  world_.host.SetProgram("touch", {.takes = absl::Seconds(30)});
  const std::string mid = Defer();
  world_.RunFor(absl::Seconds(5));
  ASSERT_EQ(Runs(), 1u);
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kWeb, kAgent).ok());
  world_.RunFor(absl::Hours(30));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(StateOf(mid), "failed");
}

TEST_F(DeferredActionsTest, KilledBeforeItsTurnItRunsInTheNextLife) {
  Defer();
  const std::string second = Defer();
  world_.RunFor(absl::Minutes(1));
  world_.KillAgent();
  ASSERT_TRUE(world_.Configure(kWeb, kAgent).ok());
  world_.RunFor(absl::Minutes(15));
  EXPECT_EQ(Runs(), 2u);
  EXPECT_EQ(StateOf(second), "done");
}

TEST_F(DeferredActionsTest, AnAttemptThatTheLedgerKnowsIsNeverMadeAgain) {
  queue::Message message;
  message.set_mid("test-1-1-1");
  message.mutable_deferred()->set_responder("Web/Fix");
  message.mutable_deferred()->set_resource("web");
  message.mutable_deferred()->set_requester("ada");
  std::vector<DeliveryResult> results;
  const auto start = [&] {
    world_.actions->Start("local/web", {message}, Instant::InfiniteFuture(),
                          [&](DeliveryResult result) { results.push_back(result); });
    EXPECT_TRUE(results.empty() || results.size() == 1);  // Never inside the call.
    world_.RunFor(absl::Seconds(5));
  };
  start();
  start();
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].kind, DeliveryResult::Kind::kDelivered);
  EXPECT_EQ(results[1].kind, DeliveryResult::Kind::kDelivered);
  EXPECT_EQ(results[1].detail, results[0].detail);
  EXPECT_EQ(Runs(), 1u);
  ASSERT_TRUE(KnownAttemptOf(*world_.ledger, "test-1-1-1").has_value());
  EXPECT_FALSE(KnownAttemptOf(*world_.ledger, "test-1-1-1")->crashed);
  EXPECT_EQ(KnownAttemptOf(*world_.ledger, "test-1-1-1")->result, "Succeeded");
  EXPECT_FALSE(KnownAttemptOf(*world_.ledger, "test-1-1").has_value());
}

TEST_F(DeferredActionsTest, CrashesOfTheSameResourceCountForADay) {
  queue::Deferred deferred;
  deferred.set_resource("web");
  const auto crash = [&](const std::string& requester) {
    const Attempt attempt =
        world_.ledger->NewAttempt(RecoveryAction::kRunCommand, "web", requester, absl::Minutes(1));
    world_.ledger->Begin(attempt, [](absl::Status) {});
    world_.ledger->Finish(attempt.id, AttemptResult::kCrashed, [](absl::Status) {});
  };
  crash("operator:ada");
  crash("deferred:m1:ada");
  crash("deferred:m2:ada");
  const auto count = [&] {
    return CrashesOf(*world_.ledger, deferred, world_.loop.clock().WallNow(), false);
  };
  EXPECT_EQ(count(), 2);
  deferred.set_resource("other");
  EXPECT_EQ(count(), 0);
  deferred.set_resource("web");
  world_.RunFor(absl::Hours(24) - absl::Seconds(1));
  EXPECT_EQ(count(), 2);
  world_.RunFor(absl::Seconds(2));
  EXPECT_EQ(count(), 0);
}

TEST_F(DeferredActionsTest, WithoutAnEngineItWaits) {
  world_.actions->SetEngine(nullptr);
  const std::string mid = Defer();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(StateOf(mid), "waiting");
  world_.actions->SetEngine(world_.engine.get());
  world_.RunFor(absl::Seconds(6));
  EXPECT_EQ(StateOf(mid), "done");
}

}  // namespace
}  // namespace salve

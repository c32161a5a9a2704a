// Notifications and evidence, by the whole engine on a simulated clock.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/simulated_world.h"

namespace salve {
namespace {

constexpr char kAgent[] = R"(
boot_grace: "0s"
destination { name: "hook" webhook { url: "http://127.0.0.1/" } }
destination { name: "mail" smtp { url: "smtp://127.0.0.1" from: "a@b" to: "c@d" } }
)";

// One failing look in ten seconds; `touch` heals. `responders` go before the one that heals.
std::string Web(const std::string& responders, const std::string& more = "") {
  return absl::StrCat(R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "web" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 } transition { to: UNHEALTHY }
            transition { to: UNRECOVERABLE after: "25m" } }
)",
                      responders, R"(
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY settle: "15s" retry_after: "60s"
              run_command { command: "touch" resource: "web" } }
)",
                      more, "}");
}
std::string Responder(const std::string& name, const std::string& action,
                      const std::string& more = "") {
  return absl::StrCat("responder { name: \"", name, "\" monitor: \"Down\" on: UNHEALTHY ", more,
                      " ", action, " }\n");
}

class EngineNotifyTest : public testing::Test {
 protected:
  void SetUp() override { world_.host.SetProgram("touch", {.takes = absl::Seconds(1)}); }
  void Configure(const std::string& text) {
    const absl::Status status = world_.Configure(text, kAgent);
    ASSERT_TRUE(status.ok()) << status;
  }
  void Break() { world_.Sees("web") = Failed("connection refused"); }
  void Heal() { world_.Sees("web") = Observation(); }
  size_t Runs(const std::string& program = "touch") const {
    return std::count_if(world_.host.started().begin(), world_.host.started().end(),
                         [&](const auto& run) { return run.command.argv[0] == program; });
  }
  std::vector<std::string> Told(const std::string& destination) const {
    std::vector<std::string> subjects;
    for (const auto& attempt : world_.transport.To(destination)) {
      subjects.push_back(attempt.letter.notice.subject);
    }
    return subjects;
  }
  using Texts = std::vector<std::string>;
  SimulatedWorld world_;
};

TEST_F(EngineNotifyTest, ADryRunSaysWhatWouldBeToldAndTellsNothing) {
  Configure(Web(Responder("Call", "escalate { to: 'mail' }")));
  v1::RunActionRequest request;
  request.set_responder("Web/Call");
  request.set_dry_run(true);
  absl::StatusOr<v1::RunActionResponse> answer;
  world_.engine->RunManually(request, [&](auto given) { answer = std::move(given); });
  world_.RunFor(absl::Minutes(1));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->allowed());
  EXPECT_NE(answer->plan().find("mail"), std::string::npos) << answer->plan();
  EXPECT_EQ(Told("mail"), Texts());
  request.set_dry_run(false);
  world_.engine->RunManually(request, [&](auto given) { answer = std::move(given); });
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineNotifyTest, AMaintenanceSilencesItAndAPauseDoesNot) {
  Configure(Web(Responder("Call", "escalate {}")));
  v1::MaintenanceRequest maintenance;
  maintenance.set_verb(v1::MaintenanceRequest::START);
  maintenance.set_duration_seconds(600);
  world_.engine->Maintain(maintenance, [](const auto&) {});
  Break();
  world_.RunFor(absl::Minutes(9));
  EXPECT_EQ(Told("mail"), Texts());
  v1::PauseRequest pause;
  pause.set_verb(v1::PauseRequest::PAUSE);
  world_.engine->PauseActions(pause, [](const auto&) {});
  world_.RunFor(absl::Minutes(9));
  EXPECT_EQ(Told("mail"), Texts{"Web/Down is UNHEALTHY"});
  EXPECT_EQ(Runs(), 0u);
}

TEST_F(EngineNotifyTest, PeopleWaitNoLongerBecauseAPauseStopsTheTimeline) {
  Configure(Web(Responder("Call", "escalate {}", "after: '10m'")));
  v1::PauseRequest pause;
  pause.set_verb(v1::PauseRequest::PAUSE);
  world_.engine->PauseActions(pause, [](const auto&) {});
  Break();
  world_.RunFor(absl::Minutes(10));  // It is UNHEALTHY from the third look on.
  EXPECT_EQ(Told("mail"), Texts());
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Told("mail"), Texts{"Web/Down is UNHEALTHY"});
}

TEST_F(EngineNotifyTest, TellsOnceAnIncidentAndThenThatItIsWell) {
  Configure(Web(Responder("Call", "escalate {}")));
  Break();
  world_.RunFor(absl::Minutes(5));
  EXPECT_EQ(Told("mail"), Texts{"Web/Down is UNHEALTHY"});
  EXPECT_EQ(Told("hook"), Texts{"Web/Down is UNHEALTHY"});
  const Notice notice = world_.transport.attempts[0].letter.notice;
  EXPECT_EQ(notice.error, "connection refused");
  EXPECT_EQ(notice.incident_id.size(), 32u);
  EXPECT_TRUE(absl::StrContains(notice.message, "latest error: connection refused"));
  Heal();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Told("mail"), (Texts{"Web/Down is UNHEALTHY", "Web/Down is healthy again"}));
  EXPECT_EQ(world_.transport.attempts.back().letter.notice.kind, Notice::Kind::kHealthyAgain);
  EXPECT_EQ(world_.Count(v1::Monitoring, 4), 1);
  EXPECT_EQ(world_.Count(v1::Monitoring, 5), 4);
  world_.RunFor(absl::Hours(2));
  Break();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Told("mail").size(), 3u);  // Another incident.
}

TEST_F(EngineNotifyTest, PassesNoThrottleAndWritesNoAttempt) {
  Configure(Web(Responder("Call", "escalate {}")));
  Break();
  world_.RunFor(absl::Seconds(31));
  EXPECT_EQ(Told("mail").size(), 1u);
  ASSERT_EQ(world_.ledger->Keys().size(), 1u);  // Of the one that heals.
  EXPECT_EQ(Runs(), 1u);                        // It did not wait, and was not waited for.
}

TEST_F(EngineNotifyTest, OnlyWhoIsNamedIsToldBoth) {
  Configure(Web(Responder("Call", R"(escalate { to: "hook" subject: "{monitor}: {error}" })")));
  Break();
  world_.RunFor(absl::Minutes(1));
  Heal();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Told("hook"), (Texts{"Down: connection refused", "Web/Down is healthy again"}));
  EXPECT_TRUE(Told("mail").empty());
}

TEST_F(EngineNotifyTest, TellsOfEachStateAndAfterItsAge) {
  Configure(Web(Responder("Call", "escalate {}", "after: \"2m\""),
                R"(responder { name: "CallAll" monitor: "Down" on: UNRECOVERABLE escalate {} })"));
  Break();
  world_.RunFor(absl::Minutes(1));
  EXPECT_TRUE(Told("mail").empty());
  world_.RunFor(absl::Minutes(3));
  EXPECT_EQ(Told("mail").size(), 1u);
  world_.RunFor(absl::Minutes(30));
  const Texts told = Told("mail");
  EXPECT_EQ(std::count(told.begin(), told.end(), "Web/Down is UNRECOVERABLE"), 1);
  EXPECT_EQ(std::count(told.begin(), told.end(), "Web/Down is UNHEALTHY"), 1);
}

TEST_F(EngineNotifyTest, AReopenedIncidentIsNotToldAnewBeforeItsThirdReturn) {
  Configure(Web(Responder("Call", "escalate {}")));
  for (int i = 0; i < 3; ++i) {
    Break();
    world_.RunFor(absl::Minutes(1));
    Heal();
    world_.RunFor(absl::Minutes(1));
  }
  EXPECT_EQ(Told("mail"), (Texts{"Web/Down is UNHEALTHY", "Web/Down is healthy again"}));
  Break();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Told("mail").back(), "Web/Down keeps coming back");
  Heal();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Told("mail").back(), "Web/Down is healthy again");
  EXPECT_EQ(Told("mail").size(), 4u);
}

TEST_F(EngineNotifyTest, WhatTheEngineEscalatesGoesToAllAndWellFollows) {
  Configure(Web(""));
  Break();
  world_.RunFor(absl::Hours(2));
  EXPECT_EQ(Told("hook"), Texts{"Web/Down needs a person"});
  EXPECT_EQ(Told("mail"), Texts{"Web/Down needs a person"});
  Heal();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Told("mail").back(), "Web/Down is healthy again");
}

TEST_F(EngineNotifyTest, AnIncidentThatNobodyWasToldOfEndsInSilence) {
  Configure(Web(""));
  Break();
  world_.RunFor(absl::Minutes(1));
  Heal();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(world_.Count(v1::Monitoring, 1), 1);
  EXPECT_TRUE(world_.transport.attempts.empty());
}

TEST_F(EngineNotifyTest, ARestartOfTheAgentTellsNothingTwiceAndForgetsNothing) {
  world_.transport.Answer("mail", absl::UnavailableError("no"));
  Configure(Web(Responder("Call", "escalate {}")));
  Break();
  world_.RunFor(absl::Seconds(40));
  EXPECT_EQ(Told("mail").size(), 1u);
  world_.KillAgent();
  world_.transport.Answer("mail", std::string());
  Configure(Web(Responder("Call", "escalate {}")));
  world_.RunFor(absl::Minutes(2));
  EXPECT_EQ(Told("hook").size(), 1u);
  EXPECT_EQ(Told("mail").size(), 2u);  // Its second attempt.
  EXPECT_EQ(world_.Count(v1::Monitoring, 4), 1);
  Heal();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Told("hook").back(), "Web/Down is healthy again");
  EXPECT_EQ(Told("mail").back(), "Web/Down is healthy again");
}

TEST_F(EngineNotifyTest, KilledBetweenTheDecisionAndItsAcceptanceAnEscalationIsToldByTheNextLife) {
  world_.queue_answers = false;
  Configure(Web(Responder("Call", "escalate {}")));
  Break();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(world_.Count(v1::Monitoring, 4), 1);
  EXPECT_TRUE(world_.transport.attempts.empty());
  world_.queue_answers = true;
  world_.KillAgent();
  Configure(Web(Responder("Call", "escalate {}")));
  world_.RunFor(absl::Minutes(1));
  world_.KillAgent();
  Configure(Web(Responder("Call", "escalate {}")));
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Told("mail"), Texts{"Web/Down is UNHEALTHY"});
  EXPECT_EQ(Told("hook"), Texts{"Web/Down is UNHEALTHY"});
}

TEST_F(EngineNotifyTest, KilledBetweenTheEndAndItsAcceptanceHealthyAgainIsToldByTheNextLife) {
  Configure(Web(Responder("Call", "escalate { to: 'mail' }")));
  Break();
  world_.RunFor(absl::Minutes(1));
  world_.queue_answers = false;
  Heal();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Told("mail").size(), 1u);
  world_.queue_answers = true;
  world_.KillAgent();
  Configure(Web(Responder("Call", "escalate { to: 'mail' }")));
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Told("mail"), (Texts{"Web/Down is UNHEALTHY", "Web/Down is healthy again"}));
}

TEST_F(EngineNotifyTest, NotificationsDoNotWaitForTheBootGrace) {
  SimulatedWorld fresh(Instant::FromNanosSinceBoot(1));
  ASSERT_TRUE(
      fresh
          .Configure(Web(Responder("Call", "escalate {}") + Responder("Look", "collect {}")),
                     absl::StrCat("boot_grace: \"10m\"", std::string(kAgent).substr(18)))
          .ok());
  fresh.Sees("web") = Failed("connection refused");
  fresh.RunFor(absl::Minutes(5));
  EXPECT_EQ(fresh.transport.To("mail").size(), 1u);
  EXPECT_TRUE(fresh.host.started().empty());
  EXPECT_EQ(fresh.Count(v1::Monitoring, 8), 0);
}

TEST_F(EngineNotifyTest, ObserveSaysWhatWouldBeDone) {
  Configure(Web(Responder("Call", "escalate { to: \"mail\" }", "mode: OBSERVE") +
                Responder("Look", "collect {}", "mode: OBSERVE")));
  Break();
  world_.RunFor(absl::Minutes(1));
  EXPECT_TRUE(world_.transport.attempts.empty());
  EXPECT_EQ(world_.Count(v1::Monitoring, 8), 0);
  Texts reasons;
  for (const v1::Event& event : world_.Events(v1::ResponderResult)) {
    if (event.name() != "Fix") reasons.push_back(event.responder_result().reason());
  }
  ASSERT_EQ(reasons.size(), 2u);
  EXPECT_EQ(reasons[0], "OBSERVE: would act: tells the journal and mail");
  EXPECT_TRUE(absl::StartsWith(reasons[1], "OBSERVE: would act: keeps journal, processes"));
  EXPECT_EQ(Runs(), 1u);
}

TEST_F(EngineNotifyTest, WhatIsDisruptiveWaitsForEvidenceBeforeIt) {
  world_.host.SetProgram("journalctl", {.takes = absl::Seconds(5)});
  world_.host.SetProgram("ss", {.takes = absl::Seconds(1)});
  Configure(Web(Responder("Look", "collect {}")));
  Break();
  world_.RunFor(absl::Seconds(31));
  ASSERT_EQ(Runs("journalctl"), 1u);
  EXPECT_EQ(Runs(), 0u);
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(Runs(), 1u);
  ASSERT_EQ(world_.Count(v1::Monitoring, 8), 1);
  const v1::Event event = world_.Events(v1::Monitoring)[0];
  EXPECT_EQ(event.level(), v1::Information) << event.ShortDebugString();
  EXPECT_TRUE(absl::StrContains(event.monitoring().path(), event.incident_id()));
  for (const char* file :
       {"journal.txt", "sockets.txt", "processes.txt", "descriptors.txt", "pressure.txt"}) {
    EXPECT_TRUE(std::filesystem::exists(event.monitoring().path() + "/" + file)) << file;
  }
  world_.RunFor(absl::Minutes(20));
  EXPECT_EQ(Runs("journalctl"), 1u);  // Once an incident, though the action is repeated.
  EXPECT_GE(Runs(), 2u);
}

TEST_F(EngineNotifyTest, EvidenceThatHangsHoldsHealingUpNoLongerThanItsTimeout) {
  world_.host.SetProgram("journalctl", {.takes = absl::InfiniteDuration()});
  Configure(Web(Responder("Look", "collect {}", "timeout: \"7s\"")));
  Break();
  world_.RunFor(absl::Seconds(20) + absl::Seconds(6));
  EXPECT_EQ(Runs(), 0u);
  world_.RunFor(absl::Seconds(10));
  EXPECT_EQ(Runs(), 1u);
  ASSERT_EQ(world_.Count(v1::Monitoring, 8), 1);
  EXPECT_EQ(world_.Events(v1::Monitoring)[0].level(), v1::Warning);
}

TEST_F(EngineNotifyTest, EvidenceWrittenAfterwardsIsNotWaitedFor) {
  world_.host.SetProgram("journalctl", {.takes = absl::Seconds(20)});
  Configure(Web("", Responder("Look", "collect {}")));
  Break();
  world_.RunFor(absl::Seconds(31));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_EQ(Runs("journalctl"), 1u);
}

TEST_F(EngineNotifyTest, ASymlinkInPlaceOfTheFolderIsRecordedAndHealingGoesOn) {
  std::filesystem::create_directory(world_.dir() + "/elsewhere");
  std::filesystem::create_directory_symlink(world_.dir() + "/elsewhere",
                                            world_.dir() + "/evidence");
  Configure(Web(Responder("Look", "collect {}")));
  Break();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Runs(), 1u);
  EXPECT_TRUE(std::filesystem::is_empty(world_.dir() + "/elsewhere"));
  ASSERT_EQ(world_.Count(v1::Monitoring, 8), 1);
  EXPECT_TRUE(absl::StrContains(world_.Events(v1::Monitoring)[0].monitoring().message(),
                                "a folder is needed, no link"));
}

TEST_F(EngineNotifyTest, TheyAreListedWithoutLimitsAndAreNotRunByHand) {
  Configure(Web(Responder("Call", "escalate {}") + Responder("Look", "collect {}")));
  const auto list = world_.engine->Responders({});
  ASSERT_EQ(list->responders_size(), 3);
  EXPECT_EQ(list->responders(1).action_id(), "Escalate");
  EXPECT_EQ(list->responders(1).resource_name(), "all destinations");
  EXPECT_FALSE(list->responders(1).has_throttle());
  v1::RunActionRequest request;
  request.set_responder("Call");
  absl::Status status;
  world_.engine->RunManually(request, [&](auto response) { status = response.status(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineNotifyTest, AReloadThatChangesAnEscalationTakesItUpAndTellsNothingTwice) {
  Configure(Web(Responder("Call", "escalate {}")));
  Break();
  world_.RunFor(absl::Minutes(1));
  Configure(Web(Responder("Call", "escalate { subject: \"other\" }")));
  world_.RunFor(absl::Minutes(5));
  EXPECT_EQ(Told("mail").size(), 1u);
}

}  // namespace
}  // namespace salve

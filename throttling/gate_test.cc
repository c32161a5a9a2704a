#include "throttling/gate.h"

#include <signal.h>
#include <sys/resource.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "throttling/fake_coordinator.h"
#include "throttling/ledger_fixture.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Kind = GateAnswer::Kind;

class KeptEvents final : public EventLog {
 public:
  uint64_t Append(v1::Event event) override {
    all.push_back(std::move(event));
    return all.size();
  }
  std::vector<int> Ids() const {
    std::vector<int> ids;
    for (const v1::Event& event : all) ids.push_back(event.event_id());
    return ids;
  }
  const v1::RecoveryActionLogEvent& Verdict(size_t i) const { return all[i].recovery_action_log(); }
  const v1::RecoveryActionResultEvent& Result(size_t i) const {
    return all[i].recovery_action_result();
  }

  std::vector<v1::Event> all;
};

class GateTest : public LedgerTest {
 protected:
  GateTest() {
    Open();
    coordinator_ = std::make_unique<FakeCoordinator>(*loop_);
    gate_ = std::make_unique<Gate>(
        Gate::Parts{loop_.get(), ledger_.get(), coordinator_.get(), &events_});
  }

  static ActionRequest Request(const std::string& resource = "nginx.service") {
    ActionRequest request;
    request.resource = resource;
    request.requester = "RestartNginx";
    request.limits_of = {{"RestartServiceResponder", "RestartNginx", {}}};
    request.incident_id = "incident";
    request.health_set = "Web";
    return request;
  }
  void SetLimits(const Limits& limits) {
    PolicyEntry entry;
    entry.action = RecoveryAction::kRestartService;
    entry.limits = limits;
    gate_->SetPolicy(*Policy::Create({entry}));
  }
  GateAnswer Ask(ActionRequest request) {
    std::optional<GateAnswer> answer;
    gate_->Ask(std::move(request), [&](GateAnswer got) { answer = std::move(got); });
    EXPECT_FALSE(answer.has_value()) << "answered inside the call";
    loop_->RunPending();
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(GateAnswer());
  }
  absl::Status End(const std::string& id, AttemptResult result) {
    return Run([&](LedgerDone done) {
      gate_->Finish(id, {result, "Name", "Message", "job=1"}, std::move(done));
    });
  }

  KeptEvents events_;
  std::unique_ptr<FakeCoordinator> coordinator_;
  std::unique_ptr<Gate> gate_;
};

TEST_F(GateTest, AnAllowedAttemptIsInTheLedgerAndTheEventsBeforeTheAnswer) {
  bool answered = false;
  gate_->Ask(Request(), [&](GateAnswer answer) {
    answered = true;
    EXPECT_EQ(answer.kind, Kind::kAllowed);
    EXPECT_THAT(answer.failed, IsEmpty());
    EXPECT_EQ(ledger_->Find(answer.attempt.id)->state, AttemptState::kInProgress);
    EXPECT_EQ(ledger_->Find(answer.attempt.id)->incident_id, "incident");
    EXPECT_THAT(events_.Ids(), ElementsAre(2050, 500));
    EXPECT_THAT(coordinator_->reserved, ElementsAre(answer.attempt.id));
  });
  loop_->RunPending();
  EXPECT_TRUE(answered);
}

TEST_F(GateTest, TheEventsOfAnAllowedAttemptSayWhatTheyMust) {
  coordinator_->verdict.servers_in_group = 3;
  coordinator_->verdict.servers_in_compatible_version = 2;
  const GateAnswer answer = Ask(Request());
  const v1::RecoveryActionLogEvent& verdict = events_.Verdict(0);
  EXPECT_EQ(events_.all[0].channel(), v1::RecoveryActionLogs);
  EXPECT_EQ(events_.all[0].incident_id(), "incident");
  EXPECT_EQ(events_.all[0].health_set(), "Web");
  EXPECT_EQ(verdict.action_id(), "RestartService");
  EXPECT_EQ(verdict.resource_name(), "nginx.service");
  EXPECT_EQ(verdict.requester_name(), "RestartNginx");
  EXPECT_EQ(verdict.exception_message(), "");
  EXPECT_THAT(verdict.local_throttle_result(),
              testing::StartsWith("<LocalThrottlingResult IsPassed=\"true\" MinimumMinutes=\"10\" "
                                  "TotalInOneHour=\"0\""));
  EXPECT_THAT(verdict.local_throttle_result(), HasSubstr("IsThrottlingInProgress=\"true\""));
  EXPECT_EQ(verdict.group_throttle_result(), "<group />");
  EXPECT_EQ(verdict.total_servers_in_group(), 3);
  EXPECT_EQ(verdict.total_servers_in_compatible_version(), 2);

  const v1::RecoveryActionResultEvent& started = events_.Result(1);
  EXPECT_EQ(events_.all[1].channel(), v1::RecoveryActionResults);
  EXPECT_EQ(started.id(), "RestartService");
  EXPECT_EQ(started.instance_id(), answer.attempt.id);
  EXPECT_EQ(started.state(), "Started");
  EXPECT_EQ(started.result(), "");
  EXPECT_FALSE(started.has_end_time());
  EXPECT_EQ(started.throttle_identity(), "RestartService/Default/*/*/*");
  EXPECT_THAT(started.throttle_parameters_xml(), testing::StartsWith("<ThrottleConfig "));
}

TEST_F(GateTest, ARefusalSaysWhyAndWhenAndReservesNothing) {
  SetLimits({true, 60, -1, 1, -1, -1});
  End(Ask(Request()).attempt.id, AttemptResult::kSucceeded).IgnoreError();
  events_.all.clear();
  Pass(absl::Minutes(10));
  const GateAnswer answer = Ask(Request("NGINX.service"));
  EXPECT_EQ(answer.kind, Kind::kRefused);
  EXPECT_THAT(answer.failed, ElementsAre(Check::kLocalMinimumMinutes, Check::kLocalMaxInDay));
  EXPECT_EQ(answer.retry_in, absl::Hours(24) - absl::Minutes(10));
  EXPECT_EQ(answer.message,
            "Active Monitoring Recovery action failed. An operation was rejected during local "
            "throttling. (ActionId=RestartService, ResourceName=NGINX.service, "
            "Requester=RestartNginx, FailedChecks=LocalMinimumMinutes, LocalMaxInDay)");
  EXPECT_EQ(answer.most_recent->requester, "RestartNginx");
  EXPECT_THAT(events_.Ids(), ElementsAre(2051));
  EXPECT_EQ(events_.Verdict(0).exception_message(), answer.message);
  EXPECT_EQ(events_.Verdict(0).group_throttle_result(), "<not attempted>");
  EXPECT_EQ(events_.Verdict(0).total_servers_in_group(), 0);
  EXPECT_THAT(coordinator_->reserved, SizeIs(1));
  EXPECT_THAT(ledger_->List(nullptr, "", absl::InfinitePast(), 9), SizeIs(1));
}

TEST_F(GateTest, WhatIsNeverAllowedHasNoTimeToRetry) {
  SetLimits({true, -1, -1, 0, -1, -1});
  const GateAnswer answer = Ask(Request());
  EXPECT_EQ(answer.kind, Kind::kRefused);
  EXPECT_EQ(answer.retry_in, std::nullopt);
}

TEST_F(GateTest, OneRequestAKeyIsDecidedAtATime) {
  coordinator_->answer_after = absl::Seconds(1);
  std::vector<Kind> kinds;
  const auto note = [&](GateAnswer answer) { kinds.push_back(answer.kind); };
  gate_->Ask(Request(), note);
  gate_->Ask(Request("NGINX.SERVICE"), note);
  gate_->Ask(Request("other"), note);
  Pass(absl::Seconds(2));
  EXPECT_THAT(kinds, ElementsAre(Kind::kBusy, Kind::kAllowed, Kind::kAllowed));
  // The busy answer did not give back the key of the other: it was decided to its end.
  EXPECT_EQ(Ask(Request()).kind, Kind::kRefused);
}

TEST_F(GateTest, ARunningAttemptBlocksItsKeyUntilItEnds) {
  SetLimits(Limits());
  const std::string id = Ask(Request()).attempt.id;
  const GateAnswer blocked = Ask(Request());
  EXPECT_THAT(blocked.failed, ElementsAre(Check::kLocalRecoveryInProgress));
  EXPECT_EQ(blocked.retry_in, absl::Minutes(2));
  EXPECT_TRUE(End(id, AttemptResult::kSucceeded).ok());
  EXPECT_EQ(Ask(Request()).kind, Kind::kAllowed);
}

TEST_F(GateTest, AGroupThatRefusesIsSaidAsSuch) {
  coordinator_->verdict.passed = false;
  coordinator_->verdict.failed = {Check::kGroupUnavailable};
  coordinator_->verdict.retry_in = absl::Seconds(10);
  const GateAnswer answer = Ask(Request());
  EXPECT_EQ(answer.kind, Kind::kRefused);
  EXPECT_THAT(answer.message, HasSubstr("during group throttling."));
  EXPECT_THAT(answer.message, HasSubstr("FailedChecks=GroupUnavailable)"));
  EXPECT_EQ(answer.retry_in, absl::Seconds(10));
  EXPECT_THAT(events_.Ids(), ElementsAre(2051));
  EXPECT_THAT(events_.Verdict(0).local_throttle_result(), HasSubstr("IsPassed=\"true\""));
  EXPECT_EQ(events_.Verdict(0).group_throttle_result(), "<group />");
  EXPECT_TRUE(History().empty());
}

TEST_F(GateTest, WhatIsNoLongerWantedAfterTheGroupIsObsolete) {
  ActionRequest request = Request();
  request.still_wanted = [] { return std::optional<std::string>("healthy again"); };
  const GateAnswer answer = Ask(std::move(request));
  EXPECT_EQ(answer.kind, Kind::kObsolete);
  EXPECT_EQ(answer.message, "healthy again");
  EXPECT_THAT(events_.Ids(), IsEmpty());
  EXPECT_TRUE(History().empty());
  EXPECT_THAT(coordinator_->reserved, SizeIs(1));
  EXPECT_EQ(coordinator_->released, coordinator_->reserved);
}

TEST_F(GateTest, WhatIsStillWantedRuns) {
  ActionRequest request = Request();
  request.still_wanted = []() -> std::optional<std::string> { return std::nullopt; };
  EXPECT_EQ(Ask(std::move(request)).kind, Kind::kAllowed);
}

TEST_F(GateTest, TheLocalCheckIsMadeAgainAfterTheGroup) {
  SetLimits({true, 60, -1, -1, -1, -1});
  coordinator_->answer_after = absl::Seconds(1);
  std::optional<GateAnswer> answer;
  gate_->Ask(Request(), [&](GateAnswer got) { answer = std::move(got); });
  BeginAndFinish();  // Meanwhile, past the gate.
  Pass(absl::Seconds(2));
  EXPECT_THAT(answer->failed, ElementsAre(Check::kLocalMinimumMinutes));
  EXPECT_EQ(coordinator_->released, coordinator_->reserved);
  EXPECT_EQ(events_.Verdict(0).group_throttle_result(), "<not attempted>");
}

TEST_F(GateTest, ANewPolicyDoesNotChangeARequestThatIsBeingDecided) {
  coordinator_->answer_after = absl::Seconds(1);
  std::optional<GateAnswer> answer;
  gate_->Ask(Request(), [&](GateAnswer got) { answer = std::move(got); });
  SetLimits({true, -1, -1, 0, -1, -1});
  Pass(absl::Seconds(2));
  EXPECT_EQ(answer->kind, Kind::kAllowed);
}

TEST_F(GateTest, AnAttemptStartsWhenTheGroupHasAnswered) {
  coordinator_->answer_after = absl::Seconds(1);
  const Instant asked = loop_->Now();
  std::optional<GateAnswer> answer;
  gate_->Ask(Request(), [&](GateAnswer got) { answer = std::move(got); });
  Pass(absl::Seconds(2));
  EXPECT_EQ(answer->attempt.start, asked + absl::Seconds(1));
}

TEST_F(GateTest, WithoutALedgerThatCanBeWrittenNothingRuns) {
  signal(SIGXFSZ, SIG_IGN);
  rlimit before, none;
  getrlimit(RLIMIT_FSIZE, &before);
  none = before;
  none.rlim_cur = 0;
  setrlimit(RLIMIT_FSIZE, &none);
  const GateAnswer answer = Ask(Request());
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(answer.kind, Kind::kRefused);
  EXPECT_THAT(answer.failed, ElementsAre(Check::kLedgerUnavailable));
  EXPECT_THAT(answer.local_xml, HasSubstr("IsPassed=\"false\""));
  EXPECT_THAT(answer.local_xml, HasSubstr("ChecksFailed=\"LedgerUnavailable\""));
  EXPECT_TRUE(answer.retry_in.has_value());
  EXPECT_THAT(events_.Ids(), ElementsAre(2051));
  EXPECT_THAT(events_.Verdict(0).exception_message(), HasSubstr("LedgerUnavailable"));
  EXPECT_EQ(coordinator_->released, coordinator_->reserved);
  EXPECT_EQ(Ask(Request()).kind, Kind::kAllowed);
}

TEST_F(GateTest, EveryEndHasItsEvent) {
  SetLimits(Limits());
  const std::vector<std::pair<AttemptResult, int>> ends = {{AttemptResult::kSucceeded, 501},
                                                           {AttemptResult::kFailed, 502},
                                                           {AttemptResult::kTimedOut, 502},
                                                           {AttemptResult::kCrashed, 503}};
  for (const auto& [result, event_id] : ends) {
    const std::string id = Ask(Request()).attempt.id;
    events_.all.clear();
    Pass(absl::Seconds(1));
    EXPECT_TRUE(End(id, result).ok());
    ASSERT_THAT(events_.Ids(), ElementsAre(event_id));
    EXPECT_EQ(events_.Result(0).state(), "Finished");
    EXPECT_EQ(events_.Result(0).result(), AttemptResultName(result));
    EXPECT_EQ(events_.Result(0).instance_id(), id);
    EXPECT_EQ(events_.Result(0).end_time().seconds(), events_.Result(0).start_time().seconds() + 1);
    EXPECT_EQ(events_.Result(0).exception_name(), "Name");
    EXPECT_EQ(events_.Result(0).context(), "job=1");
    EXPECT_EQ(coordinator_->released.back(), id);
  }
}

TEST_F(GateTest, AnEndIsSaidOnce) {
  const std::string id = Ask(Request()).attempt.id;
  EXPECT_TRUE(End(id, AttemptResult::kSucceeded).ok());
  EXPECT_EQ(End(id, AttemptResult::kFailed).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(events_.Ids(), ElementsAre(2050, 500, 501));
}

TEST_F(GateTest, WhatAnEarlierLifeLeftIsEndedWithItsIncident) {
  const std::string id = Ask(Request()).attempt.id;
  gate_.reset();
  Crash();
  Open();
  gate_ =
      std::make_unique<Gate>(Gate::Parts{loop_.get(), ledger_.get(), coordinator_.get(), &events_});
  events_.all.clear();
  EXPECT_TRUE(End(id, AttemptResult::kCrashed).ok());
  EXPECT_THAT(events_.Ids(), ElementsAre(503));
  EXPECT_EQ(events_.all[0].incident_id(), "incident");
  EXPECT_EQ(events_.Result(0).throttle_identity(), "RestartService/Default/*/*/*");
}

TEST_F(GateTest, TheEffectIsNotedInTheLedger) {
  const std::string id = Ask(Request()).attempt.id;
  EXPECT_TRUE(
      Run([&](LedgerDone done) { gate_->SetEffect(id, "pid=7 start=8", std::move(done)); }).ok());
  EXPECT_EQ(ledger_->Find(id)->effect, "pid=7 start=8");
}

TEST_F(GateTest, ADryCheckSaysTheSameAndWritesNothing) {
  SetLimits({true, 60, -1, -1, -1, -1});
  End(Ask(Request()).attempt.id, AttemptResult::kSucceeded).IgnoreError();
  events_.all.clear();
  std::optional<GateAnswer> dry;
  gate_->DryCheck(Request(), [&](GateAnswer answer) { dry = std::move(answer); });
  loop_->RunPending();
  EXPECT_EQ(dry->kind, Kind::kRefused);
  EXPECT_EQ(dry->retry_in, absl::Minutes(60));
  EXPECT_THAT(dry->local_xml, HasSubstr("IsThrottlingInProgress=\"false\""));
  EXPECT_THAT(events_.Ids(), IsEmpty());
  EXPECT_THAT(coordinator_->reserved, SizeIs(1));
  EXPECT_EQ(dry->message, Ask(Request()).message);
}

TEST_F(GateTest, ADryCheckAsksTheGroupToo) {
  coordinator_->verdict.passed = false;
  coordinator_->verdict.failed = {Check::kGroupMaxInDay};
  coordinator_->verdict.retry_in = absl::InfiniteDuration();
  std::optional<GateAnswer> dry;
  gate_->DryCheck(Request(), [&](GateAnswer answer) { dry = std::move(answer); });
  loop_->RunPending();
  EXPECT_EQ(dry->kind, Kind::kRefused);
  EXPECT_EQ(dry->retry_in, std::nullopt);
  EXPECT_THAT(dry->message, HasSubstr("group throttling"));
  EXPECT_EQ(coordinator_->checks, 1);
  EXPECT_THAT(coordinator_->reserved, IsEmpty());
}

TEST_F(GateTest, ADryCheckTellsEveryFailedCheckOfBothAndTheLatestTime) {
  SetLimits({true, 60, -1, 1, 60, -1});
  End(Ask(Request()).attempt.id, AttemptResult::kSucceeded).IgnoreError();
  coordinator_->verdict.passed = false;
  coordinator_->verdict.failed = {Check::kGroupMinimumMinutes};
  coordinator_->verdict.retry_in = absl::Hours(30);
  coordinator_->verdict.explained = {{Check::kGroupMinimumMinutes, 60, 1, {}, absl::Hours(30)}};
  std::optional<GateAnswer> dry;
  gate_->DryCheck(Request(), [&](GateAnswer answer) { dry = std::move(answer); });
  loop_->RunPending();
  EXPECT_THAT(dry->failed, ElementsAre(Check::kLocalMinimumMinutes, Check::kLocalMaxInDay,
                                       Check::kGroupMinimumMinutes));
  EXPECT_EQ(dry->retry_in, absl::Hours(30));
  EXPECT_THAT(dry->message, HasSubstr("local throttling"));  // As the engine would say it.
  ASSERT_THAT(dry->explained, SizeIs(3));
  EXPECT_EQ(dry->explained[0].limit, 60);
  EXPECT_EQ(dry->explained[0].passes_in, absl::Minutes(60));
  EXPECT_EQ(dry->explained[1].total, 1);
  ASSERT_THAT(dry->explained[1].attempts, SizeIs(1));
  EXPECT_EQ(dry->explained[1].attempts[0].requester, Request().requester);
  EXPECT_EQ(dry->explained[1].passes_in, absl::Hours(24));
}

TEST_F(GateTest, WhoAsksAgainByItselfWaitsTheGroupsSpreadToo) {
  coordinator_->verdict.passed = false;
  coordinator_->verdict.failed = {Check::kGroupMaxInDay};
  coordinator_->verdict.retry_in = absl::Minutes(10);
  coordinator_->verdict.retry_spread = absl::Seconds(42);
  EXPECT_EQ(Ask(Request()).retry_in, absl::Minutes(10) + absl::Seconds(42));
}

TEST_F(GateTest, ALocalDryCheckAnswersAtOnce) {
  EXPECT_EQ(gate_->DryCheckLocal(Request()).group.xml, "<not configured>");
  SetLimits({true, -1, -1, -1, 60, -1});
  EXPECT_EQ(gate_->DryCheckLocal(Request()).group.xml, "<not attempted>");
  SetLimits({true, -1, 0, -1, -1, -1});
  EXPECT_THAT(gate_->DryCheckLocal(Request()).failed, ElementsAre(Check::kLocalMaxInHour));
}

TEST_F(GateTest, OfSeveralRespondersTheStrictestLimitsHold) {
  ActionRequest request = Request();
  request.requester = "operator:root";
  request.limits_of.push_back({"RestartServiceResponder", "Other", {}});
  request.limits_of[1].own.set_local_maximum_allowed_attempts_in_a_day(1);
  EXPECT_EQ(gate_->LimitsFor(request)->limits.local_max_in_day, 1);
  EXPECT_EQ(gate_->LimitsFor(Request())->limits.local_max_in_day, 8);
}

TEST_F(GateTest, AnswersOfAnEarlierGateAreNotGiven) {
  bool answered = false;
  gate_->Ask(Request(), [&](GateAnswer) { answered = true; });
  gate_.reset();
  loop_->RunPending();
  EXPECT_FALSE(answered);
}

// What overrides say of the responder of Request().
LimitOverrideTable OverrideOf(const std::string& attribute, const std::string& value) {
  Override override;
  override.property = "ThrottleAttributes." + attribute;
  override.value = value;
  AppliedOverrides applied;
  applied.limits["RestartNginx"] = {0};
  return LimitOverrideTable(applied, {{OverrideScope::kLocal, override}});
}

TEST_F(GateTest, AnOverrideHoldsAtOnceAndCountsWhatWasBefore) {
  SetLimits({true, 60, -1, -1, -1, -1});
  const GateAnswer first = Ask(Request());
  ASSERT_TRUE(End(first.attempt.id, AttemptResult::kSucceeded).ok());
  loop_->RunFor(absl::Minutes(90));
  gate_->SetOverrides(OverrideOf("LocalMinimumMinutesBetweenAttempts", "240"));
  const GateAnswer refused = Ask(Request());
  EXPECT_THAT(refused.failed, ElementsAre(Check::kLocalMinimumMinutes));
  EXPECT_EQ(refused.retry_in, absl::Minutes(150));
  EXPECT_EQ(refused.effective->sources[0], LimitSource::kLocalOverride);
  gate_->SetOverrides({});
  EXPECT_EQ(Ask(Request()).kind, Kind::kAllowed);
}

TEST_F(GateTest, OfSeveralRespondersTheStrictestHoldsWithTheirOverrides) {
  SetLimits({true, -1, -1, 5, -1, -1});
  gate_->SetOverrides(OverrideOf("LocalMaximumAllowedAttemptsInADay", "9"));
  ActionRequest request = Request();
  EXPECT_EQ(gate_->LimitsFor(request)->limits.local_max_in_day, 9);
  request.limits_of.push_back({"RestartServiceResponder", "Another", {}});
  EXPECT_EQ(gate_->LimitsFor(request)->limits.local_max_in_day, 5);
  gate_->SetOverrides(OverrideOf("LocalMaximumAllowedAttemptsInADay", "2"));
  EXPECT_EQ(gate_->LimitsFor(request)->limits.local_max_in_day, 2);
}

// How many of two old attempts and a new one are left, 40 days later.
class GateKeepsTest : public GateTest {
 protected:
  size_t KeptOfThree() {
    SetLimits({true, -1, -1, -1, -1, -1});
    for (int i = 0; i < 3; ++i) {
      if (i == 2) loop_->RunFor(absl::Hours(24 * 40));
      const GateAnswer answer = Ask(Request());
      EXPECT_TRUE(End(answer.attempt.id, AttemptResult::kSucceeded).ok());
      loop_->RunFor(absl::Minutes(1));
    }
    EXPECT_TRUE(Run([this](LedgerDone done) { ledger_->Heartbeat(std::move(done)); }).ok());
    return ledger_->List(nullptr, "", absl::InfinitePast(), 100).size();
  }
};

TEST_F(GateKeepsTest, AMonthWithoutALargeMinimum) { EXPECT_LT(KeptOfThree(), 3u); }
TEST_F(GateKeepsTest, AsLongAsAnOverrideAsksFor) {
  gate_->SetOverrides(OverrideOf("GroupMinimumMinutesBetweenAttempts", "525600"));
  EXPECT_EQ(KeptOfThree(), 3u);
}
TEST_F(GateKeepsTest, AsLongAsAResponderAsksFor) {
  gate_->SetLargestOwnMinimum(525600);
  EXPECT_EQ(KeptOfThree(), 3u);
}

}  // namespace
}  // namespace salve

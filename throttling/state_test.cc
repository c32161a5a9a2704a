#include "throttling/state.h"

#include "gtest/gtest.h"
#include "throttling/ledger_fixture.h"
#include "throttling/local_coordinator.h"

namespace salve {
namespace {

class NoEvents final : public EventLog {
 public:
  uint64_t Append(v1::Event) override { return 1; }
};

class StateTest : public LedgerTest {
 protected:
  StateTest() {
    Open();
    coordinator_ = NewLocalCoordinator(*loop_, *ledger_);
    gate_ = std::make_unique<Gate>(
        Gate::Parts{loop_.get(), ledger_.get(), coordinator_.get(), &events_});
    request_.resource = "nginx.service";
    request_.requester = "R";
  }
  v1::ThrottleEntry Entry(bool with_attempts) {
    return ThrottleEntryProto(request_, gate_->DryCheckLocal(request_), *ledger_, with_attempts);
  }
  int64_t NowSeconds() { return absl::ToUnixSeconds(loop_->clock().WallNow()); }

  NoEvents events_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Gate> gate_;
  ActionRequest request_;
};

TEST_F(StateTest, AnEntrySaysLimitsCountsAndThatItMayRunNow) {
  const v1::ThrottleEntry entry = Entry(true);
  EXPECT_EQ(entry.identity(), "RestartService/Default/*/*/*");
  EXPECT_EQ(entry.action_id(), "RestartService");
  EXPECT_EQ(entry.requester(), "R");
  EXPECT_EQ(entry.limits().local_minimum_minutes_between_attempts(), 10);
  EXPECT_EQ(entry.local().max_allowed_in_one_hour(), 3);
  EXPECT_TRUE(entry.local().is_passed());
  EXPECT_FALSE(entry.local().has_most_recent_entry());
  EXPECT_FALSE(entry.local().has_time_to_retry_after());
  EXPECT_EQ(entry.group(), "<not configured>");
  EXPECT_EQ(entry.next_allowed().seconds(), NowSeconds());
  EXPECT_EQ(entry.attempts_size(), 0);
}

TEST_F(StateTest, ARefusedOneSaysWhenItMayRunNext) {
  BeginAndFinish();
  const v1::ThrottleEntry entry = Entry(true);
  EXPECT_FALSE(entry.local().is_passed());
  EXPECT_EQ(entry.local().checks_failed(0), "LocalMinimumMinutes");
  EXPECT_EQ(entry.local().total_in_one_day(), 1);
  EXPECT_EQ(entry.local().time_to_retry_after().seconds(), NowSeconds() + 600);
  EXPECT_EQ(entry.next_allowed().seconds(), NowSeconds() + 600);
  EXPECT_EQ(entry.local().most_recent_entry().state(), "Finished");
  ASSERT_EQ(entry.attempts_size(), 1);
  EXPECT_EQ(entry.attempts(0).result(), "Succeeded");
  EXPECT_EQ(Entry(false).attempts_size(), 0);
}

TEST_F(StateTest, NeverIsTheEndOfTheYear9999) {
  request_.limits_of = {{"RestartServiceResponder", "R", {}}};
  request_.limits_of[0].own.set_local_maximum_allowed_attempts_in_a_day(0);
  EXPECT_EQ(Entry(false).next_allowed().seconds(), 253402300799);
  EXPECT_EQ(Entry(false).local().time_to_retry_after().seconds(), 253402300799);
}

TEST_F(StateTest, ACheckCarriesTheMessageOfTheRefusal) {
  Begin();
  const v1::CheckThrottleResponse check =
      CheckThrottleProto(request_, gate_->DryCheckLocal(request_), *ledger_);
  EXPECT_FALSE(check.passed());
  EXPECT_EQ(check.checks_failed_size(), 2);
  EXPECT_NE(check.message().find("FailedChecks=LocalMinimumMinutes, LocalRecoveryInProgress"),
            std::string::npos);
  EXPECT_TRUE(check.entry().local().is_recovery_in_progress());
  EXPECT_FALSE(check.entry().local().most_recent_entry().has_end_time());
}

TEST_F(StateTest, ADryCheckNamesWhatBlocksAndUntilWhen) {
  BeginAndFinish();
  const v1::ThrottleEntry entry = Entry(false);
  ASSERT_EQ(entry.failed_checks_size(), 1);
  EXPECT_EQ(entry.failed_checks(0).check(), "LocalMinimumMinutes");
  EXPECT_EQ(entry.failed_checks(0).limit(), 10);
  ASSERT_EQ(entry.failed_checks(0).attempts_size(), 1);
  EXPECT_EQ(entry.failed_checks(0).attempts(0).result(), "Succeeded");
  EXPECT_EQ(entry.failed_checks(0).passes_at().seconds(), NowSeconds() + 600);
}

TEST_F(StateTest, TheGroupsResultIsThereWhenTheGroupWasAsked) {
  request_.limits_of = {{"RestartServiceResponder", "R", {}}};
  request_.limits_of[0].own.set_group_maximum_allowed_attempts_in_a_day(0);
  EXPECT_FALSE(Entry(false).has_group_result());
  std::optional<GateAnswer> dry;
  gate_->DryCheck(request_, [&](GateAnswer answer) { dry = std::move(answer); });
  loop_->RunPending();
  const v1::ThrottleEntry entry = ThrottleEntryProto(request_, *dry, *ledger_, false);
  EXPECT_FALSE(entry.group_result().is_passed());
  EXPECT_EQ(entry.group_result().checks_failed(0), "GroupMaxInDay");
  EXPECT_EQ(entry.group_result().max_allowed_in_one_day(), 0);
  EXPECT_EQ(entry.failed_checks(0).check(), "GroupMaxInDay");
  EXPECT_EQ(entry.total_servers_in_group(), 1);
}

TEST_F(StateTest, APolicyEntryIsShownWithItsSource) {
  const v1::ThrottleConfigEntry entry =
      ConfigEntryProto(BuiltInPolicy().entries()[0], LimitSource::kBuiltIn);
  EXPECT_EQ(entry.identity(), "RestartService/Default/*/*/*");
  EXPECT_EQ(entry.source(), "built-in");
  EXPECT_TRUE(entry.limits().enabled());
}

}  // namespace
}  // namespace salve

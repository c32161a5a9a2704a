#include "throttling/local_coordinator.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "throttling/ledger_fixture.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class LocalCoordinatorTest : public LedgerTest {
 protected:
  LocalCoordinatorTest() {
    Open();
    coordinator_ = NewLocalCoordinator(*loop_, *ledger_);
  }
  GroupVerdict Reserve(RecoveryAction action, const std::string& resource, const Limits& limits) {
    std::optional<GroupVerdict> verdict;
    coordinator_->Reserve({ledger_->NewAttempt(action, resource, "R", absl::Minutes(2)), limits},
                          [&](GroupVerdict got) { verdict = std::move(got); });
    EXPECT_FALSE(verdict.has_value()) << "answered inside the call";
    loop_->RunPending();
    return verdict.value_or(GroupVerdict());
  }
  void Reboot(const std::string& server) {
    const Attempt attempt =
        ledger_->NewAttempt(RecoveryAction::kRebootServer, server, "R", absl::Minutes(2));
    Run([&](LedgerDone done) { ledger_->Begin(attempt, std::move(done)); }).IgnoreError();
    Finish(attempt.id).IgnoreError();
  }

  std::unique_ptr<Coordinator> coordinator_;
};

constexpr RecoveryAction kRestart = RecoveryAction::kRestartService;

TEST_F(LocalCoordinatorTest, WithoutGroupLimitsItIsNotConfigured) {
  const GroupVerdict verdict = Reserve(kRestart, "a", {true, 60, 1, 1, -1, -1});
  EXPECT_TRUE(verdict.passed);
  EXPECT_EQ(verdict.xml, "<not configured>");
  EXPECT_EQ(verdict.servers_in_group, 1);
}

TEST_F(LocalCoordinatorTest, DisabledLimitsAreNotConfiguredEither) {
  EXPECT_EQ(Reserve(kRestart, "a", {false, 60, 1, 1, 60, 0}).xml, "<not configured>");
}

TEST_F(LocalCoordinatorTest, ChecksTheGroupLimitsOverItsOwnAttempts) {
  BeginAndFinish("a");
  Pass(absl::Minutes(60) - absl::Nanoseconds(100));
  const GroupVerdict verdict = Reserve(kRestart, "A", {true, -1, -1, -1, 60, 1});
  EXPECT_FALSE(verdict.passed);
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kGroupMinimumMinutes, Check::kGroupMaxInDay));
  EXPECT_EQ(verdict.retry_in, absl::Hours(23) + absl::Nanoseconds(100));
  EXPECT_THAT(verdict.xml,
              HasSubstr("<GroupThrottlingResult IsPassed=\"false\" MinimumMinutes=\"60\" "
                        "TotalInOneDay=\"1\" MaxAllowedInOneDay=\"1\" "
                        "IsThrottlingInProgress=\"true\" IsRecoveryInProgress=\"false\" "
                        "ChecksFailed=\"GroupMinimumMinutes, GroupMaxInDay\" TimeToRetryAfter="));
  EXPECT_THAT(verdict.xml, HasSubstr("<MostRecentEntry Server=\"web1\" Requester=\"R\""));
}

TEST_F(LocalCoordinatorTest, ExactlyTheMinimumPasses) {
  BeginAndFinish("a");
  Pass(absl::Minutes(60));
  EXPECT_TRUE(Reserve(kRestart, "a", {true, -1, -1, -1, 60, 2}).passed);
  EXPECT_TRUE(Reserve(kRestart, "b", {true, -1, -1, -1, 999, 1}).passed);
}

TEST_F(LocalCoordinatorTest, AMaximumOfZeroIsNever) {
  EXPECT_EQ(Reserve(kRestart, "a", {true, -1, -1, -1, -1, 0}).retry_in, absl::InfiniteDuration());
}

TEST_F(LocalCoordinatorTest, AnyRebootCountsForAll) {
  Reboot("old-name");
  const Limits limits = {true, -1, -1, -1, 60, -1};
  EXPECT_FALSE(Reserve(RecoveryAction::kRebootServer, "web1", limits).passed);
  EXPECT_TRUE(Reserve(kRestart, "web1", limits).passed);
}

TEST_F(LocalCoordinatorTest, AnOwnRunningAttemptCountsButIsNotTheGroupsProgress) {
  Begin("a");
  const GroupVerdict verdict = Reserve(kRestart, "a", {true, -1, -1, -1, -1, 5});
  EXPECT_TRUE(verdict.passed);
  EXPECT_EQ(verdict.total_in_day, 1);
  EXPECT_FALSE(verdict.recovery_in_progress);
}

TEST_F(LocalCoordinatorTest, HasNoGroupWhoseHealthCouldBeCounted) {
  absl::StatusCode code = absl::StatusCode::kOk;
  coordinator_->ReportHealth(
      true, [&](absl::StatusOr<GroupHealth> health) { code = health.status().code(); });
  EXPECT_EQ(code, absl::StatusCode::kOk);  // Never inside the call.
  loop_->RunPending();
  EXPECT_EQ(code, absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace salve

#include "throttling/local_throttle.h"

#include <deque>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr absl::Duration kTick = absl::Nanoseconds(100);  // The last digit of a result's time.
constexpr absl::Duration kNow = absl::Hours(1000);

// A history that owns its attempts; all times are ages at kNow.
class LocalThrottleTest : public testing::Test {
 protected:
  void Finished(absl::Duration age_of_end, absl::Duration ran = absl::Seconds(1)) {
    Attempt& attempt = attempts_.emplace_back();
    attempt.state = AttemptState::kFinished;
    history_.AddFinished(kNow - age_of_end - ran, kNow - age_of_end, &attempt);
  }
  void Running(absl::Duration age_of_start, absl::Duration timeout) {
    history_.AddRunning(kNow - age_of_start, kNow - age_of_start + timeout,
                        &attempts_.emplace_back());
  }
  LocalVerdict Check(const Limits& limits) const { return CheckLocal(limits, history_, kNow); }

  std::deque<Attempt> attempts_;
  KeyHistory history_;
};

Limits MinimumMinutes(int minutes) { return {true, minutes, -1, -1, -1, -1}; }
Limits MaxInHour(int max) { return {true, -1, max, -1, -1, -1}; }
Limits MaxInDay(int max) { return {true, -1, -1, max, -1, -1}; }

TEST_F(LocalThrottleTest, WithoutAttemptsEverythingPasses) {
  const LocalVerdict verdict = Check({true, 60, 1, 1, -1, -1});
  EXPECT_TRUE(verdict.passed);
  EXPECT_THAT(verdict.failed, IsEmpty());
  EXPECT_EQ(verdict.most_recent, nullptr);
}

TEST_F(LocalThrottleTest, TheMinimumHoldsUntilExactlySoManyMinutes) {
  Finished(absl::Minutes(60) - kTick);
  const LocalVerdict verdict = Check(MinimumMinutes(60));
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kLocalMinimumMinutes));
  EXPECT_EQ(verdict.retry_at, kNow + kTick);
}

TEST_F(LocalThrottleTest, ExactlySoManyMinutesSatisfyTheMinimum) {
  Finished(absl::Minutes(60));
  EXPECT_TRUE(Check(MinimumMinutes(60)).passed);
}

TEST_F(LocalThrottleTest, ZeroMinutesAreNoWaiting) {
  Finished(absl::ZeroDuration());
  EXPECT_TRUE(Check(MinimumMinutes(0)).passed);
}

TEST_F(LocalThrottleTest, AnAgeOfExactlyAnHourIsOutsideTheHour) {
  Finished(absl::Minutes(60));
  EXPECT_EQ(Check(MaxInHour(1)).total_in_hour, 0);
  EXPECT_TRUE(Check(MaxInHour(1)).passed);
}

TEST_F(LocalThrottleTest, AnAgeOfATickLessThanAnHourIsInside) {
  Finished(absl::Minutes(60) - kTick);
  const LocalVerdict verdict = Check(MaxInHour(1));
  EXPECT_EQ(verdict.total_in_hour, 1);
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kLocalMaxInHour));
  EXPECT_EQ(verdict.retry_at, kNow + kTick);
}

TEST_F(LocalThrottleTest, AnAgeOfExactlyADayIsOutsideTheDay) {
  Finished(absl::Hours(24));
  EXPECT_EQ(Check(MaxInDay(1)).total_in_day, 0);
  EXPECT_TRUE(Check(MaxInDay(1)).passed);
}

TEST_F(LocalThrottleTest, AnAgeOfATickLessThanADayIsInside) {
  Finished(absl::Hours(24) - kTick);
  const LocalVerdict verdict = Check(MaxInDay(1));
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kLocalMaxInDay));
  EXPECT_EQ(verdict.retry_at, kNow + kTick);
}

TEST_F(LocalThrottleTest, RetryIsWhenEnoughAttemptsHaveLeftTheWindow) {
  for (const int minutes : {50, 40, 30, 20, 10}) Finished(absl::Minutes(minutes));
  // Of five, three must leave before there is room below a maximum of three.
  EXPECT_EQ(Check(MaxInHour(3)).retry_at, kNow + absl::Minutes(30));
  EXPECT_EQ(Check(MaxInHour(5)).retry_at, kNow + absl::Minutes(10));
  EXPECT_TRUE(Check(MaxInHour(6)).passed);
}

TEST_F(LocalThrottleTest, AMaximumOfZeroIsNeverAllowed) {
  const LocalVerdict verdict = Check(MaxInDay(0));
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kLocalMaxInDay));
  EXPECT_EQ(verdict.retry_at, absl::InfiniteDuration());
  EXPECT_THAT(LocalResultXml(verdict, absl::UnixEpoch(), true),
              HasSubstr("TimeToRetryAfter=\"9999-12-31T23:59:59.9999999Z\""));
}

TEST_F(LocalThrottleTest, TotalsAreToldWhenTheCheckIsOff) {
  Finished(absl::Minutes(59));
  Finished(absl::Hours(23));
  const LocalVerdict verdict = Check(Limits());
  EXPECT_TRUE(verdict.passed);
  EXPECT_EQ(verdict.total_in_hour, 1);
  EXPECT_EQ(verdict.total_in_day, 2);
}

TEST_F(LocalThrottleTest, DisabledLimitsRefuseNothingButARunningAttemptStillDoes) {
  Running(absl::Minutes(1), absl::Minutes(2));
  const LocalVerdict verdict = Check({false, 60, 0, 0, 0, 0});
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kLocalRecoveryInProgress));
  EXPECT_EQ(verdict.limits.local_max_in_day, -1);
}

TEST_F(LocalThrottleTest, ARunningAttemptBlocksUntilItsDeadline) {
  Running(absl::Minutes(2) - kTick, absl::Minutes(2));
  const LocalVerdict verdict = Check(Limits());
  EXPECT_TRUE(verdict.recovery_in_progress);
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kLocalRecoveryInProgress));
  EXPECT_EQ(verdict.retry_at, kNow + kTick);
}

TEST_F(LocalThrottleTest, ARunningAttemptPastItsDeadlineCountsAtItsDeadline) {
  Running(absl::Minutes(61), absl::Minutes(2));
  const LocalVerdict verdict = Check({true, 60, 1, -1, -1, -1});
  EXPECT_FALSE(verdict.recovery_in_progress);
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kLocalMinimumMinutes, Check::kLocalMaxInHour));
  EXPECT_EQ(verdict.retry_at, kNow + absl::Minutes(1));
}

TEST_F(LocalThrottleTest, ADeadlineOfExactlyNowIsOver) {
  Running(absl::Minutes(2), absl::Minutes(2));
  EXPECT_FALSE(Check(Limits()).recovery_in_progress);
}

TEST_F(LocalThrottleTest, FailedChecksStandInOrderAndTheLatestTimeCounts) {
  Finished(absl::Minutes(5));
  Running(absl::Minutes(1), absl::Hours(100));
  const LocalVerdict verdict = Check({true, 60, 1, 1, -1, -1});
  EXPECT_EQ(JoinChecks(verdict.failed),
            "LocalMinimumMinutes, LocalMaxInHour, LocalMaxInDay, LocalRecoveryInProgress");
  EXPECT_EQ(verdict.retry_at, kNow - absl::Minutes(1) + absl::Hours(100));
}

TEST_F(LocalThrottleTest, TheMostRecentIsTheOneThatEndedLastThenStartedLast) {
  Finished(absl::Minutes(5), /*ran=*/absl::Minutes(3));
  Finished(absl::Minutes(5), /*ran=*/absl::Minutes(1));
  Finished(absl::Minutes(5), /*ran=*/absl::Minutes(2));
  EXPECT_EQ(Check(Limits()).most_recent, &attempts_[1]);
}

TEST_F(LocalThrottleTest, AnAttemptInTheFutureHasAgeZero) {
  Finished(-absl::Minutes(10));
  const LocalVerdict verdict = Check({true, 5, 1, 1, -1, -1});
  EXPECT_EQ(verdict.total_in_hour, 1);
  EXPECT_EQ(verdict.retry_at, kNow + absl::Minutes(10) + absl::Hours(24));
}

TEST(KeyHistoryTest, FinishMovesARunningAttemptAmongTheFinished) {
  KeyHistory history;
  Attempt first, second;
  history.AddRunning(absl::Minutes(1), absl::Minutes(3), &first);
  history.AddFinished(absl::Minutes(1), absl::Minutes(9), &second);
  history.Finish(&first, absl::Minutes(2));
  EXPECT_THAT(history.running(), IsEmpty());
  ASSERT_EQ(history.finished().size(), 2u);
  EXPECT_EQ(history.finished()[0].attempt, &first);
  history.Finish(&first, absl::Minutes(5));  // Not running any more: ignored.
  EXPECT_EQ(history.size(), 2u);
}

TEST(KeyHistoryTest, RemoveTakesOutRunningAndFinished) {
  KeyHistory history;
  Attempt first, second;
  history.AddRunning(absl::Minutes(1), absl::Minutes(3), &first);
  history.AddFinished(absl::Minutes(1), absl::Minutes(9), &second);
  history.Remove(&first);
  history.Remove(&second);
  EXPECT_TRUE(history.empty());
}

TEST(LocalResultXmlTest, HasTheAttributesInTheOrderOfTheSpecification) {
  Attempt attempt;
  attempt.requester = "a<b>&\"c\"";
  attempt.start_wall = absl::FromUnixSeconds(100) + kTick;
  attempt.end_wall = absl::FromUnixSeconds(160);
  attempt.state = AttemptState::kFinished;
  attempt.result = AttemptResult::kSucceeded;
  KeyHistory history;
  history.AddFinished(absl::Seconds(100) + kTick, absl::Seconds(160), &attempt);
  const LocalVerdict verdict = CheckLocal({true, 60, -1, 1, -1, -1}, history, absl::Seconds(200));
  EXPECT_EQ(LocalResultXml(verdict, absl::UnixEpoch(), /*real_attempt=*/true),
            "<LocalThrottlingResult IsPassed=\"false\" MinimumMinutes=\"60\" TotalInOneHour=\"1\" "
            "MaxAllowedInOneHour=\"-1\" TotalInOneDay=\"1\" MaxAllowedInOneDay=\"1\" "
            "IsThrottlingInProgress=\"true\" IsRecoveryInProgress=\"false\" "
            "ChecksFailed=\"LocalMinimumMinutes, LocalMaxInDay\" "
            "TimeToRetryAfter=\"1970-01-02T00:02:40.0000000Z\">"
            "<MostRecentEntry Requester=\"a&lt;b&gt;&amp;&quot;c&quot;\" "
            "StartTime=\"1970-01-01T00:01:40.0000001Z\" EndTime=\"1970-01-01T00:02:40.0000000Z\" "
            "State=\"Finished\" Result=\"Succeeded\" /></LocalThrottlingResult>");
}

TEST(LocalResultXmlTest, LeavesOutWhatThereIsNot) {
  Attempt attempt;
  attempt.requester = "R";
  attempt.start_wall = absl::UnixEpoch();
  KeyHistory history;
  const LocalVerdict none = CheckLocal(Limits(), history, absl::Seconds(1));
  EXPECT_THAT(LocalResultXml(none, absl::UnixEpoch(), /*real_attempt=*/false),
              testing::EndsWith("IsThrottlingInProgress=\"false\" IsRecoveryInProgress=\"false\" "
                                "ChecksFailed=\"\" />"));
  history.AddRunning(absl::ZeroDuration(), absl::Minutes(2), &attempt);
  const LocalVerdict running = CheckLocal(Limits(), history, absl::Seconds(1));
  EXPECT_THAT(
      LocalResultXml(running, absl::UnixEpoch(), false),
      HasSubstr("<MostRecentEntry Requester=\"R\" StartTime=\"1970-01-01T00:00:00.0000000Z\" "
                "State=\"InProgress\" />"));
}

}  // namespace
}  // namespace salve

// The check against one that reads like the specification: every limit is a plain loop over all
// attempts, and the time to retry is found by asking again at every moment when an answer can
// change.
#include <algorithm>
#include <deque>
#include <optional>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "throttling/local_throttle.h"

namespace salve {
namespace {

// Ticks of a coarse line, so that random histories hit every edge often.
struct Past {
  int start = 0;
  std::optional<int> end;
  int deadline = 0;
};

constexpr int kHour = 12;  // A tick is five minutes.
constexpr int kDay = 24 * kHour;
constexpr absl::Duration kTick = absl::Minutes(5);

struct Answer {
  std::vector<Check> failed;
  int total_in_hour = 0;
  int total_in_day = 0;
  bool in_progress = false;
};

int TimeOf(const Past& past, int now) {
  if (past.end) return *past.end;
  return now < past.deadline ? past.start : past.deadline;
}

Answer Ask(const Limits& limits, const std::vector<Past>& all, int now) {
  Answer answer;
  bool too_soon = false;
  for (const Past& past : all) {
    const int age = std::max(0, now - TimeOf(past, now));
    answer.total_in_hour += age < kHour;
    answer.total_in_day += age < kDay;
    // The youngest entry's age is the least of all ages: any that is too young will do.
    too_soon |= limits.local_minimum_minutes > 0 && age * 5 < limits.local_minimum_minutes;
    answer.in_progress |= !past.end && now < past.deadline;
  }
  if (too_soon) answer.failed.push_back(Check::kLocalMinimumMinutes);
  if (limits.local_max_in_hour >= 0 && answer.total_in_hour >= limits.local_max_in_hour) {
    answer.failed.push_back(Check::kLocalMaxInHour);
  }
  if (limits.local_max_in_day >= 0 && answer.total_in_day >= limits.local_max_in_day) {
    answer.failed.push_back(Check::kLocalMaxInDay);
  }
  if (answer.in_progress) answer.failed.push_back(Check::kLocalRecoveryInProgress);
  return answer;
}

// The first moment from which all checks pass, when nothing is running any more.
std::optional<int> RetryOf(const Limits& limits, std::vector<Past> all, int now) {
  if (limits.local_max_in_hour == 0 || limits.local_max_in_day == 0) return std::nullopt;
  // The times are those of now: a running attempt is not looked into the future.
  for (Past& past : all) past.end = TimeOf(past, now);
  int retry = now;
  while (!Ask(limits, all, retry).failed.empty()) ++retry;
  return retry;
}

class Histories {
 public:
  explicit Histories(uint32_t seed) : random_(seed) {}

  int Up(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  int MinusOneUp(int n) { return Up(n + 1) - 1; }

  std::vector<Past> Next(int now, bool with_future, bool with_running) {
    std::vector<Past> all(static_cast<size_t>(Up(3) ? Up(8) : Up(60)));
    for (Past& past : all) {
      const int reach = Up(3) ? 2 * kHour : kDay + 5;
      past.start = now - Up(reach) + (with_future && Up(10) == 0 ? 20 : 0);
      past.deadline = past.start + Up(10);
      if (!with_running || Up(5) > 0) {
        past.end = past.start + Up(4);
        if (!with_future) past.end = std::min(*past.end, now);
      }
    }
    return all;
  }

 private:
  std::mt19937 random_;
};

void Compare(bool with_future, bool with_running) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Histories histories(seed);
  constexpr int kNow = 1000;
  for (int round = 0; round < 20'000; ++round) {
    const std::vector<Past> all = histories.Next(kNow, with_future, with_running);
    const Limits limits = {true,
                           std::max(-1, histories.MinusOneUp(30) * 5),
                           histories.MinusOneUp(6),
                           histories.MinusOneUp(20),
                           -1,
                           -1};
    KeyHistory history;
    std::deque<Attempt> attempts;
    for (const Past& past : all) {
      const Attempt* attempt = &attempts.emplace_back();
      if (past.end) {
        history.AddFinished(past.start * kTick, *past.end * kTick, attempt);
      } else {
        history.AddRunning(past.start * kTick, past.deadline * kTick, attempt);
      }
    }
    const LocalVerdict verdict = CheckLocal(limits, history, kNow * kTick);
    const Answer answer = Ask(limits, all, kNow);
    ASSERT_EQ(std::vector<Check>(verdict.failed.begin(), verdict.failed.end()), answer.failed);
    ASSERT_EQ(verdict.total_in_hour, answer.total_in_hour);
    ASSERT_EQ(verdict.total_in_day, answer.total_in_day);
    ASSERT_EQ(verdict.recovery_in_progress, answer.in_progress);
    ASSERT_EQ(verdict.passed, answer.failed.empty());
    if (verdict.passed || answer.in_progress) continue;
    const std::optional<int> retry = RetryOf(limits, all, kNow);
    ASSERT_EQ(verdict.retry_at, retry ? *retry * kTick : absl::InfiniteDuration());
  }
}

TEST(LocalThrottleOracleTest, AgreesOnRandomHistoriesOfFinishedAttempts) { Compare(false, false); }
TEST(LocalThrottleOracleTest, AgreesWithAttemptsInProgress) { Compare(false, true); }
TEST(LocalThrottleOracleTest, AgreesWithAttemptsInTheFuture) { Compare(true, true); }

}  // namespace
}  // namespace salve

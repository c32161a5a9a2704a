#include "throttling/failed_check.h"

#include <algorithm>
#include <utility>

namespace salve {
namespace {

// A running attempt counts at its start, or at its deadline once that is over.
struct Counted {
  absl::Duration t;
  const Attempt* attempt;
};

std::vector<Counted> CountedOf(const KeyHistory& history, absl::Duration now) {
  std::vector<Counted> counted;
  counted.reserve(history.size());
  for (const KeyHistory::Entry& entry : history.finished()) {
    counted.push_back({entry.t, entry.attempt});
  }
  for (const KeyHistory::Running& running : history.running()) {
    counted.push_back(
        {running.deadline <= now ? running.deadline : running.start, running.attempt});
  }
  std::stable_sort(counted.begin(), counted.end(),
                   [](const Counted& a, const Counted& b) { return a.t < b.t; });
  return counted;
}

void KeepYoungest(const std::vector<Counted>& counted, FailedCheck& failed) {
  const size_t skipped =
      counted.size() > FailedCheck::kAttemptsMax ? counted.size() - FailedCheck::kAttemptsMax : 0;
  for (size_t i = skipped; i < counted.size(); ++i) failed.attempts.push_back(*counted[i].attempt);
}

}  // namespace

std::vector<FailedCheck> ExplainFailed(const LocalVerdict& verdict, const KeyHistory& history,
                                       absl::Duration now) {
  std::vector<FailedCheck> all;
  const std::vector<Counted> counted = CountedOf(history, now);
  const auto in_window = [&](absl::Duration window) {
    std::vector<Counted> inside;
    for (const Counted& one : counted) {
      if (one.t > now - window) inside.push_back(one);
    }
    return inside;
  };
  const auto explain_maximum = [&](FailedCheck& failed, int max, absl::Duration window) {
    const std::vector<Counted> inside = in_window(window);
    failed.limit = max;
    failed.total = static_cast<int>(inside.size());
    KeepYoungest(inside, failed);
    failed.passes_in = max == 0 ? absl::InfiniteDuration()
                                : inside[inside.size() - static_cast<size_t>(max)].t + window - now;
  };
  for (const Check check : verdict.failed) {
    FailedCheck failed;
    failed.check = check;
    switch (check) {
      case Check::kLocalMinimumMinutes:
        failed.limit = verdict.limits.local_minimum_minutes;
        failed.total = 1;
        KeepYoungest({counted.back()}, failed);
        failed.passes_in = counted.back().t + absl::Minutes(failed.limit) - now;
        break;
      case Check::kLocalMaxInHour:
        explain_maximum(failed, verdict.limits.local_max_in_hour, absl::Hours(1));
        break;
      case Check::kLocalMaxInDay:
        explain_maximum(failed, verdict.limits.local_max_in_day, absl::Hours(24));
        break;
      case Check::kLocalRecoveryInProgress: {
        std::vector<Counted> running;
        for (const KeyHistory::Running& one : history.running()) {
          if (one.deadline <= now) continue;
          running.push_back({one.start, one.attempt});
          failed.passes_in = std::max(failed.passes_in, one.deadline - now);
        }
        failed.total = static_cast<int>(running.size());
        KeepYoungest(running, failed);
        break;
      }
      default:
        break;
    }
    all.push_back(std::move(failed));
  }
  return all;
}

}  // namespace salve

#include "throttling/local_throttle.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"

namespace salve {
namespace {

bool Before(const KeyHistory::Entry& a, const KeyHistory::Entry& b) {
  return a.t != b.t ? a.t < b.t : a.start < b.start;
}

// All attempts by the time at which they count. The finished ones are sorted; the running ones
// are few (one in the agent) and are merged in on the fly.
class Counted {
 public:
  Counted(const KeyHistory& history, absl::Duration now) : finished_(history.finished()) {
    for (const KeyHistory::Running& running : history.running()) {
      const bool is_over = running.deadline <= now;
      const KeyHistory::Entry entry = {is_over ? running.deadline : running.start, running.start,
                                       running.attempt};
      running_.insert(std::upper_bound(running_.begin(), running_.end(), entry, Before), entry);
    }
  }

  // How many are strictly after `t`.
  int CountAfter(absl::Duration t) const { return After(finished_, t) + After(running_, t); }

  // The time of the `rank`-th youngest, from 1. Requires: there are so many.
  absl::Duration Youngest(int rank) const {
    int younger = 0;  // Running ones that are.
    for (auto it = running_.rbegin(); it != running_.rend(); ++it, ++younger) {
      const int rank_of_this = younger + 1 + After(finished_, it->t);
      if (rank_of_this == rank) return it->t;
      if (rank_of_this > rank) break;
    }
    return finished_[finished_.size() - static_cast<size_t>(rank - younger)].t;
  }

  // Null when there are none.
  const KeyHistory::Entry* MostRecent() const {
    if (running_.empty()) return finished_.empty() ? nullptr : &finished_.back();
    if (finished_.empty() || Before(finished_.back(), running_.back())) return &running_.back();
    return &finished_.back();
  }

 private:
  template <typename Entries>
  static int After(const Entries& entries, absl::Duration t) {
    const auto first = std::upper_bound(
        entries.begin(), entries.end(), t,
        [](absl::Duration time, const KeyHistory::Entry& entry) { return time < entry.t; });
    return static_cast<int>(entries.end() - first);
  }

  const std::vector<KeyHistory::Entry>& finished_;
  absl::InlinedVector<KeyHistory::Entry, 2> running_;
};

}  // namespace

void KeyHistory::AddFinished(absl::Duration start, absl::Duration end, const Attempt* attempt) {
  const Entry entry = {end, start, attempt};
  finished_.insert(std::upper_bound(finished_.begin(), finished_.end(), entry, Before), entry);
}

void KeyHistory::AddRunning(absl::Duration start, absl::Duration deadline, const Attempt* attempt) {
  running_.push_back({start, deadline, attempt});
}

void KeyHistory::Finish(const Attempt* attempt, absl::Duration end) {
  for (size_t i = 0; i < running_.size(); ++i) {
    if (running_[i].attempt != attempt) continue;
    const absl::Duration start = running_[i].start;
    running_.erase(running_.begin() + static_cast<ptrdiff_t>(i));
    AddFinished(start, end, attempt);
    return;
  }
}

void KeyHistory::Remove(const Attempt* attempt) {
  std::erase_if(running_, [&](const Running& entry) { return entry.attempt == attempt; });
  const auto it = std::find_if(finished_.begin(), finished_.end(),
                               [&](const Entry& entry) { return entry.attempt == attempt; });
  if (it != finished_.end()) finished_.erase(it);
}

LocalVerdict CheckLocal(const Limits& limits, const KeyHistory& history, absl::Duration now) {
  LocalVerdict verdict;
  verdict.limits = limits.InForce();
  verdict.retry_at = now;
  const auto fail = [&verdict](Check check, absl::Duration retry_at) {
    verdict.passed = false;
    verdict.failed.push_back(check);
    verdict.retry_at = std::max(verdict.retry_at, retry_at);
  };
  const Counted counted(history, now);

  const KeyHistory::Entry* most_recent = counted.MostRecent();
  if (most_recent != nullptr) {
    verdict.most_recent = most_recent->attempt;
    const absl::Duration satisfied =
        most_recent->t + absl::Minutes(verdict.limits.local_minimum_minutes);
    if (verdict.limits.local_minimum_minutes > 0 && now < satisfied) {
      fail(Check::kLocalMinimumMinutes, satisfied);
    }
  }
  const auto check_maximum = [&](Check check, int max, int total, absl::Duration window) {
    if (max < 0 || total < max) return;
    fail(check, max == 0 ? absl::InfiniteDuration() : counted.Youngest(max) + window);
  };
  verdict.total_in_hour = counted.CountAfter(now - absl::Hours(1));
  check_maximum(Check::kLocalMaxInHour, verdict.limits.local_max_in_hour, verdict.total_in_hour,
                absl::Hours(1));
  verdict.total_in_day = counted.CountAfter(now - absl::Hours(24));
  check_maximum(Check::kLocalMaxInDay, verdict.limits.local_max_in_day, verdict.total_in_day,
                absl::Hours(24));

  absl::Duration last_deadline = now;
  for (const KeyHistory::Running& running : history.running()) {
    last_deadline = std::max(last_deadline, running.deadline);
  }
  if (last_deadline > now) {
    verdict.recovery_in_progress = true;
    fail(Check::kLocalRecoveryInProgress, last_deadline);
  }
  return verdict;
}

std::string LocalResultXml(const LocalVerdict& verdict, absl::Time wall_of_origin,
                           bool real_attempt) {
  const auto boolean = [](bool value) { return value ? "true" : "false"; };
  std::string xml = absl::StrCat(
      "<LocalThrottlingResult IsPassed=\"", boolean(verdict.passed), "\" MinimumMinutes=\"",
      verdict.limits.local_minimum_minutes, "\" TotalInOneHour=\"", verdict.total_in_hour,
      "\" MaxAllowedInOneHour=\"", verdict.limits.local_max_in_hour, "\" TotalInOneDay=\"",
      verdict.total_in_day, "\" MaxAllowedInOneDay=\"", verdict.limits.local_max_in_day,
      "\" IsThrottlingInProgress=\"", boolean(real_attempt));
  absl::StrAppend(&xml, "\" IsRecoveryInProgress=\"", boolean(verdict.recovery_in_progress),
                  "\" ChecksFailed=\"", JoinChecks(verdict.failed), "\"");
  if (!verdict.passed) {
    absl::StrAppend(&xml, " TimeToRetryAfter=\"", ResultTime(wall_of_origin + verdict.retry_at),
                    "\"");
  }
  if (verdict.most_recent == nullptr) return xml + " />";
  absl::StrAppend(&xml, ">", MostRecentEntryXml(*verdict.most_recent, /*with_server=*/false),
                  "</LocalThrottlingResult>");
  return xml;
}

std::string MostRecentEntryXml(const Attempt& attempt, bool with_server) {
  std::string xml = "<MostRecentEntry ";
  if (with_server) absl::StrAppend(&xml, "Server=\"", XmlEscape(attempt.server), "\" ");
  absl::StrAppend(&xml, "Requester=\"", XmlEscape(attempt.requester), "\" StartTime=\"",
                  ResultTime(attempt.start_wall), "\"");
  const bool is_finished = attempt.state == AttemptState::kFinished;
  if (is_finished) {
    absl::StrAppend(&xml, " EndTime=\"", ResultTime(attempt.end_wall), "\"");
  }
  absl::StrAppend(&xml, " State=\"", AttemptStateName(attempt.state), "\"");
  if (is_finished) {
    absl::StrAppend(&xml, " Result=\"", AttemptResultName(attempt.result), "\"");
  }
  return xml + " />";
}

}  // namespace salve

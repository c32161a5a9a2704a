// The local check: given the limits and the attempts of one key, may the next one run now? Pure
// functions on a time line of the caller's: the agent's is uptime (ledger.h), that of the what-if
// tool the wall clock. A point on a line is a Duration since some fixed origin.
#ifndef SALVE_THROTTLING_LOCAL_THROTTLE_H_
#define SALVE_THROTTLING_LOCAL_THROTTLE_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "config/xml_text.h"
#include "throttling/attempt.h"
#include "throttling/limits.h"

namespace salve {

// The attempts of one key (action, resource). The attempts themselves belong to the caller and
// must outlive the history and what it answers.
class KeyHistory {
 public:
  struct Entry {
    absl::Duration t;  // Its end; of a running one its start, or its deadline once that is over.
    absl::Duration start;
    const Attempt* attempt = nullptr;
  };
  struct Running {
    absl::Duration start;
    absl::Duration deadline;
    const Attempt* attempt = nullptr;
  };

  void AddFinished(absl::Duration start, absl::Duration end, const Attempt* attempt);
  void AddRunning(absl::Duration start, absl::Duration deadline, const Attempt* attempt);
  // Makes a running one a finished one. No effect when it is not there.
  void Finish(const Attempt* attempt, absl::Duration end);
  // Takes one out, running or finished.
  void Remove(const Attempt* attempt);

  const std::vector<Entry>& finished() const { return finished_; }  // By (t, start).
  const std::vector<Running>& running() const { return running_; }  // In no order; few.
  bool empty() const { return finished_.empty() && running_.empty(); }
  size_t size() const { return finished_.size() + running_.size(); }

 private:
  std::vector<Entry> finished_;
  std::vector<Running> running_;
};

// What the local limits say. Times are points on the line of the history.
struct LocalVerdict {
  bool passed = true;
  std::vector<Check> failed;  // In the order of Check.
  Limits limits;              // Those that were in force.
  int total_in_hour = 0;
  int total_in_day = 0;
  bool recovery_in_progress = false;
  // When it may be asked again; InfiniteDuration: never. Meaningless when passed.
  absl::Duration retry_at;
  // The greatest t, then start. Null: none. Valid until the history or its attempts change.
  const Attempt* most_recent = nullptr;
};

// All limits are strictly inside: an age of exactly 60 minutes is outside the hour, exactly M
// minutes satisfy the minimum, a deadline of exactly now is over. O(log n) in finished attempts.
LocalVerdict CheckLocal(const Limits& limits, const KeyHistory& history, absl::Duration now);

// The `<LocalThrottlingResult .../>` of docs/THROTTLING.md on one line. `wall_of_origin` is the
// wall time of the line's origin, for TimeToRetryAfter; `real_attempt`: IsThrottlingInProgress.
std::string LocalResultXml(const LocalVerdict& verdict, absl::Time wall_of_origin,
                           bool real_attempt);

// `<MostRecentEntry Requester="…" … />`; with `Server` first for the group's result.
std::string MostRecentEntryXml(const Attempt& attempt, bool with_server);

}  // namespace salve

#endif  // SALVE_THROTTLING_LOCAL_THROTTLE_H_

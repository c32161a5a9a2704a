// ProbeScheduler: runs each probe every interval, at a phase that comes from a hash of its
// name so that 1,000 probes do not fire together; at once when an event-driven kind says so.
// A probe that still looks when its next turn comes is skipped and counted, never stacked.
// Lives on the loop's thread. Every function may be called inside LookDone.
#ifndef SALVE_PROBES_SCHEDULER_H_
#define SALVE_PROBES_SCHEDULER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "config/definition.h"
#include "probes/probe.h"

namespace salve {

// One finished look, with its place in time.
struct Look {
  Observation observation;
  Instant start;  // Of the first try.
  absl::Time wall_start;
  absl::Duration duration;  // Over all tries.
  int retries = 0;          // Tries after the first; only the last one timed out or did not.
};

struct ProbeCounters {
  uint64_t looks = 0;    // Finished ones; retries are part of their look.
  uint64_t skipped = 0;  // Turns that were left out because the look before still ran.
};

class ProbeScheduler {
 public:
  // Called on the loop with each finished look, in order of time.
  using LookDone = std::function<void(const ProbeDefinition&, const Look&)>;

  ProbeScheduler(EventLoop& loop, LookDone done);
  ~ProbeScheduler();

  // A look that has not ended so long after its deadline is recorded as timed out; the probe is
  // not started again before it ends, and what it says then is ignored.
  static constexpr absl::Duration kGrace = absl::Seconds(1);
  // Changes that an event-driven kind reports faster than this are seen by one look.
  static constexpr absl::Duration kHintSpacing = absl::Milliseconds(10);

  // Nobody waits for longer to know how it is, also of what is looked at once an hour.
  static constexpr absl::Duration kFirstLookWithin = absl::Minutes(1);

  // Begins to run a probe, whatever its `enabled`: first at its phase (within the first
  // interval, and within kFirstLookWithin), an event-driven one also as soon as it knows its
  // target; a notification one only when a report comes or is overdue. Requires: no probe of that
  // full name is there.
  void Add(ProbeDefinition definition, std::unique_ptr<Probe> probe);
  // Ends it; a running look is dropped without `done`. Unknown names are ignored.
  void Remove(const std::string& full_name);

  // Looks soon, out of turn (or joins the look that is running), and calls `done` with the
  // result after LookDone has had it; never inside this call. A probe that hangs answers
  // Rejected, which LookDone does not get. Dropped when the probe is removed.
  // Errors: kNotFound; kResourceExhausted: 1,000 callers wait already.
  absl::Status LookNow(const std::string& full_name, std::function<void(const Look&)> done);

  // Hands a report to a notification probe, which looks at once.
  // Errors: kNotFound, kFailedPrecondition.
  absl::Status Report(const std::string& full_name, bool passed, std::string error);

  ProbeCounters counters(const std::string& full_name) const;
  uint64_t skipped_total() const;

 private:
  struct Entry;

  Entry* Find(const std::string& full_name) const;
  void ScheduleTurn(Entry& entry);
  void Turn(Entry& entry);
  void Hint(Entry& entry);
  void LookSoon(Entry& entry, Instant when);
  void BeginLook(Entry& entry);
  void StartTry(Entry& entry);
  void TryEnded(Entry& entry, uint64_t attempt, Observation observation);
  void GiveUp(Entry& entry);
  void FinishLook(Entry& entry, Observation observation);
  void CancelTimers(Entry& entry);
  void BuryLater(std::unique_ptr<Entry> entry);

  EventLoop& loop_;
  LookDone done_;
  absl::flat_hash_map<std::string, std::unique_ptr<Entry>> entries_;
  std::vector<std::unique_ptr<Entry>> removed_;  // Inside a call of theirs; freed a moment later.
  TimerId burial_ = TimerId::kNone;
  uint64_t skipped_ = 0;
};

// Where in its interval a probe's turns lie: in [0, interval), from its name alone (FNV-1a and
// a final mix), so that it is the same on every server and after every restart.
absl::Duration PhaseOf(absl::string_view full_name, absl::Duration interval);

}  // namespace salve

#endif  // SALVE_PROBES_SCHEDULER_H_

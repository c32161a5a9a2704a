// SetRun: decides on the entries of a crash set for a person (`salvectl recover -e`, `-r`), with
// the agent's own parts and under its lock, while there is no agent. What is pending is tried once,
// one entry at a time; it goes through the live queue, which remembers what has ended, so that a
// set that was copied has each effect once. What a person had suspended is not tried: it goes back
// suspended. Lives on the loop's thread, on which it blocks for the
// store: nothing else runs.
//
// An entry is, until its attempt has ended, in the live queue and in flight: a kill in between is
// met by the next run, or by the agent's next start, as any crash.
#ifndef SALVE_AGENT_SET_RUN_H_
#define SALVE_AGENT_SET_RUN_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agent/held_messages.h"
#include "base/event_loop.h"
#include "channels/event_log.h"
#include "config/definition.h"
#include "queue/crash_set.h"
#include "queue/deliverer.h"
#include "queue/message_store.h"
#include "throttling/ledger.h"

namespace salve {

struct SetRunOptions {
  std::string dir;
  bool execute = false;
  std::vector<queue::Type> types;  // Of `execute`; empty: all.
  bool recover = false;
};

class SetRun {
 public:
  struct Parts {
    EventLoop& loop;
    MessageStore& store;  // The live one.
    Ledger& ledger;
    EventLog& events;
    Deliverer& letters;                  // SMTP and webhook destinations.
    Deliverer& forwards;                 // Forward destinations.
    Deliverer& actions;                  // Deferred actions.
    const Configuration& configuration;  // As it was loaded.
    // Closes an attempt in progress as crashed, with its event.
    std::function<void(const std::string& attempt_id, absl::AnyInvocable<void(absl::Status)> done)>
        close_attempt;
    std::string proc = "/proc";
    std::string boot_id;
  };

  // Of the entries that were to be done.
  struct Outcome {
    int64_t executed = 0;      // Or found to be.
    int64_t failed = 0;        // For good.
    int64_t not_executed = 0;  // Still in the set.
    int64_t recovered = 0;
    int64_t not_recovered = 0;
    bool all_done() const { return failed + not_executed + not_recovered == 0; }
  };

  // `resumes`: what BeginSetRun said.
  SetRun(Parts parts, std::unique_ptr<CrashSet> set, SetRunOptions options, bool resumes);
  ~SetRun();
  SetRun(const SetRun&) = delete;
  SetRun& operator=(const SetRun&) = delete;

  // Executes (AR, AF, UP), then recovers. Calls `done` once, never inside this call.
  // Errors: the set or the store can't be read or written; the rest was not begun.
  void Start(std::function<void(absl::Status)> done);
  // No further entry is begun; the one under way ends, then `done` follows.
  void Stop() { stopping_ = true; }
  const Outcome& outcome() const { return outcome_; }

 private:
  struct Step {
    bool recovers = false;
    std::string id;
    bool is_action = false;  // Of the ledger.
  };

  // By whose word a person keeps a message from being delivered.
  enum class Suspension { kNone, kQueue, kMessage };

  absl::Status Plan();
  void Next();
  void End(absl::Status status);
  void Continue();
  // These: whether an attempt is under way, which then goes on with the next step.
  absl::StatusOr<bool> Execute(const std::string& mid);
  absl::StatusOr<bool> Route(const CrashEntry& entry, bool is_held, std::optional<int64_t> live);
  absl::StatusOr<bool> Deliver(const CrashEntry& entry, const std::string& queue,
                               std::optional<int64_t> live);
  absl::Status SettleBegun(const CrashEntry& entry, const Attempt& attempt,
                           std::optional<int64_t> live);
  // It is in the live queue, and not this run's.
  absl::Status SettleLive(const std::string& mid, const StoredMessage& live);
  // It goes into its queue, if it is not `live` there, and is not begun here.
  absl::Status LeaveToSalved(const CrashEntry& entry, const std::string& queue,
                             Suspension suspension, std::optional<int64_t> live);
  absl::Status SettleExpired(const CrashEntry& entry, bool is_held, std::optional<int64_t> live);
  void OnDelivered(const CrashEntry& entry, int64_t sequence, DeliveryResult result);
  absl::Status Conclude(const CrashEntry& entry, int64_t sequence, const DeliveryResult& result);
  absl::StatusOr<bool> RecoverMessage(const std::string& mid);
  // Back into the live queue, if it belongs there; returns what became of it.
  absl::StatusOr<std::string> Requeue(const CrashEntry& entry);
  // The same of one that is there already.
  absl::StatusOr<std::string> RequeueLive(const StoredMessage& live);
  void RecoverAction(const std::string& attempt_id);
  // Closes it as crashed, then goes on with `then`.
  void CloseAttempt(const std::string& attempt_id, std::function<absl::Status()> then);

  absl::Status Say(const std::string& id, EntryState state, absl::string_view detail);
  // The queue to which it belongs here; an error says why there is none.
  absl::StatusOr<std::string> RouteOf(const CrashEntry& entry) const;
  // Whether a run that was killed has put this into the live queue, for an attempt.
  bool IsOfKilledRun(const CrashEntry& entry, const StoredMessage& live) const;
  // `is_known`: the live queue has had it, or has it.
  Suspension SuspensionOf(const CrashEntry& entry, const std::string& queue, bool is_known) const;
  static std::string WhyItStays(Suspension suspension, const std::string& mid,
                                const std::string& queue);
  // The deferred attempt of a UP; null: none was begun, or it ended before its effect.
  const Attempt* AttemptOf(const std::string& mid) const;
  bool StillRuns(const Attempt& attempt) const;
  absl::Time Now() const { return parts_.loop.clock().WallNow(); }

  const Parts parts_;
  const std::unique_ptr<CrashSet> set_;
  const SetRunOptions options_;
  const bool resumes_;
  const CrashDefinitions definitions_;
  HeldMessages live_;
  std::map<std::string, std::string> attempts_;  // MID -> attempt.
  std::set<std::string> suspended_queues_;       // Live ones.
  std::deque<Step> steps_;
  std::function<void(absl::Status)> done_;
  Outcome outcome_;
  bool stopping_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace salve

#endif  // SALVE_AGENT_SET_RUN_H_

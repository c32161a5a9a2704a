// Ledger: the throttle's memory, ledger.db. Lives on the loop thread; its answers come from an
// index in memory, each change is synced to disk by the worker. Memory counts an attempt from the
// call of Begin, the disk from before its effect: after a crash the count may be too high, never
// too low. One agent a file: it is locked while open.
#ifndef SALVE_THROTTLING_LEDGER_H_
#define SALVE_THROTTLING_LEDGER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/ids.h"
#include "base/worker.h"
#include "throttling/attempt.h"
#include "throttling/local_throttle.h"

namespace salve {

using LedgerDone = absl::AnyInvocable<void(absl::Status)>;

// Whether the kernel says that its wall clock is synchronised (adjtimex).
bool KernelClockIsSynchronised();

struct LedgerOptions {
  std::string path;     // "/var/lib/salve/ledger.db"; its folder must exist.
  std::string boot_id;  // /proc/sys/kernel/random/boot_id. Not empty.
  std::string server;   // Written into attempts.
  // Whether events.db is there: a ledger that is missing beside it was lost.
  bool events_db_exists = false;
  // Sets a damaged or lost ledger aside (channels/set_aside.h) and begins a new one:
  // `salved --accept-ledger-loss`. A ledger of a newer schema is refused either way.
  bool accept_loss = false;
  std::function<bool()> clock_is_synchronised = KernelClockIsSynchronised;
};

class Ledger {
 public:
  // Bound of attempts that are kept. When all of them are too young to be dropped, Begin
  // answers kResourceExhausted.
  static constexpr size_t kAttemptsMax = 100'000;

  // Opens or makes the file; blocks (a few milliseconds and as many as it takes to read it).
  // `loop` and `worker` must outlive the ledger. The index is complete when it returns.
  // Errors: kDataLoss: missing beside an events.db, not a database, failed its integrity check, a
  //   row whose check sum is wrong; the message says the way out. kFailedPrecondition: a newer
  //   schema. kUnavailable: another process has it open, an I/O error. kPermissionDenied,
  //   kNotFound (the folder), kResourceExhausted (full disk).
  static absl::StatusOr<std::unique_ptr<Ledger>> Open(LedgerOptions options, EventLoop& loop,
                                                      Worker& worker);
  // Waits until what was begun is on disk. No `done` is called any more.
  virtual ~Ledger() = default;

  // A new attempt of now, with id, server, boot id and times filled in; not yet in the ledger.
  virtual Attempt NewAttempt(RecoveryAction action, absl::string_view resource,
                             absl::string_view requester, absl::Duration timeout) = 0;

  // Each calls `done` once, on the loop, never inside the call, when the change is synced; in
  // memory it is there when the call returns.
  // Errors of `done`: kUnavailable, kResourceExhausted: it could not be written.

  // Takes an InProgress attempt. When it could not be written it is forgotten again.
  virtual void Begin(const Attempt& attempt, LedgerDone done) = 0;
  // Notes what the effect is, before or after it began. Errors: also kNotFound.
  virtual void SetEffect(const std::string& id, absl::string_view effect, LedgerDone done) = 0;
  // Ends an attempt now; kCrashed: at min(now, its deadline). When it could not be written, it is
  // written again at each Heartbeat; until then a crash makes it Crashed. Errors: also kNotFound:
  // no such attempt in progress.
  virtual void Finish(const std::string& id, AttemptResult result, LedgerDone done) = 0;

  // To be called every 60 s, and at a clean stop: notes boot time, wall time and whether that is
  // synchronised; drops old attempts in small steps; checkpoints; makes the reserve again.
  virtual void Heartbeat(LedgerDone done) = 0;

  // The attempt, or null. Pointers live until the next call that is not const.
  virtual const Attempt* Find(const std::string& id) const = 0;
  // Those in progress, oldest first: at start, what an earlier life of the agent left.
  virtual std::vector<const Attempt*> Unfinished() const = 0;
  // Those that match, oldest first, at most the newest `limit`. nullptr/empty: all.
  virtual std::vector<const Attempt*> List(const RecoveryAction* action, absl::string_view resource,
                                           absl::Time since, size_t limit) const = 0;
  // Those whose requester begins so, oldest first. By an index, however many there are.
  virtual std::vector<const Attempt*> OfRequester(absl::string_view prefix) const = 0;
  // Each (action, resource) that has attempts, the resource as last given, sorted.
  struct Key {
    RecoveryAction action;
    std::string resource;
  };
  virtual std::vector<Key> Keys() const = 0;

  // The history of a key on the ledger's line (uptime across boots; points of other boots are
  // before 0). Never null; empty when there is none.
  virtual const KeyHistory& History(RecoveryAction action, absl::string_view resource) const = 0;
  // Now on that line.
  virtual absl::Duration Now() const = 0;
  // The wall time of the line's origin, so that origin + t is what a clock on the wall will show.
  virtual absl::Time WallOfOrigin() const = 0;
  // Time since the attempt's end (or, in progress, its start). Never negative.
  virtual absl::Duration AgeOf(const Attempt& attempt) const = 0;

  // Attempts younger than the longest of this, 24 h and 30 days (for `action list`) are kept;
  // the youngest of each key always is. Set it to the largest minimum in force.
  virtual void SetLargestMinimum(absl::Duration minimum) = 0;

  // Whether the last write reached the disk, and if not, why.
  virtual absl::Status Health() const = 0;
  // Damage that accept_loss set aside at Open: what was said and where it went; else empty.
  virtual const std::string& LossAccepted() const = 0;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_LEDGER_H_

// Crash sets: what an unclean start keeps of the queue and of the actions in flight before its
// first write, in STATE/crash/<host>-<boot>-<time>/, so that a person can see what the crash met
// and, under HOLD, decide on it (`salvectl recover`). A set is never changed but for the states of
// its entries (states.db). Blocks on files; one thread.
//
// Where a test may be killed: "queue.set.begun", "queue.set.copied" (after each file),
// "queue.set.complete", "queue.set.renamed".
#ifndef SALVE_QUEUE_CRASH_SET_H_
#define SALVE_QUEUE_CRASH_SET_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "channels/sqlite.h"
#include "config/config.pb.h"
#include "config/definition.h"
#include "queue/crash_set.pb.h"
#include "queue/message_store.h"
#include "throttling/attempt.h"

namespace salve {

inline constexpr size_t kCrashSetsMax = 20;

struct CrashSetOptions {
  std::string state_dir;  // Holds queue.db; the sets go to `crash` in it.
  std::string server;
  std::string boot_id;
  std::string agent_version;
  config::Queue::Recovery recovery = config::Queue::REVALIDATE;
  bool journal = true;  // recovery_journal; false: no set is made, and said so at each start.
  absl::Time now;
};

struct CrashFinding {
  bool unclean = false;
  std::string set;  // The folder below `crash`; empty: none was made.
  // Attempts in progress that wait in a set for a person: not to be closed (Engine::Reconcile).
  std::set<std::string> held_attempts;
  std::vector<std::string> warnings;  // For people: no set could be made, and why; too many.
};

// Finds out whether the agent died, and if so makes the crash set. To be called before queue.db is
// opened, with the ledger's attempts in progress. Killed at any point, the next call leaves one
// whole set. At most kCrashSetsMax are kept: the oldest go, but none of HOLD with an entry that is
// open; when all of them are such, they are more, and said. A set for which there is no room on the
// disk, or that can't be written, is said and not made: the start goes on.
// Errors: those of MessageStore::WasLeftDirty: the queue is damaged; nothing has changed.
absl::StatusOr<CrashFinding> SecureCrash(const CrashSetOptions& options,
                                         const std::vector<const Attempt*>& unfinished);

// Attempts that wait in a set of HOLD for a person, also while the queue can't be used. What can't
// be read of a set is left out.
std::set<std::string> HeldAttempts(const std::string& state_dir);

// Notes in the set that the agent itself has settled what was in flight (REVALIDATE).
// Errors: as CrashSet.
absl::Status MarkInFlightRecovered(const std::string& state_dir, const std::string& set);

// `salvectl recover -e|-r` puts a mark into the state folder while it works, so that what a killed
// one left is not taken for a crash of the agent, nor the other way round. Under the folder's lock,
// before queue.db is opened; true: an earlier one was killed, this one goes on. The agent's start
// (SecureCrash) ends it too.
// Errors: kFailedPrecondition: the agent died and was not started since: its crash set comes first;
//   those of MessageStore::WasLeftDirty; kUnavailable, kResourceExhausted: can't be written.
absl::StatusOr<bool> BeginSetRun(const std::string& state_dir);
// Requires: queue.db is closed.
absl::Status EndSetRun(const std::string& state_dir);

// What became of an entry; the names are in all tools and manuals.
enum class EntryState {
  kErrNoRec,  // ERR-NOREC: in flight at the crash, not recovered, or recovery failed.
  kErrRecov,  // ERR-RECOV: recovered.
  kActNoExe,  // ACT-NOEXE: pending, not executed, or failed before it began.
  kActExec,   // ACT-EXEC: executed. Final.
  kActError,  // ACT-ERROR: executed, and failed. Final.
};
absl::string_view EntryStateName(EntryState state);
inline bool IsOpen(EntryState state) {
  return state == EntryState::kErrNoRec || state == EntryState::kActNoExe;
}

// An action of the ledger or a message of the queue, as the crash met it.
struct CrashEntry {
  int64_t key = 0;  // Its number in the set, from 1; the actions come first.
  std::string id;   // The attempt's, or the MID.
  EntryState state = EntryState::kErrNoRec;
  std::string detail;  // Why it is in this state; may be empty.
  bool in_flight = false;
  std::optional<crashset::Action> action;  // Else it is a message:
  queue::Message message;
  std::string queue;
  // By a person, before the crash: it, or its whole queue.
  bool suspended = false;
  bool queue_suspended = false;

  // "RA" (an action of the ledger), "AF", "AR", "UP".
  std::string type() const;
};

// The names that entries need in the configuration.
struct CrashDefinitions {
  std::set<std::string> responders;  // "SET/NAME", and "NAME", which is unique on the server.
  std::set<std::string> destinations;
};
CrashDefinitions DefinitionsOf(const Configuration& configuration);
// The responder or destination of this entry that is not there; "": nothing is missing.
std::string MissingDefinition(const CrashEntry& entry, const CrashDefinitions& definitions);

class CrashSet {
 public:
  // Opens the set in a folder. Errors: kNotFound: "File(PATH) not found."; kDataLoss: a file of it
  //   can't be read; kPermissionDenied, kUnavailable.
  static absl::StatusOr<std::unique_ptr<CrashSet>> Open(const std::string& dir);

  const crashset::Manifest& manifest() const { return manifest_; }
  const crashset::InFlight& in_flight() const { return in_flight_; }

  // Calls `visit` for each entry, in the order of keys, until it says false. Not for what no crash
  // touches: messages in inbox, unreachable, poison and dead stay in the queue. `visit`
  // may call SetState.
  // Errors: those of reading; kDataLoss: a row is damaged.
  absl::Status ForEach(const std::function<bool(const CrashEntry&)>& visit);
  // The message of that MID. Errors: also kNotFound.
  absl::StatusOr<CrashEntry> FindMessage(const std::string& mid);
  // On disk when it returns OK. Errors: kResourceExhausted, kUnavailable.
  absl::Status SetState(const std::string& id, EntryState state, absl::string_view detail,
                        absl::Time now);
  // The same of everything that was in flight and has no state of its own.
  absl::Status SetStateOfInFlight(EntryState state, absl::string_view detail, absl::Time now);
  // Whether a person has something left to do here.
  absl::StatusOr<bool> HasOpenEntry();
  // Attempts in ERR-NOREC.
  absl::StatusOr<std::set<std::string>> OpenAttempts();

 private:
  explicit CrashSet(std::string dir) : dir_(std::move(dir)) {}
  absl::Status OpenStates(bool make);
  absl::Status OpenQueue();
  absl::StatusOr<CrashEntry> EntryOf(StoredMessage stored);
  // Fills in state and detail; whether it has a state of its own.
  absl::StatusOr<bool> FindState(CrashEntry& entry);

  const std::string dir_;
  crashset::Manifest manifest_;
  crashset::InFlight in_flight_;
  std::unique_ptr<MessageStore> store_;       // Opened when it is looked at.
  std::set<std::string> suspended_queues_;    // Of it.
  std::unique_ptr<SqliteConnection> states_;  // Null: no entry has a state of its own yet.
  std::unique_ptr<SqliteStatement> find_, put_;
};

}  // namespace salve

#endif  // SALVE_QUEUE_CRASH_SET_H_

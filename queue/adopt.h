// Takes over the queue of another server, from a pack of it: both queues become one, in a new file
// that takes the place of this server's with one rename. Deferred actions of the other server are
// never run here; its letters are routed by this server's configuration. The ledger is not changed,
// nor the pack, but for the file `adopted` in its folder: who took it over, so that no second
// server does. Needs the agent stopped; blocks on files.
//
// Killed at any point, the old queue.db is there and whole, or the new one is; and it can be run
// again. Where a test may be killed: "queue.db.adopt.begun", "queue.db.adopt.built", and swap.h.
#ifndef SALVE_QUEUE_ADOPT_H_
#define SALVE_QUEUE_ADOPT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "config/definition.h"
#include "queue/database.pb.h"

namespace salve {

inline constexpr char kRole[] = "salved";
// Texts in settings of the store: that new work is stopped, and what was adopted last,
// "SIGNATURE SERVER TIME COMMITS" (of an earlier version: without the last).
inline constexpr char kPreparingSetting[] = "preparing";
inline constexpr char kAdoptedSetting[] = "adopted_from";
inline constexpr char kAdoptedFile[] = "adopted";  // In the pack's folder: "SERVER TIME".

struct AdoptOptions {
  std::string state_dir;
  std::string folder;            // A pack, or a copied folder; Clean.
  const AgentDefinition& agent;  // This server's.
  bool allow_other_role = false;
  bool allow_other_group = false;
  bool allow_adopted = false;  // By another server, whose copy is not used; or nothing can say so.
  absl::Duration extend;  // Messages that would expire at once live so much longer. Zero: refused.
  absl::Time now;
};

// Errors: kOutOfRange: of another version, role or group; kFailedPrecondition: the agent runs, the
//   pack or this server's queue is not Clean, the preparation is unfinished (one line a point),
//   messages would expire at once, an earlier adoption waits for its first start, no room, another
//   server has adopted it;
//   kDataLoss: damaged, one line a fault; kNotFound, kPermissionDenied, kUnavailable.
absl::StatusOr<queue::AdoptReport> Adopt(const AdoptOptions& options);

// The step of Adopt that keeps other servers off: makes the file `adopted` unless there is one.
// Errors: kFailedPrecondition: another server has made it meanwhile; kPermissionDenied,
//   kResourceExhausted, kUnavailable: it can't be made, and allow_adopted is not set.
absl::Status MarkAdopted(const AdoptOptions& options);

// After the first clean end of an agent with the new database: removes the old one.
absl::Status FinishAdopt(const std::string& state_dir);

}  // namespace salve

#endif  // SALVE_QUEUE_ADOPT_H_

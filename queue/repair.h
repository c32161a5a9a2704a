// The last resort for a damaged queue database: what can be read goes into a new one, and what was
// lost is named. Needs the agent stopped; blocks on files.
//
// Where a test may be killed: "queue.db.repair.begun", "queue.db.repair.built", and swap.h.
#ifndef SALVE_QUEUE_REPAIR_H_
#define SALVE_QUEUE_REPAIR_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "queue/database.pb.h"

namespace salve {

struct RepairOptions {
  std::string file;  // Or its folder.
  // Of the new database, where the old one can't say.
  std::string server;
  std::string group;
  absl::Time now;
};
// The damaged file, its log and its mark are kept beside the new one as FILE.damaged-TIME. The new
// one has a new signature and is Clean. Killed, it can be run again: of a pack whose database is
// whole by then it makes the manifest anew, also one that is damaged or tells of other files, and
// says so in the notes; `kept_as` may be empty then. Errors: kFailedPrecondition: the agent runs,
//   there is no room, or all is whole: recover does no harm; kNotFound, kPermissionDenied,
//   kUnavailable; kOutOfRange: of a newer version.
absl::StatusOr<queue::RepairReport> RepairDatabase(const RepairOptions& options);

}  // namespace salve

#endif  // SALVE_QUEUE_REPAIR_H_

// Copies of a queue database: to look at them, to make them from a server's state folder, and to
// bring one that a crash left behind to a clean state. All need the agent stopped. Blocks on files.
//
// Where a test may be killed: "queue.db.pack.begun", "queue.db.pack.copied" (after each file),
// "queue.db.pack.written", "queue.db.recover.begun", "queue.db.recover.replayed",
// "queue.db.recover.closed".
#ifndef SALVE_QUEUE_PACK_H_
#define SALVE_QUEUE_PACK_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "queue/database.pb.h"
#include "queue/manifest.pb.h"

namespace salve {

// What the file says of itself, and how much is in it. Changes nothing. A damaged one is no error:
// its state says so. Errors: kFailedPrecondition: the agent runs there, or the pack is unfinished;
//   kNotFound, kPermissionDenied, kUnavailable.
absl::StatusOr<queue::DatabaseInfo> ReadDatabaseInfo(const std::string& folder_or_file);

// The same, with a look at every row, and of a pack at every byte: `problems` has all that is
// wrong. Errors: as above.
absl::StatusOr<queue::DatabaseInfo> VerifyDatabase(const std::string& folder_or_file);

// Both, for tools that hold the folder's lock. No error for one that is damaged.
absl::StatusOr<queue::DatabaseInfo> LookAtDatabase(const std::string& file, bool at_every_row);
// kDataLoss with its problems, one a line; OK: it is whole.
absl::Status WholeOr(const queue::DatabaseInfo& info);

// After a change of the files of a pack (BeginChange): its manifest tells of them again. Does
// nothing in a folder that is no pack.
absl::Status RefreshManifest(const std::string& folder);

struct PackOptions {
  std::string state_dir;
  std::string folder;  // Empty, not there yet, or an unfinished pack.
  absl::Time now;
};
// Copies the database, its log and its mark, synced, and checks the copies. Killed, it can be run
// again. Errors: as ReadDatabaseInfo; kFailedPrecondition also: `folder` is not empty, or has not
//   the room; kDataLoss: the database is damaged, one line a fault: nothing is copied.
absl::StatusOr<queue::Manifest> Pack(const PackOptions& options);

struct RecoverOptions {
  std::string folder;
  std::string state_dir;  // Which `folder` must not be: its agent recovers it.
  absl::Time now;
};
// Replays the log of a copied folder into its database; it then is Clean. Killed, or at one that is
// clean, it can be run again. Errors: as ReadDatabaseInfo; kDataLoss: damaged, one line a fault:
//   nothing has changed; kOutOfRange: of a newer version.
absl::StatusOr<queue::RecoverReport> RecoverFolder(const RecoverOptions& options);

}  // namespace salve

#endif  // SALVE_QUEUE_PACK_H_

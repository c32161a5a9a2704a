// Offline defragmentation of a queue database: into a new file, checked, then swapped by rename.
// Needs the agent stopped; blocks on files.
//
// Where a test may be killed: "queue.db.defrag.begun", "queue.db.defrag.copied",
// "queue.db.defrag.checked", "queue.db.defrag.renamed".
#ifndef SALVE_QUEUE_DEFRAG_H_
#define SALVE_QUEUE_DEFRAG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "queue/database.pb.h"

namespace salve {

// Its signature and its mark stay, and so do damaged rows: `queue db verify` finds these, this only
// compares. Errors: kFailedPrecondition: the agent runs, the database is not
//   Clean, or the folder has not the room, which the text tells; kDataLoss: damaged: nothing has
//   changed; kNotFound, kPermissionDenied, kUnavailable.
absl::StatusOr<queue::DefragReport> Defragment(const std::string& file);

}  // namespace salve

#endif  // SALVE_QUEUE_DEFRAG_H_

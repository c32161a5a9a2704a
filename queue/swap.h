// Puts a new queue database in the place of the old one: with one rename, and the old one stays
// beside it under another name. Blocks on files. Requires of all: the folder's lock.
//
// The mark is the old one's and the new one's at the same time before the rename (a slot for each
// signature), so that the database is whole for its reader at every moment.
//
// Where a test may be killed: "queue.db.swap.kept", "queue.db.swap.marked",
// "queue.db.swap.renamed", "queue.db.swap.done".
#ifndef SALVE_QUEUE_SWAP_H_
#define SALVE_QUEUE_SWAP_H_

#include <string>

#include "absl/status/status.h"

namespace salve {

// A database is a file, FILE-wal beside it, and FILE.mark.
// Removes all of one that is not wanted. The mark goes last.
absl::Status RemoveDatabase(const std::string& file);
// Copies one that is clean. Errors: as CopyFile; what is there at `to` is removed before.
absl::Status CopyDatabase(const std::string& file, const std::string& to);

// `fresh` and, when it is there, `file` are closed and clean, in the same folder. The old one is at
// `keep_as` afterwards. Killed at any point, `file` is the old one or the new one, and whole.
absl::Status SwapDatabase(const std::string& file, const std::string& fresh,
                          const std::string& keep_as);

}  // namespace salve

#endif  // SALVE_QUEUE_SWAP_H_

// Finds lost commits in a write-ahead log of SQLite. SQLite takes the first frame that does not
// fit for the end of the log: right after a crash, where the last commit may be torn, but a
// flipped bit in the middle would silently take back every commit behind it. Only for a log
// whose every commit was synced before the next was written.
#ifndef SALVE_CHANNELS_WAL_CHECK_H_
#define SALVE_CHANNELS_WAL_CHECK_H_

#include <string>

#include "absl/status/status.h"

namespace salve {

// OK also for a log that is missing, empty or all zeros. Errors: kDataLoss: frames of a later
// commit stand behind one that does not fit, or its header does not fit; kUnavailable,
// kPermissionDenied: can't be read.
absl::Status CheckWal(const std::string& path);

}  // namespace salve

#endif  // SALVE_CHANNELS_WAL_CHECK_H_

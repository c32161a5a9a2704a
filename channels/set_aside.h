// Puts a damaged database out of the way without destroying it.
#ifndef SALVE_CHANNELS_SET_ASIDE_H_
#define SALVE_CHANNELS_SET_ASIDE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace salve {

// Renames `path` to PATH.damaged-<time in UTC> and PATH-wal likewise, removes PATH-shm, and keeps
// only the newest two that were ever set aside, so that a bad disk does not fill up. Returns the
// new name. Requires: the database is closed. Errors: kUnavailable: it can't be renamed.
absl::StatusOr<std::string> SetAside(const std::string& path, absl::Time now);

}  // namespace salve

#endif  // SALVE_CHANNELS_SET_ASIDE_H_

// A fresh queue database in the place of the old one. Needs the agent stopped; blocks on files.
// Where a test may be killed: "queue.db.adopt.built", and swap.h.
#ifndef SALVE_QUEUE_RESET_H_
#define SALVE_QUEUE_RESET_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "queue/database.pb.h"

namespace salve {

struct ResetOptions {
  std::string state_dir;
  int64_t discard = 0;  // So many messages are thrown away: exactly those that are there.
  absl::Time now;
};
// A new database with a new signature. What has ended stays known, so that nothing is taken twice;
// what is discarded ends as removed. The old file is kept as queue.db.discarded-TIME.
// Errors: kAborted: another number of messages is there, which the text names;
// kFailedPrecondition: the agent runs, the database is Dirty, no room; kDataLoss: damaged, one line
// a fault; kNotFound: there is none; kPermissionDenied, kUnavailable.
absl::StatusOr<queue::ResetReport> ResetDatabase(const ResetOptions& options);

}  // namespace salve

#endif  // SALVE_QUEUE_RESET_H_

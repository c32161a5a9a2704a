// Looks at every row of a queue.db: the full check of `queue db verify`, which opening the file
// does not make (a million messages would be read at each start). Reads only: neither the file nor
// its log nor its mark are changed, and no file is made beside them. Blocks.
#ifndef SALVE_QUEUE_VERIFY_H_
#define SALVE_QUEUE_VERIFY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "queue/mark.h"
#include "queue/message_store.h"

namespace salve {

struct VerifyReport {
  // What the file says of itself; 0 and empty where it can't be read.
  int64_t schema_version = 0;
  std::string signature, server, group, role;
  int64_t commits = 0;
  int64_t last_sequence = 0;
  std::optional<Mark> mark;  // Null: missing or can't be read.
  bool has_log = false;      // A write-ahead log with something in it.

  // What was counted; of ReadHeader what the table of queues says.
  std::vector<QueueRow> queues;
  int64_t messages = 0;
  int64_t ended = 0;

  // What is wrong, in words; at most kProblemsMax, the last then says that there are more.
  std::vector<std::string> problems;
  // Messages whose row is there but can't be trusted, with their MIDs where these can be read.
  struct DamagedRow {
    int64_t sequence = 0;
    std::string mid;
  };
  std::vector<DamagedRow> damaged;  // At most kDamagedMax.
  int64_t damaged_rows = 0;         // All of them.
  // Of queues whose table row counts more than there is: how many messages are gone.
  int64_t missing_rows = 0;

  static constexpr size_t kProblemsMax = 100;
  static constexpr size_t kDamagedMax = 10'000;
};

// OK: whole, every row is there. Errors: kDataLoss: damaged, the message is the first problem, the
// report has what could be read; kFailedPrecondition: of a newer version; kNotFound,
// kPermissionDenied: no file, or it can't be read; kUnavailable: another process (the agent) has
// it open, or I/O.
absl::Status VerifyMessages(const std::string& path, VerifyReport& report);

// Only what the file and its mark say of themselves, without a look at the messages.
// Errors: as VerifyMessages.
absl::Status ReadHeader(const std::string& path, VerifyReport& report);

}  // namespace salve

#endif  // SALVE_QUEUE_VERIFY_H_

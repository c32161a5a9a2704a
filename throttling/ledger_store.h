// LedgerStore: the file of the ledger, ledger.db. Blocks and syncs; belongs to one thread at a
// time (the worker's). What it means is ledger.h's; here is what keeps it: SQLite in WAL mode,
// FULL sync, one fdatasync a write, a check sum a row.
#ifndef SALVE_THROTTLING_LEDGER_STORE_H_
#define SALVE_THROTTLING_LEDGER_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "channels/sqlite.h"
#include "throttling/attempt.h"
#include "throttling/uptime_line.h"

namespace salve {

// An attempt as a row. Boots are numbers there; 0 is none.
struct AttemptRow {
  int64_t number = 0;  // Rises with the order of Begin; never used again.
  Attempt attempt;     // Its boot ids are not stored but follow from the boots.
  int64_t boot = 0;
  int64_t end_boot = 0;
};

struct BootRow {
  int64_t number = 0;  // Rises with the order of first sight.
  SeenBoot boot;
};

// What one heartbeat writes, in one transaction.
struct Upkeep {
  BootRow boot;
  std::vector<AttemptRow> unwritten;  // Whose last write failed.
  std::vector<int64_t> drop;          // Numbers of attempts.
  bool checkpoint = false;
};

class LedgerStore {
 public:
  static constexpr int kSchemaVersion = 1;
  static constexpr int64_t kReserveBytes = 1 << 20;
  static constexpr int64_t kBootsMax = 1'000;  // The newest so many are kept.

  // Opens or makes the file and reads all of it into `boots` and `attempts`, in order.
  // Errors: kDataLoss: damaged; kFailedPrecondition: of a newer version; kUnavailable,
  //   kPermissionDenied, kNotFound, kResourceExhausted: can't be opened; all name the path.
  static absl::StatusOr<std::unique_ptr<LedgerStore>> Open(const std::string& path,
                                                           std::vector<BootRow>& boots,
                                                           std::vector<AttemptRow>& attempts);

  // Each is on disk when it returns OK. A full disk is met with the reserve, once.
  // Errors: kResourceExhausted, kUnavailable.
  absl::Status Write(const AttemptRow& row);
  absl::Status WriteBoot(const BootRow& row);
  // Also makes the reserve again when it was given up and there is room.
  absl::Status Keep(const Upkeep& upkeep);

 private:
  explicit LedgerStore(std::string path) : path_(std::move(path)) {}
  absl::Status Connect();
  absl::Status CheckOrMakeSchema();
  absl::Status PrepareStatements();
  absl::Status Load(std::vector<BootRow>& boots, std::vector<AttemptRow>& attempts);
  absl::Status KeepInTransaction(const Upkeep& upkeep);
  template <typename Writing>
  absl::Status WithReserve(Writing writing);
  void MakeReserve();

  const std::string path_;
  std::unique_ptr<SqliteConnection> db_;
  std::unique_ptr<SqliteStatement> put_attempt_, put_boot_, drop_attempt_, drop_boots_;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_LEDGER_STORE_H_

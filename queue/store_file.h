// The files of the queue's database: making them, opening them after a look at the mark and the
// log, and what they say of themselves. Only for the store and the tools that look into its file.
#ifndef SALVE_QUEUE_STORE_FILE_H_
#define SALVE_QUEUE_STORE_FILE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "channels/sqlite.h"
#include "queue/mark.h"
#include "queue/store_schema.h"

namespace salve {

inline std::string MarkPath(const std::string& path) { return path + ".mark"; }
inline std::string WalPath(const std::string& path) { return path + "-wal"; }
inline std::string ReservePath(const std::string& path) { return path + "-reserve"; }

// What is kept in memory of the file.
struct StoreTables {
  MetaRow meta;
  std::map<int64_t, QueueState> queues;  // By number.
  std::map<std::string, std::string> settings;
};

// Whether there is a database. kDataLoss: there is none, but its mark or log say that there was.
absl::StatusOr<bool> StoreExists(const std::string& path);

// Makes an empty database with this identity (the rest of `meta` is ignored) and its mark, Clean;
// killed at any point there is none, and making it anew succeeds.
absl::Status MakeStore(const std::string& path, const MetaRow& identity);

// What the mark and the log say before the database is touched: whether it was left dirty.
// Errors: kDataLoss: no mark, dirty without its log, a log beside a clean one, a damaged log.
absl::StatusOr<Mark> CheckMarkAndLog(const std::string& path);

// Whether a log stands beside it with more in it than zeros.
absl::StatusOr<bool> StoreHasLog(const std::string& path);

// Opens for reading and writing, exclusively. The log is neither replayed into the file nor
// removed by closing. Errors: of MessageStore::Open.
absl::StatusOr<std::unique_ptr<SqliteConnection>> ConnectStore(const std::string& path);
// Opens for reading, changes nothing. Errors: kUnavailable: another process has it open; as above.
absl::StatusOr<std::unique_ptr<SqliteConnection>> ExamineStore(const std::string& path);

// Reads the tables that are kept in memory and compares them with the mark. Errors: kDataLoss;
// kFailedPrecondition: of a newer version. Fills what it could read also then.
absl::Status LoadTables(SqliteConnection& db, StoreTables& tables);
absl::Status CheckAgainstMark(const MetaRow& meta, const Mark& mark);

// Writes zeros up to `size` and syncs. Blocks of a file that were written before are overwritten
// at the price of one fdatasync; fresh ones cost a second write of the file's size.
absl::Status GrowFile(const std::string& path, int64_t size);

// With the path in front.
absl::Status NamedBy(const std::string& path, const absl::Status& status);

}  // namespace salve

#endif  // SALVE_QUEUE_STORE_FILE_H_

// What the tools share that put a new database in the place of a state folder's: reading the old
// ones, and the way in. Blocks on files; needs the folder's lock.
#ifndef SALVE_QUEUE_REPLACEMENT_H_
#define SALVE_QUEUE_REPLACEMENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "channels/sqlite.h"
#include "queue/database.pb.h"
#include "queue/store_builder.h"
#include "queue/store_file.h"

namespace salve {

// For people, in UTC.
std::string TimeText(absl::Time time);
std::string StateDatabase(const std::string& state_dir);
bool IsSameFile(const std::string& a, const std::string& b);

// A database that is clean and whole, to read from.
struct DatabaseSource {
  queue::DatabaseInfo info;
  std::unique_ptr<SqliteConnection> db;
  StoreTables tables;
};
// Errors: kDataLoss: damaged, one line a fault; kFailedPrecondition: Dirty, with `how_to_clean`.
absl::StatusOr<DatabaseSource> OpenSource(const std::string& file, const std::string& how_to_clean);
// Of a state folder; null: it has none.
absl::StatusOr<std::optional<DatabaseSource>> OpenState(const std::string& state_dir);

// How a message ends that does not go on.
EndedRow EndOf(const StoredMessage& stored, Final final, std::string reason, absl::Time now);

// Errors: kFailedPrecondition, with both numbers.
absl::Status CheckRoom(const std::string& folder, int64_t bytes_needed);

struct Places {
  std::string file;
  std::string beside;   // Where the new one is built.
  std::string keep_as;  // Where the old one goes.
};
// What a tool that was killed has left there, and the mark of a swap that it did not end.
absl::Status RemoveLeftovers(const Places& places);
// Finishes the new one, checks it, and puts it in its place.
absl::Status Replace(StoreBuilder& builder, const Places& places);
// The disk may be full: what was built is not left there. Returns `why`.
absl::Status GiveUp(const Places& places, const absl::Status& why);

}  // namespace salve

#endif  // SALVE_QUEUE_REPLACEMENT_H_

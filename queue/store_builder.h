// StoreBuilder: makes a new queue database out of what others hold, for the tools that replace one
// as a whole: `queue db adopt`, `reset` and `repair`. Everything is one transaction, synced by
// Finish; until then the file is worth nothing. Blocks; one thread.
#ifndef SALVE_QUEUE_STORE_BUILDER_H_
#define SALVE_QUEUE_STORE_BUILDER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "channels/sqlite.h"
#include "queue/message_store.h"
#include "queue/store_schema.h"

namespace salve {

class StoreBuilder {
 public:
  struct Identity {
    std::string server;
    std::string group;
    std::string role;
  };
  // Makes the file anew, whatever is there, with a new signature. Errors of all:
  // kResourceExhausted: the disk is full; kPermissionDenied, kUnavailable.
  static absl::StatusOr<std::unique_ptr<StoreBuilder>> Create(const std::string& path,
                                                              const Identity& identity,
                                                              absl::Time now);

  // Adds a message as it is; `sequence` 0: the next one. Errors: kAlreadyExists: its MID, DMID or
  //   origin is there; kInvalidArgument: it may not be in that queue (transition.h).
  absl::Status AddMessage(const StoredMessage& message);
  // Remembers one that has ended, with a number of its own. Told ones before the others.
  absl::Status AddEnded(EndedRow row, bool told);
  absl::Status SuspendQueue(const std::string& name);
  void SetSetting(const std::string& key, const std::string& value);  // Empty: none.
  // No MID or DMID below this counter is given again.
  void ReserveIds(int64_t ids_reserved);

  int64_t messages() const { return messages_; }
  int64_t ended() const { return meta_.ended_rows; }
  const std::string& signature() const { return meta_.signature; }
  const std::map<std::string, QueueState>& queues() const { return queues_; }

  // Writes what remains, syncs, and marks it clean. Nothing may be called afterwards.
  absl::Status Finish();

 private:
  StoreBuilder(std::string path, std::unique_ptr<SqliteConnection> db)
      : path_(std::move(path)), db_(std::move(db)) {}
  absl::Status Prepare();
  QueueState& QueueOf(const std::string& name);
  absl::Status WriteTables();

  const std::string path_;
  std::unique_ptr<SqliteConnection> db_;
  struct Statements;
  std::shared_ptr<Statements> statements_;
  MetaRow meta_;
  std::map<std::string, QueueState> queues_;
  std::map<std::string, std::string> settings_;
  int64_t messages_ = 0;
};

// Calls `take` for each message of a database that nobody uses, by sequence, and for each end, by
// number. Errors: kDataLoss: a row that can't be trusted; those of `take`.
absl::Status ForEachMessage(SqliteConnection& database, const std::map<int64_t, QueueState>& queues,
                            absl::FunctionRef<absl::Status(StoredMessage)> take);
absl::Status ForEachEnded(SqliteConnection& database,
                          absl::FunctionRef<absl::Status(EndedRow)> take);

}  // namespace salve

#endif  // SALVE_QUEUE_STORE_BUILDER_H_

// StoreTransaction: what Changes mean in rows. It works on an open transaction of SQLite and on the
// tables in memory, which it can put back as they were. Only for the store.
#ifndef SALVE_QUEUE_STORE_TRANSACTION_H_
#define SALVE_QUEUE_STORE_TRANSACTION_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "channels/sqlite.h"
#include "queue/message_store.h"
#include "queue/store_queries.h"

namespace salve {

// The prepared writes.
struct StoreWrites {
  static absl::StatusOr<std::unique_ptr<StoreWrites>> Create(SqliteConnection& db);

  using Statement = std::unique_ptr<SqliteStatement>;
  Statement put_message, touch_message, replace_message, drop_message, put_ended, drop_ended,
      put_queue, drop_queue, put_setting, drop_setting, put_meta;
};

class StoreTransaction {
 public:
  StoreTransaction(SqliteConnection& db, StoreWrites& writes, StoreQueries& queries,
                   StoreTables& tables)
      : db_(db), writes_(writes), queries_(queries), tables_(tables), old_meta_(tables.meta) {}

  // Errors of all: as MessageStore::Apply and Keep; then Undo is due.
  absl::StatusOr<std::vector<int64_t>> Do(const Changes& changes);
  absl::Status Forget(const std::vector<EndedRow>& ends);
  absl::Status DropQueue(int64_t number);
  // The queues that were touched, and meta. The last step before COMMIT.
  absl::Status Finish();
  // The tables in memory as they were.
  void Undo();

 private:
  absl::StatusOr<int64_t> Put(const Changes::Put& put, const Changes& changes);
  // That nothing of its MID, origin or key is known. What is returned: its end, when it went into a
  // crash set and comes back.
  absl::StatusOr<std::optional<EndedRow>> CheckNew(const queue::Message& message,
                                                   const Changes& changes);
  absl::Status Update(const Changes::Update& update);
  absl::Status End(const Changes::End& end, absl::Time now);
  absl::Status Rename(const std::string& from, const std::string& to);
  absl::Status SetSetting(const std::string& key, const std::string& value);
  // Makes the queue when there is none of that name; kInvalidArgument: no name of a queue.
  absl::StatusOr<QueueState*> Touch(const std::string& name);
  QueueState& Touch(int64_t number);
  void Count(QueueState& queue, const MessageRow& row, int sign);

  SqliteConnection& db_;
  StoreWrites& writes_;
  StoreQueries& queries_;
  StoreTables& tables_;
  const MetaRow old_meta_;
  std::map<int64_t, std::optional<QueueState>> old_queues_;         // Null: was none.
  std::map<std::string, std::optional<std::string>> old_settings_;  // As above.
};

// The message as it is kept. Errors: kInvalidArgument: too large, no MID or origin, a text that is
// not UTF-8.
absl::StatusOr<std::string> BodyOf(const queue::Message& message);

}  // namespace salve

#endif  // SALVE_QUEUE_STORE_TRANSACTION_H_

// The tables of queue.db and their rows: how they are bound, read back and summed up. Only for the
// store and the tools that look into its file.
//
// Each row has a check sum over its other columns. The sums of a queue's messages, added up, are
// the queue's digest; those of the queues, the settings and the ends stand in `meta`. So a row that
// is altered is seen when it is read, and one that is missing by whoever adds up.
#ifndef SALVE_QUEUE_STORE_SCHEMA_H_
#define SALVE_QUEUE_STORE_SCHEMA_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "channels/sqlite.h"
#include "queue/message_store.h"

namespace salve {

// "SLVQ", so that another program's database is not taken for a queue.
constexpr int64_t kQueueApplicationId = 0x534c5651;
extern const char kQueueSchema[];

// Columns that are empty or 0 where a message has none of it are NULL, so that partial indexes
// leave them out.
struct MessageRow {
  static constexpr int64_t kDelivering = 1;
  static constexpr int64_t kRemoving = 2;

  int64_t sequence = 0;
  int64_t queue = 0;  // Its number.
  int64_t rank = 0;   // -priority: in order of delivery.
  int64_t held = 0;   // Suspended.
  int64_t flags = 0;
  int64_t due = 0;      // Unix nanoseconds.
  int64_t expires = 0;  // 0: does not expire here.
  std::string mid;      // As the next four: of the message, to be found by.
  std::string dmid;
  std::string origin_server;  // This and the next only where origin_mid is not mid.
  std::string origin_mid;
  std::string submission_key;
  std::string body;  // The message.
  int64_t checksum = 0;
};
constexpr char kMessageColumns[] =
    "sequence,queue,rank,held,flags,due,expires,mid,dmid,origin_server,origin_mid,"
    "submission_key,body,checksum";
constexpr int kMessageColumnCount = 14;

struct EndedRow {
  Ended ended;
  std::string submission_key;
  int64_t until = 0;  // Unix nanoseconds.
  int64_t checksum = 0;
};
constexpr char kEndedColumns[] =
    "number,mid,origin_server,origin_mid,type,final,queue,reason,subject,correlation,at,until,"
    "submission_key,checksum";
constexpr int kEndedColumnCount = 14;

struct QueueState {
  int64_t number = 0;
  QueueRow row;
  int64_t digest = 0;
};

// The one row of `meta`.
struct MetaRow {
  int64_t commits = 0;
  int64_t last_sequence = 0;
  int64_t last_ended = 0;
  int64_t told = 0;          // Ends up to this number are told.
  int64_t ids_reserved = 0;  // No MID or DMID has this counter yet, nor a higher one.
  int64_t ended_rows = 0;
  int64_t ended_digest = 0;
  int64_t queues_digest = 0;
  int64_t settings_digest = 0;
  std::string signature, server, group, role;
};

// Fills what the columns repeat of the message. Requires: `kind` is the row's queue's.
void FillRow(const queue::Message& message, bool suspended, QueueKind kind, MessageRow& row);

int64_t SumOf(const MessageRow& row);
int64_t SumOf(const EndedRow& row);
int64_t SumOf(const QueueState& state);
int64_t SumOf(const MetaRow& row);
int64_t SumOfSetting(const std::string& key, const std::string& value);
// Digests add up without a sign, modulo 2^64.
int64_t AddSum(int64_t digest, int64_t sum);
int64_t SubtractSum(int64_t digest, int64_t sum);

// Bind all columns in their order, the check sum last, which is returned.
int64_t BindRow(SqliteStatement& statement, const MessageRow& row);
int64_t BindRow(SqliteStatement& statement, const EndedRow& row);
int64_t BindRow(SqliteStatement& statement, const QueueState& state);
int64_t BindRow(SqliteStatement& statement, const MetaRow& row);

// Read a row of `SELECT <columns>`. Errors: kDataLoss: it does not fit its check sum.
absl::StatusOr<MessageRow> ReadMessageRow(const SqliteStatement& row);
absl::StatusOr<EndedRow> ReadEndedRow(const SqliteStatement& row);
absl::StatusOr<QueueState> ReadQueueState(const SqliteStatement& row);
absl::StatusOr<MetaRow> ReadMetaRow(const SqliteStatement& row);

// Errors: kDataLoss: the body is no message.
absl::StatusOr<StoredMessage> ToStored(const MessageRow& row, const std::string& queue);

}  // namespace salve

#endif  // SALVE_QUEUE_STORE_SCHEMA_H_

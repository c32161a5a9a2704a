#include "queue/store_schema.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "channels/row_sum.h"

namespace salve {

// Order and indexes: by_queue is the order of delivery and lets a queue of messages that are
// suspended, or have expired and find no room in dead, be passed over without a look at their rows;
// the partial ones cost nothing for those who have none.
const char kQueueSchema[] = R"sql(
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE messages(
  sequence INTEGER PRIMARY KEY, queue INTEGER NOT NULL, rank INTEGER NOT NULL,
  held INTEGER NOT NULL, flags INTEGER NOT NULL, due INTEGER NOT NULL, expires INTEGER,
  mid TEXT NOT NULL, dmid TEXT, origin_server TEXT, origin_mid TEXT, submission_key TEXT,
  body BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX by_mid ON messages(mid);
CREATE UNIQUE INDEX by_dmid ON messages(dmid) WHERE dmid IS NOT NULL;
CREATE INDEX by_queue ON messages(queue, rank, sequence, held, expires);
CREATE INDEX by_expires ON messages(expires) WHERE expires IS NOT NULL;
CREATE INDEX by_origin ON messages(origin_mid, origin_server) WHERE origin_mid IS NOT NULL;
CREATE INDEX by_key ON messages(submission_key) WHERE submission_key IS NOT NULL;
CREATE INDEX by_delivering ON messages(sequence) WHERE flags & 1;
CREATE TABLE ended(
  number INTEGER PRIMARY KEY, mid TEXT NOT NULL, origin_server TEXT NOT NULL, origin_mid TEXT,
  type INTEGER NOT NULL, final INTEGER NOT NULL, queue TEXT NOT NULL, reason TEXT NOT NULL,
  subject TEXT NOT NULL, correlation TEXT NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL,
  submission_key TEXT, checksum INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX ended_by_mid ON ended(mid);
CREATE INDEX ended_by_until ON ended(until);
CREATE INDEX ended_by_origin ON ended(origin_mid, origin_server) WHERE origin_mid IS NOT NULL;
CREATE INDEX ended_by_key ON ended(submission_key) WHERE submission_key IS NOT NULL;
CREATE TABLE queues(
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, messages INTEGER NOT NULL,
  bytes INTEGER NOT NULL, digest INTEGER NOT NULL, suspended INTEGER NOT NULL,
  checksum INTEGER NOT NULL) STRICT;
CREATE TABLE settings(
  key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE meta(
  commits INTEGER NOT NULL, last_sequence INTEGER NOT NULL, last_ended INTEGER NOT NULL,
  told INTEGER NOT NULL, ids_reserved INTEGER NOT NULL, ended_rows INTEGER NOT NULL,
  ended_digest INTEGER NOT NULL, queues_digest INTEGER NOT NULL, settings_digest INTEGER NOT NULL,
  signature TEXT NOT NULL, server TEXT NOT NULL, "group" TEXT NOT NULL, role TEXT NOT NULL,
  checksum INTEGER NOT NULL) STRICT;
PRAGMA application_id = 1397511761;
PRAGMA user_version = 1;
COMMIT;
)sql";
static_assert(kQueueApplicationId == 1397511761);
static_assert(MessageStore::kSchemaVersion == 1);

namespace {

// A text that is NULL when empty.
struct OrNull {
  const std::string& text;
};

// The columns of a row in order, without the check sum: bound to a statement, or summed up.
template <typename Sink>
void ForEachColumn(const MessageRow& row, Sink sink) {
  sink(row.sequence);
  sink(row.queue);
  sink(row.rank);
  sink(row.held);
  sink(row.flags);
  sink(row.due);
  sink(row.expires == 0 ? nullptr : &row.expires);
  sink(row.mid);
  sink(OrNull{row.dmid});
  sink(OrNull{row.origin_server});
  sink(OrNull{row.origin_mid});
  sink(OrNull{row.submission_key});
  sink(absl::string_view(row.body));
}

template <typename Sink>
void ForEachColumn(const EndedRow& row, Sink sink) {
  const Ended& ended = row.ended;
  static const std::string kNone;
  sink(ended.number);
  sink(ended.mid);
  sink(ended.origin_server);
  sink(OrNull{ended.origin_mid == ended.mid ? kNone : ended.origin_mid});
  sink(static_cast<int64_t>(ended.type));
  sink(static_cast<int64_t>(ended.final));
  sink(ended.queue);
  sink(ended.reason);
  sink(ended.subject);
  sink(ended.correlation);
  sink(absl::ToUnixNanos(ended.at));
  sink(row.until);
  sink(OrNull{row.submission_key});
}

template <typename Sink>
void ForEachColumn(const QueueState& state, Sink sink) {
  sink(state.number);
  sink(state.row.name);
  sink(state.row.messages);
  sink(state.row.bytes);
  sink(state.digest);
  sink(static_cast<int64_t>(state.row.suspended));
}

template <typename Sink>
void ForEachColumn(const MetaRow& row, Sink sink) {
  for (const int64_t number :
       {row.commits, row.last_sequence, row.last_ended, row.told, row.ids_reserved, row.ended_rows,
        row.ended_digest, row.queues_digest, row.settings_digest}) {
    sink(number);
  }
  sink(row.signature);
  sink(row.server);
  sink(row.group);
  sink(row.role);
}

struct BindTo {
  SqliteStatement& statement;
  int& index;
  RowSum& sum;
  void operator()(int64_t value) const {
    statement.Bind(index++, value);
    sum.Add(value);
  }
  void operator()(const int64_t* value) const {
    if (value != nullptr) {
      (*this)(*value);
    } else {
      statement.BindNull(index++);
      sum.Add(int64_t{0});
    }
  }
  void operator()(const std::string& text) const {
    statement.BindText(index++, text);
    sum.Add(absl::string_view(text));
  }
  void operator()(OrNull text) const {
    if (!text.text.empty()) {
      (*this)(text.text);
    } else {
      statement.BindNull(index++);
      sum.Add(absl::string_view());
    }
  }
  void operator()(absl::string_view blob) const {
    statement.BindBlob(index++, blob);
    sum.Add(blob);
  }
};

struct AddTo {
  RowSum& sum;
  void operator()(int64_t value) const { sum.Add(value); }
  void operator()(const int64_t* value) const { sum.Add(value == nullptr ? 0 : *value); }
  void operator()(const std::string& text) const { sum.Add(absl::string_view(text)); }
  void operator()(OrNull text) const { sum.Add(absl::string_view(text.text)); }
  void operator()(absl::string_view blob) const { sum.Add(blob); }
};

template <typename Row>
int64_t Bind(SqliteStatement& statement, const Row& row) {
  int index = 1;
  RowSum sum;
  ForEachColumn(row, BindTo{statement, index, sum});
  statement.Bind(index, sum.value());
  return sum.value();
}

template <typename Row>
int64_t Sum(const Row& row) {
  RowSum sum;
  ForEachColumn(row, AddTo{sum});
  return sum.value();
}

std::string Text(const SqliteStatement& row, int column) { return std::string(row.Bytes(column)); }

absl::Status Misfit(absl::string_view what) {
  return absl::DataLossError(absl::StrCat(what, " does not fit its check sum"));
}

}  // namespace

void FillRow(const queue::Message& message, bool suspended, QueueKind kind, MessageRow& row) {
  const bool expires =
      kind != QueueKind::kPoison && kind != QueueKind::kDead && kind != QueueKind::kInbox;
  const bool has_origin = message.origin_mid() != message.mid();
  row.rank = -message.priority();
  row.held = suspended ? 1 : 0;
  row.expires = expires ? message.expires_ns() : 0;
  row.mid = message.mid();
  row.dmid = message.dead().dmid();
  row.origin_server = has_origin ? message.origin_server() : "";
  row.origin_mid = has_origin ? message.origin_mid() : "";
  row.submission_key = message.submission_key();
}

int64_t SumOf(const MessageRow& row) { return Sum(row); }
int64_t SumOf(const EndedRow& row) { return Sum(row); }
int64_t SumOf(const QueueState& state) { return Sum(state); }
int64_t SumOf(const MetaRow& row) { return Sum(row); }

int64_t SumOfSetting(const std::string& key, const std::string& value) {
  return RowSum().Add(absl::string_view(key)).Add(absl::string_view(value)).value();
}

int64_t AddSum(int64_t digest, int64_t sum) {
  return static_cast<int64_t>(static_cast<uint64_t>(digest) + static_cast<uint64_t>(sum));
}

int64_t SubtractSum(int64_t digest, int64_t sum) {
  return static_cast<int64_t>(static_cast<uint64_t>(digest) - static_cast<uint64_t>(sum));
}

int64_t BindRow(SqliteStatement& statement, const MessageRow& row) { return Bind(statement, row); }
int64_t BindRow(SqliteStatement& statement, const EndedRow& row) { return Bind(statement, row); }
int64_t BindRow(SqliteStatement& statement, const QueueState& state) {
  return Bind(statement, state);
}
int64_t BindRow(SqliteStatement& statement, const MetaRow& row) { return Bind(statement, row); }

absl::StatusOr<MessageRow> ReadMessageRow(const SqliteStatement& row) {
  MessageRow read;
  read.sequence = row.Integer(0);
  read.queue = row.Integer(1);
  read.rank = row.Integer(2);
  read.held = row.Integer(3);
  read.flags = row.Integer(4);
  read.due = row.Integer(5);
  read.expires = row.Integer(6);
  read.mid = Text(row, 7);
  read.dmid = Text(row, 8);
  read.origin_server = Text(row, 9);
  read.origin_mid = Text(row, 10);
  read.submission_key = Text(row, 11);
  read.body = Text(row, 12);
  read.checksum = row.Integer(13);
  if (SumOf(read) != read.checksum) return Misfit(absl::StrCat("message ", read.sequence));
  return read;
}

absl::StatusOr<EndedRow> ReadEndedRow(const SqliteStatement& row) {
  EndedRow read;
  Ended& ended = read.ended;
  ended.number = row.Integer(0);
  ended.mid = Text(row, 1);
  ended.origin_server = Text(row, 2);
  ended.origin_mid = row.IsNull(3) ? ended.mid : Text(row, 3);
  ended.type = static_cast<queue::Type>(row.Integer(4));
  ended.final = static_cast<Final>(row.Integer(5));
  ended.queue = Text(row, 6);
  ended.reason = Text(row, 7);
  ended.subject = Text(row, 8);
  ended.correlation = Text(row, 9);
  ended.at = absl::FromUnixNanos(row.Integer(10));
  read.until = row.Integer(11);
  read.submission_key = Text(row, 12);
  read.checksum = row.Integer(13);
  if (SumOf(read) != read.checksum) {
    return Misfit(absl::StrCat("the end of a message, number ", ended.number, ","));
  }
  return read;
}

absl::StatusOr<QueueState> ReadQueueState(const SqliteStatement& row) {
  QueueState read;
  read.number = row.Integer(0);
  read.row.name = Text(row, 1);
  read.row.messages = row.Integer(2);
  read.row.bytes = row.Integer(3);
  read.digest = row.Integer(4);
  read.row.suspended = row.Integer(5) != 0;
  if (SumOf(read) != row.Integer(6)) return Misfit(absl::StrCat("queue number ", read.number));
  return read;
}

absl::StatusOr<MetaRow> ReadMetaRow(const SqliteStatement& row) {
  MetaRow read;
  int column = 0;
  for (int64_t* number :
       {&read.commits, &read.last_sequence, &read.last_ended, &read.told, &read.ids_reserved,
        &read.ended_rows, &read.ended_digest, &read.queues_digest, &read.settings_digest}) {
    *number = row.Integer(column++);
  }
  for (std::string* text : {&read.signature, &read.server, &read.group, &read.role}) {
    *text = Text(row, column++);
  }
  if (SumOf(read) != row.Integer(column)) return Misfit("the row of meta");
  return read;
}

absl::StatusOr<StoredMessage> ToStored(const MessageRow& row, const std::string& queue) {
  StoredMessage stored;
  if (!stored.message.ParseFromString(row.body)) {
    return absl::DataLossError(absl::StrCat("message ", row.sequence, " can't be read"));
  }
  stored.sequence = row.sequence;
  stored.queue = queue;
  stored.delivering = (row.flags & MessageRow::kDelivering) != 0;
  stored.removing = (row.flags & MessageRow::kRemoving) != 0;
  stored.suspended = row.held != 0;
  stored.due = absl::FromUnixNanos(row.due);
  return stored;
}

}  // namespace salve

#include "queue/store_builder.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "queue/database.h"
#include "queue/mark.h"
#include "queue/store_file.h"
#include "queue/swap.h"
#include "queue/transition.h"

namespace salve {
namespace {

// No journal: a file that was not finished is made anew. Finish syncs.
constexpr char kSettings[] =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; "
    "PRAGMA cache_size=-65536; BEGIN";

std::string Marks(int count) {
  std::string marks = "?";
  for (int i = 1; i < count; ++i) marks += ",?";
  return marks;
}

absl::Status Clash(const absl::Status& status, const std::string& mid) {
  if (!absl::StrContains(status.message(), "UNIQUE")) return status;
  return absl::AlreadyExistsError(absl::StrCat(mid, ": ", status.message()));
}

}  // namespace

struct StoreBuilder::Statements {
  SqliteStatement add_message;
  SqliteStatement add_ended;
};

absl::StatusOr<std::unique_ptr<StoreBuilder>> StoreBuilder::Create(const std::string& path,
                                                                   const Identity& identity,
                                                                   absl::Time now) {
  RETURN_IF_ERROR(RemoveDatabase(path));
  MetaRow meta;
  RandomSource random = SystemRandom();
  meta.signature = NewId(now, random);
  // As the store does it: the first ids of two files differ even if a clock is wrong.
  meta.ids_reserved = static_cast<int64_t>(1 + random() % (1 << 20));
  meta.server = identity.server;
  meta.group = identity.group;
  meta.role = identity.role;
  RETURN_IF_ERROR(MakeStore(path, meta));
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> db,
                   SqliteConnection::Open(path, SqliteConnection::Mode::kReadWrite));
  std::unique_ptr<StoreBuilder> builder(new StoreBuilder(path, std::move(db)));
  builder->meta_ = std::move(meta);
  RETURN_IF_ERROR(NamedBy(path, builder->Prepare()));
  return builder;
}

absl::Status StoreBuilder::Prepare() {
  RETURN_IF_ERROR(db_->Execute(kSettings));
  ASSIGN_OR_RETURN(SqliteStatement add_message,
                   db_->Prepare(absl::StrCat("INSERT INTO messages(", kMessageColumns, ") VALUES(",
                                             Marks(kMessageColumnCount), ")")));
  ASSIGN_OR_RETURN(SqliteStatement add_ended,
                   db_->Prepare(absl::StrCat("INSERT INTO ended(", kEndedColumns, ") VALUES(",
                                             Marks(kEndedColumnCount), ")")));
  statements_ =
      std::make_shared<Statements>(Statements{std::move(add_message), std::move(add_ended)});
  return absl::OkStatus();
}

QueueState& StoreBuilder::QueueOf(const std::string& name) {
  const auto found = queues_.find(name);
  if (found != queues_.end()) return found->second;
  QueueState state;
  state.number = static_cast<int64_t>(queues_.size()) + 1;
  state.row.name = name;
  return queues_[name] = std::move(state);
}

absl::Status StoreBuilder::AddMessage(const StoredMessage& stored) {
  const std::optional<QueueKind> kind = QueueKindOf(stored.queue);
  const std::string why =
      kind.has_value() ? WhyNotIn(stored.message, stored.suspended, *kind) : "no such queue";
  if (!why.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(stored.message.mid(), " in ", stored.queue, ": ", why));
  }
  QueueState& queue = QueueOf(stored.queue);
  MessageRow row;
  FillRow(stored.message, stored.suspended, *kind, row);
  row.sequence = stored.sequence > 0 ? stored.sequence : meta_.last_sequence + 1;
  row.queue = queue.number;
  row.flags = (stored.delivering ? MessageRow::kDelivering : 0) |
              (stored.removing ? MessageRow::kRemoving : 0);
  row.due = absl::ToUnixNanos(stored.due);
  row.body = stored.message.SerializeAsString();
  BindRow(statements_->add_message, row);
  RETURN_IF_ERROR(Clash(statements_->add_message.Run(), stored.message.mid()));
  meta_.last_sequence = std::max(meta_.last_sequence, row.sequence);
  queue.digest = AddSum(queue.digest, SumOf(row));
  queue.row.messages += 1;
  queue.row.bytes += static_cast<int64_t>(row.body.size());
  ++messages_;
  return absl::OkStatus();
}

absl::Status StoreBuilder::AddEnded(EndedRow row, bool told) {
  row.ended.number = meta_.last_ended + 1;
  BindRow(statements_->add_ended, row);
  RETURN_IF_ERROR(Clash(statements_->add_ended.Run(), row.ended.mid));
  meta_.last_ended = row.ended.number;
  if (told) meta_.told = row.ended.number;
  meta_.ended_rows += 1;
  meta_.ended_digest = AddSum(meta_.ended_digest, SumOf(row));
  return absl::OkStatus();
}

absl::Status StoreBuilder::SuspendQueue(const std::string& name) {
  if (!QueueKindOf(name).has_value()) return absl::InvalidArgumentError(name + " is no queue");
  QueueOf(name).row.suspended = true;
  return absl::OkStatus();
}

void StoreBuilder::SetSetting(const std::string& key, const std::string& value) {
  if (value.empty()) {
    settings_.erase(key);
  } else {
    settings_[key] = value;
  }
}

void StoreBuilder::ReserveIds(int64_t ids_reserved) {
  meta_.ids_reserved = std::max(meta_.ids_reserved, ids_reserved);
}

absl::Status StoreBuilder::WriteTables() {
  ASSIGN_OR_RETURN(SqliteStatement queue, db_->Prepare("INSERT INTO queues VALUES(?,?,?,?,?,?,?)"));
  for (const auto& [name, state] : queues_) {
    BindRow(queue, state);
    RETURN_IF_ERROR(queue.Run());
    meta_.queues_digest = AddSum(meta_.queues_digest, SumOf(state));
  }
  ASSIGN_OR_RETURN(SqliteStatement setting, db_->Prepare("INSERT INTO settings VALUES(?,?,?)"));
  for (const auto& [key, value] : settings_) {
    setting.BindText(1, key);
    setting.BindText(2, value);
    setting.Bind(3, SumOfSetting(key, value));
    RETURN_IF_ERROR(setting.Run());
    meta_.settings_digest = AddSum(meta_.settings_digest, SumOfSetting(key, value));
  }
  meta_.commits = 1;
  RETURN_IF_ERROR(db_->Execute("DELETE FROM meta"));
  ASSIGN_OR_RETURN(SqliteStatement meta,
                   db_->Prepare("INSERT INTO meta VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
  BindRow(meta, meta_);
  return meta.Run();
}

absl::Status StoreBuilder::Finish() {
  statements_.reset();
  RETURN_IF_ERROR(NamedBy(path_, WriteTables()));
  RETURN_IF_ERROR(NamedBy(path_, db_->Execute("COMMIT")));
  db_.reset();
  RETURN_IF_ERROR(SyncFile(path_));
  ASSIGN_OR_RETURN(const std::unique_ptr<MarkFile> mark, MarkFile::Open(MarkPath(path_)));
  return mark->WriteSynced({.clean = true, .commits = meta_.commits, .signature = meta_.signature});
}

absl::Status ForEachMessage(SqliteConnection& database, const std::map<int64_t, QueueState>& queues,
                            absl::FunctionRef<absl::Status(StoredMessage)> take) {
  ASSIGN_OR_RETURN(SqliteStatement rows,
                   database.Prepare(absl::StrCat("SELECT ", kMessageColumns,
                                                 " FROM messages ORDER BY sequence")));
  for (;;) {
    ASSIGN_OR_RETURN(const bool found, rows.Step());
    if (!found) return absl::OkStatus();
    ASSIGN_OR_RETURN(const MessageRow row, ReadMessageRow(rows));
    const auto queue = queues.find(row.queue);
    if (queue == queues.end()) {
      return absl::DataLossError(absl::StrCat("message ", row.sequence, " is in no queue"));
    }
    ASSIGN_OR_RETURN(StoredMessage stored, ToStored(row, queue->second.row.name));
    RETURN_IF_ERROR(take(std::move(stored)));
  }
}

absl::Status ForEachEnded(SqliteConnection& database,
                          absl::FunctionRef<absl::Status(EndedRow)> take) {
  ASSIGN_OR_RETURN(
      SqliteStatement rows,
      database.Prepare(absl::StrCat("SELECT ", kEndedColumns, " FROM ended ORDER BY number")));
  for (;;) {
    ASSIGN_OR_RETURN(const bool found, rows.Step());
    if (!found) return absl::OkStatus();
    ASSIGN_OR_RETURN(EndedRow row, ReadEndedRow(rows));
    RETURN_IF_ERROR(take(std::move(row)));
  }
}

}  // namespace salve

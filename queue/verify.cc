#include "queue/verify.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "channels/sqlite.h"
#include "queue/store_file.h"
#include "queue/store_schema.h"

namespace salve {
namespace {

class Verification {
 public:
  Verification(const std::string& path, VerifyReport& report) : path_(path), report_(report) {}

  // Errors: not of damage, which is a problem in the report.
  absl::Status Header();
  absl::Status Rows();
  absl::Status Verdict() const {
    if (report_.problems.empty()) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(path_, ": damaged: ", report_.problems.front()));
  }

 private:
  void Problem(std::string what);
  // Damage becomes a problem; any other error is passed on.
  absl::Status NoteDamage(const absl::Status& status);
  absl::Status Structure();
  absl::Status Messages();
  absl::Status Ends();
  void CheckMessage(const MessageRow& row);
  void CompareQueues();
  // Every row of a table, whatever one of them is like. `select` is at a row during a call.
  absl::Status ForEachRow(const std::string& sql,
                          const std::function<absl::Status(const SqliteStatement&)>& each);

  const std::string path_;
  VerifyReport& report_;
  std::unique_ptr<SqliteConnection> db_;
  StoreTables tables_;
  bool tables_read_ = false;
  std::map<int64_t, QueueState> counted_;
};

void Verification::Problem(std::string what) {
  std::vector<std::string>& problems = report_.problems;
  if (problems.size() + 1 < VerifyReport::kProblemsMax) {
    problems.push_back(std::move(what));
  } else if (problems.size() + 1 == VerifyReport::kProblemsMax) {
    problems.push_back("and more");
  }
}

absl::Status Verification::NoteDamage(const absl::Status& status) {
  if (!absl::IsDataLoss(status)) return status;
  Problem(std::string(status.message()));
  return absl::OkStatus();
}

absl::Status Verification::Header() {
  ASSIGN_OR_RETURN(const bool exists, StoreExists(path_));
  if (!exists) return absl::NotFoundError(absl::StrCat(path_, ": is missing"));
  if (absl::StatusOr<Mark> mark = ReadMark(MarkPath(path_)); mark.ok()) {
    report_.mark = *std::move(mark);
  }
  RETURN_IF_ERROR(NoteDamage(CheckMarkAndLog(path_).status()));
  ASSIGN_OR_RETURN(report_.has_log, StoreHasLog(path_));
  absl::StatusOr<std::unique_ptr<SqliteConnection>> db = ExamineStore(path_);
  if (!db.ok()) return NoteDamage(db.status());
  db_ = *std::move(db);
  const absl::Status loaded = LoadTables(*db_, tables_);
  tables_read_ = loaded.ok();
  const absl::StatusOr<int64_t> version = db_->QueryInteger("PRAGMA user_version");
  report_.schema_version = version.ok() ? *version : 0;
  const MetaRow& meta = tables_.meta;
  report_.signature = meta.signature;
  report_.server = meta.server;
  report_.group = meta.group;
  report_.role = meta.role;
  report_.commits = meta.commits;
  report_.last_sequence = meta.last_sequence;
  for (const auto& [number, state] : tables_.queues) report_.queues.push_back(state.row);
  if (absl::IsFailedPrecondition(loaded)) return NamedBy(path_, loaded);
  RETURN_IF_ERROR(NoteDamage(loaded));
  if (tables_read_ && report_.mark) {
    RETURN_IF_ERROR(NoteDamage(CheckAgainstMark(meta, *report_.mark)));
  }
  return absl::OkStatus();
}

absl::Status Verification::ForEachRow(
    const std::string& sql, const std::function<absl::Status(const SqliteStatement&)>& each) {
  absl::StatusOr<SqliteStatement> select = db_->Prepare(sql);
  if (!select.ok() && tables_read_) return NoteDamage(select.status());
  if (!select.ok()) {  // Of a schema that is damaged.
    Problem(std::string(select.status().message()));
    return absl::OkStatus();
  }
  while (true) {
    const absl::StatusOr<bool> found = select->Step();
    if (!found.ok()) return NoteDamage(found.status());
    if (!*found) return absl::OkStatus();
    RETURN_IF_ERROR(each(*select));
  }
}

absl::Status Verification::Structure() {
  return ForEachRow("PRAGMA integrity_check(20)", [this](const SqliteStatement& row) {
    if (row.Bytes(0) != "ok") Problem(absl::StrCat("structure: ", row.Bytes(0)));
    return absl::OkStatus();
  });
}

void Verification::CheckMessage(const MessageRow& row) {
  const auto queue = tables_.queues.find(row.queue);
  if (queue == tables_.queues.end()) {
    Problem(absl::StrCat("message ", row.sequence, " is in a queue that is not in the table"));
    return;
  }
  const absl::StatusOr<StoredMessage> stored = ToStored(row, queue->second.row.name);
  if (!stored.ok()) return Problem(std::string(stored.status().message()));
  const QueueKind kind = *QueueKindOf(queue->second.row.name);
  MessageRow expected = row;
  FillRow(stored->message, row.held != 0, kind, expected);
  if (SumOf(expected) != row.checksum) {
    Problem(absl::StrCat("message ", row.sequence, ": its columns do not fit its body"));
  }
  if (const std::string why = WhyNotIn(stored->message, row.held != 0, kind); !why.empty()) {
    Problem(absl::StrCat("message ", row.sequence, " in ", queue->second.row.name, ": ", why));
  }
  if (row.sequence > tables_.meta.last_sequence) {
    Problem(absl::StrCat("message ", row.sequence, " has a sequence that was never given"));
  }
}

absl::Status Verification::Messages() {
  const std::string sql =
      absl::StrCat("SELECT ", kMessageColumns, " FROM messages NOT INDEXED ORDER BY sequence");
  return ForEachRow(sql, [this](const SqliteStatement& select) {
    ++report_.messages;
    const absl::StatusOr<MessageRow> row = ReadMessageRow(select);
    if (!row.ok()) {
      ++report_.damaged_rows;
      if (report_.damaged.size() < VerifyReport::kDamagedMax) {
        report_.damaged.push_back({select.Integer(0), std::string(select.Bytes(7))});
      }
      Problem(std::string(row.status().message()));
      return absl::OkStatus();
    }
    QueueState& counted = counted_[row->queue];
    ++counted.row.messages;
    counted.row.bytes += static_cast<int64_t>(row->body.size());
    counted.digest = AddSum(counted.digest, row->checksum);
    if (tables_read_) CheckMessage(*row);
    return absl::OkStatus();
  });
}

void Verification::CompareQueues() {
  report_.queues.clear();
  for (const auto& [number, state] : tables_.queues) {
    const QueueState& counted = counted_[number];
    QueueRow row = counted.row;
    row.name = state.row.name;
    row.suspended = state.row.suspended;
    report_.queues.push_back(row);
    if (row.messages == state.row.messages && row.bytes == state.row.bytes &&
        counted.digest == state.digest) {
      continue;
    }
    if (state.row.messages > row.messages) {
      report_.missing_rows += state.row.messages - row.messages;
    }
    Problem(absl::StrCat("queue ", row.name, ": holds ", row.messages, " good messages of ",
                         state.row.messages));
  }
  // Rows that are there, but can't be trusted, are damaged and not missing.
  report_.missing_rows = std::max<int64_t>(report_.missing_rows - report_.damaged_rows, 0);
}

absl::Status Verification::Ends() {
  int64_t digest = 0, rows = 0;
  const std::string sql = absl::StrCat("SELECT ", kEndedColumns, " FROM ended NOT INDEXED");
  RETURN_IF_ERROR(ForEachRow(sql, [&](const SqliteStatement& select) {
    ++report_.ended;
    const absl::StatusOr<EndedRow> row = ReadEndedRow(select);
    if (!row.ok()) {
      Problem(std::string(row.status().message()));
      return absl::OkStatus();
    }
    ++rows;
    digest = AddSum(digest, row->checksum);
    return absl::OkStatus();
  }));
  const MetaRow& meta = tables_.meta;
  if (tables_read_ && (digest != meta.ended_digest || rows != meta.ended_rows)) {
    Problem(absl::StrCat("of ", meta.ended_rows, " messages that ended ", rows, " are known"));
  }
  return absl::OkStatus();
}

absl::Status Verification::Rows() {
  if (db_ == nullptr) return absl::OkStatus();
  RETURN_IF_ERROR(Structure());
  RETURN_IF_ERROR(Messages());
  if (tables_read_) CompareQueues();
  return Ends();
}

}  // namespace

absl::Status VerifyMessages(const std::string& path, VerifyReport& report) {
  report = VerifyReport();
  Verification verification(path, report);
  RETURN_IF_ERROR(verification.Header());
  RETURN_IF_ERROR(NamedBy(path, verification.Rows()));
  return verification.Verdict();
}

absl::Status ReadHeader(const std::string& path, VerifyReport& report) {
  report = VerifyReport();
  Verification verification(path, report);
  RETURN_IF_ERROR(verification.Header());
  return verification.Verdict();
}

}  // namespace salve

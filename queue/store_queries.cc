#include "queue/store_queries.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace salve {
namespace {

int64_t Limit(size_t limit) {
  return static_cast<int64_t>(
      std::min<size_t>(limit, static_cast<size_t>(std::numeric_limits<int32_t>::max())));
}

// However a query ends, its statement is reset: an open one would hold the log.
class ResetAtEnd {
 public:
  explicit ResetAtEnd(SqliteStatement& statement) : statement_(statement) {}
  ~ResetAtEnd() { statement_.Reset(); }
  ResetAtEnd(const ResetAtEnd&) = delete;
  ResetAtEnd& operator=(const ResetAtEnd&) = delete;

 private:
  SqliteStatement& statement_;
};

absl::StatusOr<std::vector<EndedRow>> Ends(SqliteStatement& select) {
  const ResetAtEnd reset(select);
  std::vector<EndedRow> rows;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) return rows;
    ASSIGN_OR_RETURN(EndedRow row, ReadEndedRow(select));
    rows.push_back(std::move(row));
  }
}

absl::StatusOr<std::optional<EndedRow>> OneEnd(SqliteStatement& select) {
  ASSIGN_OR_RETURN(std::vector<EndedRow> rows, Ends(select));
  if (rows.empty()) return std::nullopt;
  return std::move(rows.front());
}

}  // namespace

absl::StatusOr<std::unique_ptr<StoreQueries>> StoreQueries::Create(SqliteConnection& db,
                                                                   const StoreTables& tables) {
  std::unique_ptr<StoreQueries> made(new StoreQueries(tables));
  const std::string messages = absl::StrCat("SELECT ", kMessageColumns, " FROM messages ");
  const std::string ended = absl::StrCat("SELECT ", kEndedColumns, " FROM ended ");
  const std::pair<Statement*, std::string> statements[] = {
      {&made->row_, messages + "WHERE sequence=?"},
      {&made->by_mid_, messages + "WHERE mid=?"},
      {&made->by_dmid_, messages + "WHERE dmid=?"},
      {&made->by_origin_, messages + "WHERE origin_mid=? AND origin_server=? ORDER BY sequence"},
      {&made->by_key_, messages + "WHERE submission_key=? ORDER BY sequence"},
      // The place is found in the index alone; rows are read only of those that are wanted.
      {&made->in_queue_,
       messages + "WHERE sequence IN (SELECT sequence FROM messages INDEXED BY by_queue WHERE "
                  "queue=?1 ORDER BY rank,sequence LIMIT ?2 OFFSET ?3) ORDER BY rank,sequence"},
      {&made->in_queue_after_,
       messages + "WHERE sequence IN (SELECT sequence FROM messages INDEXED BY by_queue WHERE "
                  "queue=?1 AND (rank,sequence)>(?3,?4) ORDER BY rank,sequence LIMIT ?2) "
                  "ORDER BY rank,sequence"},
      {&made->by_sequence_, messages + "WHERE sequence>? ORDER BY sequence LIMIT ? OFFSET ?"},
      {&made->unsuspended_,
       messages + "WHERE sequence IN (SELECT sequence FROM messages INDEXED BY by_queue WHERE "
                  "queue=?1 AND held=0 AND (expires IS NULL OR expires>?3 OR sequence IN (SELECT "
                  "sequence FROM messages INDEXED BY by_delivering WHERE flags & 1)) "
                  "ORDER BY rank,sequence LIMIT ?2) ORDER BY rank,sequence"},
      {&made->delivering_, messages + "WHERE flags & 1 ORDER BY sequence"},
      {&made->expiring_,
       messages +
           "WHERE expires IS NOT NULL AND expires<=?1 AND (expires,sequence)>(?3,?4) ORDER BY "
           "expires,sequence LIMIT ?2"},
      {&made->ended_by_mid_, ended + "WHERE mid=?"},
      {&made->ended_by_origin_,
       ended + "WHERE origin_mid=? AND origin_server=? ORDER BY number DESC LIMIT 1"},
      // Those that went on as a new message do not count.
      {&made->ended_by_key_,
       absl::StrCat(ended, "WHERE submission_key=? AND final<>",
                    static_cast<int>(Final::kReregistered), " ORDER BY number DESC LIMIT 1")},
      {&made->ended_after_, ended + "WHERE number>? ORDER BY number LIMIT ?"},
      {&made->forgettable_, ended + "WHERE until<=? AND number<=? ORDER BY until LIMIT ?"},
  };
  for (const auto& [statement, sql] : statements) {
    ASSIGN_OR_RETURN(SqliteStatement prepared, db.Prepare(sql));
    *statement = std::make_unique<SqliteStatement>(std::move(prepared));
  }
  return made;
}

absl::StatusOr<std::vector<StoredMessage>> StoreQueries::Messages(SqliteStatement& select) {
  const ResetAtEnd reset(select);
  std::vector<StoredMessage> messages;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) return messages;
    ASSIGN_OR_RETURN(const MessageRow row, ReadMessageRow(select));
    const auto queue = tables_.queues.find(row.queue);
    if (queue == tables_.queues.end()) {
      return absl::DataLossError(absl::StrCat("message ", row.sequence, " is in no queue"));
    }
    ASSIGN_OR_RETURN(StoredMessage stored, ToStored(row, queue->second.row.name));
    messages.push_back(std::move(stored));
  }
}

absl::StatusOr<std::optional<StoredMessage>> StoreQueries::OneMessage(SqliteStatement& select) {
  ASSIGN_OR_RETURN(std::vector<StoredMessage> messages, Messages(select));
  if (messages.empty()) return std::nullopt;
  return std::move(messages.front());
}

absl::StatusOr<MessageRow> StoreQueries::Row(int64_t sequence) {
  const ResetAtEnd reset(*row_);
  row_->Bind(1, sequence);
  ASSIGN_OR_RETURN(const bool found, row_->Step());
  if (!found) return absl::NotFoundError(absl::StrCat("no message has the sequence ", sequence));
  return ReadMessageRow(*row_);
}

absl::StatusOr<StoredMessage> StoreQueries::Get(int64_t sequence) {
  row_->Bind(1, sequence);
  ASSIGN_OR_RETURN(std::optional<StoredMessage> found, OneMessage(*row_));
  if (!found) return absl::NotFoundError(absl::StrCat("no message has the sequence ", sequence));
  return *std::move(found);
}

absl::StatusOr<std::optional<StoredMessage>> StoreQueries::ByMid(const std::string& mid) {
  by_mid_->BindText(1, mid);
  return OneMessage(*by_mid_);
}

absl::StatusOr<std::optional<StoredMessage>> StoreQueries::ByDmid(const std::string& dmid) {
  by_dmid_->BindText(1, dmid);
  return OneMessage(*by_dmid_);
}

absl::StatusOr<std::optional<StoredMessage>> StoreQueries::ByOrigin(const std::string& server,
                                                                    const std::string& mid) {
  // Mostly it is its own origin.
  ASSIGN_OR_RETURN(std::optional<StoredMessage> same, ByMid(mid));
  if (same && same->message.origin_server() == server && same->message.origin_mid() == mid) {
    return same;
  }
  return OtherByOrigin(server, mid);
}

absl::StatusOr<std::optional<StoredMessage>> StoreQueries::OtherByOrigin(const std::string& server,
                                                                         const std::string& mid) {
  by_origin_->BindText(1, mid);
  by_origin_->BindText(2, server);
  return OneMessage(*by_origin_);
}

absl::StatusOr<std::vector<StoredMessage>> StoreQueries::ByKey(const std::string& key) {
  by_key_->BindText(1, key);
  return Messages(*by_key_);
}

absl::StatusOr<std::vector<StoredMessage>> StoreQueries::InQueue(int64_t queue, size_t limit,
                                                                 int64_t offset) {
  in_queue_->Bind(1, queue);
  in_queue_->Bind(2, Limit(limit));
  in_queue_->Bind(3, offset);
  return Messages(*in_queue_);
}

absl::StatusOr<std::vector<StoredMessage>> StoreQueries::InQueueAfter(int64_t queue, size_t limit,
                                                                      const QueuePlace& after) {
  in_queue_after_->Bind(1, queue);
  in_queue_after_->Bind(2, Limit(limit));
  in_queue_after_->Bind(3, after.rank);
  in_queue_after_->Bind(4, after.sequence);
  return Messages(*in_queue_after_);
}

absl::StatusOr<std::vector<StoredMessage>> StoreQueries::BySequence(int64_t after, size_t limit,
                                                                    int64_t offset) {
  by_sequence_->Bind(1, after);
  by_sequence_->Bind(2, Limit(limit));
  by_sequence_->Bind(3, offset);
  return Messages(*by_sequence_);
}

absl::StatusOr<std::vector<StoredMessage>> StoreQueries::Unsuspended(int64_t queue, size_t limit,
                                                                     int64_t unix_ns) {
  unsuspended_->Bind(1, queue);
  unsuspended_->Bind(2, Limit(limit));
  unsuspended_->Bind(3, unix_ns);
  return Messages(*unsuspended_);
}

absl::StatusOr<std::vector<StoredMessage>> StoreQueries::Delivering() {
  return Messages(*delivering_);
}

absl::StatusOr<std::vector<StoredMessage>> StoreQueries::ExpiringBy(int64_t unix_ns, size_t limit,
                                                                    const ExpiryPlace& after) {
  expiring_->Bind(1, unix_ns);
  expiring_->Bind(2, Limit(limit));
  expiring_->Bind(3, after.expires_ns);
  expiring_->Bind(4, after.sequence);
  return Messages(*expiring_);
}

absl::StatusOr<std::optional<EndedRow>> StoreQueries::EndedByMid(const std::string& mid) {
  ended_by_mid_->BindText(1, mid);
  return OneEnd(*ended_by_mid_);
}

absl::StatusOr<std::optional<EndedRow>> StoreQueries::OtherEndedByOrigin(const std::string& server,
                                                                         const std::string& mid) {
  ended_by_origin_->BindText(1, mid);
  ended_by_origin_->BindText(2, server);
  return OneEnd(*ended_by_origin_);
}

absl::StatusOr<std::optional<EndedRow>> StoreQueries::EndedByOrigin(const std::string& server,
                                                                    const std::string& mid) {
  ASSIGN_OR_RETURN(std::optional<EndedRow> other, OtherEndedByOrigin(server, mid));
  ASSIGN_OR_RETURN(std::optional<EndedRow> same, EndedByMid(mid));
  const bool fits = same && same->ended.origin_server == server && same->ended.origin_mid == mid;
  if (!fits || (other && other->ended.number > same->ended.number)) return other;
  return same;
}

absl::StatusOr<std::optional<EndedRow>> StoreQueries::EndedByKey(const std::string& key) {
  ended_by_key_->BindText(1, key);
  return OneEnd(*ended_by_key_);
}

absl::StatusOr<std::vector<EndedRow>> StoreQueries::EndedAfter(int64_t number, size_t limit) {
  ended_after_->Bind(1, number);
  ended_after_->Bind(2, Limit(limit));
  return Ends(*ended_after_);
}

absl::StatusOr<std::vector<EndedRow>> StoreQueries::Forgettable(int64_t unix_ns, int64_t told,
                                                                size_t limit) {
  forgettable_->Bind(1, unix_ns);
  forgettable_->Bind(2, told);
  forgettable_->Bind(3, Limit(limit));
  return Ends(*forgettable_);
}

}  // namespace salve

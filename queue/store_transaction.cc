#include "queue/store_transaction.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr size_t kMidBytesMax = 256;
constexpr size_t kReasonBytesMax = 1 << 10;
constexpr size_t kSettingBytesMax = 64 << 10;

// Cut so that no character is split.
std::string Bounded(const std::string& text) {
  if (text.size() <= kReasonBytesMax) return text;
  size_t end = kReasonBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

// A message whose end in the same transaction is to come back as a new one.
bool IsReregistered(const Changes& changes, int64_t sequence) {
  return std::any_of(changes.ends.begin(), changes.ends.end(), [&](const Changes::End& end) {
    return end.sequence == sequence && end.final == Final::kReregistered;
  });
}

absl::Status Refused(int64_t sequence, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("message ", sequence, ": ", why));
}

}  // namespace

absl::StatusOr<std::string> BodyOf(const queue::Message& message) {
  if (message.mid().empty() || message.mid().size() > kMidBytesMax) {
    return absl::InvalidArgumentError("a message needs a MID of 1 to 256 bytes");
  }
  if (message.origin_mid().empty() || message.origin_mid().size() > kMidBytesMax ||
      message.origin_server().empty() || message.origin_server().size() > kMidBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("message ", message.mid(), " needs its origin's server and MID"));
  }
  std::string body = message.SerializeAsString();
  if (body.size() > MessageStore::kMessageBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("message ", message.mid(), " has ", body.size(),
                                                   " bytes, allowed are ",
                                                   MessageStore::kMessageBytesMax));
  }
  // A text that is not UTF-8 is written, but could never be read back.
  if (!queue::Message().ParseFromString(body)) {
    return absl::InvalidArgumentError(
        absl::StrCat("message ", message.mid(), " has a text that is not UTF-8"));
  }
  return body;
}

absl::StatusOr<std::unique_ptr<StoreWrites>> StoreWrites::Create(SqliteConnection& db) {
  auto made = std::make_unique<StoreWrites>();
  const std::pair<Statement*, std::string> statements[] = {
      {&made->put_message,
       absl::StrCat("INSERT INTO messages(", kMessageColumns,
                    ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)")},
      // What no index has but that of those in flight. The numbers are the columns'.
      {&made->touch_message,
       "UPDATE messages SET flags=?5,due=?6,body=?13,checksum=?14 WHERE sequence=?1"},
      {&made->replace_message,
       "UPDATE messages SET queue=?2,rank=?3,held=?4,flags=?5,due=?6,expires=?7,mid=?8,dmid=?9,"
       "origin_server=?10,origin_mid=?11,submission_key=?12,body=?13,checksum=?14 "
       "WHERE sequence=?1"},
      {&made->drop_message, "DELETE FROM messages WHERE sequence=?"},
      {&made->put_ended,
       absl::StrCat("INSERT INTO ended(", kEndedColumns, ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)")},
      {&made->drop_ended, "DELETE FROM ended WHERE number=?"},
      {&made->put_queue, "INSERT OR REPLACE INTO queues VALUES(?,?,?,?,?,?,?)"},
      {&made->drop_queue, "DELETE FROM queues WHERE number=?"},
      {&made->put_setting, "INSERT OR REPLACE INTO settings VALUES(?,?,?)"},
      {&made->drop_setting, "DELETE FROM settings WHERE key=?"},
      {&made->put_meta,
       "UPDATE meta SET commits=?,last_sequence=?,last_ended=?,told=?,ids_reserved=?,"
       "ended_rows=?,ended_digest=?,queues_digest=?,settings_digest=?,signature=?,server=?,"
       "\"group\"=?,role=?,checksum=?"},
  };
  for (const auto& [statement, sql] : statements) {
    ASSIGN_OR_RETURN(SqliteStatement prepared, db.Prepare(sql));
    *statement = std::make_unique<SqliteStatement>(std::move(prepared));
  }
  return made;
}

absl::StatusOr<std::vector<int64_t>> StoreTransaction::Do(const Changes& changes) {
  std::vector<int64_t> sequences;
  sequences.reserve(changes.puts.size());
  for (const Changes::Put& put : changes.puts) {
    ASSIGN_OR_RETURN(const int64_t sequence, Put(put, changes));
    sequences.push_back(sequence);
  }
  for (const Changes::Update& update : changes.updates) RETURN_IF_ERROR(Update(update));
  for (const Changes::End& end : changes.ends) RETURN_IF_ERROR(End(end, changes.now));
  for (const auto& [from, to] : changes.rename_queues) RETURN_IF_ERROR(Rename(from, to));
  for (const auto& [name, suspended] : changes.suspend_queues) {
    ASSIGN_OR_RETURN(QueueState * state, Touch(name));
    state->row.suspended = suspended;
  }
  for (const auto& [key, value] : changes.settings) RETURN_IF_ERROR(SetSetting(key, value));
  return sequences;
}

namespace {

// Whether this end is that of the message itself, in a crash set, out of which it may come back.
bool IsHeld(const EndedRow& row, const queue::Message& message) {
  return row.ended.final == Final::kHeldInSet && row.ended.mid == message.mid();
}

}  // namespace

absl::StatusOr<std::optional<EndedRow>> StoreTransaction::CheckNew(const queue::Message& message,
                                                                   const Changes& changes) {
  const auto exists = [](const std::string& mid) { return absl::AlreadyExistsError(mid); };
  const std::string& server = message.origin_server();
  const std::string& origin = message.origin_mid();
  // Another message of its own MID is found by the index when it is put.
  ASSIGN_OR_RETURN(std::optional<EndedRow> ended, queries_.EndedByMid(message.mid()));
  if (ended && !IsHeld(*ended, message)) return exists(ended->ended.mid);
  const bool is_its_origin = origin == message.mid();
  ASSIGN_OR_RETURN(
      const std::optional<StoredMessage> same,
      is_its_origin ? queries_.OtherByOrigin(server, origin) : queries_.ByOrigin(server, origin));
  if (same && !IsReregistered(changes, same->sequence)) return exists(same->message.mid());
  ASSIGN_OR_RETURN(const std::optional<EndedRow> same_ended,
                   is_its_origin ? queries_.OtherEndedByOrigin(server, origin)
                                 : queries_.EndedByOrigin(server, origin));
  if (same_ended && same_ended->ended.final != Final::kReregistered &&
      !IsHeld(*same_ended, message)) {
    return exists(same_ended->ended.mid);
  }
  if (message.submission_key().empty()) return ended;
  ASSIGN_OR_RETURN(const std::vector<StoredMessage> keyed,
                   queries_.ByKey(message.submission_key()));
  for (const StoredMessage& other : keyed) {
    if (!IsReregistered(changes, other.sequence)) return exists(other.message.mid());
  }
  ASSIGN_OR_RETURN(const std::optional<EndedRow> keyed_ended,
                   queries_.EndedByKey(message.submission_key()));
  if (keyed_ended && !IsHeld(*keyed_ended, message)) return exists(keyed_ended->ended.mid);
  return ended;
}

absl::StatusOr<int64_t> StoreTransaction::Put(const Changes::Put& put, const Changes& changes) {
  MessageRow row;
  ASSIGN_OR_RETURN(row.body, BodyOf(put.message));
  ASSIGN_OR_RETURN(QueueState * queue, Touch(put.queue));
  const QueueKind kind = *QueueKindOf(put.queue);
  const std::string why_not = WhyNotIn(put.message, put.suspended, kind);
  if (!why_not.empty() || !MayEnter(put.message.type(), kind)) {
    return absl::FailedPreconditionError(absl::StrCat("message ", put.message.mid(),
                                                      " can't enter ", put.queue,
                                                      why_not.empty() ? "" : ": ", why_not));
  }
  ASSIGN_OR_RETURN(const std::optional<EndedRow> held, CheckNew(put.message, changes));
  if (held) RETURN_IF_ERROR(Forget({*held}));  // It is back out of its crash set.
  row.sequence = tables_.meta.last_sequence + 1;
  row.queue = queue->number;
  row.due = absl::ToUnixNanos(put.due);
  FillRow(put.message, put.suspended, kind, row);
  row.checksum = BindRow(*writes_.put_message, row);
  if (absl::Status status = writes_.put_message->Run(); !status.ok()) {
    const bool is_there = (sqlite3_errcode(db_.handle()) & 0xff) == SQLITE_CONSTRAINT;
    if (is_there) return absl::AlreadyExistsError(put.message.mid());
    return status;
  }
  tables_.meta.last_sequence = row.sequence;
  Count(*queue, row, +1);
  return row.sequence;
}

absl::Status StoreTransaction::Update(const Changes::Update& update) {
  ASSIGN_OR_RETURN(MessageRow row, queries_.Row(update.sequence));
  const auto from = tables_.queues.find(row.queue);
  if (from == tables_.queues.end()) {
    return absl::DataLossError(absl::StrCat("message ", row.sequence, " is in no queue"));
  }
  const MessageRow old = row;
  ASSIGN_OR_RETURN(StoredMessage stored, ToStored(row, from->second.row.name));
  const std::string to = update.queue.value_or(stored.queue);
  ASSIGN_OR_RETURN(QueueState * queue, Touch(to));
  const QueueKind kind = *QueueKindOf(to);
  if (update.message) {
    if (update.message->mid() != stored.message.mid()) {
      return absl::InvalidArgumentError(
          absl::StrCat("message ", row.sequence, " keeps its MID ", stored.message.mid()));
    }
    ASSIGN_OR_RETURN(row.body, BodyOf(*update.message));
    stored.message = *update.message;
  }
  stored.suspended = update.suspended.value_or(stored.suspended);
  const queue::Type type = stored.message.type();
  if (to != stored.queue && !MayMove(type, *QueueKindOf(stored.queue), kind)) {
    return Refused(row.sequence, absl::StrCat("can't move from ", stored.queue, " to ", to));
  }
  if (const std::string why = WhyNotIn(stored.message, stored.suspended, kind); !why.empty()) {
    return Refused(row.sequence, absl::StrCat("can't be so in ", to, ": ", why));
  }
  row.queue = queue->number;
  row.flags = (update.delivering.value_or(stored.delivering) ? MessageRow::kDelivering : 0) |
              (update.removing.value_or(stored.removing) ? MessageRow::kRemoving : 0);
  if (update.due) row.due = absl::ToUnixNanos(*update.due);
  FillRow(stored.message, stored.suspended, kind, row);
  const bool in_place = row.queue == old.queue && row.rank == old.rank && row.held == old.held &&
                        row.expires == old.expires && row.dmid == old.dmid &&
                        row.origin_server == old.origin_server &&
                        row.origin_mid == old.origin_mid &&
                        row.submission_key == old.submission_key;
  SqliteStatement& write = in_place ? *writes_.touch_message : *writes_.replace_message;
  row.checksum = BindRow(write, row);
  if (absl::Status status = write.Run(); !status.ok()) {
    const bool is_there = (sqlite3_errcode(db_.handle()) & 0xff) == SQLITE_CONSTRAINT;
    if (is_there) return absl::AlreadyExistsError(row.dmid);  // The only other unique one.
    return status;
  }
  Count(Touch(old.queue), old, -1);
  Count(*queue, row, +1);
  return absl::OkStatus();
}

absl::Status StoreTransaction::End(const Changes::End& end, absl::Time now) {
  ASSIGN_OR_RETURN(const MessageRow row, queries_.Row(end.sequence));
  const auto queue = tables_.queues.find(row.queue);
  if (queue == tables_.queues.end()) {
    return absl::DataLossError(absl::StrCat("message ", row.sequence, " is in no queue"));
  }
  const std::string name = queue->second.row.name;
  const std::optional<HeldQueue> held = HeldQueueOf(name);
  ASSIGN_OR_RETURN(const StoredMessage stored, ToStored(row, name));
  const queue::Message& message = stored.message;
  if (!MayEnd(message.type(), *QueueKindOf(name), end.final)) {
    return Refused(row.sequence, absl::StrCat("can't end ", FinalName(end.final), " in ", name));
  }
  EndedRow ended;
  ended.ended = {.number = tables_.meta.last_ended + 1,
                 .mid = message.mid(),
                 .origin_server = message.origin_server(),
                 .origin_mid = message.origin_mid(),
                 .type = message.type(),
                 .final = end.final,
                 .queue = held ? held->former : name,
                 .reason = Bounded(end.reason),
                 .subject = Bounded(message.subject()),
                 .correlation = Bounded(message.correlation()),
                 .at = now};
  ended.until = absl::ToUnixNanos(end.until);
  ended.submission_key = message.submission_key();
  writes_.drop_message->Bind(1, row.sequence);
  RETURN_IF_ERROR(writes_.drop_message->Run());
  const int64_t sum = BindRow(*writes_.put_ended, ended);
  RETURN_IF_ERROR(writes_.put_ended->Run());
  Count(Touch(row.queue), row, -1);
  MetaRow& meta = tables_.meta;
  meta.last_ended = ended.ended.number;
  ++meta.ended_rows;
  meta.ended_digest = AddSum(meta.ended_digest, sum);
  return absl::OkStatus();
}

absl::Status StoreTransaction::Rename(const std::string& from, const std::string& to) {
  const auto named = [this](const std::string& name) {
    return std::find_if(tables_.queues.begin(), tables_.queues.end(),
                        [&](const auto& queue) { return queue.second.row.name == name; });
  };
  const auto found = named(from);
  if (found == tables_.queues.end()) {
    return absl::NotFoundError(absl::StrCat("there is no queue ", from));
  }
  if (QueueKindOf(to) != QueueKind::kHeld || named(to) != tables_.queues.end()) {
    return absl::FailedPreconditionError(absl::StrCat("queue ", from, " can't become ", to));
  }
  QueueRow& row = Touch(found->first).row;
  row.name = to;
  row.suspended = false;
  return absl::OkStatus();
}

absl::Status StoreTransaction::SetSetting(const std::string& key, const std::string& value) {
  if (key.empty() || key.size() + value.size() > kSettingBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("setting '", key.substr(0, 100), "': needs a key, and at most 64 KiB"));
  }
  MetaRow& meta = tables_.meta;
  const auto old = tables_.settings.find(key);
  const bool had_one = old != tables_.settings.end();
  old_settings_.emplace(key, had_one ? std::optional<std::string>(old->second) : std::nullopt);
  if (had_one) {
    meta.settings_digest = SubtractSum(meta.settings_digest, SumOfSetting(key, old->second));
    tables_.settings.erase(old);
  }
  if (value.empty()) {
    writes_.drop_setting->BindText(1, key);
    return writes_.drop_setting->Run();
  }
  const int64_t sum = SumOfSetting(key, value);
  writes_.put_setting->BindText(1, key);
  writes_.put_setting->BindText(2, value);
  writes_.put_setting->Bind(3, sum);
  RETURN_IF_ERROR(writes_.put_setting->Run());
  meta.settings_digest = AddSum(meta.settings_digest, sum);
  tables_.settings[key] = value;
  return absl::OkStatus();
}

absl::Status StoreTransaction::Forget(const std::vector<EndedRow>& ends) {
  for (const EndedRow& row : ends) {
    writes_.drop_ended->Bind(1, row.ended.number);
    RETURN_IF_ERROR(writes_.drop_ended->Run());
    --tables_.meta.ended_rows;
    tables_.meta.ended_digest = SubtractSum(tables_.meta.ended_digest, row.checksum);
  }
  return absl::OkStatus();
}

absl::Status StoreTransaction::DropQueue(int64_t number) {
  const QueueState state = Touch(number);
  tables_.meta.queues_digest = SubtractSum(tables_.meta.queues_digest, SumOf(state));
  tables_.queues.erase(number);
  writes_.drop_queue->Bind(1, number);
  return writes_.drop_queue->Run();
}

absl::StatusOr<QueueState*> StoreTransaction::Touch(const std::string& name) {
  // Few: a queue a destination, an acceptor, a resource.
  for (const auto& [number, state] : tables_.queues) {
    if (state.row.name == name) return &Touch(number);
  }
  if (!QueueKindOf(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name.substr(0, 100), "' is no name of a queue"));
  }
  const int64_t number = tables_.queues.empty() ? 1 : tables_.queues.rbegin()->first + 1;
  QueueState& made = Touch(number);
  made.number = number;
  made.row.name = name;
  return &made;
}

QueueState& StoreTransaction::Touch(int64_t number) {
  const auto found = tables_.queues.find(number);
  if (found == tables_.queues.end()) {
    old_queues_.emplace(number, std::nullopt);
    return tables_.queues[number];
  }
  old_queues_.emplace(number, found->second);
  return found->second;
}

void StoreTransaction::Count(QueueState& queue, const MessageRow& row, int sign) {
  queue.row.messages += sign;
  queue.row.bytes += sign * static_cast<int64_t>(row.body.size());
  queue.digest =
      sign > 0 ? AddSum(queue.digest, row.checksum) : SubtractSum(queue.digest, row.checksum);
}

absl::Status StoreTransaction::Finish() {
  MetaRow& meta = tables_.meta;
  for (const auto& [number, old] : old_queues_) {
    const auto now = tables_.queues.find(number);
    if (now == tables_.queues.end()) continue;  // Dropped.
    if (old) meta.queues_digest = SubtractSum(meta.queues_digest, SumOf(*old));
    meta.queues_digest = AddSum(meta.queues_digest, SumOf(now->second));
    BindRow(*writes_.put_queue, now->second);
    RETURN_IF_ERROR(writes_.put_queue->Run());
  }
  BindRow(*writes_.put_meta, meta);
  return writes_.put_meta->Run();
}

void StoreTransaction::Undo() {
  tables_.meta = old_meta_;
  for (auto& [number, old] : old_queues_) {
    if (old) {
      tables_.queues[number] = *std::move(old);
    } else {
      tables_.queues.erase(number);
    }
  }
  for (auto& [key, old] : old_settings_) {
    if (old) {
      tables_.settings[key] = *std::move(old);
    } else {
      tables_.settings.erase(key);
    }
  }
}

}  // namespace salve

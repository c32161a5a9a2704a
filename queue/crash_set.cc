#include "queue/crash_set.h"

#include <sqlite3.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "google/protobuf/text_format.h"
#include "queue/transition.h"

namespace salve {
namespace {

constexpr size_t kPage = 500;
constexpr size_t kInFlightBytesMax = 256 << 20;  // Of 100,000 attempts, with room.
// The row for all that was in flight and has none of its own; no MID or attempt's id is like it.
constexpr char kAllInFlight[] = "*";

constexpr char kSchema[] =
    "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA;"
    "CREATE TABLE IF NOT EXISTS states(id TEXT PRIMARY KEY, state INTEGER NOT NULL,"
    " detail TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

std::string NotFound(const std::string& path) {
  return absl::StrCat("File(", path, ") not found.");
}

template <typename Message>
absl::StatusOr<Message> ReadText(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path, kInFlightBytesMax);
  if (absl::IsNotFound(text.status())) return absl::NotFoundError(NotFound(path));
  if (!text.ok()) return text.status();
  Message message;
  if (google::protobuf::TextFormat::ParseFromString(*text, &message)) return message;
  return absl::DataLossError(absl::StrCat(path, ": damaged, it can't be read"));
}

}  // namespace

absl::string_view EntryStateName(EntryState state) {
  switch (state) {
    case EntryState::kErrNoRec:
      return "ERR-NOREC";
    case EntryState::kErrRecov:
      return "ERR-RECOV";
    case EntryState::kActNoExe:
      return "ACT-NOEXE";
    case EntryState::kActExec:
      return "ACT-EXEC";
    case EntryState::kActError:
      return "ACT-ERROR";
  }
  return "";
}

std::string CrashEntry::type() const {
  return action.has_value() ? "RA" : queue::Type_Name(message.type());
}

CrashDefinitions DefinitionsOf(const Configuration& configuration) {
  CrashDefinitions definitions;
  for (const HealthSetDefinition& set : configuration.health_sets) {
    for (const ResponderDefinition& responder : set.responders) {
      definitions.responders.insert({responder.name, FullName(responder)});
    }
  }
  for (const config::Destination& destination : configuration.agent.config.destination()) {
    definitions.destinations.insert(destination.name());
  }
  return definitions;
}

std::string MissingDefinition(const CrashEntry& entry, const CrashDefinitions& definitions) {
  std::string responder = entry.message.deferred().responder();
  if (entry.action.has_value()) {
    responder = entry.action->requester();
    // A person's, or a deferred one's: no responder asked for it.
    if (absl::StartsWith(responder, "operator:") || absl::StartsWith(responder, "deferred:"))
      return "";
  } else if (entry.message.type() != queue::UP) {
    const std::string& destination = entry.message.destination();
    return definitions.destinations.contains(destination) ? "" : destination;
  }
  return responder.empty() || definitions.responders.contains(responder) ? "" : responder;
}

absl::StatusOr<std::unique_ptr<CrashSet>> CrashSet::Open(const std::string& dir) {
  std::unique_ptr<CrashSet> set(new CrashSet(dir));
  if (access(dir.c_str(), F_OK) != 0) return absl::NotFoundError(NotFound(dir));
  ASSIGN_OR_RETURN(set->manifest_, ReadText<crashset::Manifest>(dir + "/set.textproto"));
  if (set->manifest_.version() != 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        dir, ": of version ", set->manifest_.version(), ", this program knows 1: use a newer one"));
  }
  ASSIGN_OR_RETURN(set->in_flight_, ReadText<crashset::InFlight>(dir + "/in_flight.textproto"));
  for (const crashset::File& file : set->manifest_.file()) {
    const std::string path = absl::StrCat(dir, "/", file.name());
    if (access(path.c_str(), F_OK) != 0) return absl::NotFoundError(NotFound(path));
  }
  RETURN_IF_ERROR(set->OpenStates(/*make=*/false));
  return set;
}

absl::Status CrashSet::OpenStates(bool make) {
  const std::string path = dir_ + "/states.db";
  if (states_ != nullptr || (!make && access(path.c_str(), F_OK) != 0)) return absl::OkStatus();
  // A rollback journal that a kill left behind is played back by who may write.
  const bool writable = make || access(path.c_str(), W_OK) == 0;
  auto db = SqliteConnection::Open(
      path, writable ? SqliteConnection::Mode::kReadWrite : SqliteConnection::Mode::kReadOnly);
  absl::Status status = db.status();
  if (status.ok() && writable) status = (*db)->Execute(kSchema);
  if (!status.ok()) return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
  states_ = *std::move(db);
  ASSIGN_OR_RETURN(SqliteStatement find,
                   states_->Prepare("SELECT state, detail FROM states WHERE id=?"));
  find_ = std::make_unique<SqliteStatement>(std::move(find));
  if (!writable) return absl::OkStatus();
  ASSIGN_OR_RETURN(SqliteStatement put,
                   states_->Prepare("INSERT OR REPLACE INTO states VALUES(?,?,?,?)"));
  put_ = std::make_unique<SqliteStatement>(std::move(put));
  return absl::OkStatus();
}

absl::Status CrashSet::OpenQueue() {
  if (store_ != nullptr || manifest_.file().empty()) return absl::OkStatus();
  StoreOptions options;
  options.path = dir_ + "/queue.db";
  options.read_only = true;
  ASSIGN_OR_RETURN(store_, MessageStore::Open(std::move(options)));
  for (const QueueRow& queue : store_->Queues()) {
    if (queue.suspended) suspended_queues_.insert(queue.name);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> CrashSet::FindState(CrashEntry& entry) {
  entry.state = entry.in_flight ? EntryState::kErrNoRec : EntryState::kActNoExe;
  if (states_ == nullptr) return false;
  for (const std::string& id : {entry.id, std::string(entry.in_flight ? kAllInFlight : "")}) {
    find_->BindText(1, id);
    ASSIGN_OR_RETURN(const bool found, find_->Step());
    if (!found) continue;
    entry.state = static_cast<EntryState>(find_->Integer(0));
    entry.detail = std::string(find_->Bytes(1));
    find_->Reset();
    return id == entry.id;
  }
  return false;
}

absl::StatusOr<CrashEntry> CrashSet::EntryOf(StoredMessage stored) {
  CrashEntry entry;
  entry.id = stored.message.mid();
  entry.in_flight = stored.delivering;
  entry.message = std::move(stored.message);
  entry.queue = std::move(stored.queue);
  entry.suspended = stored.suspended;
  entry.queue_suspended = suspended_queues_.contains(entry.queue);
  RETURN_IF_ERROR(FindState(entry).status());
  return entry;
}

absl::StatusOr<CrashEntry> CrashSet::FindMessage(const std::string& mid) {
  RETURN_IF_ERROR(OpenQueue());
  if (store_ == nullptr) return absl::NotFoundError(absl::StrCat("no message ", mid));
  ASSIGN_OR_RETURN(StoredMessage stored, store_->Find(mid));
  return EntryOf(std::move(stored));
}

absl::Status CrashSet::ForEach(const std::function<bool(const CrashEntry&)>& visit) {
  int64_t key = 0;
  for (const crashset::Action& action : in_flight_.action()) {
    CrashEntry entry;
    entry.key = ++key;
    entry.id = action.attempt_id();
    entry.in_flight = true;
    entry.action = action;
    RETURN_IF_ERROR(FindState(entry).status());
    if (!visit(entry)) return absl::OkStatus();
  }
  RETURN_IF_ERROR(OpenQueue());
  if (store_ == nullptr) return absl::OkStatus();
  for (int64_t sequence = 0;;) {
    ASSIGN_OR_RETURN(std::vector<StoredMessage> page, store_->ListAfter(sequence, kPage));
    for (StoredMessage& stored : page) {
      sequence = stored.sequence;
      if (!IsOnItsWay(stored.queue)) continue;
      ASSIGN_OR_RETURN(CrashEntry entry, EntryOf(std::move(stored)));
      entry.key = ++key;
      if (!visit(entry)) return absl::OkStatus();
    }
    if (page.size() < kPage) return absl::OkStatus();
  }
}

absl::Status CrashSet::SetState(const std::string& id, EntryState state, absl::string_view detail,
                                absl::Time now) {
  RETURN_IF_ERROR(OpenStates(/*make=*/true));
  if (put_ == nullptr) {
    return absl::PermissionDeniedError(absl::StrCat(dir_, "/states.db can't be written"));
  }
  put_->BindText(1, id);
  put_->Bind(2, static_cast<int64_t>(state));
  put_->BindText(3, detail.substr(0, 1024));
  put_->Bind(4, absl::ToUnixNanos(now));
  const absl::Status status = put_->Run();
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(dir_, "/states.db: ", status.message()));
}

absl::Status CrashSet::SetStateOfInFlight(EntryState state, absl::string_view detail,
                                          absl::Time now) {
  return SetState(kAllInFlight, state, detail, now);
}

// Counted and not gone over: a start asks, and there may be a million.
absl::StatusOr<bool> CrashSet::HasOpenEntry() {
  std::vector<CrashEntry> in_flight;
  for (const crashset::Action& action : in_flight_.action()) {
    in_flight.emplace_back().id = action.attempt_id();
  }
  int64_t pending = 0;
  RETURN_IF_ERROR(OpenQueue());
  if (store_ != nullptr) {
    for (const QueueRow& queue : store_->Queues()) {
      if (IsOnItsWay(queue.name)) pending += queue.messages;
    }
    ASSIGN_OR_RETURN(const std::vector<StoredMessage> delivering, store_->Delivering());
    for (const StoredMessage& stored : delivering) {
      if (!IsOnItsWay(stored.queue)) continue;
      --pending;
      in_flight.emplace_back().id = stored.message.mid();
    }
  }
  int64_t decided = 0;  // Of those that were pending.
  if (states_ != nullptr) {
    ASSIGN_OR_RETURN(decided, states_->QueryInteger(absl::StrCat(
                                  "SELECT count(*) FROM states WHERE id<>'", kAllInFlight,
                                  "' AND state NOT IN (", static_cast<int>(EntryState::kErrNoRec),
                                  ",", static_cast<int>(EntryState::kActNoExe), ")")));
  }
  for (CrashEntry& entry : in_flight) {
    entry.in_flight = true;
    ASSIGN_OR_RETURN(const bool has_own, FindState(entry));
    if (IsOpen(entry.state)) return true;
    if (has_own) --decided;
  }
  return decided < pending;
}

absl::StatusOr<std::set<std::string>> CrashSet::OpenAttempts() {
  std::set<std::string> attempts;
  for (const crashset::Action& action : in_flight_.action()) {
    CrashEntry entry;
    entry.id = action.attempt_id();
    entry.in_flight = true;
    RETURN_IF_ERROR(FindState(entry).status());
    if (IsOpen(entry.state)) attempts.insert(entry.id);
  }
  return attempts;
}

}  // namespace salve

#include "channels/event_database.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "channels/event_filter.h"

namespace salve {
namespace {

constexpr int64_t kApplicationId = 0x53414c56;  // "SALV"
constexpr int64_t kVersion = 1;
constexpr size_t kItemCacheMax = 20'000;

constexpr char kSchema[] = R"sql(
  CREATE TABLE IF NOT EXISTS events (
    record_id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    time INTEGER NOT NULL,
    item INTEGER NOT NULL,
    incident BLOB,
    payload BLOB NOT NULL);
  CREATE INDEX IF NOT EXISTS events_by_kind ON events (kind, record_id, item);
  CREATE INDEX IF NOT EXISTS events_by_item ON events (item) WHERE item > 0;
  CREATE INDEX IF NOT EXISTS events_by_incident ON events (incident) WHERE incident IS NOT NULL;
  CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL,
    health_set TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (channel, health_set, name));
  CREATE TABLE IF NOT EXISTS blocks (
    block INTEGER PRIMARY KEY, earliest INTEGER NOT NULL, latest INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS sizes (
    channel INTEGER PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
)sql";

constexpr char kInsertEvent[] =
    "INSERT OR IGNORE INTO events (record_id, kind, time, item, incident, payload) "
    "VALUES (?, ?, ?, ?, ?, ?)";
constexpr char kInsertItem[] =
    "INSERT OR IGNORE INTO items (channel, health_set, name) VALUES (?, ?, ?)";
constexpr char kFindItem[] =
    "SELECT id FROM items WHERE channel = ? AND health_set = ? AND name = ?";
constexpr char kAddTimes[] =
    "INSERT INTO blocks VALUES (?, ?, ?) ON CONFLICT (block) DO UPDATE SET "
    "earliest = min(earliest, excluded.earliest), latest = max(latest, excluded.latest)";
constexpr char kAddSize[] =
    "INSERT INTO sizes VALUES (?, ?, ?) ON CONFLICT (channel) DO UPDATE SET "
    "rows = rows + excluded.rows, bytes = bytes + excluded.bytes";

}  // namespace

int64_t KindOf(v1::Channel channel, int event_id) {
  return int64_t{channel} * 65536 + std::clamp(event_id, 0, 65535);
}

std::string IncidentKey(const std::string& incident_id) {
  const bool is_hex = incident_id.size() == 32 &&
                      std::all_of(incident_id.begin(), incident_id.end(),
                                  [](unsigned char c) { return absl::ascii_isxdigit(c); });
  return is_hex ? absl::HexStringToBytes(incident_id) : incident_id;
}

absl::StatusOr<std::unique_ptr<EventDatabase>> EventDatabase::Open(const std::string& path) {
  // SQLite would create it for all to read. Its neighbours (-wal, -shm) inherit the mode.
  const int fd = open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0640);
  if (fd >= 0) close(fd);
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> connection,
                   SqliteConnection::Open(path, SqliteConnection::Mode::kReadWrite));
  std::unique_ptr<EventDatabase> database(new EventDatabase(std::move(connection)));
  RETURN_IF_ERROR(database->Initialize());
  RETURN_IF_ERROR(database->Load());
  return database;
}

absl::Status EventDatabase::Initialize() {
  // auto_vacuum works only when set before the first table; it is what lets Upkeep give space back
  // in small steps.
  RETURN_IF_ERROR(connection_->Execute(
      "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
      "PRAGMA journal_size_limit=16777216; PRAGMA cache_size=-1024"));
  ASSIGN_OR_RETURN(const int64_t id, connection_->QueryInteger("PRAGMA application_id"));
  ASSIGN_OR_RETURN(const int64_t version, connection_->QueryInteger("PRAGMA user_version"));
  ASSIGN_OR_RETURN(const int64_t objects,
                   connection_->QueryInteger("SELECT count(*) FROM sqlite_schema"));
  if (objects > 0 && (id != kApplicationId || version > kVersion)) {
    return absl::DataLossError(id != kApplicationId
                                   ? "it is another program's database"
                                   : absl::StrCat("it is of a newer version, ", version));
  }
  RETURN_IF_ERROR(connection_->Execute("BEGIN IMMEDIATE"));
  absl::Status status = connection_->Execute(absl::StrCat(
      kSchema, "PRAGMA application_id=", kApplicationId, "; PRAGMA user_version=", kVersion));
  // A write on each open: a file that can only be read must be found out now.
  if (status.ok()) status = SetFact("opened", 1);
  if (!status.ok()) return Rollback(status);
  return Commit();
}

absl::Status EventDatabase::Load() {
  ASSIGN_OR_RETURN(const int64_t newest,
                   connection_->QueryInteger("SELECT max(record_id) FROM events"));
  newest_record_id_ = std::max<int64_t>(newest, 0);
  ASSIGN_OR_RETURN(SqliteStatement sizes,
                   connection_->Prepare("SELECT channel, rows, bytes FROM sizes"));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, sizes.Step());
    if (!row) return absl::OkStatus();
    sizes_[static_cast<v1::Channel>(sizes.Integer(0))] = {sizes.Integer(1), sizes.Integer(2)};
  }
}

absl::Status EventDatabase::SetSynced(bool synced) {
  if (synced == synced_) return absl::OkStatus();
  RETURN_IF_ERROR(
      connection_->Execute(synced ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
  synced_ = synced;
  return absl::OkStatus();
}

absl::Status EventDatabase::Write(const std::vector<QueuedEvent>& events, bool synced) {
  if (events.empty() && !synced) return absl::OkStatus();
  RETURN_IF_ERROR(SetSynced(synced));
  RETURN_IF_ERROR(Begin());
  absl::Status status = WriteRows(events);
  // A commit that changes nothing syncs nothing, and those before it may not be synced yet.
  if (status.ok() && events.empty()) status = SetFact("synced", newest_record_id_);
  if (status.ok()) status = Commit();
  if (!status.ok()) return Rollback(status);
  if (!events.empty()) newest_record_id_ = events.back().event->record_id();
  return absl::OkStatus();
}

absl::Status EventDatabase::WriteRows(const std::vector<QueuedEvent>& events) {
  for (const QueuedEvent& queued : events) RETURN_IF_ERROR(WriteRow(*queued.event));
  return absl::OkStatus();
}

absl::Status EventDatabase::WriteRow(const v1::Event& event) {
  ASSIGN_OR_RETURN(const int64_t item, ItemOf(event));
  ASSIGN_OR_RETURN(SqliteStatement * insert, Statement(kInsertEvent));
  const int64_t id = event.record_id();
  const int64_t time = TimeNanos(event.time());
  payload_.clear();
  event.AppendToString(&payload_);
  insert->Bind(1, id);
  insert->Bind(2, KindOf(event.channel(), event.event_id()));
  insert->Bind(3, time);
  insert->Bind(4, item);
  if (event.incident_id().empty()) {
    insert->BindNull(5);
  } else {
    insert->BindBlob(5, IncidentKey(event.incident_id()));
  }
  insert->BindBlob(6, payload_);
  RETURN_IF_ERROR(insert->Run());
  if (connection_->changes() == 0) return absl::OkStatus();  // Written by an earlier attempt.

  AddSize(event.channel(), 1, payload_.size() + kRowOverheadBytes);
  auto [block, is_new] = block_times_.try_emplace(id / kRecordsPerBlock, time, time);
  block->second.first = std::min(block->second.first, time);
  block->second.second = std::max(block->second.second, time);
  return absl::OkStatus();
}

absl::StatusOr<int64_t> EventDatabase::ItemOf(const v1::Event& event) {
  constexpr absl::string_view kSeparator("\0", 1);
  const std::string& name = ItemName(event);
  item_key_.clear();
  absl::StrAppend(&item_key_, int{event.channel()}, kSeparator, event.health_set(), kSeparator,
                  name);
  const auto known = item_ids_.find(item_key_);
  if (known != item_ids_.end()) return known->second;

  for (const char* sql : {kInsertItem, kFindItem}) {
    ASSIGN_OR_RETURN(SqliteStatement * statement, Statement(sql));
    statement->Bind(1, event.channel());
    statement->BindText(2, event.health_set());
    statement->BindText(3, name);
    ASSIGN_OR_RETURN(const bool row, statement->Step());
    if (!row) continue;
    const int64_t row_id = statement->Integer(0);
    const int64_t id = event.channel() == v1::ProbeResult ? -row_id : row_id;
    statement->Reset();
    if (item_ids_.size() >= kItemCacheMax) item_ids_.clear();
    item_ids_.emplace(item_key_, id);
    return id;
  }
  return absl::DataLossError("a row of items is gone");
}

absl::Status EventDatabase::Begin() {
  size_changes_.clear();
  block_times_.clear();
  return connection_->Execute("BEGIN IMMEDIATE");
}

absl::Status EventDatabase::Commit() {
  for (const auto& [block, times] : block_times_) {
    ASSIGN_OR_RETURN(SqliteStatement * add, Statement(kAddTimes));
    add->Bind(1, block);
    add->Bind(2, times.first);
    add->Bind(3, times.second);
    RETURN_IF_ERROR(add->Run());
  }
  for (const auto& [channel, change] : size_changes_) {
    ASSIGN_OR_RETURN(SqliteStatement * add, Statement(kAddSize));
    add->Bind(1, channel);
    add->Bind(2, change.rows);
    add->Bind(3, change.bytes);
    RETURN_IF_ERROR(add->Run());
  }
  RETURN_IF_ERROR(connection_->Execute("COMMIT"));
  for (const auto& [channel, change] : size_changes_) {
    sizes_[channel].rows += change.rows;
    sizes_[channel].bytes += change.bytes;
  }
  return absl::OkStatus();
}

absl::Status EventDatabase::Rollback(absl::Status why) {
  // SQLite may have rolled back by itself; then this fails and that is fine.
  (void)connection_->Execute("ROLLBACK");
  item_ids_.clear();  // Some may have been of this transaction.
  return why;
}

void EventDatabase::AddSize(v1::Channel channel, int64_t rows, int64_t bytes) {
  size_changes_[channel].rows += rows;
  size_changes_[channel].bytes += bytes;
}

absl::StatusOr<SqliteStatement*> EventDatabase::Statement(const char* sql) {
  const auto known = statements_.find(sql);
  if (known != statements_.end()) return &known->second;
  ASSIGN_OR_RETURN(SqliteStatement statement, connection_->Prepare(sql));
  return &statements_.emplace(sql, std::move(statement)).first->second;
}

absl::StatusOr<int64_t> EventDatabase::Fact(absl::string_view name) {
  ASSIGN_OR_RETURN(SqliteStatement * find, Statement("SELECT value FROM facts WHERE name = ?"));
  find->BindText(1, name);
  ASSIGN_OR_RETURN(const bool row, find->Step());
  const int64_t value = row ? find->Integer(0) : 0;
  find->Reset();
  return value;
}

absl::Status EventDatabase::SetFact(absl::string_view name, int64_t value) {
  ASSIGN_OR_RETURN(SqliteStatement * set, Statement("INSERT OR REPLACE INTO facts VALUES (?, ?)"));
  set->BindText(1, name);
  set->Bind(2, value);
  return set->Run();
}

}  // namespace salve

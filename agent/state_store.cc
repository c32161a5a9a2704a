#include "agent/state_store.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr char kSchema[] =
    // EXTRA is FULL, but the rollback journal of a file that is being made cannot come back.
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=EXTRA; PRAGMA journal_mode=WAL;"
    "CREATE TABLE IF NOT EXISTS state(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version=1;";

absl::Status SqliteStatus(sqlite3* db, int code, const std::string& path) {
  const std::string message = absl::StrCat(path, ": ", sqlite3_errmsg(db));
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(message);
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return absl::PermissionDeniedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::Status Exec(sqlite3* db, const char* sql, const std::string& path) {
  const int code = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : SqliteStatus(db, code, path);
}

absl::Status Check(sqlite3* db, const std::string& path) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, nullptr);
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  const bool ok =
      code == SQLITE_ROW &&
      absl::string_view(reinterpret_cast<const char*>(sqlite3_column_text(statement, 0))) == "ok";
  sqlite3_finalize(statement);
  if (ok) return absl::OkStatus();
  if (code != SQLITE_ROW) return SqliteStatus(db, code, path);
  return absl::DataLossError(absl::StrCat(path, ": failed its integrity check"));
}

absl::StatusOr<sqlite3*> OpenDatabase(const std::string& path) {
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  absl::Status status = code == SQLITE_OK ? absl::OkStatus() : SqliteStatus(db, code, path);
  int persist = 1;
  if (status.ok()) sqlite3_file_control(db, nullptr, SQLITE_FCNTL_PERSIST_WAL, &persist);
  if (status.ok()) status = Exec(db, kSchema, path);
  if (status.ok()) status = Check(db, path);
  if (status.ok()) return db;
  sqlite3_close(db);
  return status;
}

absl::Status ReadAll(sqlite3* db, const std::string& path,
                     std::map<std::string, std::string>& entries) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(db, "SELECT key, value FROM state", -1, &statement, nullptr);
  if (code != SQLITE_OK) return SqliteStatus(db, code, path);
  const auto text = [&](int column) {
    const void* data = sqlite3_column_blob(statement, column);
    return std::string(static_cast<const char*>(data), sqlite3_column_bytes(statement, column));
  };
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) entries[text(0)] = text(1);
  sqlite3_finalize(statement);
  return code == SQLITE_DONE ? absl::OkStatus() : SqliteStatus(db, code, path);
}

// Never deletes: a person may want to look at it.
std::string SetAside(const std::string& path) {
  const std::string aside =
      absl::StrCat(path, ".damaged-", absl::ToUnixSeconds(SystemClock().WallNow()));
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::rename((path + suffix).c_str(), (aside + suffix).c_str());
  }
  return aside;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateStore>> StateStore::Open(const std::string& path,
                                                             Worker& worker) {
  std::string damage;
  std::map<std::string, std::string> entries;
  absl::StatusOr<sqlite3*> db = OpenDatabase(path);
  absl::Status status = db.ok() ? ReadAll(*db, path, entries) : db.status();
  if (absl::IsDataLoss(status)) {
    if (db.ok()) sqlite3_close(*db);
    const std::string aside = SetAside(path);
    damage = absl::StrCat(status.message(), "; it was set aside as ", aside,
                          ", open incidents and holds are forgotten");
    entries.clear();
    db = OpenDatabase(path);
    status = db.status();
  }
  if (!status.ok()) {
    if (db.ok()) sqlite3_close(*db);
    return status;
  }
  std::unique_ptr<StateStore> store(new StateStore(*db, worker));
  store->entries_ = std::move(entries);
  store->damage_ = std::move(damage);
  return store;
}

StateStore::~StateStore() {
  MutexLock lock(&mu_);
  sqlite3_close(db_);
}

std::string StateStore::Get(const std::string& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? std::string() : found->second;
}

void StateStore::Put(const std::string& key, std::string value) {
  auto& entry = entries_[key];
  if (entry == value && !value.empty()) return;
  entry = value;
  if (value.empty()) entries_.erase(key);
  {
    MutexLock lock(&dirty_mu_);
    dirty_[key] = std::move(value);
  }
  Flush();
}

void StateStore::Flush() {
  {
    MutexLock lock(&dirty_mu_);
    if (dirty_.empty() || flush_queued_) return;
    flush_queued_ = true;
  }
  worker_.Post([this] { WriteDirty().IgnoreError(); });  // Told there.
}

void StateStore::Sync(absl::AnyInvocable<void(absl::Status)> done) {
  worker_.Post([this, done = std::move(done)]() mutable { done(WriteDirty()); });
}

absl::Status StateStore::WriteDirty() {
  Batch batch;
  {
    MutexLock lock(&dirty_mu_);
    batch.swap(dirty_);
    flush_queued_ = false;
  }
  const absl::Status status = WriteAll(batch);
  bool say = false;
  {
    MutexLock lock(&dirty_mu_);
    say = status.ok() == failing_;
    failing_ = !status.ok();
    if (!status.ok()) dirty_.merge(batch);  // What was put meanwhile is newer, and stays.
  }
  if (!say) return status;
  if (status.ok()) {
    LogInfo("state.db can be written again");
  } else {
    LogError(absl::StrCat("state can't be written: ", status.message()));
  }
  return status;
}

absl::Status StateStore::PutNow(const std::string& key, absl::string_view value) {
  MutexLock lock(&mu_);
  return Write(key, value);
}

absl::Status StateStore::WriteAll(const Batch& batch) {
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(Exec(db_, "BEGIN IMMEDIATE", "state.db"));
  absl::Status status;
  for (const auto& [key, value] : batch) {
    if (status.ok()) status = Write(key, value);
  }
  if (status.ok()) status = Exec(db_, "COMMIT", "state.db");
  if (!status.ok()) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  return status;
}

absl::Status StateStore::Write(const std::string& key, absl::string_view value) {
  const char* sql = value.empty() ? "DELETE FROM state WHERE key=?1"
                                  : "INSERT OR REPLACE INTO state(key, value) VALUES(?1, ?2)";
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr);
  if (code == SQLITE_OK) {
    sqlite3_bind_text(statement, 1, key.data(), static_cast<int>(key.size()), SQLITE_STATIC);
    if (!value.empty()) {
      sqlite3_bind_blob(statement, 2, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
    }
    code = sqlite3_step(statement);
  }
  absl::Status status =
      code == SQLITE_DONE ? absl::OkStatus() : SqliteStatus(db_, code, "state.db");
  sqlite3_finalize(statement);
  return status;
}

}  // namespace salve

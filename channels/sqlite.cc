#include "channels/sqlite.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace salve {
namespace {

absl::StatusCode CodeOf(int rc) {
  switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_INTERRUPT:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

absl::Status ErrorOf(sqlite3* db, int rc) {
  std::string message = sqlite3_errmsg(db);
  const int system_error = sqlite3_system_errno(db);
  const bool from_system = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;
  if (from_system && system_error != 0) {
    char text[128];
    absl::StrAppend(&message, ": ", strerror_r(system_error, text, sizeof(text)));
  }
  return absl::Status(CodeOf(rc), message);
}

// A file name for SQLite that makes it change nothing: as if on a medium that can't change. With a
// log to be seen: without locks, the log's index in memory (Open sees to that).
std::string UnchangingUri(const std::string& path, bool with_log) {
  // What stands behind "file://" up to the next slash is a host: none.
  const std::string uri =
      absl::StrCat(absl::StartsWith(path, "/") ? "file://" : "file:",
                   absl::StrReplaceAll(path, {{"%", "%25"}, {"?", "%3f"}, {"#", "%23"}}));
  struct stat log;
  const bool has_log = stat((path + "-wal").c_str(), &log) == 0 && log.st_size > 0;
  return absl::StrCat(uri, with_log && has_log ? "?mode=ro&vfs=unix-none" : "?immutable=1");
}

}  // namespace

void SqliteStatement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void SqliteStatement::Bind(int index, int64_t value) {
  sqlite3_bind_int64(statement_.get(), index, value);
}

void SqliteStatement::BindBlob(int index, absl::string_view value) {
  sqlite3_bind_blob64(statement_.get(), index, value.data() == nullptr ? "" : value.data(),
                      value.size(), SQLITE_TRANSIENT);
}

void SqliteStatement::BindText(int index, absl::string_view value) {
  sqlite3_bind_text64(statement_.get(), index, value.data() == nullptr ? "" : value.data(),
                      value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void SqliteStatement::BindNull(int index) { sqlite3_bind_null(statement_.get(), index); }

absl::StatusOr<bool> SqliteStatement::Step() {
  const int rc = sqlite3_step(statement_.get());
  if (rc == SQLITE_ROW) return true;
  absl::Status error;
  if (rc != SQLITE_DONE) error = ErrorOf(sqlite3_db_handle(statement_.get()), rc);
  Reset();
  if (!error.ok()) return error;
  return false;
}

absl::Status SqliteStatement::Run() {
  absl::StatusOr<bool> row = Step();
  Reset();
  return row.status();
}

void SqliteStatement::Reset() { sqlite3_reset(statement_.get()); }

int64_t SqliteStatement::Integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

absl::string_view SqliteStatement::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  if (bytes == nullptr) return {};
  return absl::string_view(static_cast<const char*>(bytes),
                           sqlite3_column_bytes(statement_.get(), column));
}

bool SqliteStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(const std::string& path,
                                                                         Mode mode) {
  sqlite3* db = nullptr;
  const bool unchanging = mode == Mode::kAsItStands || mode == Mode::kExamine;
  const int flags = (mode == Mode::kReadWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                              : SQLITE_OPEN_READONLY) |
                    (unchanging ? SQLITE_OPEN_URI : 0) | SQLITE_OPEN_NOMUTEX |
                    SQLITE_OPEN_EXRESCODE;
  const std::string name = unchanging ? UnchangingUri(path, mode == Mode::kExamine) : path;
  const int rc = sqlite3_open_v2(name.c_str(), &db, flags, nullptr);
  if (db == nullptr) return absl::ResourceExhaustedError("no memory for SQLite");
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection(db));
  if (rc != SQLITE_OK) return ErrorOf(db, rc);
  sqlite3_busy_timeout(db, 1000);  // A person's sqlite3 shell may hold the lock for a moment.
  if (mode == Mode::kExamine) {
    // Before the log is read, so that its index is kept in memory.
    const absl::Status status = connection->Execute("PRAGMA locking_mode=EXCLUSIVE");
    if (!status.ok()) return status;
    // A log without a frame would be removed at the close.
    int keep_log = 1;
    sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep_log);
  }
  return connection;
}

SqliteConnection::~SqliteConnection() { sqlite3_close_v2(db_); }

absl::Status SqliteConnection::Execute(const std::string& sql) {
  const int rc = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return ErrorOf(db_, rc);
  return absl::OkStatus();
}

absl::StatusOr<SqliteStatement> SqliteConnection::Prepare(absl::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int rc = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                    SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (rc != SQLITE_OK) return ErrorOf(db_, rc);
  return SqliteStatement(statement);
}

absl::StatusOr<int64_t> SqliteConnection::QueryInteger(absl::string_view sql) {
  absl::StatusOr<SqliteStatement> statement = Prepare(sql);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<bool> row = statement->Step();
  if (!row.ok()) return row.status();
  return *row ? statement->Integer(0) : 0;
}

int SqliteConnection::changes() const { return sqlite3_changes(db_); }

bool SqliteConnection::moved() const {
  int moved = 0;
  sqlite3_file_control(db_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  return moved != 0;
}

}  // namespace salve

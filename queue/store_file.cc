#include "queue/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "channels/wal_check.h"

namespace salve {
namespace {

constexpr size_t kWalHeaderBytes = 32;
constexpr char kHelp[] = "; 'salvectl queue db verify' and 'queue db recover' say and do more";

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": damaged: ", what, kHelp));
}

absl::Status AsDamage(const std::string& path, const absl::Status& status) {
  if (!absl::IsDataLoss(status)) return status;
  return absl::DataLossError(absl::StrCat(status.message(), kHelp));
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

absl::Status SyncFolder(const std::string& folder) {
  const UniqueFd opened(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.get() < 0 || fsync(opened.get()) != 0) return ErrnoStatus(errno, folder);
  return absl::OkStatus();
}

int64_t SizeOf(const std::string& path) {
  struct stat file;
  return stat(path.c_str(), &file) == 0 ? file.st_size : 0;
}

// Zeros, with which a log is grown beforehand, are no content.
absl::StatusOr<bool> LogHasContent(const std::string& wal) {
  const UniqueFd file(open(wal.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 && errno == ENOENT) return false;
  if (file.get() < 0) return ErrnoStatus(errno, wal);
  char header[kWalHeaderBytes] = {};
  const ssize_t count = pread(file.get(), header, sizeof(header), 0);
  if (count < 0) return ErrnoStatus(errno, wal);
  return std::any_of(header, header + count, [](char c) { return c != 0; });
}

absl::Status CheckKindAndVersion(SqliteConnection& db) {
  ASSIGN_OR_RETURN(const int64_t application, db.QueryInteger("PRAGMA application_id"));
  ASSIGN_OR_RETURN(const int64_t version, db.QueryInteger("PRAGMA user_version"));
  if (application != kQueueApplicationId) {
    return absl::DataLossError("it is no database of a queue");
  }
  if (version > MessageStore::kSchemaVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("its schema has version ", version, ", this program knows ",
                     MessageStore::kSchemaVersion, ": it was written by a newer one; use that"));
  }
  if (version != MessageStore::kSchemaVersion) {
    return absl::DataLossError(absl::StrCat("its schema has version ", version));
  }
  return absl::OkStatus();
}

// What SQLite keeps of a schema, by the names in it.
absl::StatusOr<std::map<std::string, std::string>> SchemaOf(SqliteConnection& db) {
  ASSIGN_OR_RETURN(SqliteStatement select,
                   db.Prepare("SELECT name,sql FROM sqlite_master WHERE sql IS NOT NULL"));
  std::map<std::string, std::string> schema;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) return schema;
    schema[std::string(select.Bytes(0))] = std::string(select.Bytes(1));
  }
}

// It is a text: with a byte of it damaged, a column may have another name, or an index another
// order. What a person has added is no damage.
absl::Status CheckSchema(SqliteConnection& db) {
  ASSIGN_OR_RETURN(const std::unique_ptr<SqliteConnection> fresh,
                   SqliteConnection::Open(":memory:", SqliteConnection::Mode::kReadWrite));
  RETURN_IF_ERROR(fresh->Execute(kQueueSchema));
  ASSIGN_OR_RETURN(const auto expected, SchemaOf(*fresh));
  ASSIGN_OR_RETURN(const auto schema, SchemaOf(db));
  for (const auto& [name, sql] : expected) {
    const auto found = schema.find(name);
    if (found == schema.end() || found->second != sql) {
      return absl::DataLossError(absl::StrCat("its schema has no ", name, " as it was made"));
    }
  }
  return absl::OkStatus();
}

absl::Status LoadMeta(SqliteConnection& db, MetaRow& meta) {
  ASSIGN_OR_RETURN(SqliteStatement select, db.Prepare("SELECT * FROM meta"));
  ASSIGN_OR_RETURN(const bool found, select.Step());
  if (!found) return absl::DataLossError("the row of meta is missing");
  ASSIGN_OR_RETURN(meta, ReadMetaRow(select));
  ASSIGN_OR_RETURN(const bool more, select.Step());
  if (more) return absl::DataLossError("meta has more than one row");
  return absl::OkStatus();
}

absl::Status LoadQueues(SqliteConnection& db, StoreTables& tables) {
  ASSIGN_OR_RETURN(SqliteStatement select, db.Prepare("SELECT * FROM queues ORDER BY number"));
  std::set<std::string> names;
  int64_t digest = 0;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) break;
    ASSIGN_OR_RETURN(QueueState state, ReadQueueState(select));
    digest = AddSum(digest, SumOf(state));
    if (!QueueKindOf(state.row.name) || !names.insert(state.row.name).second) {
      return absl::DataLossError(absl::StrCat("queue number ", state.number, " has no good name"));
    }
    tables.queues[state.number] = std::move(state);
  }
  if (digest == tables.meta.queues_digest) return absl::OkStatus();
  return absl::DataLossError("the table of queues does not fit its digest");
}

absl::Status LoadSettings(SqliteConnection& db, StoreTables& tables) {
  ASSIGN_OR_RETURN(SqliteStatement select, db.Prepare("SELECT key,value,checksum FROM settings"));
  int64_t digest = 0;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) break;
    std::string key(select.Bytes(0)), value(select.Bytes(1));
    const int64_t sum = SumOfSetting(key, value);
    if (sum != select.Integer(2)) return absl::DataLossError("a setting has a wrong check sum");
    digest = AddSum(digest, sum);
    tables.settings[std::move(key)] = std::move(value);
  }
  if (digest == tables.meta.settings_digest) return absl::OkStatus();
  return absl::DataLossError("the settings do not fit their digest");
}

// Locks are the process's, and go when any of its descriptors of the file is closed: a look from
// outside takes none.
absl::Status CheckNobodyHasIt(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return ErrnoStatus(errno, path);
  constexpr off_t kLockBytesAt = 0x40000000;  // https://www.sqlite.org/fileformat.html#lockbyte
  struct flock lock = {};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kLockBytesAt;
  lock.l_len = 512;
  if (fcntl(file.get(), F_GETLK, &lock) != 0) return ErrnoStatus(errno, path);
  if (lock.l_type == F_UNLCK) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(path, ": another process has it open: ", lock.l_pid));
}

// Of an empty file SQLite removes the log unread, whatever is in it, even if it may only read.
absl::Status CheckNotEmpty(const std::string& path) {
  struct stat file;
  if (stat(path.c_str(), &file) != 0) return ErrnoStatus(errno, path);
  return file.st_size > 0 ? absl::OkStatus() : Damaged(path, "it is empty");
}

absl::Status WhyNotOpened(const std::string& path, const absl::Status& status) {
  if (access(path.c_str(), F_OK) != 0) return ErrnoStatus(errno, path);
  if (access(path.c_str(), R_OK) != 0) return ErrnoStatus(errno, path);
  return NamedBy(path, status);
}

// A database with nothing in it but its identity, without a log.
absl::Status FillNew(const std::string& path, const MetaRow& identity) {
  absl::StatusOr<std::unique_ptr<SqliteConnection>> db =
      SqliteConnection::Open(path, SqliteConnection::Mode::kReadWrite);
  if (!db.ok()) {
    const std::string folder = FolderOf(path);
    if (access(folder.c_str(), W_OK) != 0) return ErrnoStatus(errno, folder);
    return NamedBy(path, db.status());
  }
  const auto fill = [&]() -> absl::Status {
    RETURN_IF_ERROR((*db)->Execute("PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL"));
    RETURN_IF_ERROR((*db)->Execute(kQueueSchema));
    ASSIGN_OR_RETURN(SqliteStatement insert,
                     (*db)->Prepare("INSERT INTO meta VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
    BindRow(insert, identity);
    RETURN_IF_ERROR(insert.Run());
    return (*db)->Execute("PRAGMA wal_checkpoint(TRUNCATE)");
  };
  RETURN_IF_ERROR(NamedBy(path, fill()));
  db->reset();
  unlink(WalPath(path).c_str());
  return absl::OkStatus();
}

absl::Status PutInPlace(const std::string& beside, const std::string& path,
                        const std::string& signature) {
  const std::string folder = FolderOf(path);
  FaultPoint("queue.make.database");
  ASSIGN_OR_RETURN(std::unique_ptr<MarkFile> mark, MarkFile::Open(MarkPath(path)));
  RETURN_IF_ERROR(mark->WriteSynced({.clean = true, .commits = 0, .signature = signature}));
  RETURN_IF_ERROR(SyncFolder(folder));
  FaultPoint("queue.make.mark");
  if (rename(beside.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, path);
  FaultPoint("queue.make.renamed");
  return SyncFolder(folder);
}

}  // namespace

absl::Status NamedBy(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::Status GrowFile(const std::string& path, int64_t size) {
  const UniqueFd file(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0640));
  if (file.get() < 0) return ErrnoStatus(errno, path);
  struct stat now;
  if (fstat(file.get(), &now) != 0) return ErrnoStatus(errno, path);
  static constexpr char kZeros[64 * 1024] = {};
  for (int64_t at = now.st_size; at < size;) {
    const size_t count = static_cast<size_t>(std::min<int64_t>(size - at, sizeof(kZeros)));
    const ssize_t written = pwrite(file.get(), kZeros, count, at);
    if (written < 0) return ErrnoStatus(errno, path);
    at += written;
  }
  if (fsync(file.get()) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::StatusOr<bool> StoreExists(const std::string& path) {
  if (access(path.c_str(), F_OK) == 0) return true;
  if (errno != ENOENT) return ErrnoStatus(errno, path);
  ASSIGN_OR_RETURN(const bool has_log, LogHasContent(WalPath(path)));
  if (has_log) return Damaged(path, "it is missing, but its log is there");
  const absl::StatusOr<Mark> mark = ReadMark(MarkPath(path));
  if (absl::IsNotFound(mark.status())) return false;
  if (!mark.ok()) return AsDamage(path, mark.status());
  if (mark->commits == 0) return false;  // Nothing was ever accepted.
  return Damaged(path,
                 absl::StrCat("it is missing, and its mark tells of ", mark->commits, " commits"));
}

absl::Status MakeStore(const std::string& path, const MetaRow& identity) {
  // Beside its place until it is whole and has its mark: a database without a mark is damage.
  const std::string beside = path + ".new";
  const auto remove_beside = [&beside] {
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) unlink((beside + suffix).c_str());
  };
  remove_beside();
  for (const std::string& old : {WalPath(path), path + "-shm", path + "-journal"}) {
    unlink(old.c_str());
  }
  absl::Status status = FillNew(beside, identity);
  if (status.ok()) status = PutInPlace(beside, path, identity.signature);
  if (!status.ok()) remove_beside();
  return status;
}

absl::StatusOr<Mark> CheckMarkAndLog(const std::string& path) {
  absl::StatusOr<Mark> mark = ReadMark(MarkPath(path));
  if (absl::IsNotFound(mark.status())) return Damaged(path, "its mark is missing");
  if (!mark.ok()) return AsDamage(path, mark.status());
  const std::string wal = WalPath(path);
  if (!mark->clean && !mark->closing && SizeOf(wal) == 0) {
    return Damaged(path, "it was left dirty and its log is missing");
  }
  ASSIGN_OR_RETURN(const bool has_log, LogHasContent(wal));
  if (mark->clean && has_log) {
    return Damaged(path, "it was closed cleanly, but a log stands beside it that is not its own");
  }
  RETURN_IF_ERROR(AsDamage(path, CheckWal(wal)));
  return mark;
}

absl::StatusOr<bool> StoreHasLog(const std::string& path) { return LogHasContent(WalPath(path)); }

absl::StatusOr<std::unique_ptr<SqliteConnection>> ConnectStore(const std::string& path) {
  RETURN_IF_ERROR(CheckNotEmpty(path));
  absl::StatusOr<std::unique_ptr<SqliteConnection>> db =
      SqliteConnection::Open(path, SqliteConnection::Mode::kReadWrite);
  if (!db.ok()) return WhyNotOpened(path, db.status());
  sqlite3* handle = (*db)->handle();
  if (sqlite3_db_readonly(handle, "main") == 1) {
    return absl::PermissionDeniedError(absl::StrCat(path, ": can't be written"));
  }
  // A close is no end of its own: what makes the file clean is MessageStore::Close, and what is
  // found damaged must stay as it is.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  int keep_log = 1;
  sqlite3_file_control(handle, "main", SQLITE_FCNTL_PERSIST_WAL, &keep_log);
  // EXCLUSIVE before WAL: no -shm file and no lock calls.
  const absl::Status status = (*db)->Execute(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL; PRAGMA journal_mode=WAL; "
      "PRAGMA wal_autocheckpoint=1000; PRAGMA journal_size_limit=16777216; "
      "PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; "
      "PRAGMA cell_size_check=ON;");
  if ((sqlite3_errcode(handle) & 0xff) == SQLITE_BUSY) {
    return absl::UnavailableError(absl::StrCat(path, ": another process has it open"));
  }
  if (!status.ok()) return AsDamage(path, NamedBy(path, status));
  return db;
}

absl::StatusOr<std::unique_ptr<SqliteConnection>> ExamineStore(const std::string& path) {
  RETURN_IF_ERROR(CheckNotEmpty(path));
  RETURN_IF_ERROR(CheckNobodyHasIt(path));
  absl::StatusOr<std::unique_ptr<SqliteConnection>> db =
      SqliteConnection::Open(path, SqliteConnection::Mode::kExamine);
  if (!db.ok()) return WhyNotOpened(path, db.status());
  RETURN_IF_ERROR(
      NamedBy(path, (*db)->Execute("PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; "
                                   "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192")));
  return db;
}

absl::Status LoadTables(SqliteConnection& db, StoreTables& tables) {
  RETURN_IF_ERROR(CheckKindAndVersion(db));
  const absl::Status schema = CheckSchema(db);
  absl::Status status = LoadMeta(db, tables.meta);
  if (status.ok()) status = LoadQueues(db, tables);
  if (status.ok()) status = LoadSettings(db, tables);
  // With a damaged one, all else that fails comes of it.
  return schema.ok() ? status : schema;
}

absl::Status CheckAgainstMark(const MetaRow& meta, const Mark& mark) {
  const bool is_other = meta.signature == mark.other_signature && !mark.other_signature.empty();
  if (meta.signature != mark.signature && !is_other) {
    return absl::DataLossError("its mark belongs to another database");
  }
  const int64_t commits = is_other ? mark.other_commits : mark.commits;
  if (meta.commits < commits) {
    return absl::DataLossError(absl::StrCat("commits are missing: its mark tells of ", commits,
                                            ", it has ", meta.commits));
  }
  return absl::OkStatus();
}

}  // namespace salve

#include "throttling/ledger_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "channels/row_sum.h"
#include "channels/wal_check.h"

namespace salve {
namespace {

// "SLVL", so that another program's database is not taken for a ledger.
constexpr int kApplicationId = 0x534c564c;
constexpr int64_t kWalBytes = 4 << 20;

constexpr char kSchema[] = R"sql(
BEGIN;
CREATE TABLE boots(
  number INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, last_wall INTEGER NOT NULL, synchronised INTEGER NOT NULL,
  checksum INTEGER NOT NULL) STRICT;
CREATE TABLE attempts(
  number INTEGER PRIMARY KEY, id TEXT NOT NULL, action INTEGER NOT NULL,
  resource TEXT NOT NULL, requester TEXT NOT NULL, server TEXT NOT NULL,
  incident_id TEXT NOT NULL, health_set TEXT NOT NULL, start_wall INTEGER NOT NULL,
  end_wall INTEGER NOT NULL, boot INTEGER NOT NULL, start INTEGER NOT NULL,
  end_boot INTEGER NOT NULL, "end" INTEGER NOT NULL, timeout INTEGER NOT NULL,
  state INTEGER NOT NULL, result INTEGER NOT NULL, effect TEXT NOT NULL,
  checksum INTEGER NOT NULL) STRICT;
PRAGMA application_id = 1397511756;
PRAGMA user_version = 1;
COMMIT;
)sql";
static_assert(kApplicationId == 1397511756);

// The columns of a row in order, either bound to a statement or summed up.
template <typename Sink>
void ForEachColumn(const BootRow& row, Sink sink) {
  sink(row.number);
  sink(row.boot.boot_id);
  sink(row.boot.first.nanos_since_boot());
  sink(row.boot.last.nanos_since_boot());
  sink(absl::ToUnixNanos(row.boot.last_wall));
  sink(static_cast<int64_t>(row.boot.synchronised));
}

template <typename Sink>
void ForEachColumn(const AttemptRow& row, Sink sink) {
  const Attempt& attempt = row.attempt;
  sink(row.number);
  sink(attempt.id);
  sink(static_cast<int64_t>(attempt.action));
  sink(attempt.resource);
  sink(attempt.requester);
  sink(attempt.server);
  sink(attempt.incident_id);
  sink(attempt.health_set);
  sink(absl::ToUnixNanos(attempt.start_wall));
  sink(absl::ToUnixNanos(attempt.end_wall));
  sink(row.boot);
  sink(attempt.start.nanos_since_boot());
  sink(row.end_boot);
  sink(attempt.end.nanos_since_boot());
  sink(absl::ToInt64Nanoseconds(attempt.timeout));
  sink(static_cast<int64_t>(attempt.state));
  sink(static_cast<int64_t>(attempt.result));
  sink(attempt.effect);
}

struct BindTo {
  SqliteStatement& statement;
  int& index;
  RowSum& sum;
  void operator()(int64_t value) const {
    statement.Bind(index++, value);
    sum.Add(value);
  }
  void operator()(const std::string& value) const {
    statement.BindText(index++, value);
    sum.Add(absl::string_view(value));
  }
};

template <typename Row>
absl::Status Put(SqliteStatement& statement, const Row& row) {
  int index = 1;
  RowSum sum;
  ForEachColumn(row, BindTo{statement, index, sum});
  statement.Bind(index, sum.value());
  return statement.Run();
}

template <typename Row>
int64_t CheckSumOf(const Row& row) {
  RowSum sum;
  ForEachColumn(row, [&sum](const auto& value) { sum.Add(value); });
  return sum.value();
}

std::string Text(const SqliteStatement& row, int column) { return std::string(row.Bytes(column)); }

BootRow ReadBoot(const SqliteStatement& row) {
  BootRow read;
  read.number = row.Integer(0);
  read.boot.boot_id = Text(row, 1);
  read.boot.first = Instant::FromNanosSinceBoot(row.Integer(2));
  read.boot.last = Instant::FromNanosSinceBoot(row.Integer(3));
  read.boot.last_wall = absl::FromUnixNanos(row.Integer(4));
  read.boot.synchronised = row.Integer(5) != 0;
  return read;
}

AttemptRow ReadAttempt(const SqliteStatement& row) {
  AttemptRow read;
  Attempt& attempt = read.attempt;
  read.number = row.Integer(0);
  attempt.id = Text(row, 1);
  attempt.action = static_cast<RecoveryAction>(row.Integer(2));
  attempt.resource = Text(row, 3);
  attempt.requester = Text(row, 4);
  attempt.server = Text(row, 5);
  attempt.incident_id = Text(row, 6);
  attempt.health_set = Text(row, 7);
  attempt.start_wall = absl::FromUnixNanos(row.Integer(8));
  attempt.end_wall = absl::FromUnixNanos(row.Integer(9));
  read.boot = row.Integer(10);
  attempt.start = Instant::FromNanosSinceBoot(row.Integer(11));
  read.end_boot = row.Integer(12);
  attempt.end = Instant::FromNanosSinceBoot(row.Integer(13));
  attempt.timeout = absl::Nanoseconds(row.Integer(14));
  attempt.state = static_cast<AttemptState>(row.Integer(15));
  attempt.result = static_cast<AttemptResult>(row.Integer(16));
  attempt.effect = Text(row, 17);
  return read;
}

absl::Status Named(const absl::Status& status, const std::string& path) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

// Writes zeros up to `size` and syncs. Blocks of the file that were written before are
// overwritten at the price of one fdatasync; fresh ones cost a second write of the file's size.
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

}  // namespace

absl::StatusOr<std::unique_ptr<LedgerStore>> LedgerStore::Open(const std::string& path,
                                                               std::vector<BootRow>& boots,
                                                               std::vector<AttemptRow>& attempts) {
  std::unique_ptr<LedgerStore> store(new LedgerStore(path));
  RETURN_IF_ERROR(CheckWal(path + "-wal"));
  RETURN_IF_ERROR(store->Connect());
  RETURN_IF_ERROR(store->CheckOrMakeSchema());
  // A power loss may leave frames of its torn commit behind the end of the log. The log begins
  // anew, with other salts, before the next torn commit could seem to stand in front of them.
  RETURN_IF_ERROR(Named(store->db_->Execute("PRAGMA wal_checkpoint(RESTART)"), path));
  struct stat wal;
  if (stat((path + "-wal").c_str(), &wal) != 0 || wal.st_size < kWalBytes) {
    // Zeros behind the end of a log are no part of it. Grown with the connection closed: SQLite
    // throws away a log that stands beside an empty database, and finds its end at open.
    store->db_.reset();
    RETURN_IF_ERROR(GrowFile(path + "-wal", kWalBytes));
    RETURN_IF_ERROR(store->Connect());
  }
  RETURN_IF_ERROR(Named(store->PrepareStatements(), path));
  RETURN_IF_ERROR(store->Load(boots, attempts));
  store->MakeReserve();
  return store;
}

absl::Status LedgerStore::Connect() {
  absl::StatusOr<std::unique_ptr<SqliteConnection>> db =
      SqliteConnection::Open(path_, SqliteConnection::Mode::kReadWrite);
  if (!db.ok()) {
    if (access(path_.c_str(), F_OK) != 0 && errno == ENOENT) {
      const size_t slash = path_.rfind('/');
      const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash);
      if (access(folder.c_str(), W_OK) != 0) return ErrnoStatus(errno, folder);
    } else if (access(path_.c_str(), R_OK | W_OK) != 0) {
      return ErrnoStatus(errno, path_);
    }
    return Named(db.status(), path_);
  }
  db_ = *std::move(db);
  if (sqlite3_db_readonly(db_->handle(), "main") == 1) {
    return absl::PermissionDeniedError(absl::StrCat(path_, ": can't be written"));
  }
  // EXCLUSIVE before WAL: no -shm file and no lock calls. The log stays at a close: a fresh one
  // would cost twice the time a commit. EXTRA is FULL, but the rollback journal of a file that is
  // being made cannot come back after a power loss and undo what the log had already.
  int keep_log = 1;
  sqlite3_file_control(db_->handle(), "main", SQLITE_FCNTL_PERSIST_WAL, &keep_log);
  const absl::Status status = db_->Execute(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=EXTRA; PRAGMA journal_mode=WAL; "
      "PRAGMA wal_autocheckpoint=1000; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;");
  if ((sqlite3_errcode(db_->handle()) & 0xff) == SQLITE_BUSY) {
    return absl::UnavailableError(absl::StrCat(path_, ": another process has it open"));
  }
  return Named(status, path_);
}

absl::Status LedgerStore::CheckOrMakeSchema() {
  absl::StatusOr<int64_t> tables = db_->QueryInteger("SELECT count(*) FROM sqlite_schema");
  if (!tables.ok()) return Named(tables.status(), path_);
  ASSIGN_OR_RETURN(const int64_t version, db_->QueryInteger("PRAGMA user_version"));
  ASSIGN_OR_RETURN(const int64_t application, db_->QueryInteger("PRAGMA application_id"));
  if (*tables == 0 && version == 0 && application == 0) {
    return Named(db_->Execute(kSchema), path_);
  }
  if (application != kApplicationId) return Damaged(path_, "is a database, but no ledger");
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path_, ": its schema has version ", version,
                                                      ", this program knows ", kSchemaVersion,
                                                      ": it was written by a newer one; use that"));
  }
  if (version != kSchemaVersion) {
    return Damaged(path_, absl::StrCat("its schema has version ", version));
  }
  ASSIGN_OR_RETURN(SqliteStatement check, db_->Prepare("PRAGMA integrity_check(1)"));
  const absl::StatusOr<bool> row = check.Step();
  if (!row.ok()) return Named(row.status(), path_);
  if (!*row || check.Bytes(0) != "ok") {
    return Damaged(
        path_, absl::StrCat("failed its integrity check: ", *row ? check.Bytes(0) : "no answer"));
  }
  return absl::OkStatus();
}

absl::Status LedgerStore::PrepareStatements() {
  const auto prepare = [this](absl::string_view sql,
                              std::unique_ptr<SqliteStatement>& statement) -> absl::Status {
    ASSIGN_OR_RETURN(SqliteStatement prepared, db_->Prepare(sql));
    statement = std::make_unique<SqliteStatement>(std::move(prepared));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(
      prepare("INSERT OR REPLACE INTO attempts VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
              put_attempt_));
  RETURN_IF_ERROR(prepare("INSERT OR REPLACE INTO boots VALUES(?,?,?,?,?,?,?)", put_boot_));
  RETURN_IF_ERROR(prepare("DELETE FROM boots WHERE number<=?", drop_boots_));
  return prepare("DELETE FROM attempts WHERE number=?", drop_attempt_);
}

absl::Status LedgerStore::Load(std::vector<BootRow>& boots, std::vector<AttemptRow>& attempts) {
  const auto read_all = [this](const char* table, int checksum_column, auto read,
                               auto& rows) -> absl::Status {
    ASSIGN_OR_RETURN(SqliteStatement select,
                     db_->Prepare(absl::StrCat("SELECT * FROM ", table, " ORDER BY number")));
    while (true) {
      const absl::StatusOr<bool> row = select.Step();
      if (!row.ok()) return Named(row.status(), path_);
      if (!*row) return absl::OkStatus();
      rows.push_back(read(select));
      if (CheckSumOf(rows.back()) != select.Integer(checksum_column)) {
        return Damaged(path_, absl::StrCat("row ", rows.back().number, " of ", table,
                                           " does not fit its check sum"));
      }
    }
  };
  RETURN_IF_ERROR(read_all("boots", 6, ReadBoot, boots));
  return read_all("attempts", 18, ReadAttempt, attempts);
}

// The reserve is there for the one moment when the disk is full and an attempt must be written:
// its blocks become the ledger's.
template <typename Writing>
absl::Status LedgerStore::WithReserve(Writing writing) {
  absl::Status status = writing();
  if (absl::IsResourceExhausted(status) && unlink((path_ + "-reserve").c_str()) == 0) {
    status = writing();
  }
  return Named(status, path_);
}

absl::Status LedgerStore::Write(const AttemptRow& row) {
  return WithReserve([&] { return Put(*put_attempt_, row); });
}

absl::Status LedgerStore::WriteBoot(const BootRow& row) {
  return WithReserve([&] { return Put(*put_boot_, row); });
}

absl::Status LedgerStore::Keep(const Upkeep& upkeep) {
  const absl::Status status = WithReserve([&] {
    absl::Status status = db_->Execute("BEGIN IMMEDIATE");
    if (status.ok()) status = KeepInTransaction(upkeep);
    if (status.ok()) status = db_->Execute("COMMIT");
    // Some errors have rolled back already; then there is nothing to end.
    if (!status.ok()) db_->Execute("ROLLBACK").IgnoreError();
    return status;
  });
  if (!status.ok()) return status;
  if (upkeep.checkpoint) {
    sqlite3_wal_checkpoint_v2(db_->handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  }
  MakeReserve();
  return absl::OkStatus();
}

absl::Status LedgerStore::KeepInTransaction(const Upkeep& upkeep) {
  RETURN_IF_ERROR(Put(*put_boot_, upkeep.boot));
  for (const AttemptRow& row : upkeep.unwritten) RETURN_IF_ERROR(Put(*put_attempt_, row));
  for (const int64_t number : upkeep.drop) {
    drop_attempt_->Bind(1, number);
    RETURN_IF_ERROR(drop_attempt_->Run());
  }
  drop_boots_->Bind(1, upkeep.boot.number - kBootsMax);
  return drop_boots_->Run();
}

void LedgerStore::MakeReserve() {
  const std::string reserve = path_ + "-reserve";
  struct stat there;
  if (stat(reserve.c_str(), &there) == 0 && there.st_size >= kReserveBytes) return;
  // Only with room to spare: it must not be what fills the disk again.
  struct statvfs disk;
  if (statvfs(path_.c_str(), &disk) != 0) return;
  if (disk.f_bavail * disk.f_frsize < static_cast<uint64_t>(4 * kReserveBytes)) return;
  if (!GrowFile(reserve, kReserveBytes).ok()) unlink(reserve.c_str());
}

}  // namespace salve

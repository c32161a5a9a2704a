#include "queue/defrag.h"

#include <cstdint>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/fault.h"
#include "base/status_macros.h"
#include "base/worker.h"
#include "channels/sqlite.h"
#include "queue/content_digest.h"
#include "queue/database.h"
#include "queue/manifest.h"
#include "queue/pack.h"
#include "queue/swap.h"

namespace salve {
namespace {

constexpr int64_t kSlack = 1 << 20;
// The copy is synced as a whole, at its end.
constexpr char kFast[] =
    "PRAGMA synchronous=OFF; PRAGMA cache_size=-65536; PRAGMA mmap_size=1099511627776;";

absl::StatusOr<std::unique_ptr<SqliteConnection>> OpenToRead(const std::string& file) {
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> db,
                   SqliteConnection::Open(file, SqliteConnection::Mode::kAsItStands));
  RETURN_IF_ERROR(db->Execute(kFast));
  return db;
}

// What the new file will have, at most.
absl::StatusOr<int64_t> BytesNeeded(SqliteConnection& db) {
  ASSIGN_OR_RETURN(const int64_t page, db.QueryInteger("PRAGMA page_size"));
  ASSIGN_OR_RETURN(const int64_t pages, db.QueryInteger("PRAGMA page_count"));
  ASSIGN_OR_RETURN(const int64_t unused, db.QueryInteger("PRAGMA freelist_count"));
  return (pages - unused) * page + kSlack;
}

absl::Status CheckRoom(const std::string& folder, int64_t bytes_needed) {
  ASSIGN_OR_RETURN(const int64_t bytes_free, FreeBytes(folder));
  if (bytes_free >= bytes_needed) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the new file needs ", bytes_needed, " bytes, ", folder, " has ", bytes_free));
}

struct Digests {
  uint64_t messages = 0;
  uint64_t rest = 0;
  friend bool operator==(const Digests&, const Digests&) = default;
};

constexpr char kMessages[] = "messages";

absl::StatusOr<uint64_t> MessagesDigest(const std::string& file) {
  ASSIGN_OR_RETURN(const std::unique_ptr<SqliteConnection> db, OpenToRead(file));
  return TableDigest(*db, kMessages);
}

absl::StatusOr<Digests> DigestsOf(const std::string& file) {
  Digests digests;
  ASSIGN_OR_RETURN(const std::unique_ptr<SqliteConnection> db, OpenToRead(file));
  ASSIGN_OR_RETURN(digests.messages, TableDigest(*db, kMessages));
  ASSIGN_OR_RETURN(digests.rest, RestDigest(*db, kMessages));
  return digests;
}

// The digests of the old file are taken while the new one is written.
absl::StatusOr<Digests> CopyInto(const std::string& file, SqliteConnection& db,
                                 const std::string& fresh) {
  absl::StatusOr<Digests> digests = absl::UnknownError("not read");
  auto reader = std::make_unique<ThreadWorker>();
  reader->Post([&] { digests = DigestsOf(file); });
  absl::Status status =
      db.Execute(absl::StrCat("VACUUM INTO '", absl::StrReplaceAll(fresh, {{"'", "''"}}), "'"));
  if (status.ok()) status = SyncFile(fresh);
  reader.reset();  // Waits for it.
  RETURN_IF_ERROR(status);
  return digests;
}

absl::Status CheckStructure(SqliteConnection& db) {
  ASSIGN_OR_RETURN(SqliteStatement check, db.Prepare("PRAGMA quick_check(1)"));
  ASSIGN_OR_RETURN(const bool found, check.Step());
  if (found && check.Bytes(0) == "ok") return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the new file failed its check: ", found ? check.Bytes(0) : ""));
}

// Well built, and row by row the same as the old one.
absl::Status CheckFresh(const std::string& fresh, const Digests& before) {
  absl::StatusOr<uint64_t> messages = absl::UnknownError("not read");
  auto reader = std::make_unique<ThreadWorker>();
  reader->Post([&] { messages = MessagesDigest(fresh); });
  absl::StatusOr<uint64_t> rest = absl::UnknownError("not read");
  absl::StatusOr<std::unique_ptr<SqliteConnection>> db = OpenToRead(fresh);
  absl::Status status = db.status();
  if (db.ok()) status = CheckStructure(**db);
  if (status.ok()) rest = RestDigest(**db, kMessages);
  reader.reset();  // Waits for it.
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(messages.status());
  RETURN_IF_ERROR(rest.status());
  if (Digests{*messages, *rest} == before) return absl::OkStatus();
  return absl::DataLossError(fresh + " has not the content of the old file, which stays");
}

absl::Status Named(const std::string& file, const absl::Status& status) {
  return status.ok() ? status
                     : absl::Status(status.code(), absl::StrCat(file, ": ", status.message()));
}

}  // namespace

absl::StatusOr<queue::DefragReport> Defragment(const std::string& folder_or_file) {
  const std::string file = DatabaseFileOf(folder_or_file);
  const std::string folder = FolderOf(file);
  const std::string fresh = file + ".defrag";
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Take(folder, FolderLock::For::kChange));
  RETURN_IF_ERROR(RemoveDatabase(fresh));
  ASSIGN_OR_RETURN(const queue::DatabaseInfo info, LookAtDatabase(file, /*at_every_row=*/false));
  RETURN_IF_ERROR(WholeOr(info));
  if (info.state() != "Clean") {
    return absl::FailedPreconditionError(file + " is Dirty: `salvectl queue db recover` first");
  }
  queue::DefragReport report;
  report.set_file(file);
  report.set_bytes_before(info.bytes());
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> db, OpenToRead(file));
  ASSIGN_OR_RETURN(const int64_t needed, BytesNeeded(*db));
  report.set_bytes_needed(needed);
  RETURN_IF_ERROR(CheckRoom(folder, needed));
  RETURN_IF_ERROR(BeginChange(folder, "defrag"));
  FaultPoint("queue.db.defrag.begun");
  const absl::StatusOr<Digests> digests = CopyInto(file, *db, fresh);
  db.reset();
  absl::Status status = digests.status();
  FaultPoint("queue.db.defrag.copied");
  if (status.ok()) status = CheckFresh(fresh, *digests);
  if (!status.ok()) {
    RemoveDatabase(fresh).IgnoreError();  // It is removed by the next call too.
    return Named(file, status);
  }
  FaultPoint("queue.db.defrag.checked");
  MakeLike(fresh, file);
  RETURN_IF_ERROR(RenameFile(fresh, file));
  RETURN_IF_ERROR(SyncFolder(folder));
  FaultPoint("queue.db.defrag.renamed");
  RETURN_IF_ERROR(RefreshManifest(folder));
  ASSIGN_OR_RETURN(const queue::DatabaseInfo after, LookAtDatabase(file, false));
  report.set_bytes_after(after.bytes());
  return report;
}

}  // namespace salve

#include "queue/defrag.h"

#include <cstdint>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "base/fault.h"
#include "base/status_macros.h"
#include "base/worker.h"
#include "channels/sqlite.h"
#include "queue/database.h"
#include "queue/gathering_vfs.h"
#include "queue/manifest.h"
#include "queue/pack.h"
#include "queue/same_content.h"
#include "queue/swap.h"

namespace salve {
namespace {

constexpr int64_t kSlack = 1 << 20;
// The copy is synced as a whole, at its end. With a small cache, which stays in the processor's.
// Read by calls: what a failing disk does to memory that is mapped is SIGBUS.
constexpr char kFast[] = "PRAGMA synchronous=OFF; PRAGMA mmap_size=0;";

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

// A copy without the holes, not yet synced.
absl::Status CopyInto(SqliteConnection& db, const std::string& fresh) {
  const GatheringVfs vfs;
  // What stands behind "file://" up to the next slash is a host: none.
  const absl::string_view scheme = absl::StartsWith(fresh, "/") ? "file://" : "file:";
  const std::string path =
      absl::StrReplaceAll(fresh, {{"%", "%25"}, {"?", "%3f"}, {"#", "%23"}, {"'", "''"}});
  return db.Execute(absl::StrCat("VACUUM INTO '", scheme, path, "?vfs=", GatheringVfs::kName, "'"));
}

absl::Status CheckStructure(const std::string& fresh) {
  ASSIGN_OR_RETURN(const std::unique_ptr<SqliteConnection> db, OpenToRead(fresh));
  ASSIGN_OR_RETURN(SqliteStatement check, db->Prepare("PRAGMA quick_check(1)"));
  ASSIGN_OR_RETURN(const bool found, check.Step());
  if (found && check.Bytes(0) == "ok") return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the new file failed its check: ", found ? check.Bytes(0) : ""));
}

// On the disk, well built, and with all that the old one has: at the same time, which is nearly as
// quick as the longest of the three.
absl::Status CheckFresh(const std::string& file, const std::string& fresh) {
  absl::Status synced = absl::UnknownError("not synced");
  absl::Status same = absl::UnknownError("not compared");
  auto syncing = std::make_unique<ThreadWorker>();
  syncing->Post([&] { synced = SyncFile(fresh); });
  auto comparing = std::make_unique<ThreadWorker>();
  comparing->Post([&] { same = SameContent(file, fresh); });
  const absl::Status structure = CheckStructure(fresh);
  comparing.reset();  // Waits for it.
  syncing.reset();
  RETURN_IF_ERROR(synced);
  RETURN_IF_ERROR(structure);
  return same;
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
  absl::Status status = CopyInto(*db, fresh);
  db.reset();
  FaultPoint("queue.db.defrag.copied");
  if (status.ok()) status = CheckFresh(file, fresh);
  if (status.ok()) {
    FaultPoint("queue.db.defrag.checked");
    MakeLike(fresh, file);
    status = RenameFile(fresh, file);
  }
  if (!status.ok()) {
    RemoveDatabase(fresh).IgnoreError();  // It is removed by the next call too.
    return Named(file, status);
  }
  RETURN_IF_ERROR(SyncFolder(folder));
  FaultPoint("queue.db.defrag.renamed");
  RETURN_IF_ERROR(RefreshManifest(folder));
  ASSIGN_OR_RETURN(const queue::DatabaseInfo after, LookAtDatabase(file, false));
  report.set_bytes_after(after.bytes());
  return report;
}

}  // namespace salve

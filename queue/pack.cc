#include "queue/pack.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fault.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unfinished_files.h"
#include "queue/database.h"
#include "queue/manifest.h"
#include "queue/message_store.h"
#include "queue/verify.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffixes[] = {"", "-wal", ".mark"};
constexpr char kPacking[] = "pack";

int64_t BytesOf(const std::string& path) {
  std::error_code error;
  const uintmax_t bytes = fs::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(bytes);
}

std::string StateOf(const VerifyReport& report, bool is_whole) {
  if (!is_whole) return "Damaged";
  return report.mark.has_value() && report.mark->clean ? "Clean" : "Dirty";
}

absl::Status UnfinishedOr(const std::string& folder,
                          const std::optional<queue::Manifest>& manifest) {
  if (!manifest.has_value() || manifest->under_change_by() != kPacking) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(folder, " is an unfinished pack: run `salvectl queue db pack` again"));
}

void Fill(const VerifyReport& report, queue::DatabaseInfo& info) {
  info.set_signature(report.signature);
  info.set_server(report.server);
  info.set_group(report.group);
  info.set_role(report.role);
  info.set_schema_version(report.schema_version);
  info.set_commits(report.commits);
  info.set_mark_commits(report.mark.has_value() ? report.mark->commits : -1);
  info.set_last_sequence(report.last_sequence);
  info.set_messages(report.messages);
  info.set_ended(report.ended);
  for (const QueueRow& row : report.queues) {
    queue::QueueCount& count = *info.add_queues();
    count.set_name(row.name);
    count.set_messages(row.messages);
    count.set_bytes(row.bytes);
    count.set_suspended(row.suspended);
  }
  for (const std::string& problem : report.problems) info.add_problems(problem);
}

absl::StatusOr<queue::DatabaseInfo> LookLocked(const std::string& folder_or_file,
                                               bool at_every_row) {
  const std::string file = DatabaseFileOf(folder_or_file);
  const std::string folder = FolderOf(file);
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Take(folder, FolderLock::For::kLook));
  absl::StatusOr<std::optional<queue::Manifest>> manifest = ReadManifest(folder);
  if (!manifest.ok() && !absl::IsDataLoss(manifest.status())) return manifest.status();
  if (manifest.ok()) RETURN_IF_ERROR(UnfinishedOr(folder, *manifest));
  ASSIGN_OR_RETURN(queue::DatabaseInfo info, LookAtDatabase(file, at_every_row));
  if (!manifest.ok()) {
    info.add_problems(std::string(manifest.status().message()));
  } else if (manifest->has_value()) {
    info.set_packed_at((*manifest)->made_at());
    if (at_every_row) {
      ASSIGN_OR_RETURN(const std::vector<std::string> faults, ManifestFaults(folder, **manifest));
      for (const std::string& fault : faults) info.add_problems(fault);
    }
  }
  if (info.problems_size() > 0) info.set_state("Damaged");
  return info;
}

bool IsSameFolder(const std::string& a, const std::string& b) {
  std::error_code error;
  return fs::equivalent(a, b, error) && !error;
}

// Also of "pack/" and "pack".
std::string ParentOf(std::string folder) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return FolderOf(folder);
}

// The folder is there, and stays there after a loss of power.
absl::Status MakeFolder(const PackOptions& options) {
  const bool is_new = mkdir(options.folder.c_str(), 0700) == 0;
  if (!is_new && errno != EEXIST) return ErrnoStatus(errno, options.folder);
  // Its lock would say that another tool is at work, and that is this one.
  if (IsSameFolder(options.folder, options.state_dir)) {
    return absl::FailedPreconditionError(options.folder + " is not empty");
  }
  const absl::Status synced = SyncFolder(ParentOf(options.folder));
  // One that was there may be an earlier call's, or a mount point whose parent can't be synced.
  return is_new ? synced : absl::OkStatus();
}

// Removes what an earlier call left unfinished. Requires: the folder is locked, or that call may be
// under way still.
absl::Status EmptyFolder(const std::string& folder) {
  std::error_code error;
  const bool is_empty = fs::is_empty(folder, error);
  if (error) return ErrnoStatus(error.value(), folder);
  if (is_empty) return absl::OkStatus();
  RemoveUnfinished(absl::StrCat(folder, "/", kManifestFile));
  if (fs::is_empty(folder, error) && !error) return absl::OkStatus();
  const absl::StatusOr<std::optional<queue::Manifest>> manifest = ReadManifest(folder);
  if (!manifest.ok() || UnfinishedOr(folder, *manifest).ok()) {
    return absl::FailedPreconditionError(folder + " is not empty");
  }
  for (const char* suffix : kSuffixes) {
    RETURN_IF_ERROR(RemoveFile(absl::StrCat(folder, "/", kQueueDatabase, suffix)));
  }
  return absl::OkStatus();
}

absl::Status CheckRoom(const std::string& folder, int64_t bytes_needed) {
  ASSIGN_OR_RETURN(const int64_t bytes_free, FreeBytes(folder));
  if (bytes_free >= bytes_needed) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the pack needs ", bytes_needed, " bytes, ", folder, " has ", bytes_free));
}

void Describe(const queue::DatabaseInfo& info, queue::Manifest& manifest) {
  manifest.set_server(info.server());
  manifest.set_group(info.group());
  manifest.set_role(info.role());
  manifest.set_signature(info.signature());
  manifest.set_state(info.state());
  manifest.set_schema_version(static_cast<int32_t>(info.schema_version()));
  manifest.set_commits(info.commits());
  manifest.clear_queue();
  for (const queue::QueueCount& count : info.queues()) {
    queue::Manifest::Queue& queue = *manifest.add_queue();
    queue.set_name(count.name());
    queue.set_messages(count.messages());
  }
}

absl::Status CopyFiles(const std::string& from, const std::string& to) {
  for (const char* suffix : kSuffixes) {
    const std::string name = absl::StrCat("/", kQueueDatabase, suffix);
    const absl::Status copied = CopyFile(from + name, to + name).status();
    const bool may_lack = absl::string_view(suffix) == "-wal";
    if (!copied.ok() && !(may_lack && absl::IsNotFound(copied))) return copied;
    FaultPoint("queue.db.pack.copied");
  }
  return SyncFolder(to);
}

// What was copied is what was looked at.
absl::Status CheckCopy(const std::string& folder, const queue::DatabaseInfo& source) {
  ASSIGN_OR_RETURN(const queue::DatabaseInfo copy,
                   LookAtDatabase(absl::StrCat(folder, "/", kQueueDatabase), true));
  RETURN_IF_ERROR(WholeOr(copy));
  if (copy.messages() == source.messages() && copy.commits() == source.commits() &&
      copy.signature() == source.signature()) {
    return absl::OkStatus();
  }
  return absl::DataLossError(
      absl::StrCat(folder, ": the copy has ", copy.messages(), " messages and ", copy.commits(),
                   " commits, the database ", source.messages(), " and ", source.commits()));
}

absl::StatusOr<queue::DatabaseInfo> Replay(const std::string& folder,
                                           const queue::DatabaseInfo& found, absl::Time now) {
  const std::string file = absl::StrCat(folder, "/", kQueueDatabase);
  RETURN_IF_ERROR(BeginChange(folder, "recover"));
  FaultPoint("queue.db.recover.begun");
  ASSIGN_OR_RETURN(std::unique_ptr<MessageStore> store,
                   MessageStore::Open({.path = file,
                                       .server = found.server(),
                                       .group = found.group(),
                                       .role = found.role(),
                                       .now = now}));
  FaultPoint("queue.db.recover.replayed");
  RETURN_IF_ERROR(store->Close());
  store.reset();
  FaultPoint("queue.db.recover.closed");
  RETURN_IF_ERROR(RemoveFile(file + "-reserve"));  // Is the agent's, for a full disk.
  RETURN_IF_ERROR(RefreshManifest(folder));
  return LookAtDatabase(file, true);
}

}  // namespace

absl::StatusOr<queue::DatabaseInfo> LookAtDatabase(const std::string& file, bool at_every_row) {
  if (!FileExists(file)) return absl::NotFoundError(file + " is not there");
  VerifyReport report;
  const absl::Status status =
      at_every_row ? VerifyMessages(file, report) : ReadHeader(file, report);
  if (!status.ok() && !absl::IsDataLoss(status)) {
    // What it is of can be said of a newer one too; what is in it can't.
    const bool is_newer = absl::IsFailedPrecondition(status);
    return is_newer ? absl::OutOfRangeError(status.message()) : status;
  }
  queue::DatabaseInfo info;
  info.set_file(file);
  Fill(report, info);
  if (!status.ok() && info.problems_size() == 0) info.add_problems(std::string(status.message()));
  info.set_state(StateOf(report, status.ok()));
  info.set_bytes(BytesOf(file));
  info.set_log_bytes(BytesOf(file + "-wal"));
  return info;
}

absl::Status WholeOr(const queue::DatabaseInfo& info) {
  if (info.problems_size() == 0) return absl::OkStatus();
  return absl::DataLossError(absl::StrJoin(info.problems(), "\n"));
}

absl::Status RefreshManifest(const std::string& folder) {
  absl::StatusOr<std::optional<queue::Manifest>> read = ReadManifest(folder);
  // One that is damaged is made anew from what is there.
  if (!read.ok() && !absl::IsDataLoss(read.status())) return read.status();
  if (read.ok() && !read->has_value()) return absl::OkStatus();
  queue::Manifest manifest = read.ok() ? **read : queue::Manifest();
  ASSIGN_OR_RETURN(const queue::DatabaseInfo info,
                   LookAtDatabase(absl::StrCat(folder, "/", kQueueDatabase), false));
  Describe(info, manifest);
  manifest.clear_under_change_by();
  RETURN_IF_ERROR(SetManifestFiles(folder, manifest));
  return WriteManifest(folder, std::move(manifest));
}

absl::StatusOr<queue::DatabaseInfo> ReadDatabaseInfo(const std::string& folder_or_file) {
  return LookLocked(folder_or_file, /*at_every_row=*/false);
}

absl::StatusOr<queue::DatabaseInfo> VerifyDatabase(const std::string& folder_or_file) {
  return LookLocked(folder_or_file, /*at_every_row=*/true);
}

absl::StatusOr<queue::Manifest> Pack(const PackOptions& options) {
  // Shared will do: it keeps the agent away, and a disk of another server may be read-only.
  ASSIGN_OR_RETURN(const FolderLock state_lock,
                   FolderLock::Take(options.state_dir, FolderLock::For::kLook));
  const std::string file = absl::StrCat(options.state_dir, "/", kQueueDatabase);
  ASSIGN_OR_RETURN(const queue::DatabaseInfo info, LookAtDatabase(file, true));
  RETURN_IF_ERROR(WholeOr(info));
  RETURN_IF_ERROR(MakeFolder(options));
  ASSIGN_OR_RETURN(const FolderLock lock,
                   FolderLock::Take(options.folder, FolderLock::For::kChange));
  RETURN_IF_ERROR(EmptyFolder(options.folder));
  RETURN_IF_ERROR(CheckRoom(options.folder, info.bytes() + info.log_bytes() + (1 << 20)));
  queue::Manifest manifest;
  Describe(info, manifest);
  manifest.set_made_at(absl::FormatTime(absl::RFC3339_sec, options.now, absl::UTCTimeZone()));
  manifest.set_under_change_by(kPacking);
  RETURN_IF_ERROR(WriteManifest(options.folder, manifest));
  FaultPoint("queue.db.pack.begun");
  RETURN_IF_ERROR(CopyFiles(options.state_dir, options.folder));
  RETURN_IF_ERROR(CheckCopy(options.folder, info));
  manifest.clear_under_change_by();
  RETURN_IF_ERROR(SetManifestFiles(options.folder, manifest));
  RETURN_IF_ERROR(WriteManifest(options.folder, manifest));
  FaultPoint("queue.db.pack.written");
  return manifest;
}

absl::StatusOr<queue::RecoverReport> RecoverFolder(const RecoverOptions& options) {
  if (IsSameFolder(options.folder, options.state_dir)) {
    return absl::FailedPreconditionError(
        absl::StrCat(options.folder,
                     " is the agent's own folder: salved recovers it at its start, "
                     "after it has kept what the crash met. Pack it first"));
  }
  ASSIGN_OR_RETURN(const FolderLock lock,
                   FolderLock::Take(options.folder, FolderLock::For::kChange));
  ASSIGN_OR_RETURN(const std::optional<queue::Manifest> manifest, ReadManifest(options.folder));
  RETURN_IF_ERROR(UnfinishedOr(options.folder, manifest));
  ASSIGN_OR_RETURN(queue::DatabaseInfo info,
                   LookAtDatabase(absl::StrCat(options.folder, "/", kQueueDatabase), true));
  RETURN_IF_ERROR(WholeOr(info));
  queue::RecoverReport report;
  report.set_folder(options.folder);
  const bool was_killed = manifest.has_value() && !manifest->under_change_by().empty();
  report.set_was_clean(info.state() == "Clean" && !was_killed);
  if (!report.was_clean()) {
    ASSIGN_OR_RETURN(info, Replay(options.folder, info, options.now));
  }
  *report.mutable_database() = std::move(info);
  return report;
}

}  // namespace salve

#include "queue/swap.h"

#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "queue/database.h"
#include "queue/mark.h"

namespace salve {
namespace {

// Nothing is in the log of a clean database; left there it would be taken for the new one's.
absl::Status RemoveLog(const std::string& file) {
  for (const char* suffix : {"-wal", "-shm", "-journal"}) {
    RETURN_IF_ERROR(RemoveFile(file + suffix));
  }
  return absl::OkStatus();
}

absl::Status KeepOld(const std::string& file, const std::string& keep_as) {
  RETURN_IF_ERROR(RemoveDatabase(keep_as));
  RETURN_IF_ERROR(CopyFile(file + ".mark", keep_as + ".mark").status());
  MakeLike(keep_as + ".mark", file + ".mark");
  if (link(file.c_str(), keep_as.c_str()) != 0) return ErrnoStatus(errno, keep_as);
  return SyncFolder(FolderOf(file));
}

// A mark with a slot of each, in the place of the old one.
absl::Status MarkBoth(const std::string& file, const std::string& fresh) {
  const std::string both = file + ".mark.swap";
  RETURN_IF_ERROR(RemoveFile(both));
  ASSIGN_OR_RETURN(Mark after, ReadMark(fresh + ".mark"));
  ASSIGN_OR_RETURN(const std::unique_ptr<MarkFile> mark, MarkFile::Open(both));
  if (FileExists(file)) {
    ASSIGN_OR_RETURN(const Mark before, ReadMark(file + ".mark"));
    RETURN_IF_ERROR(mark->Write(before));
  } else {
    after.commits = 0;  // Without a database, a mark that tells of commits is damage.
  }
  RETURN_IF_ERROR(mark->Write(after));
  RETURN_IF_ERROR(SyncFile(both));
  MakeLike(both, FolderOf(file));
  RETURN_IF_ERROR(RenameFile(both, file + ".mark"));
  return SyncFolder(FolderOf(file));
}

}  // namespace

absl::Status RemoveDatabase(const std::string& file) {
  RETURN_IF_ERROR(RemoveFile(file));
  RETURN_IF_ERROR(RemoveLog(file));
  RETURN_IF_ERROR(RemoveFile(file + "-reserve"));
  return RemoveFile(file + ".mark");
}

absl::Status CopyDatabase(const std::string& file, const std::string& to) {
  RETURN_IF_ERROR(RemoveDatabase(to));
  RETURN_IF_ERROR(CopyFile(file, to).status());
  RETURN_IF_ERROR(CopyFile(file + ".mark", to + ".mark").status());
  return absl::OkStatus();
}

absl::Status SwapDatabase(const std::string& file, const std::string& fresh,
                          const std::string& keep_as) {
  RETURN_IF_ERROR(RemoveLog(fresh));
  RETURN_IF_ERROR(SyncFile(fresh));
  if (FileExists(file)) {
    MakeLike(fresh, file);
    RETURN_IF_ERROR(RemoveLog(file));
    RETURN_IF_ERROR(KeepOld(file, keep_as));
  } else {
    MakeLike(fresh, FolderOf(file));
  }
  FaultPoint("queue.db.swap.kept");
  RETURN_IF_ERROR(MarkBoth(file, fresh));
  FaultPoint("queue.db.swap.marked");
  RETURN_IF_ERROR(RenameFile(fresh, file));
  RETURN_IF_ERROR(SyncFolder(FolderOf(file)));
  FaultPoint("queue.db.swap.renamed");
  RETURN_IF_ERROR(RenameFile(fresh + ".mark", file + ".mark"));
  RETURN_IF_ERROR(SyncFolder(FolderOf(file)));
  FaultPoint("queue.db.swap.done");
  return absl::OkStatus();
}

}  // namespace salve

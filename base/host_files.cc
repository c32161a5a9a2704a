#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/fault.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace salve {
namespace {

absl::Status WriteAll(int fd, absl::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path);
    content.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status WriteAndSync(int fd, absl::string_view content, mode_t mode, const std::string& path) {
  RETURN_IF_ERROR(WriteAll(fd, content, path));
  if (fchmod(fd, mode) != 0 || fsync(fd) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::Status SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  UniqueFd file(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open() || fsync(file.get()) != 0) return ErrnoStatus(errno, folder);
  return absl::OkStatus();
}

// Into its place if that is free; the errno, or 0. A disk without hard links (FAT) has a rename
// that replaces nothing.
int PlaceExclusively(const std::string& neighbour, const std::string& path) {
  if (link(neighbour.c_str(), path.c_str()) == 0) return 0;
  if (errno != EPERM && errno != EOPNOTSUPP) return errno;
  const int renamed =
      renameat2(AT_FDCWD, neighbour.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE);
  return renamed == 0 ? 0 : errno;
}

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ESRCH:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  const char* text = strerrordesc_np(error);  // Unlike strerror, for any thread.
  return absl::Status(CodeOf(error), text != nullptr ? absl::StrCat(what, ": ", text)
                                                     : absl::StrCat(what, ": error ", error));
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  // Without O_NONBLOCK the open of a named pipe waits for a writer.
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return ErrnoStatus(errno, path);
  std::string content;
  while (content.size() < bytes_max) {
    const size_t had = content.size();
    content.resize(had + std::min<size_t>(bytes_max - had, 16 * 1024));
    const ssize_t n = read(file.get(), content.data() + had, content.size() - had);
    const int error = errno;
    content.resize(had + std::max<ssize_t>(n, 0));
    if (n == 0) break;
    if (n < 0 && error != EINTR) return ErrnoStatus(error, path);
  }
  return content;
}

namespace {

// Beside `path`, on disk; its name. A name of its own for each write: two programs may replace the
// same file. base/unfinished_files.h knows it.
absl::StatusOr<std::string> WriteNeighbour(const std::string& path, absl::string_view content,
                                           mode_t mode) {
  std::string neighbour = path + ".new-XXXXXX";
  UniqueFd file(mkostemp(neighbour.data(), O_CLOEXEC));
  if (!file.is_open()) return ErrnoStatus(errno, path);
  FaultPoint("file.opened");
  absl::Status status = WriteAndSync(file.get(), content, mode, path);
  if (close(file.release()) != 0 && status.ok()) status = ErrnoStatus(errno, path);
  FaultPoint("file.synced");
  if (status.ok()) return neighbour;
  unlink(neighbour.c_str());
  return status;
}

}  // namespace

absl::Status WriteFileAtomically(const std::string& path, absl::string_view content, mode_t mode) {
  ASSIGN_OR_RETURN(const std::string neighbour, WriteNeighbour(path, content, mode));
  const int error = rename(neighbour.c_str(), path.c_str()) == 0 ? 0 : errno;
  FaultPoint("file.renamed");
  if (error != 0) {
    unlink(neighbour.c_str());
    return ErrnoStatus(error, path);
  }
  return SyncFolderOf(path);
}

absl::StatusOr<bool> MakeFileAtomically(const std::string& path, absl::string_view content,
                                        mode_t mode) {
  ASSIGN_OR_RETURN(const std::string neighbour, WriteNeighbour(path, content, mode));
  const int error = PlaceExclusively(neighbour, path);
  unlink(neighbour.c_str());
  // ENOENT: whoever made the one that is there has removed this neighbour as unfinished.
  if (error != 0 && error != EEXIST && error != ENOENT) return ErrnoStatus(error, path);
  RETURN_IF_ERROR(SyncFolderOf(path));  // Also of one that was killed before it did this.
  return error == 0;
}

absl::StatusOr<ProcessIdentity> IdentifyProcess(const std::string& proc, pid_t pid) {
  const std::string path = absl::StrCat(proc, "/", pid, "/stat");
  const absl::StatusOr<std::string> stat = ReadFile(path, 4096);
  // A process that ends while it is read gives ESRCH, or an empty file.
  if (!stat.ok()) return absl::NotFoundError(stat.status().message());
  // The name in field 2 may hold anything, also spaces and ')'.
  const size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return absl::NotFoundError(path + ": no process in it");
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(*stat).substr(name_end + 1), ' ', absl::SkipEmpty());
  constexpr size_t kStartTime = 22 - 3;  // The first field after the name is number 3.
  ProcessIdentity identity{.pid = pid};
  if (fields.size() <= kStartTime || !absl::SimpleAtoi(fields[kStartTime], &identity.start_ticks)) {
    return absl::NotFoundError(path + ": no start time in it");
  }
  return identity;
}

absl::Status KillProcessGroup(const std::string& proc, const ProcessIdentity& process) {
  absl::StatusOr<ProcessIdentity> running = IdentifyProcess(proc, process.pid);
  if (!running.ok()) return running.status();
  if (*running != process) return absl::NotFoundError("the process has ended");
  // The group has the leader's pid: no other group can get that number while the leader lives.
  if (kill(-process.pid, SIGKILL) != 0) return ErrnoStatus(errno, "kill");
  return absl::OkStatus();
}

}  // namespace salve

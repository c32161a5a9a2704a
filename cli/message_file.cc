#include "cli/message_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace salve {
namespace {

// kUnavailable is about the agent; a disk is not.
absl::Status FileError(absl::Status status) {
  if (!absl::IsUnavailable(status)) return status;
  return absl::InternalError(status.message());
}

absl::Status WriteAndSync(int fd, absl::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path);
    content.remove_prefix(n);
  }
  if (fsync(fd) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::Status SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  UniqueFd file(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open() || fsync(file.get()) != 0) return ErrnoStatus(errno, folder);
  return absl::OkStatus();
}

}  // namespace

std::string MessageFileOf(const std::string& dir, int64_t internal_id) {
  return absl::StrCat(dir, "/", internal_id, ".msg");
}

absl::Status WriteMessageFile(const std::string& path, absl::string_view content) {
  UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.is_open()) {
    if (errno != EEXIST) return FileError(ErrnoStatus(errno, path));
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is there already and is never written over: move it, or use -d"));
  }
  absl::Status status = WriteAndSync(file.get(), content, path);
  if (close(file.release()) != 0 && status.ok()) status = ErrnoStatus(errno, path);
  if (status.ok()) status = SyncFolderOf(path);
  if (!status.ok()) unlink(path.c_str());
  return FileError(status);
}

absl::StatusOr<std::string> ReadMessageFile(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return FileError(ErrnoStatus(errno, path));
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no regular file"));
  }
  absl::StatusOr<std::string> content = ReadFile(path, kMessageFileBytesMax + 1);
  if (!content.ok()) return FileError(content.status());
  if (content->empty()) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  if (content->size() > kMessageFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is larger than the ", kMessageFileBytesMax, " bytes that a message may have"));
  }
  return content;
}

}  // namespace salve

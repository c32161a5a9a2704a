#include "responders/actions/uwsgi_door.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace salve {
namespace {

// Looks at the file before anything is opened: to open a device, say, can be an act of its own.
// The path is of what was looked at, whatever has taken its name since.
struct Looked {
  UniqueFd file;
  std::string path;
};
absl::StatusOr<Looked> LookAt(const std::string& path, mode_t type, absl::string_view what) {
  Looked looked{UniqueFd(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)), ""};
  struct stat status;
  if (!looked.file.is_open() || fstat(looked.file.get(), &status) != 0) {
    return ErrnoStatus(errno, path);
  }
  if ((status.st_mode & S_IFMT) != type) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is no ", what));
  }
  looked.path = absl::StrCat("/proc/self/fd/", looked.file.get());
  return looked;
}

}  // namespace

absl::Status WriteToFifo(const std::string& path, absl::string_view text) {
  ASSIGN_OR_RETURN(const Looked looked, LookAt(path, S_IFIFO, "FIFO"));
  UniqueFd fifo(open(looked.path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fifo.is_open() && errno == ENXIO) {
    return absl::UnavailableError(absl::StrCat(path, ": nobody reads it"));
  }
  if (!fifo.is_open()) return ErrnoStatus(errno, path);
  // A reader that goes away now would be SIGPIPE, which the agent ignores.
  if (write(fifo.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(
      absl::StrCat(path, errno == EAGAIN ? " is full: nobody reads it" : ": nobody reads it"));
}

absl::Status TouchFile(const std::string& path) {
  ASSIGN_OR_RETURN(const Looked looked, LookAt(path, S_IFREG, "regular file"));
  if (utimensat(AT_FDCWD, looked.path.c_str(), nullptr, 0) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

}  // namespace salve

#include "responders/escalation/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/host.h"
#include "base/unique_fd.h"

namespace salve {
namespace {

constexpr size_t kBytesMax = 4096;

}  // namespace

absl::StatusOr<Secret> ReadSecret(const std::string& file, const std::string& credentials_dir) {
  std::string path = file;
  absl::string_view name = file;
  if (absl::ConsumePrefix(&name, "credential:")) {
    if (credentials_dir.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": systemd has given no credentials ($CREDENTIALS_DIRECTORY)"));
    }
    path = absl::StrCat(credentials_dir, "/", name);
  }
  // Not blocking: a FIFO would wait for its writer.
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.is_open()) return ErrnoStatus(errno, path);
  struct stat info = {};
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is no regular file"));
  }
  std::string text(kBytesMax + 1, '\0');
  const ssize_t n = read(fd.get(), text.data(), text.size());
  if (n < 0) return ErrnoStatus(errno, path);
  text.resize(static_cast<size_t>(n));
  text.resize(std::min(text.size(), text.find('\n')));
  if (!text.empty() && text.back() == '\r') text.pop_back();
  if (text.empty() || text.size() > kBytesMax ||
      std::any_of(text.begin(), text.end(), absl::ascii_iscntrl)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": its first line is empty, has a control character or more than 4 KiB"));
  }
  Secret secret{std::move(text), ""};
  if ((info.st_mode & S_IROTH) != 0) {
    secret.warning = absl::StrCat(path, " holds a secret and can be read by everybody");
  }
  return secret;
}

}  // namespace salve

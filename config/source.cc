#include "config/source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFileBytesMax = 4 << 20;
constexpr size_t kAllBytesMax = 64 << 20;
constexpr size_t kFilesMax = 10000;
constexpr absl::string_view kExtension = ".textproto";

absl::Status TooLarge(const std::string& path) {
  return absl::ResourceExhaustedError(
      absl::StrCat(path, ": is larger than ", kFileBytesMax >> 20, " MiB"));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  // Without O_NONBLOCK a FIFO would hold the agent's start up for ever.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, path);
  const auto closer = absl::MakeCleanup([fd] { close(fd); });
  struct stat status;
  if (fstat(fd, &status) != 0) return absl::ErrnoToStatus(errno, path);
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is no regular file"));
  }
  if (status.st_size > static_cast<off_t>(kFileBytesMax)) return TooLarge(path);
  std::string text;
  char buffer[16 << 10];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got == 0) return text;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, path);
    text.append(buffer, got);
    if (text.size() > kFileBytesMax) return TooLarge(path);  // It grows while it is read.
  }
}

// ".#web.textproto" is a lock of Emacs, "web.textproto~" a backup (and has another extension).
bool IsConfiguration(const std::string& name) {
  return absl::EndsWith(name, kExtension) && !absl::StartsWith(name, ".") &&
         !absl::StartsWith(name, "#") && name.size() > kExtension.size();
}

absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(dir, error);
  if (error == std::errc::no_such_file_or_directory) return names;
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!IsConfiguration(name)) continue;
    if (names.size() == kFilesMax) {
      return absl::ResourceExhaustedError(
          absl::StrCat(dir, ": has more than ", kFilesMax, " files"));
    }
    names.push_back(name);
  }
  if (error) return absl::ErrnoToStatus(error.value(), dir);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

absl::StatusOr<ConfigurationSource> ReadConfigurationSource(const std::string& dir) {
  struct stat status;
  if (stat(dir.c_str(), &status) != 0) return absl::ErrnoToStatus(errno, dir);
  if (!S_ISDIR(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(dir, ": is no folder"));
  }
  ConfigurationSource source;
  source.agent.name = "salve.textproto";
  absl::StatusOr<std::string> agent = ReadFile(absl::StrCat(dir, "/", source.agent.name));
  if (agent.ok()) {
    source.agent.text = *agent;
  } else if (!absl::IsNotFound(agent.status())) {
    return std::move(agent).status();
  }
  const std::string conf_d = absl::StrCat(dir, "/conf.d");
  std::vector<std::string> names;
  ASSIGN_OR_RETURN(names, ListFiles(conf_d));
  source.no_file = !agent.ok() && names.empty();
  size_t bytes = 0;
  for (const std::string& name : names) {
    SourceFile file{name, ""};
    ASSIGN_OR_RETURN(file.text, ReadFile(absl::StrCat(conf_d, "/", name)));
    bytes += file.text.size();
    if (bytes > kAllBytesMax) {
      return absl::ResourceExhaustedError(
          absl::StrCat(conf_d, ": has more than ", kAllBytesMax >> 20, " MiB"));
    }
    source.health_sets.push_back(std::move(file));
  }
  return source;
}

std::string ThrottlePolicyFileIn(const std::string& dir) {
  std::string path = absl::StrCat(dir, "/throttle.xml");
  return access(path.c_str(), F_OK) == 0 ? path : "";
}

}  // namespace salve

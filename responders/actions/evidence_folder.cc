#include "responders/actions/evidence_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr size_t kEntriesMax = 10'000;  // That are looked at in one folder.

// "20270115T080000Z-…", as collections are named.
bool IsCollection(absl::string_view name) {
  if (name.size() < 17 || name[8] != 'T' || name[15] != 'Z' || name[16] != '-') return false;
  const auto is_digit = [&](size_t i) { return absl::ascii_isdigit(name[i]); };
  for (size_t i = 0; i < 15; ++i) {
    if (i != 8 && !is_digit(i)) return false;
  }
  return true;
}

absl::StatusOr<UniqueFd> OpenFolder(int parent, const std::string& name) {
  UniqueFd fd(openat(parent, name.c_str(), kFolder));
  if (!fd.is_open()) return ErrnoStatus(errno, name);
  struct stat info = {};
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, name);
  if (info.st_uid != geteuid()) {
    return absl::FailedPreconditionError(absl::StrCat(name, ": belongs to another user"));
  }
  return fd;
}

std::vector<std::string> NamesIn(int folder) {
  std::vector<std::string> names;
  UniqueFd fd(openat(folder, ".", kFolder));
  DIR* dir = fd.is_open() ? fdopendir(fd.get()) : nullptr;
  if (dir == nullptr) return names;
  fd.release();
  while (names.size() < kEntriesMax) {
    const dirent* entry = readdir(dir);
    if (entry == nullptr) break;
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(dir);
  return names;
}

// A collection has files and no folders in it.
absl::Status RemoveCollection(int parent, const std::string& name) {
  ASSIGN_OR_RETURN(const UniqueFd folder, OpenFolder(parent, name));
  for (const std::string& file : NamesIn(folder.get())) {
    if (unlinkat(folder.get(), file.c_str(), 0) != 0) {
      return ErrnoStatus(errno, absl::StrCat(name, "/", file));
    }
  }
  if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0) return ErrnoStatus(errno, name);
  return absl::OkStatus();
}

}  // namespace

EvidenceFolder::EvidenceFolder(UniqueFd parent, UniqueFd folder, std::string name, std::string path)
    : parent_(std::move(parent)),
      folder_(std::move(folder)),
      name_(std::move(name)),
      path_(std::move(path)) {}

absl::StatusOr<std::unique_ptr<EvidenceFolder>> EvidenceFolder::Make(const std::string& state_dir,
                                                                     const std::string& name) {
  const UniqueFd state(open(state_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!state.is_open()) return ErrnoStatus(errno, state_dir);
  if (mkdirat(state.get(), "evidence", 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, state_dir + "/evidence");
  }
  absl::StatusOr<UniqueFd> parent = OpenFolder(state.get(), "evidence");
  if (!parent.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(state_dir, "/", parent.status().message(), " (a folder is needed, no link)"));
  }
  if (fchmod(parent->get(), 0700) != 0) return ErrnoStatus(errno, state_dir + "/evidence");
  std::string taken = name;
  for (int i = 2; mkdirat(parent->get(), taken.c_str(), 0700) != 0; ++i) {
    if (errno != EEXIST || i > 9) return ErrnoStatus(errno, absl::StrCat("evidence/", taken));
    taken = absl::StrCat(name, "-", i);
  }
  ASSIGN_OR_RETURN(UniqueFd folder, OpenFolder(parent->get(), taken));
  char path[4096];
  const ssize_t n = readlink(absl::StrCat("/proc/self/fd/", folder.get()).c_str(), path, 4096);
  return std::unique_ptr<EvidenceFolder>(
      new EvidenceFolder(*std::move(parent), std::move(folder), taken,
                         n > 0 ? std::string(path, static_cast<size_t>(n))
                               : absl::StrCat(state_dir, "/evidence/", taken)));
}

absl::Status EvidenceFolder::Write(const std::string& file, absl::string_view content) {
  const UniqueFd fd(openat(folder_.get(), file.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  const std::string what = absl::StrCat(path_, "/", file);
  if (!fd.is_open()) {
    return errno == EEXIST ? absl::AlreadyExistsError(what + ": is there already")
                           : ErrnoStatus(errno, what);
  }
  while (!content.empty()) {
    const ssize_t n = write(fd.get(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, what);
    content.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status EvidenceFolder::Prune(size_t keep) {
  std::vector<std::string> others;
  for (std::string& name : NamesIn(parent_.get())) {
    if (name != name_ && IsCollection(name)) others.push_back(std::move(name));
  }
  std::sort(others.begin(), others.end());
  absl::Status status;
  for (size_t i = 0; i + keep < others.size() + 1; ++i) {
    status.Update(RemoveCollection(parent_.get(), others[i]));
  }
  return status;
}

}  // namespace salve

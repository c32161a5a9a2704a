#include "channels/set_aside.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

constexpr size_t kKept = 2;
constexpr size_t kFilesLookedAtMax = 10'000;

void RemoveOlder(const std::string& prefix) {
  std::vector<std::string> found;
  std::error_code error;
  fs::directory_iterator entry(fs::path(prefix).parent_path(), error);
  for (size_t i = 0; !error && entry != fs::directory_iterator() && i < kFilesLookedAtMax; ++i) {
    const std::string name = entry->path().string();
    if (absl::StartsWith(name, prefix) && !absl::EndsWith(name, "-wal")) found.push_back(name);
    entry.increment(error);
  }
  std::sort(found.begin(), found.end(), std::greater<>());  // The time in the name: newest first.
  for (size_t i = kKept; i < found.size(); ++i) {
    fs::remove(found[i], error);
    fs::remove(found[i] + "-wal", error);
  }
}

}  // namespace

absl::StatusOr<std::string> SetAside(const std::string& path, absl::Time now) {
  const std::string prefix = absl::StrCat(path, ".damaged-");
  const std::string base = prefix + absl::FormatTime("%Y%m%dT%H%M%E6SZ", now, absl::UTCTimeZone());
  std::error_code error;
  std::string target = base;
  for (int i = 1; fs::exists(target, error) && i < 100; ++i) target = absl::StrCat(base, ".", i);
  fs::rename(path, target, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat(path, " can't be set aside: ", error.message()));
  }
  fs::rename(path + "-wal", target + "-wal", error);
  fs::remove(path + "-shm", error);
  RemoveOlder(prefix);
  return target;
}

}  // namespace salve

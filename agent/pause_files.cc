#include "agent/pause_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/host.h"

namespace salve {
namespace {

constexpr size_t kReadMax = 4096;

std::string TextOf(const std::map<std::string, Guard>& files) {
  std::string text;
  for (const auto& [path, guard] : files) absl::StrAppend(&text, path, "\n", guard.reason, "\n");
  return text;
}

bool IsMissing(const std::string& path, struct stat& s) {
  // Not followed: a link that leads nowhere was put there by somebody, too.
  return lstat(path.c_str(), &s) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

Guard ReadPauseFile(const std::string& path, const struct stat& s) {
  std::string reason;
  // Opening anything else might wait for somebody, or never end.
  struct stat target;
  if (stat(path.c_str(), &target) == 0 && S_ISREG(target.st_mode)) {
    reason = ReadFile(path, kReadMax).value_or("");
    reason = std::string(absl::StripAsciiWhitespace(reason.substr(0, reason.find('\n'))));
  }
  const absl::Time since =
      absl::FromUnixSeconds(s.st_mtim.tv_sec) + absl::Nanoseconds(s.st_mtim.tv_nsec);
  return NewGuard(path, reason, absl::InfiniteDuration(), Instant(), since);
}

}  // namespace

PauseFiles::PauseFiles(EventLoop& loop, Worker& worker, std::vector<std::string> paths,
                       OnChange on_change)
    : loop_(loop), worker_(worker), paths_(std::move(paths)), on_change_(std::move(on_change)) {}

PauseFiles::~PauseFiles() {
  *alive_ = false;
  loop_.CancelTimer(tick_);
}

PauseFiles::Files PauseFiles::Look(const std::vector<std::string>& paths) {
  Files files;
  for (const std::string& path : paths) {
    struct stat s = {};
    if (!IsMissing(path, s)) files[path] = ReadPauseFile(path, s);
  }
  return files;
}

void PauseFiles::Load() {
  told_ = Look(paths_);
  if (!told_.empty()) on_change_(told_);
  tick_ = loop_.CallAfter(kPauseLookInterval, [this] { Tick(); });
}

void PauseFiles::Tick() {
  tick_ = loop_.CallAfter(kPauseLookInterval, [this] { Tick(); });
  if (std::exchange(looking_, true)) return;  // The worker is slow: one look at a time.
  worker_.Post([this, alive = alive_, &loop = loop_, paths = paths_] {
    loop.Post([this, alive, files = Look(paths)]() mutable {
      if (*alive) OnLook(std::move(files));
    });
  });
}

void PauseFiles::OnLook(Files files) {
  looking_ = false;
  const std::string text = TextOf(files);
  if (text == TextOf(told_)) {
    doubtful_.clear();
    return;
  }
  const bool is_missing = std::any_of(
      told_.begin(), told_.end(), [&](const auto& file) { return !files.contains(file.first); });
  // "-": the text of no files must not look as if there had been no look before.
  if (is_missing && std::exchange(doubtful_, "-" + text) != "-" + text) return;
  doubtful_.clear();
  told_ = std::move(files);
  on_change_(told_);
}

}  // namespace salve

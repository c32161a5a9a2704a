#include "probes/process_probe.h"

#include <dirent.h>
#include <errno.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "probes/field_checks.h"
#include "probes/process_stat.h"

namespace salve {
namespace {

constexpr int kProcessesPerTurn = 256;
constexpr size_t kWatchedMax = 256;
constexpr size_t kCountMax = 10000;
constexpr int kLostRacesMax = 3;
// CPU time comes in ticks of 10 ms: over less time than this its share says nothing.
constexpr absl::Duration kCpuWindowMin = absl::Seconds(1);

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

struct ByIdentity {
  bool operator()(const ProcessIdentity& a, const ProcessIdentity& b) const {
    return std::pair(a.pid, a.start_ticks) < std::pair(b.pid, b.start_ticks);
  }
};
template <typename T>
using IdentityMap = std::map<ProcessIdentity, T, ByIdentity>;

// What one look adds up.
struct Sums {
  uint64_t count = 0;
  uint64_t rss_bytes = 0;
  uint64_t open_descriptors = 0;
  bool descriptors_known = true;
  IdentityMap<absl::Duration> cpu_time;
};

class ProcessProbe final : public Probe {
 public:
  ProcessProbe(const config::ProcessProbe& config, EventLoop& loop, Host& host)
      : pid_file_(config.pid_file()),
        name_(config.process_name()),
        min_count_(config.min_count() == 0 ? 1 : config.min_count()),
        max_count_(config.max_count()),
        loop_(loop),
        host_(host) {}

  ~ProcessProbe() override {
    loop_.CancelTimer(next_slice_);
    for (auto& [identity, watched] : watched_) loop_.UnwatchFd(watched.watch);
  }

  void Start(Instant deadline, ObservationDone done) override {
    deadline_ = deadline;
    done_ = std::move(done);
    sums_ = Sums{};
    missing_pid_file_ = false;
    if (pid_file_.empty()) {
      BeginScan();
    } else if (std::optional<Observation> rejected = LookAtPidFile()) {
      Done(*std::move(rejected));
    } else {
      Finish();
    }
  }

  void Watch(std::function<void()> look_now) override {
    look_now_ = std::move(look_now);
    look_now_();  // To know whom to watch.
  }

 private:
  struct Watched {
    UniqueFd pidfd;
    WatchId watch = WatchId::kNone;
  };

  std::optional<Observation> LookAtPidFile() {
    const auto text = ReadFile(pid_file_, 64);
    if (absl::IsNotFound(text.status())) {
      missing_pid_file_ = true;
      return std::nullopt;
    }
    if (!text.ok()) return Rejected(std::string(text.status().message()));
    pid_t pid = 0;
    const std::string first_line = text->substr(0, text->find('\n'));
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(first_line), &pid) || pid <= 0) {
      return Rejected(absl::StrCat(pid_file_, " holds no pid"));
    }
    Add(pid);
    return std::nullopt;
  }

  void BeginScan() {
    folder_.reset(opendir(host_.proc().c_str()));
    if (folder_ == nullptr) {
      Done(Rejected(std::string(ErrnoStatus(errno, host_.proc()).message())));
      return;
    }
    ScanSlice();
  }

  void ScanSlice() {
    for (int i = 0; i < kProcessesPerTurn; ++i) {
      const dirent* entry = readdir(folder_.get());
      if (entry == nullptr) {
        folder_.reset();
        Finish();
        return;
      }
      pid_t pid = 0;
      if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
      if (ProcessHasName(host_.proc(), pid, name_)) Add(pid);
    }
    if (loop_.Now() >= deadline_) {
      folder_.reset();
      Done(TimedOut(absl::StrCat("timed out while reading ", host_.proc())));
      return;
    }
    next_slice_ = loop_.CallAt(loop_.Now(), [this] { ScanSlice(); });
  }

  void Add(pid_t pid) {
    if (sums_.count >= kCountMax) return;
    const auto stat = ReadProcessStat(host_.proc(), pid);
    if (!stat.ok() || stat->is_zombie) return;
    ++sums_.count;
    sums_.rss_bytes += stat->rss_bytes;
    sums_.cpu_time[stat->identity] = stat->cpu_time;
    const std::optional<uint64_t> descriptors = CountDescriptors(host_.proc(), pid);
    sums_.open_descriptors += descriptors.value_or(0);
    sums_.descriptors_known &= descriptors.has_value();
  }

  void Finish() {
    if (!WatchOnly(sums_.cpu_time)) {
      // One ended between the look and the watch. Look again, but not for ever: pids of another
      // namespace, say, can be seen and never be opened.
      if (++lost_races_ <= kLostRacesMax) look_now_();
    } else {
      lost_races_ = 0;
    }
    Observation observation = Judge();
    observation.values.push_back({"count", static_cast<double>(sums_.count), ""});
    observation.values.push_back({"rss_bytes", static_cast<double>(sums_.rss_bytes), "bytes"});
    if (const std::optional<double> percent = CpuPercent()) {
      observation.values.push_back({"cpu_percent", *percent, "percent"});
    }
    if (sums_.descriptors_known) {
      observation.values.push_back(
          {"open_descriptors", static_cast<double>(sums_.open_descriptors), ""});
    }
    Done(std::move(observation));
  }

  Observation Judge() const {
    const std::string counted = absl::StrCat(
        sums_.count, sums_.count == 1 ? " process " : " processes ",
        pid_file_.empty() ? absl::StrCat("named ", name_) : absl::StrCat("of ", pid_file_));
    if (sums_.count < min_count_) {
      return Failed(absl::StrCat(counted, missing_pid_file_ ? ", which is not there" : "",
                                 ", expected at least ", min_count_));
    }
    if (max_count_ != 0 && sums_.count > max_count_) {
      return Failed(absl::StrCat(counted, ", expected at most ", max_count_));
    }
    return Observation{};
  }

  // Since the look before that is long enough ago; a process that came since counts whole.
  std::optional<double> CpuPercent() {
    const Instant now = loop_.Now();
    if (!cpu_before_.has_value()) {
      cpu_before_ = {now, std::move(sums_.cpu_time)};
      return std::nullopt;
    }
    const absl::Duration elapsed = now - cpu_before_->first;
    absl::Duration used = absl::ZeroDuration();
    for (const auto& [identity, cpu_time] : sums_.cpu_time) {
      auto before = cpu_before_->second.find(identity);
      used +=
          cpu_time - (before == cpu_before_->second.end() ? absl::ZeroDuration() : before->second);
    }
    if (elapsed < kCpuWindowMin) return cpu_percent_;
    cpu_percent_ = absl::FDivDuration(used, elapsed) * 100;
    cpu_before_ = {now, std::move(sums_.cpu_time)};
    return cpu_percent_;
  }

  // Watches the end of those, and of no others. False when one of them is gone already.
  bool WatchOnly(const IdentityMap<absl::Duration>& processes) {
    for (auto it = watched_.begin(); it != watched_.end();) {
      if (processes.contains(it->first)) {
        ++it;
      } else {
        loop_.UnwatchFd(it->second.watch);
        it = watched_.erase(it);
      }
    }
    bool all = true;
    for (const auto& [identity, cpu_time] : processes) {
      if (watched_.size() >= kWatchedMax) break;
      if (!watched_.contains(identity)) all &= WatchEnd(identity);
    }
    return all;
  }

  // False when it is gone. Without a descriptor for it, the interval must do.
  bool WatchEnd(const ProcessIdentity& identity) {
    const auto pidfd = host_.OpenProcess(identity.pid);
    if (!pidfd.ok()) return !absl::IsNotFound(pidfd.status());
    UniqueFd owned(*pidfd);
    const auto still = IdentifyProcess(host_.proc(), identity.pid);
    if (!still.ok() || *still != identity) return false;
    const WatchId watch = loop_.WatchFd(owned.get(), kReadable, [this, identity](int) {
      // Level-triggered: without this it would be called until the next look.
      auto it = watched_.find(identity);
      loop_.UnwatchFd(it->second.watch);
      watched_.erase(it);
      look_now_();
    });
    if (watch != WatchId::kNone) watched_[identity] = {std::move(owned), watch};
    return true;
  }

  void Done(Observation observation) { std::exchange(done_, nullptr)(std::move(observation)); }

  const std::string pid_file_;
  const std::string name_;
  const uint32_t min_count_;
  const uint32_t max_count_;
  EventLoop& loop_;
  Host& host_;
  std::function<void()> look_now_ = [] {};

  // Of the running look.
  Instant deadline_;
  ObservationDone done_;
  std::unique_ptr<DIR, CloseFolder> folder_;
  TimerId next_slice_ = TimerId::kNone;
  Sums sums_;
  bool missing_pid_file_ = false;

  IdentityMap<Watched> watched_;
  int lost_races_ = 0;  // In a row.
  std::optional<std::pair<Instant, IdentityMap<absl::Duration>>> cpu_before_;
  std::optional<double> cpu_percent_;
};

}  // namespace

absl::Status CheckProcessProbe(const config::ProcessProbe& config) {
  if (config.pid_file().empty() == config.process_name().empty()) {
    return BadField("process.pid_file", "exactly one of pid_file and process_name must be set");
  }
  if (!config.pid_file().empty() && config.pid_file()[0] != '/') {
    return BadField("process.pid_file", absl::StrCat("'", config.pid_file(), "' is no full path"));
  }
  if (config.process_name().find('/') != std::string::npos) {
    return BadField("process.process_name",
                    absl::StrCat("'", config.process_name(), "' is a path, not a name"));
  }
  RETURN_IF_ERROR(CheckLength("process.process_name", config.process_name(), 255));
  RETURN_IF_ERROR(CheckRange("process.min_count", config.min_count(), 0, kCountMax));
  RETURN_IF_ERROR(CheckRange("process.max_count", config.max_count(), 0, kCountMax));
  if (config.max_count() != 0 && config.max_count() < config.min_count()) {
    return BadField(
        "process.max_count",
        absl::StrCat(config.max_count(), " is less than min_count ", config.min_count()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Probe>> NewProcessProbe(const config::ProcessProbe& config,
                                                       EventLoop& loop, Host& host) {
  RETURN_IF_ERROR(CheckProcessProbe(config));
  return std::make_unique<ProcessProbe>(config, loop, host);
}

}  // namespace salve

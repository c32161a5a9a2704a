#include "probes/memory_probe.h"

#include <dirent.h>

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "probes/measures.h"
#include "probes/pressure.h"
#include "probes/process_stat.h"

namespace salve {
namespace {

constexpr int kProcessesPerTurn = 256;
constexpr size_t kMeminfoBytesMax = 64 * 1024;
constexpr double kMinAvailablePercent = 5;

double Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole) * 100;
}

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

class MemoryProbe final : public Probe {
 public:
  MemoryProbe(const config::MemoryProbe& config, EventLoop& loop, Host& host)
      : config_(config), loop_(loop), host_(host) {}

  ~MemoryProbe() override { loop_.CancelTimer(next_slice_); }

  void Start(Instant deadline, ObservationDone done) override {
    const absl::StatusOr<MemoryState> state = ReadState();
    if (!state.ok()) return done(Rejected(std::string(state.status().message())));
    observation_ = Judge(*state, ReadPressure(host_.proc(), "memory"));
    // Who has it is only of interest when there is too little.
    if (observation_.outcome == Outcome::kSucceeded) return done(std::move(observation_));
    deadline_ = deadline;
    done_ = std::move(done);
    largest_ = {};
    folder_.reset(opendir(host_.proc().c_str()));
    ScanSlice();
  }

 private:
  absl::StatusOr<MemoryState> ReadState() const {
    const std::string path = host_.proc() + "/meminfo";
    ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMeminfoBytesMax));
    absl::StatusOr<MemoryState> state = ParseMemoryState(text);
    if (state.ok()) return state;
    return absl::UnavailableError(absl::StrCat(path, ": ", state.status().message()));
  }

  Observation Judge(const MemoryState& state, const Pressure& pressure) const {
    std::vector<Finding> findings;
    const double available = Percent(state.available_bytes, state.total_bytes);
    const double wanted = config_.has_min_available_percent() ? config_.min_available_percent()
                                                              : kMinAvailablePercent;
    const std::string room = absl::StrCat(BytesText(state.available_bytes), " of ",
                                          BytesText(state.total_bytes), ") of memory");
    if (available < wanted) {
      findings.push_back(
          {Outcome::kFailed, absl::StrCat(PercentText(available), " (", room,
                                          " is available, expected ", PercentText(wanted))});
    }
    if (state.available_bytes < config_.min_available_bytes()) {
      findings.push_back(
          {Outcome::kFailed,
           absl::StrCat(BytesText(state.available_bytes), " of memory is available, expected ",
                        BytesText(config_.min_available_bytes()))});
    }
    const double swap =
        Percent(state.swap_total_bytes - std::min(state.swap_free_bytes, state.swap_total_bytes),
                state.swap_total_bytes);
    if (config_.max_swap_used_percent() > 0 && swap > config_.max_swap_used_percent()) {
      findings.push_back({Outcome::kFailed,
                          absl::StrCat(PercentText(swap), " of the swap is used, expected at most ",
                                       PercentText(config_.max_swap_used_percent()))});
    }
    const bool is_untold = (config_.max_psi_some() > 0 && !pressure.some.has_value()) ||
                           (config_.max_psi_full() > 0 && !pressure.full.has_value());
    const bool has_other_bound = wanted > 0 || config_.min_available_bytes() > 0 ||
                                 config_.max_swap_used_percent() > 0 ||
                                 (config_.max_psi_some() > 0 && pressure.some.has_value()) ||
                                 (config_.max_psi_full() > 0 && pressure.full.has_value());
    JudgePressure("some task", pressure.some, config_.max_psi_some(), findings);
    JudgePressure("every task", pressure.full, config_.max_psi_full(), findings);
    // Many kernels have no PSI: a look that can judge something else is not lost for that.
    if (is_untold && !has_other_bound) {
      findings.push_back(
          {Outcome::kRejected, absl::StrCat("the kernel does not tell the pressure in ",
                                            host_.proc(), "/pressure/memory")});
    }

    Observation observation = JoinFindings(std::move(findings));
    if (is_untold) observation.attributes.emplace_back("psi", "not available");
    observation.values = {{"available_percent", available, "percent"},
                          {"available_bytes", static_cast<double>(state.available_bytes), "bytes"},
                          {"swap_used_percent", swap, "percent"}};
    if (pressure.some.has_value()) {
      observation.values.push_back({"psi_some_avg10", *pressure.some, "percent"});
    }
    if (pressure.full.has_value()) {
      observation.values.push_back({"psi_full_avg10", *pressure.full, "percent"});
    }
    return observation;
  }

  static void JudgePressure(const char* who, std::optional<double> percent, double max,
                            std::vector<Finding>& findings) {
    if (max <= 0 || !percent.has_value() || *percent <= max) return;
    findings.push_back(
        {Outcome::kFailed, absl::StrCat(who, " waited for memory ", PercentText(*percent),
                                        " of the last 10 s, expected at most ", PercentText(max))});
  }

  void ScanSlice() {
    for (int i = 0; i < kProcessesPerTurn; ++i) {
      const dirent* entry = folder_ == nullptr ? nullptr : readdir(folder_.get());
      if (entry == nullptr) return Finish();
      pid_t pid = 0;
      if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
      const auto stat = ReadProcessStat(host_.proc(), pid);
      if (stat.ok() && stat->rss_bytes > largest_.rss_bytes) largest_ = *stat;
    }
    if (loop_.Now() >= deadline_) return Finish();  // What was seen will do.
    next_slice_ = loop_.CallAt(loop_.Now(), [this] { ScanSlice(); });
  }

  void Finish() {
    next_slice_ = TimerId::kNone;
    folder_.reset();
    if (largest_.rss_bytes > 0) {
      observation_.attributes.emplace_back(
          "largest", absl::StrCat(largest_.comm, " (pid ", largest_.identity.pid, ", ",
                                  BytesText(largest_.rss_bytes), ")"));
    }
    std::exchange(done_, nullptr)(std::move(observation_));
  }

  const config::MemoryProbe config_;
  EventLoop& loop_;
  Host& host_;

  // Of the running look.
  Instant deadline_;
  ObservationDone done_;
  Observation observation_;
  std::unique_ptr<DIR, CloseFolder> folder_;
  TimerId next_slice_ = TimerId::kNone;
  ProcessStat largest_;
};

}  // namespace

absl::StatusOr<MemoryState> ParseMemoryState(absl::string_view meminfo) {
  constexpr const char* kNeeded[] = {"MemTotal", "MemAvailable", "SwapTotal", "SwapFree"};
  std::map<absl::string_view, uint64_t> bytes;
  for (absl::string_view line : absl::StrSplit(meminfo, '\n')) {
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos) continue;
    const absl::string_view name = line.substr(0, colon);
    if (std::find(std::begin(kNeeded), std::end(kNeeded), name) == std::end(kNeeded)) continue;
    absl::string_view number = absl::StripAsciiWhitespace(line.substr(colon + 1));
    absl::ConsumeSuffix(&number, " kB");
    uint64_t kib = 0;
    if (!absl::SimpleAtoi(number, &kib) || kib > std::numeric_limits<uint64_t>::max() / 1024) {
      return absl::UnavailableError(absl::StrCat(name, " is no number"));
    }
    bytes[name] = kib * 1024;
  }
  for (const char* name : kNeeded) {
    if (!bytes.contains(name)) return absl::UnavailableError(absl::StrCat("no ", name, " in it"));
  }
  if (bytes["MemTotal"] == 0) return absl::UnavailableError("MemTotal is 0");
  return MemoryState{.total_bytes = bytes["MemTotal"],
                     .available_bytes = bytes["MemAvailable"],
                     .swap_total_bytes = bytes["SwapTotal"],
                     .swap_free_bytes = bytes["SwapFree"]};
}

absl::Status CheckMemoryProbe(const config::MemoryProbe& config) {
  RETURN_IF_ERROR(
      CheckNumber("memory.min_available_percent", config.min_available_percent(), 0, 100));
  RETURN_IF_ERROR(
      CheckNumber("memory.max_swap_used_percent", config.max_swap_used_percent(), 0, 100));
  RETURN_IF_ERROR(CheckNumber("memory.max_psi_some", config.max_psi_some(), 0, 100));
  return CheckNumber("memory.max_psi_full", config.max_psi_full(), 0, 100);
}

absl::StatusOr<std::unique_ptr<Probe>> NewMemoryProbe(const config::MemoryProbe& config,
                                                      EventLoop& loop, Host& host) {
  RETURN_IF_ERROR(CheckMemoryProbe(config));
  return std::make_unique<MemoryProbe>(config, loop, host);
}

}  // namespace salve

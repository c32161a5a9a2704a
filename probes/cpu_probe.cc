#include "probes/cpu_probe.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "probes/measures.h"
#include "probes/pressure.h"

namespace salve {
namespace {

// With its interrupts a /proc/stat of many cores is long; what we need stands at its beginning.
constexpr size_t kStatBytesMax = 256 * 1024;
constexpr double kMaxLoadPerCore = 1000;
// CPU time comes in ticks of 10 ms: over less time than this its share says nothing.
constexpr absl::Duration kBusyWindowMin = absl::Seconds(1);

absl::StatusOr<double> ParseLoad(absl::string_view loadavg) {
  double load = 0;
  if (!absl::SimpleAtod(loadavg.substr(0, loadavg.find(' ')), &load) || !(load >= 0)) {
    return absl::UnavailableError("no load in it");
  }
  return load;
}

absl::Status In(const std::string& path, const absl::Status& error) {
  return absl::Status(error.code(), absl::StrCat(path, ": ", error.message()));
}

class CpuProbe final : public Probe {
 public:
  CpuProbe(const config::CpuProbe& config, EventLoop& loop, Host& host)
      : config_(config), loop_(loop), host_(host) {}

  void Start(Instant, ObservationDone done) override {
    absl::StatusOr<Observation> seen = Look();
    done(seen.ok() ? *std::move(seen) : Rejected(std::string(seen.status().message())));
  }

 private:
  absl::StatusOr<Observation> Look() {
    const std::string stat = host_.proc() + "/stat", loadavg = host_.proc() + "/loadavg";
    ASSIGN_OR_RETURN(const std::string stat_text, ReadFile(stat, kStatBytesMax));
    ASSIGN_OR_RETURN(const std::string load_text, ReadFile(loadavg, 1024));
    const absl::StatusOr<CpuTicks> ticks = ParseCpuTicks(stat_text);
    if (!ticks.ok()) return In(stat, ticks.status());
    const absl::StatusOr<double> load = ParseLoad(load_text);
    if (!load.ok()) return In(loadavg, load.status());
    return Judge(*load, *ticks, ReadPressure(host_.proc(), "cpu").some);
  }

  Observation Judge(double load, const CpuTicks& ticks, std::optional<double> waited) {
    std::vector<Finding> findings;
    const double per_core = load / ticks.cores;
    if (config_.max_load_per_core() > 0 && per_core > config_.max_load_per_core()) {
      findings.push_back(
          {Outcome::kFailed,
           absl::StrFormat("the load of a minute is %.2f a core (%.2f on %d), expected at most %g",
                           per_core, load, ticks.cores, config_.max_load_per_core())});
    }
    const std::optional<double> busy = BusyPercent(ticks);
    if (config_.max_busy_percent() > 0 && busy.has_value() && *busy > config_.max_busy_percent()) {
      findings.push_back({Outcome::kFailed, absl::StrCat("the processors are ", PercentText(*busy),
                                                         " busy, expected at most ",
                                                         PercentText(config_.max_busy_percent()))});
    }
    if (config_.max_psi_some() > 0) {
      if (!waited.has_value()) {
        findings.push_back({Outcome::kRejected, absl::StrCat("the kernel does not tell 'some' in ",
                                                             host_.proc(), "/pressure/cpu")});
      } else if (*waited > config_.max_psi_some()) {
        findings.push_back(
            {Outcome::kFailed, absl::StrCat("some task waited for a core ", PercentText(*waited),
                                            " of the last 10 s, expected at most ",
                                            PercentText(config_.max_psi_some()))});
      }
    }
    Observation observation = JoinFindings(std::move(findings));
    observation.values.push_back({"load1_per_core", per_core, ""});
    if (busy.has_value()) observation.values.push_back({"busy_percent", *busy, "percent"});
    if (waited.has_value()) observation.values.push_back({"psi_some_avg10", *waited, "percent"});
    return observation;
  }

  // Since the look before that is long enough ago.
  std::optional<double> BusyPercent(const CpuTicks& now) {
    if (before_.has_value() && loop_.Now() - before_at_ < kBusyWindowMin) return busy_percent_;
    const std::optional<CpuTicks> before = std::exchange(before_, now);
    before_at_ = loop_.Now();
    // A core that goes offline takes its ticks along: that look says nothing.
    if (!before.has_value() || now.total <= before->total || now.busy < before->busy ||
        now.busy - before->busy > now.total - before->total) {
      busy_percent_.reset();
    } else {
      busy_percent_ = static_cast<double>(now.busy - before->busy) /
                      static_cast<double>(now.total - before->total) * 100;
    }
    return busy_percent_;
  }

  const config::CpuProbe config_;
  EventLoop& loop_;
  Host& host_;
  std::optional<CpuTicks> before_;
  Instant before_at_;
  std::optional<double> busy_percent_;
};

}  // namespace

absl::StatusOr<CpuTicks> ParseCpuTicks(absl::string_view stat) {
  CpuTicks ticks;
  bool has_sum = false;
  for (absl::string_view line : absl::StrSplit(stat, '\n')) {
    if (!absl::StartsWith(line, "cpu")) continue;
    if (line.size() > 3 && absl::ascii_isdigit(line[3])) ++ticks.cores;
    if (has_sum || !absl::StartsWith(line, "cpu ")) continue;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice.
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() < 9) return absl::UnavailableError("too few numbers in 'cpu'");
    for (size_t i = 1; i <= 8; ++i) {
      uint64_t number = 0;
      if (!absl::SimpleAtoi(fields[i], &number) || number > (uint64_t{1} << 60)) {
        return absl::UnavailableError(absl::StrCat("'", fields[i].substr(0, 32), "' in 'cpu'"));
      }
      ticks.total += number;
      if (i != 4 && i != 5) ticks.busy += number;
    }
    has_sum = true;
  }
  if (!has_sum || ticks.cores == 0) return absl::UnavailableError("no processors in it");
  return ticks;
}

absl::Status CheckCpuProbe(const config::CpuProbe& config) {
  RETURN_IF_ERROR(
      CheckNumber("cpu.max_load_per_core", config.max_load_per_core(), 0, kMaxLoadPerCore));
  RETURN_IF_ERROR(CheckNumber("cpu.max_busy_percent", config.max_busy_percent(), 0, 100));
  return CheckNumber("cpu.max_psi_some", config.max_psi_some(), 0, 100);
}

absl::StatusOr<std::unique_ptr<Probe>> NewCpuProbe(const config::CpuProbe& config, EventLoop& loop,
                                                   Host& host) {
  RETURN_IF_ERROR(CheckCpuProbe(config));
  return std::make_unique<CpuProbe>(config, loop, host);
}

}  // namespace salve

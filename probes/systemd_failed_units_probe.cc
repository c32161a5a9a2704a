#include "probes/systemd_failed_units_probe.h"

#include <fnmatch.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "probes/field_checks.h"

namespace salve {
namespace {

constexpr int kIgnoreMax = 100;
constexpr size_t kPatternBytesMax = 255;  // As long as a unit's name.
constexpr uint32_t kFailedMax = 10'000;
constexpr size_t kNamesBytesMax = 512;
constexpr size_t kNamedInError = 10;

class SystemdFailedUnitsProbe final : public Probe {
 public:
  SystemdFailedUnitsProbe(const config::SystemdFailedUnitsProbe& config, EventLoop& loop,
                          ServiceManager& services)
      : ignore_(config.ignore().begin(), config.ignore().end()),
        max_failed_(config.max_failed()),
        loop_(loop),
        services_(services) {
    watch_ = services_.WatchFailedUnits(
        [this](const absl::StatusOr<FailedUnitsList>& failed) { Changed(failed); });
  }

  ~SystemdFailedUnitsProbe() override {
    services_.UnwatchFailedUnits(watch_);
    loop_.CancelTimer(deadline_timer_);
  }

  void Start(Instant deadline, ObservationDone done) override {
    if (failed_.has_value()) {
      done(Judge());
      return;
    }
    // systemd has not said anything yet.
    done_ = std::move(done);
    deadline_timer_ = loop_.CallAt(deadline, [this] {
      deadline_timer_ = TimerId::kNone;
      std::exchange(done_, nullptr)(Rejected("systemd has not told its failed units yet"));
    });
  }

  void Watch(std::function<void()> look_now) override {
    look_now_ = std::move(look_now);
    if (failed_.has_value()) look_now_();
  }

 private:
  void Changed(const absl::StatusOr<FailedUnitsList>& failed) {
    failed_ = failed;
    if (failed_->ok()) {
      std::erase_if(**failed_, [this](const std::string& unit) { return IsIgnored(unit); });
    }
    if (done_ != nullptr) {
      loop_.CancelTimer(std::exchange(deadline_timer_, TimerId::kNone));
      std::exchange(done_, nullptr)(Judge());
    } else {
      look_now_();
    }
  }

  bool IsIgnored(const std::string& unit) const {
    return std::any_of(ignore_.begin(), ignore_.end(), [&](const std::string& pattern) {
      return fnmatch(pattern.c_str(), unit.c_str(), 0) == 0;
    });
  }

  Observation Judge() const {
    if (!failed_->ok()) {
      return Rejected(absl::StrCat("cannot ask for failed units: ", failed_->status().message()));
    }
    const FailedUnitsList& failed = **failed_;
    Observation observation;
    if (failed.size() > max_failed_) {
      const size_t named = std::min(failed.size(), kNamedInError);
      observation = Failed(absl::StrCat(
          failed.size(), failed.size() == 1 ? " unit has" : " units have", " failed: ",
          absl::StrJoin(failed.begin(), failed.begin() + static_cast<ptrdiff_t>(named), ", "),
          named < failed.size() ? ", …" : "",
          max_failed_ == 0 ? "" : absl::StrCat(", expected at most ", max_failed_)));
    }
    observation.values = {{"failed_units", static_cast<double>(failed.size()), ""}};
    if (!failed.empty()) observation.attributes = {{"units", Names(failed)}};
    return observation;
  }

  // As many as there is room for.
  static std::string Names(const FailedUnitsList& units) {
    std::string names;
    for (const std::string& unit : units) {
      absl::StrAppend(&names, names.empty() ? "" : " ", unit);
      if (names.size() >= kNamesBytesMax) break;
    }
    if (names.size() > kNamesBytesMax) names.resize(kNamesBytesMax);
    return names;
  }

  const std::vector<std::string> ignore_;
  const uint32_t max_failed_;
  EventLoop& loop_;
  ServiceManager& services_;
  std::function<void()> look_now_ = [] {};
  std::optional<absl::StatusOr<FailedUnitsList>> failed_;  // Without those to be ignored.
  ObservationDone done_;
  TimerId deadline_timer_ = TimerId::kNone;
  FailedUnitsWatchId watch_ = FailedUnitsWatchId::kNone;
};

}  // namespace

absl::Status CheckSystemdFailedUnitsProbe(const config::SystemdFailedUnitsProbe& config) {
  if (config.ignore_size() > kIgnoreMax) {
    return BadField("systemd_failed_units.ignore",
                    absl::StrCat(config.ignore_size(), " are more than ", kIgnoreMax));
  }
  for (int i = 0; i < config.ignore_size(); ++i) {
    const std::string path = absl::StrCat("systemd_failed_units.ignore[", i, "]");
    if (config.ignore(i).empty()) return BadField(path, "'' is no pattern");
    RETURN_IF_ERROR(CheckLength(path, config.ignore(i), kPatternBytesMax));
  }
  return CheckRange("systemd_failed_units.max_failed", config.max_failed(), 0, kFailedMax);
}

absl::StatusOr<std::unique_ptr<Probe>> NewSystemdFailedUnitsProbe(
    const config::SystemdFailedUnitsProbe& config, EventLoop& loop, ServiceManager& services) {
  RETURN_IF_ERROR(CheckSystemdFailedUnitsProbe(config));
  return std::make_unique<SystemdFailedUnitsProbe>(config, loop, services);
}

}  // namespace salve

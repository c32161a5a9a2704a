#include "probes/systemd_unit_probe.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "base/unit_name.h"
#include "probes/field_checks.h"

namespace salve {
namespace {

constexpr size_t kUnitNameBytesMax = 255;
constexpr const char* kActiveStates[] = {"active", "reloading",  "inactive",
                                         "failed", "activating", "deactivating"};
class SystemdUnitProbe final : public Probe {
 public:
  SystemdUnitProbe(std::string unit, std::vector<std::string> expected, EventLoop& loop,
                   ServiceManager& services)
      : unit_(std::move(unit)), expected_(std::move(expected)), loop_(loop), services_(services) {
    watch_ = services_.WatchUnit(
        unit_, [this](const absl::StatusOr<UnitState>& state) { Changed(state); });
  }

  ~SystemdUnitProbe() override {
    services_.UnwatchUnit(watch_);
    loop_.CancelTimer(deadline_timer_);
  }

  void Start(Instant deadline, ObservationDone done) override {
    if (state_.has_value()) {
      done(Judge());
      return;
    }
    // systemd has not said anything yet.
    done_ = std::move(done);
    deadline_timer_ = loop_.CallAt(deadline, [this] {
      deadline_timer_ = TimerId::kNone;
      std::exchange(done_, nullptr)(Rejected("systemd has not told the unit's state yet"));
    });
  }

  void Watch(std::function<void()> look_now) override {
    look_now_ = std::move(look_now);
    if (state_.has_value()) look_now_();
  }

 private:
  void Changed(const absl::StatusOr<UnitState>& state) {
    state_ = state;
    if (done_ != nullptr) {
      loop_.CancelTimer(std::exchange(deadline_timer_, TimerId::kNone));
      std::exchange(done_, nullptr)(Judge());
    } else {
      look_now_();
    }
  }

  Observation Judge() const {
    const absl::StatusOr<UnitState>& state = *state_;
    if (!state.ok()) {
      return Rejected(absl::IsNotFound(state.status())
                          ? absl::StrCat("there is no unit ", unit_)
                          : absl::StrCat("cannot ask for ", unit_, ": ", state.status().message()));
    }
    if (state->load_state == "not-found") return Rejected(absl::StrCat("there is no unit ", unit_));
    Observation observation;
    if (std::find(expected_.begin(), expected_.end(), state->active_state) == expected_.end()) {
      observation = Failed(absl::StrCat(unit_, " is ", state->active_state, " (", state->sub_state,
                                        ", result ", state->result, "), expected ",
                                        absl::StrJoin(expected_, " or ")));
    }
    observation.values.push_back({"n_restarts", static_cast<double>(state->n_restarts), ""});
    observation.attributes = {{"active_state", state->active_state},
                              {"sub_state", state->sub_state},
                              {"result", state->result},
                              {"main_pid", absl::StrCat(state->main_pid)}};
    return observation;
  }

  const std::string unit_;
  const std::vector<std::string> expected_;
  EventLoop& loop_;
  ServiceManager& services_;
  std::function<void()> look_now_ = [] {};
  std::optional<absl::StatusOr<UnitState>> state_;
  ObservationDone done_;
  TimerId deadline_timer_ = TimerId::kNone;
  UnitWatchId watch_ = UnitWatchId::kNone;
};

}  // namespace

absl::Status CheckSystemdUnitProbe(const config::SystemdUnitProbe& config) {
  if (config.unit().empty()) return BadField("systemd_unit.unit", "missing");
  RETURN_IF_ERROR(CheckLength("systemd_unit.unit", config.unit(), kUnitNameBytesMax));
  if (config.unit().find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789:-_.\\@") != std::string::npos) {
    return BadField("systemd_unit.unit",
                    absl::StrCat("'", config.unit(), "' is no name of a unit"));
  }
  for (const std::string& state : config.expected_state()) {
    if (std::find(std::begin(kActiveStates), std::end(kActiveStates), state) ==
        std::end(kActiveStates)) {
      return BadField(
          "systemd_unit.expected_state",
          absl::StrCat("'", state, "' is not one of ", absl::StrJoin(kActiveStates, ", ")));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Probe>> NewSystemdUnitProbe(const config::SystemdUnitProbe& config,
                                                           EventLoop& loop,
                                                           ServiceManager& services) {
  RETURN_IF_ERROR(CheckSystemdUnitProbe(config));
  std::vector<std::string> expected(config.expected_state().begin(), config.expected_state().end());
  if (expected.empty()) expected = {"active", "reloading"};
  return std::make_unique<SystemdUnitProbe>(UnitName(config.unit()), std::move(expected), loop,
                                            services);
}

}  // namespace salve

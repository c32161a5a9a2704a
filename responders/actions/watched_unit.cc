#include "responders/actions/watched_unit.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace salve {
namespace {

// systemd puts each unit's processes into a control group of the unit's name, and a unit may divide
// its own further.
bool IsOfUnit(const std::string& proc, pid_t pid, const std::string& unit) {
  const auto groups = ReadFile(absl::StrCat(proc, "/", pid, "/cgroup"), 16 * 1024);
  return groups.ok() && (absl::StrContains(*groups, absl::StrCat("/", unit, "\n")) ||
                         absl::StrContains(*groups, absl::StrCat("/", unit, "/")));
}

}  // namespace

WatchedUnit::WatchedUnit(std::string unit, ServiceManager& services)
    : services_(services), id_(unit) {
  watch_ = services_.WatchUnit(unit, [this](const absl::StatusOr<UnitState>& state) {
    state_ = state;
    if (state_.ok()) id_ = state_->id;
    if (changed_) changed_();
  });
}

Readiness WatchedUnit::Check() const {
  using Kind = Readiness::Kind;
  if (services_.IsStopping()) return {Kind::kLeave, "the system is stopping"};
  if (absl::IsNotFound(state_.status())) {
    return {Kind::kLeave, std::string(state_.status().message())};
  }
  if (!state_.ok()) return {Kind::kWait, std::string(state_.status().message())};
  const std::string now = absl::StrCat(state_->active_state, "/", state_->sub_state);
  if (IsBusy(*state_) || state_->active_state == "activating" ||
      state_->active_state == "reloading") {
    return {Kind::kWait,
            absl::StrCat("systemd itself acts on ", id_, " (", now,
                         state_->job_id == 0 ? "" : absl::StrCat(", job ", state_->job_id), ")")};
  }
  if (state_->active_state == "inactive" && state_->result == "success") {
    return {Kind::kLeave, absl::StrCat(id_, " was stopped on purpose")};
  }
  if (state_->active_state != "active") {
    return {Kind::kLeave, absl::StrCat(id_, " does not run: it is ", now)};
  }
  return {};
}

absl::StatusOr<HeldProcess> WatchedUnit::HoldMainProcess(Host& host) const {
  RETURN_IF_ERROR(state_.status());
  const pid_t pid = state_->main_pid;
  if (pid == 0) return absl::NotFoundError(absl::StrCat(id_, " has no main process"));
  if (const std::string why = WhyProtected(host.proc(), pid); !why.empty()) {
    return absl::PermissionDeniedError(
        absl::StrCat("the main process of ", id_, ", ", pid, ", ", why));
  }
  ASSIGN_OR_RETURN(const ProcessIdentity identity, IdentifyProcess(host.proc(), pid));
  ASSIGN_OR_RETURN(HeldProcess held, HoldProcess(host, identity));
  // What systemd said may be some milliseconds old, and the number somebody else's by now.
  if (IsOfUnit(host.proc(), pid, id_)) return held;
  return absl::NotFoundError(absl::StrCat("process ", pid, " is not of ", id_, " any more"));
}

}  // namespace salve

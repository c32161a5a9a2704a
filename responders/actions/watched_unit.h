// WatchedUnit: the systemd unit whose running processes an action acts on. Lives on the loop's
// thread.
#ifndef SALVE_RESPONDERS_ACTIONS_WATCHED_UNIT_H_
#define SALVE_RESPONDERS_ACTIONS_WATCHED_UNIT_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/host.h"
#include "base/service_manager.h"
#include "responders/action.h"
#include "responders/actions/held_process.h"

namespace salve {

class WatchedUnit {
 public:
  // Requires: `services` outlives it.
  WatchedUnit(std::string unit, ServiceManager& services);
  ~WatchedUnit() { services_.UnwatchUnit(watch_); }
  WatchedUnit(const WatchedUnit&) = delete;
  WatchedUnit& operator=(const WatchedUnit&) = delete;

  void OnChange(std::function<void()> changed) { changed_ = std::move(changed); }

  // Its Id as systemd gives it; the name it was asked for by until that is known.
  const std::string& id() const { return id_; }
  // kUnavailable until systemd has answered.
  const absl::StatusOr<UnitState>& state() const { return state_; }

  // Ready while it is active and systemd itself does nothing to it; waits while systemd does; a
  // unit that does not run, whoever stopped it, is left alone, and so are all while the system
  // stops.
  Readiness Check() const;

  // Its main process, of which it is made sure that it is this unit's.
  // Errors: kNotFound: there is none; kPermissionDenied: it is the agent itself, or one that it
  // descends from; kResourceExhausted.
  absl::StatusOr<HeldProcess> HoldMainProcess(Host& host) const;

 private:
  ServiceManager& services_;
  std::string id_;
  absl::StatusOr<UnitState> state_ = absl::UnavailableError("systemd has not answered yet");
  std::function<void()> changed_;
  UnitWatchId watch_ = UnitWatchId::kNone;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_WATCHED_UNIT_H_

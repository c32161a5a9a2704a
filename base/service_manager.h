// ServiceManager: systemd as the engine sees it. Units are watched level by level: a callback
// carries the unit's whole state, and after a reconnect all are read again. Lives on the
// loop's thread; no call blocks. The D-Bus client is sd_bus_service_manager.h.
#ifndef SALVE_BASE_SERVICE_MANAGER_H_
#define SALVE_BASE_SERVICE_MANAGER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace salve {

struct UnitState {
  std::string id;             // Canonical name: "nginx.service", whatever alias was asked for.
  std::string load_state;     // loaded, not-found, masked, …
  std::string active_state;   // active, reloading, inactive, failed, activating, deactivating
  std::string sub_state;      // running, dead, auto-restart, stop-sigterm, …
  std::string result;         // Of the service: success, exit-code, signal, start-limit-hit, …
  std::string restart;        // Restart=: no, on-failure, always, …
  std::string invocation_id;  // Hex; another one each time the unit is started.
  uint32_t job_id = 0;        // The unit's pending job; 0 = none.
  uint32_t n_restarts = 0;    // systemd's own restarts since the last start job.
  pid_t main_pid = 0;         // 0 = none.
  absl::Duration timeout_start = absl::ZeroDuration();  // InfiniteDuration when off.
  absl::Duration timeout_stop = absl::ZeroDuration();

  friend bool operator==(const UnitState&, const UnitState&) = default;
};

// Something of systemd's own is under way on this unit (a job, or a restart it has planned):
// nobody else should act on it now.
inline bool IsBusy(const UnitState& unit) {
  return unit.job_id != 0 || unit.sub_state == "auto-restart" ||
         unit.active_state == "deactivating";
}

using UnitCallback = absl::AnyInvocable<void(const absl::StatusOr<UnitState>&)>;
enum class UnitWatchId : uint64_t { kNone = 0 };

// The names of the units whose ActiveState is `failed`: sorted, each once, at most
// kFailedUnitsMax.
using FailedUnitsList = std::vector<std::string>;
using FailedUnitsCallback = absl::AnyInvocable<void(const absl::StatusOr<FailedUnitsList>&)>;
enum class FailedUnitsWatchId : uint64_t { kNone = 0 };
inline constexpr size_t kFailedUnitsMax = 20'000;

// How a job ended.
struct JobResult {
  std::string result;       // done, failed, canceled, timeout, dependency, skipped, …
  std::string unit_result;  // The unit's Result afterwards, e.g. start-limit-hit.
  uint32_t job_id = 0;
};
using JobQueued = absl::AnyInvocable<void(uint32_t job_id)>;
using JobDone = absl::AnyInvocable<void(absl::StatusOr<JobResult>)>;
using RebootDone = absl::AnyInvocable<void(absl::Status)>;

class ServiceManager {
 public:
  virtual ~ServiceManager() = default;

  // Calls `changed` with the unit's state: soon after this call (never inside it), and at each
  // change from then on, until UnwatchUnit, which may be called inside `changed`. kNotFound: no
  // such unit (an unloaded one appears when it is loaded); kUnavailable: systemd can't be asked
  // now; the watch goes on and reports its return.
  virtual UnitWatchId WatchUnit(const std::string& unit, UnitCallback changed) = 0;
  virtual void UnwatchUnit(UnitWatchId id) = 0;

  // Calls `changed` with the failed units, in the same way: soon after this call, and at each
  // change from then on, until UnwatchFailedUnits. kUnavailable: systemd can't be asked now; the
  // watch goes on and reports its return.
  virtual FailedUnitsWatchId WatchFailedUnits(FailedUnitsCallback changed) = 0;
  virtual void UnwatchFailedUnits(FailedUnitsWatchId id) = 0;

  // Queues a restart job in mode `fail`, which never cancels somebody else's job. `queued` is
  // called when systemd has accepted it, then `done` once with its end, at most at `deadline`.
  // Neither comes inside this call. It starts a unit that was stopped: look before.
  // Errors in `done`: kNotFound (no such unit), kFailedPrecondition (masked, or another job
  //   conflicts), kDeadlineExceeded (the job was cancelled at `deadline`), kPermissionDenied,
  //   kUnavailable (no bus). A job that ended badly is no error: see JobResult.
  virtual void RestartUnit(const std::string& unit, Instant deadline, JobQueued queued,
                           JobDone done) = 0;

  // Queues a reload job (the unit's ExecReload), in the same way and with the same errors; a unit
  // that cannot be reloaded is kFailedPrecondition.
  virtual void ReloadUnit(const std::string& unit, Instant deadline, JobQueued queued,
                          JobDone done) = 0;

  // Cancels a job by its number, best effort.
  virtual void CancelJob(uint32_t job_id) = 0;

  // Asks for a reboot of the machine: logind, and where there is none, systemd. `done` is called
  // once, not inside this call, at most at `deadline`: OK when the reboot is on its way, or was
  // asked for and the answer got lost, as it may when the bus goes down first. That does not mean
  // that it happens.
  // Errors in `done`: kFailedPrecondition: somebody inhibits it (logind's `shutdown` in mode
  //   `block`) and not `force`; the message names all. kDeadlineExceeded, kPermissionDenied,
  //   kUnavailable (no bus, or no answer before it was asked for).
  virtual void Reboot(bool force, Instant deadline, RebootDone done) = 0;

  // True when the system is shutting down or rebooting; false when not, or not known.
  virtual bool IsStopping() const = 0;
};

}  // namespace salve

#endif  // SALVE_BASE_SERVICE_MANAGER_H_

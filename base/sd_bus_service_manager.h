// SdBusServiceManager: systemd over D-Bus, on the loop. It takes the system bus, and as root
// systemd's private socket while there is none; a lost connection is opened again (after
// 100 ms, doubling to 5 s), and then everything is read again, because signals were missed.
// Without any bus all answers are kUnavailable. One thread only: the loop's.
#ifndef SALVE_BASE_SD_BUS_SERVICE_MANAGER_H_
#define SALVE_BASE_SD_BUS_SERVICE_MANAGER_H_

#include <string>
#include <vector>

#include "base/bus_link.h"
#include "base/event_loop.h"
#include "base/failed_units.h"
#include "base/reboot_calls.h"
#include "base/restart_jobs.h"
#include "base/service_manager.h"
#include "base/systemd_link.h"
#include "base/unit_watches.h"

namespace salve {

class SdBusServiceManager final : public ServiceManager {
 public:
  // Requires: `loop` outlives it.
  explicit SdBusServiceManager(EventLoop& loop);
  // Tries these addresses, in their order.
  SdBusServiceManager(EventLoop& loop, std::vector<BusAddress> addresses);
  // No callback is called any more; jobs under way go on. Requires: it is not called inside
  // one of the callbacks.
  ~SdBusServiceManager() override = default;

  UnitWatchId WatchUnit(const std::string& unit, UnitCallback changed) override;
  void UnwatchUnit(UnitWatchId id) override;
  FailedUnitsWatchId WatchFailedUnits(FailedUnitsCallback changed) override;
  void UnwatchFailedUnits(FailedUnitsWatchId id) override;
  // kUnavailable also when systemd does not answer within 5 s; if it queues the job later, the
  // job is cancelled. A job whose end was missed during a reconnect is `done` if the unit is
  // active afterwards, else `failed`.
  void RestartUnit(const std::string& unit, Instant deadline, JobQueued queued,
                   JobDone done) override;
  void ReloadUnit(const std::string& unit, Instant deadline, JobQueued queued,
                  JobDone done) override;
  void CancelJob(uint32_t job_id) override;
  void Reboot(bool force, Instant deadline, RebootDone done) override;
  // Follows systemd's SystemState, from the moment when the shutdown is queued, and logind's
  // PreparingForShutdown. Keeps its last value while there is no bus.
  bool IsStopping() const override { return stopping_.is_stopping(); }

 private:
  class Stopping final : public SystemdLink::User {
   public:
    void SetLink(SystemdLink* link) { link_ = link; }
    bool is_stopping() const { return system_stops_ || logind_prepares_; }
    void Up(BusLink& bus) override;
    void Down() override { matches_ = false; }

   private:
    void Match(BusLink& bus);
    void Read(BusLink& bus);

    SystemdLink* link_ = nullptr;
    bool matches_ = false;  // They stand on the present bus.
    bool system_stops_ = false;
    bool logind_prepares_ = false;
  };

  UnitWatches units_;
  FailedUnits failed_;
  RestartJobs restarts_;
  RebootCalls reboots_;
  Stopping stopping_;
  SystemdLink link_;  // Last: it is gone before those it calls.
};

}  // namespace salve

#endif  // SALVE_BASE_SD_BUS_SERVICE_MANAGER_H_

// FakeServiceManager: units that a test sets, jobs that it records and the test ends. On
// any loop (a SimulatedLoop, mostly). One thread only.
#ifndef SALVE_BASE_FAKE_SERVICE_MANAGER_H_
#define SALVE_BASE_FAKE_SERVICE_MANAGER_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/event_loop.h"
#include "base/service_manager.h"

namespace salve {

class FakeServiceManager final : public ServiceManager {
 public:
  explicit FakeServiceManager(EventLoop& loop) : loop_(loop) {}

  // Sets a unit's state and tells it to its watchers, soon. An error stands for itself:
  // kNotFound for a unit that is gone. Units that were never set are kNotFound.
  void SetUnit(const std::string& unit, absl::StatusOr<UnitState> state) {
    units_.insert_or_assign(unit, std::move(state));
    TellSoon(unit);
  }
  // Sets the units that are failed, whatever SetUnit says, and tells it to their watchers, soon.
  void SetFailedUnits(FailedUnitsList failed) {
    failed_ = std::move(failed);
    TellFailedSoon();
  }
  // What is set of a unit, to be changed and set again: `active`, loaded, if it is new.
  UnitState Unit(const std::string& unit) const {
    const auto it = units_.find(unit);
    if (it != units_.end() && it->second.ok()) return *it->second;
    UnitState state;
    state.id = unit;
    state.load_state = "loaded";
    state.active_state = "active";
    state.sub_state = "running";
    state.result = "success";
    state.restart = "no";
    return state;
  }

  // Whether there is a bus; without one everything is kUnavailable. Watchers are told.
  void SetConnected(bool connected) {
    connected_ = connected;
    for (const auto& [id, watch] : watches_) TellSoon(watch.unit);
    TellFailedSoon();
  }
  void SetStopping(bool stopping) { stopping_ = stopping; }
  // Makes every RestartUnit and ReloadUnit end with this error before it is queued, until OK is
  // set again.
  void SetRestartError(absl::Status error) { restart_error_ = std::move(error); }

  // How every Reboot is answered from now on; OK at first.
  void SetRebootAnswer(absl::Status answer) { reboot_answer_ = std::move(answer); }
  // All that were asked for, in order: whether by force.
  const std::vector<bool>& reboots() const { return reboots_; }

  struct Restart {
    std::string unit;
    Instant deadline;
    uint32_t job_id;
  };
  // All that were queued, in order.
  const std::vector<Restart>& restarts() const { return restarts_; }
  const std::vector<Restart>& reloads() const { return reloads_; }
  bool is_pending(uint32_t job_id) const { return pending_.contains(job_id); }
  const std::vector<uint32_t>& cancelled_jobs() const { return cancelled_; }

  // Ends such a job, soon; the states of the unit are the test's to set. Ignored
  // when it has ended, at its deadline say.
  void EndJob(uint32_t job_id, const std::string& result,
              const std::string& unit_result = "success") {
    Finish(job_id, JobResult{.result = result, .unit_result = unit_result, .job_id = job_id});
  }

  UnitWatchId WatchUnit(const std::string& unit, UnitCallback changed) override {
    const UnitWatchId id{++last_id_};
    watches_[id] = {unit, std::make_shared<UnitCallback>(std::move(changed))};
    loop_.Post([this, id] { Tell(id); });
    return id;
  }
  void UnwatchUnit(UnitWatchId id) override { watches_.erase(id); }

  FailedUnitsWatchId WatchFailedUnits(FailedUnitsCallback changed) override {
    const FailedUnitsWatchId id{++last_id_};
    failed_watches_[id] = std::make_shared<FailedUnitsCallback>(std::move(changed));
    loop_.Post([this, id] { TellFailed(id); });
    return id;
  }
  void UnwatchFailedUnits(FailedUnitsWatchId id) override { failed_watches_.erase(id); }

  void RestartUnit(const std::string& unit, Instant deadline, JobQueued queued,
                   JobDone done) override {
    Queue(restarts_, "restart", unit, deadline, std::move(queued), std::move(done));
  }
  void ReloadUnit(const std::string& unit, Instant deadline, JobQueued queued,
                  JobDone done) override {
    Queue(reloads_, "reload", unit, deadline, std::move(queued), std::move(done));
  }

  // The job ends as `canceled`.
  void CancelJob(uint32_t job_id) override {
    cancelled_.push_back(job_id);
    EndJob(job_id, "canceled");
  }
  void Reboot(bool force, Instant, RebootDone done) override {
    reboots_.push_back(force);
    loop_.Post([answer = connected_ ? reboot_answer_ : NoBus(), done = std::move(done)]() mutable {
      done(answer);
    });
  }
  bool IsStopping() const override { return stopping_; }

 private:
  struct Watch {
    std::string unit;
    std::shared_ptr<UnitCallback> changed;
  };
  struct Pending {
    JobDone done;
    TimerId timer = TimerId::kNone;
  };

  void Queue(std::vector<Restart>& jobs, const char* what, const std::string& unit,
             Instant deadline, JobQueued queued, JobDone done) {
    loop_.Post([this, &jobs, what, unit, deadline, queued = std::move(queued),
                done = std::move(done)]() mutable {
      if (!connected_) return done(NoBus());
      if (!restart_error_.ok()) return done(restart_error_);
      if (const auto state = StateOf(unit); !state.ok()) return done(state.status());
      const uint32_t job_id = ++last_job_;
      jobs.push_back({unit, deadline, job_id});
      Pending& pending = pending_[job_id];
      pending.done = std::move(done);
      pending.timer = loop_.CallAt(deadline, [this, job_id, what] {
        cancelled_.push_back(job_id);
        Finish(job_id,
               absl::DeadlineExceededError(absl::StrCat("the ", what, " did not end in time")));
      });
      queued(job_id);
    });
  }
  static absl::Status NoBus() { return absl::UnavailableError("systemd cannot be asked now"); }

  absl::StatusOr<UnitState> StateOf(const std::string& unit) const {
    if (!connected_) return NoBus();
    const auto it = units_.find(unit);
    if (it != units_.end()) return it->second;
    return absl::NotFoundError(absl::StrCat(unit, ": no such unit"));
  }
  void TellSoon(const std::string& unit) {
    for (const auto& [id, watch] : watches_) {
      if (watch.unit == unit) loop_.Post([this, id = id] { Tell(id); });
    }
  }
  void Tell(UnitWatchId id) {
    const auto it = watches_.find(id);
    if (it == watches_.end()) return;
    const std::shared_ptr<UnitCallback> changed = it->second.changed;
    (*changed)(StateOf(it->second.unit));
  }
  void TellFailedSoon() {
    for (const auto& [id, changed] : failed_watches_) {
      loop_.Post([this, id = id] { TellFailed(id); });
    }
  }
  void TellFailed(FailedUnitsWatchId id) {
    const auto it = failed_watches_.find(id);
    if (it == failed_watches_.end()) return;
    const std::shared_ptr<FailedUnitsCallback> changed = it->second;
    (*changed)(connected_ ? absl::StatusOr<FailedUnitsList>(failed_) : NoBus());
  }
  void Finish(uint32_t job_id, absl::StatusOr<JobResult> result) {
    auto node = pending_.extract(job_id);
    if (node.empty()) return;
    loop_.CancelTimer(node.mapped().timer);
    loop_.Post([done = std::move(node.mapped().done), result = std::move(result)]() mutable {
      done(std::move(result));
    });
  }

  EventLoop& loop_;
  bool connected_ = true;
  bool stopping_ = false;
  absl::Status restart_error_ = absl::OkStatus();
  absl::Status reboot_answer_ = absl::OkStatus();
  uint64_t last_id_ = 0;
  uint32_t last_job_ = 0;
  std::map<std::string, absl::StatusOr<UnitState>> units_;
  std::map<UnitWatchId, Watch> watches_;
  FailedUnitsList failed_;
  std::map<FailedUnitsWatchId, std::shared_ptr<FailedUnitsCallback>> failed_watches_;
  std::map<uint32_t, Pending> pending_;
  std::vector<Restart> restarts_;
  std::vector<Restart> reloads_;
  std::vector<bool> reboots_;
  std::vector<uint32_t> cancelled_;
};

}  // namespace salve

#endif  // SALVE_BASE_FAKE_SERVICE_MANAGER_H_

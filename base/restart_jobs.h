// RestartJobs: restarts and reloads that were asked of systemd, from the call to the end of the
// job. Lives on the loop's thread.
#ifndef SALVE_BASE_RESTART_JOBS_H_
#define SALVE_BASE_RESTART_JOBS_H_

#include <systemd/sd-bus.h>

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bus_link.h"
#include "base/event_loop.h"
#include "base/service_manager.h"
#include "base/systemd_link.h"

namespace salve {

class RestartJobs final : public SystemdLink::User {
 public:
  explicit RestartJobs(EventLoop& loop) : loop_(loop) {}
  ~RestartJobs() override;

  // Requires: `link` is this object's own and outlived by it.
  void SetLink(SystemdLink* link) { link_ = link; }

  // As ServiceManager::RestartUnit, ReloadUnit and CancelJob.
  void Restart(const std::string& unit, Instant deadline, JobQueued queued, JobDone done);
  void Reload(const std::string& unit, Instant deadline, JobQueued queued, JobDone done);
  void Cancel(uint32_t job_id);

  void Up(BusLink& bus) override;
  void Down() override;

 private:
  enum class Phase {
    kWaiting,  // For the first connection.
    kCalled,   // systemd has not answered yet.
    kQueued,   // Its job is in the queue or running.
    kEnded,    // Only the unit's result is still to be read.
  };
  // What is asked for: the D-Bus call, and a word for it.
  struct Verb {
    const char* member;
    const char* name;
  };
  static constexpr Verb kRestart = {"RestartUnit", "restart"};
  static constexpr Verb kReload = {"ReloadUnit", "reload"};

  struct Job {
    Verb verb;
    std::string unit;
    Instant deadline;
    JobQueued queued;
    JobDone done;
    Phase phase = Phase::kWaiting;
    std::string path;
    JobResult result;
    TimerId timer = TimerId::kNone;
  };

  void Ask(Verb verb, const std::string& unit, Instant deadline, JobQueued queued, JobDone done);
  Job* Find(uint64_t id, Phase phase);
  void Call(uint64_t id, Job& job);
  void TakeAnswer(uint64_t id, const absl::StatusOr<sd_bus_message*>& reply);
  void TakeRemoved(sd_bus_message* signal);
  void JobEnded(uint64_t id, const std::string& result);
  void TakeUnitPath(uint64_t id, const absl::StatusOr<sd_bus_message*>& reply);
  void TakeUnitState(uint64_t id, const absl::StatusOr<sd_bus_message*>& reply);
  void LookForJob(uint64_t id);
  void OutOfTime(uint64_t id);
  void Finish(uint64_t id, absl::StatusOr<JobResult> result);

  EventLoop& loop_;
  SystemdLink* link_ = nullptr;
  BusMatchId match_ = BusMatchId::kNone;
  uint64_t last_id_ = 0;
  std::map<uint64_t, Job> jobs_;
  // The latest jobs that ended, path and result, while an answer is outstanding: the end of a
  // job may arrive before the answer that names it.
  std::deque<std::pair<std::string, std::string>> early_ends_;
};

}  // namespace salve

#endif  // SALVE_BASE_RESTART_JOBS_H_

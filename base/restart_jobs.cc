#include "base/restart_jobs.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/systemd_values.h"

namespace salve {
namespace {

constexpr absl::Duration kAnswerTimeout = absl::Seconds(5);
constexpr size_t kEarlyEndsMax = 256;  // Then the oldest are forgotten.

// The result of a job whose end nobody told us, after a reconnect: GetJob knows it no more.
constexpr char kUnseen[] = "";

absl::Status NoBus(absl::string_view unit) {
  return absl::UnavailableError(absl::StrCat(unit, ": systemd cannot be asked now"));
}

}  // namespace

RestartJobs::~RestartJobs() {
  for (auto& [id, job] : jobs_) loop_.CancelTimer(job.timer);
}

void RestartJobs::Restart(const std::string& unit, Instant deadline, JobQueued queued,
                          JobDone done) {
  Ask(kRestart, unit, deadline, std::move(queued), std::move(done));
}

void RestartJobs::Reload(const std::string& unit, Instant deadline, JobQueued queued,
                         JobDone done) {
  Ask(kReload, unit, deadline, std::move(queued), std::move(done));
}

void RestartJobs::Ask(Verb verb, const std::string& unit, Instant deadline, JobQueued queued,
                      JobDone done) {
  const uint64_t id = ++last_id_;
  Job& job = jobs_[id];
  job.verb = verb;
  job.unit = unit;
  job.deadline = deadline;
  job.queued = std::move(queued);
  job.done = std::move(done);
  if (link_->is_down()) {
    job.timer = loop_.CallAfter(absl::ZeroDuration(),
                                [this, id, status = NoBus(unit)] { Finish(id, status); });
    return;
  }
  job.timer =
      loop_.CallAt(std::min(deadline, loop_.Now() + kAnswerTimeout), [this, id] { OutOfTime(id); });
  if (link_->bus() != nullptr) Call(id, job);
}

void RestartJobs::Cancel(uint32_t job_id) {
  if (link_->bus() == nullptr) return;
  link_->bus()->Call(
      {kSystemd, kSystemdPath, kManagerInterface, "CancelJob"},
      [](const absl::StatusOr<sd_bus_message*>&) {}, "u", job_id);
}

void RestartJobs::Up(BusLink&) {
  if (match_ == BusMatchId::kNone) {
    match_ = link_->MatchSignal(kSystemdPath, kManagerInterface, ",member='JobRemoved'",
                                [this](sd_bus_message* signal) { TakeRemoved(signal); });
  }
  for (auto& [id, job] : jobs_) {
    if (job.phase == Phase::kWaiting) Call(id, job);
    if (job.phase == Phase::kQueued) LookForJob(id);
  }
}

void RestartJobs::Down() {
  match_ = BusMatchId::kNone;
  early_ends_.clear();
  std::vector<uint64_t> lost;
  for (auto& [id, job] : jobs_) {
    // A queued job goes on without us; it is looked for when the bus is back.
    if (job.phase != Phase::kQueued) lost.push_back(id);
  }
  for (uint64_t id : lost) {
    const auto it = jobs_.find(id);
    if (it == jobs_.end()) continue;
    if (it->second.phase == Phase::kEnded) {
      Finish(id, it->second.result);
    } else {
      Finish(id, NoBus(it->second.unit));
    }
  }
}

RestartJobs::Job* RestartJobs::Find(uint64_t id, Phase phase) {
  const auto it = jobs_.find(id);
  return it == jobs_.end() || it->second.phase != phase ? nullptr : &it->second;
}

void RestartJobs::Call(uint64_t id, Job& job) {
  job.phase = Phase::kCalled;
  // The answer is awaited for ever: when it comes after we gave up, its job must be cancelled.
  link_->bus()->Call(
      {kSystemd, kSystemdPath, kManagerInterface, job.verb.member, absl::InfiniteDuration()},
      [this, id](const absl::StatusOr<sd_bus_message*>& reply) { TakeAnswer(id, reply); }, "ss",
      job.unit.c_str(), "fail");
}

void RestartJobs::TakeAnswer(uint64_t id, const absl::StatusOr<sd_bus_message*>& reply) {
  Job* job = Find(id, Phase::kCalled);
  const char* path = nullptr;
  if (!reply.ok() || sd_bus_message_read(*reply, "o", &path) < 0) {
    if (job == nullptr) return;
    return Finish(id,
                  absl::Status(reply.ok() ? absl::StatusCode::kUnavailable : reply.status().code(),
                               absl::StrCat(job->unit, ": ", reply.status().message())));
  }
  const uint32_t job_id = JobIdOfPath(path);
  if (job == nullptr) return Cancel(job_id);

  job->phase = Phase::kQueued;
  job->path = path;
  job->result.job_id = job_id;
  loop_.CancelTimer(job->timer);
  job->timer = loop_.CallAt(job->deadline, [this, id] { OutOfTime(id); });
  const auto early = std::find_if(early_ends_.begin(), early_ends_.end(),
                                  [&](const auto& end) { return end.first == job->path; });
  const std::string early_result = early == early_ends_.end() ? "" : early->second;
  JobQueued queued = std::move(job->queued);
  queued(job_id);
  if (!early_result.empty()) JobEnded(id, early_result);
}

void RestartJobs::TakeRemoved(sd_bus_message* signal) {
  uint32_t number = 0;
  const char *path, *unit, *result;
  if (sd_bus_message_read(signal, "uoss", &number, &path, &unit, &result) < 0) return;
  // systemd joins equal jobs: several requests may wait for the same one.
  std::vector<uint64_t> ended;
  bool expects_answer = false;
  for (auto& [id, job] : jobs_) {
    if (job.phase == Phase::kQueued && job.path == path) ended.push_back(id);
    expects_answer |= job.phase == Phase::kCalled;
  }
  for (uint64_t id : ended) JobEnded(id, result);
  if (!expects_answer) return early_ends_.clear();
  early_ends_.emplace_back(path, result);
  if (early_ends_.size() > kEarlyEndsMax) early_ends_.pop_front();
}

void RestartJobs::JobEnded(uint64_t id, const std::string& result) {
  Job* job = Find(id, Phase::kQueued);
  if (job == nullptr) return;
  job->phase = Phase::kEnded;
  job->result.result = result;
  link_->bus()->Call(
      {kSystemd, kSystemdPath, kManagerInterface, "LoadUnit"},
      [this, id](const absl::StatusOr<sd_bus_message*>& reply) { TakeUnitPath(id, reply); }, "s",
      job->unit.c_str());
}

void RestartJobs::TakeUnitPath(uint64_t id, const absl::StatusOr<sd_bus_message*>& reply) {
  const char* path = nullptr;
  if (!reply.ok() || sd_bus_message_read(*reply, "o", &path) < 0) {
    return TakeUnitState(id, absl::UnavailableError("no path"));
  }
  link_->bus()->Call(
      {kSystemd, path, kPropertiesInterface, "GetAll"},
      [this, id](const absl::StatusOr<sd_bus_message*>& answer) { TakeUnitState(id, answer); }, "s",
      "");
}

void RestartJobs::TakeUnitState(uint64_t id, const absl::StatusOr<sd_bus_message*>& reply) {
  Job* job = Find(id, Phase::kEnded);
  if (job == nullptr) return;
  UnitState unit;
  if (reply.ok()) MergeProperties(*reply, unit).IgnoreError();
  job->result.unit_result = unit.result;
  if (job->result.result == kUnseen) {
    job->result.result = unit.active_state == "active" ? "done" : "failed";
  }
  Finish(id, job->result);
}

void RestartJobs::LookForJob(uint64_t id) {
  link_->bus()->Call(
      {kSystemd, kSystemdPath, kManagerInterface, "GetJob"},
      [this, id](const absl::StatusOr<sd_bus_message*>& reply) {
        // Still there: its end will be told. No answer at all: the next Up, or the deadline.
        if (!reply.ok() && absl::IsNotFound(reply.status())) JobEnded(id, kUnseen);
      },
      "u", jobs_.at(id).result.job_id);
}

void RestartJobs::OutOfTime(uint64_t id) {
  const auto it = jobs_.find(id);
  if (it == jobs_.end()) return;
  const Job& job = it->second;
  switch (job.phase) {
    case Phase::kEnded:
      return Finish(id, job.result);
    case Phase::kQueued:
      Cancel(job.result.job_id);
      break;
    case Phase::kWaiting:
    case Phase::kCalled:
      if (loop_.Now() >= job.deadline) break;
      return Finish(
          id, absl::UnavailableError(absl::StrCat(job.unit, ": systemd did not answer within ",
                                                  absl::FormatDuration(kAnswerTimeout))));
  }
  Finish(id, absl::DeadlineExceededError(
                 absl::StrCat(job.unit, ": the ", job.verb.name, " did not end in time")));
}

void RestartJobs::Finish(uint64_t id, absl::StatusOr<JobResult> result) {
  auto node = jobs_.extract(id);
  if (node.empty()) return;
  loop_.CancelTimer(node.mapped().timer);
  node.mapped().done(std::move(result));
}

}  // namespace salve

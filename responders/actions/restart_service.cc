#include "responders/actions/restart_service.h"

#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/unit_name.h"
#include "responders/actions/job_end.h"
#include "responders/actions/run_command.h"

namespace salve {
namespace {

// A unit of Type=simple is "active" for some milliseconds before a missing binary shows, so the
// first look after the job is too early (docs/ARCHITECTURE.md).
constexpr absl::Duration kLookAfterJob = absl::Milliseconds(50);

// How long `failed` must last, of a unit with Restart=, before it means that systemd has given up:
// `auto-restart` was seen to follow it within 3.3 ms.
constexpr absl::Duration kFailedMustHold = absl::Milliseconds(150);

class RestartUnitAction final : public Action {
 public:
  RestartUnitAction(std::string unit, bool heal_clean_stop, const ActionEnvironment& environment)
      : unit_(std::move(unit)),
        heal_clean_stop_(heal_clean_stop),
        loop_(environment.loop),
        services_(environment.services) {
    watch_ = services_.WatchUnit(
        unit_, [this](const absl::StatusOr<UnitState>& state) { Changed(state); });
  }
  ~RestartUnitAction() override {
    *alive_ = false;
    loop_.CancelTimer(look_);
    loop_.CancelTimer(holds_);
    services_.UnwatchUnit(watch_);
  }

  std::string id() const override { return "RestartService"; }
  std::string resource() const override { return canonical_.empty() ? unit_ : canonical_; }
  void Watch(std::function<void()> changed) override { changed_ = std::move(changed); }

  Readiness Check() const override {
    if (services_.IsStopping()) return {Readiness::Kind::kLeave, "the system is stopping"};
    if (!state_.ok()) {
      // A unit that is not there is tried, and the result says so; a bus that is away is awaited.
      if (absl::IsNotFound(state_.status())) return {};
      return {Readiness::Kind::kWait, std::string(state_.status().message())};
    }
    // A file that is gone, of a unit that is still known, is no sign that somebody stopped it.
    if (state_->load_state == "not-found") return {};
    if (state_->load_state == "masked") {
      return {Readiness::Kind::kLeave, absl::StrCat(state_->id, " is masked")};
    }
    if (IsBusy(*state_)) {
      return {Readiness::Kind::kWait,
              absl::StrCat("systemd itself acts on ", state_->id, " (", state_->active_state, "/",
                           state_->sub_state,
                           state_->job_id == 0 ? "" : absl::StrCat(", job ", state_->job_id), ")")};
    }
    if (WillRestartItself(*state_)) {
      return {Readiness::Kind::kWait, absl::StrCat(state_->id, " has Restart=", state_->restart,
                                                   ": systemd is given its turn")};
    }
    const bool clean_stop = state_->active_state == "inactive" && state_->result == "success";
    if (clean_stop && !heal_clean_stop_ && our_job_ == 0) {
      return {Readiness::Kind::kLeave, absl::StrCat(state_->id, " was stopped on purpose")};
    }
    return {};
  }

  // A job that is cancelled halfway through its own time limits would leave the unit down.
  absl::Duration Needs() const override {
    if (!state_.ok()) return absl::ZeroDuration();
    const absl::Duration sum = state_->timeout_stop + state_->timeout_start;
    return sum == absl::InfiniteDuration() ? absl::ZeroDuration() : sum + absl::Seconds(5);
  }

  std::string Plan() const override {
    return absl::StrCat(
        "restarts ", resource(), " over D-Bus in job mode `fail` and awaits that ", "it is active",
        state_.ok() ? absl::StrCat("; it is ", state_->active_state, "/", state_->sub_state, " now")
                    : "");
  }

  void Run(Instant deadline, RecordEffect record, ActionDone done) override {
    done_ = std::move(done);
    record_ = std::move(record);
    job_.clear();
    services_.RestartUnit(
        unit_, deadline,
        [this, alive = alive_](uint32_t job) {
          if (*alive) Queued(job);
        },
        [this, alive = alive_](absl::StatusOr<JobResult> result) {
          if (*alive) JobEnded(std::move(result));
        });
  }

 private:
  void Changed(const absl::StatusOr<UnitState>& state) {
    const bool failed = state.ok() && state->active_state == "failed";
    // One that failed again since is told by its invocation, should the time between go unseen.
    const bool failed_before = state_.ok() && state_->active_state == "failed" && failed &&
                               state_->invocation_id == state->invocation_id;
    state_ = state;
    if (state_.ok()) {
      canonical_ = state_->id;
      if (state_->job_id != 0 && state_->job_id != our_job_) our_job_ = 0;
      if (done_ == nullptr) ForgetOurJobIfActive();
    }
    if (failed && !failed_before) {
      failed_since_ = loop_.Now();
      loop_.CancelTimer(holds_);
      holds_ = loop_.CallAfter(kFailedMustHold, [this] {
        if (changed_) changed_();
      });
    }
    if (changed_) changed_();
  }

  // A failed unit that systemd restarts shows as `failed` for some milliseconds first; the state
  // must hold before anybody else acts. The watch tells when it has gone on to auto-restart; one
  // that stays failed has been given up (start-limit-hit), or Restart= does not cover it.
  bool WillRestartItself(const UnitState& state) const {
    if (state.active_state != "failed" || state.restart.empty() || state.restart == "no") {
      return false;
    }
    return loop_.Now() - failed_since_ < kFailedMustHold;
  }

  void ForgetOurJobIfActive() {
    if (state_.ok() && state_->active_state == "active") our_job_ = 0;
  }

  void Queued(uint32_t job) {
    our_job_ = job;
    job_ = absl::StrCat("job=", job, " unit=", resource());
    record_(job_,
            [](absl::Status) {});  // The attempt itself is on disk; this only helps a restart.
  }

  void JobEnded(absl::StatusOr<JobResult> result) {
    if (result.ok() && result->result == "done") {
      look_ = loop_.CallAfter(kLookAfterJob, [this] { LookAtUnit(); });
      return;
    }
    // By somebody who wants something else.
    if (result.ok() && result->result == "canceled") our_job_ = 0;
    Finish(BadJobEnd("restart", resource(), result, job_));
  }

  void LookAtUnit() {
    if (!state_.ok()) {
      Finish({ActionResult::Kind::kFailed, "UnitUnknown", std::string(state_.status().message()),
              job_});
      return;
    }
    const std::string context = absl::StrCat(job_, " ", state_->active_state, "/",
                                             state_->sub_state, " main_pid=", state_->main_pid);
    if (state_->active_state == "active" || state_->active_state == "reloading") {
      Finish({ActionResult::Kind::kSucceeded, "", "", context});
      return;
    }
    Finish({ActionResult::Kind::kFailed, "NotActive",
            absl::StrCat("the job was done, but ", resource(), " is ", state_->active_state, "/",
                         state_->sub_state, ", result ", state_->result),
            context});
  }

  void Finish(ActionResult result) {
    ForgetOurJobIfActive();
    ActionDone done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

  const std::string unit_;
  const bool heal_clean_stop_;
  EventLoop& loop_;
  ServiceManager& services_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  UnitWatchId watch_ = UnitWatchId::kNone;
  absl::StatusOr<UnitState> state_ = absl::UnavailableError("systemd has not answered yet");
  std::string canonical_;
  Instant failed_since_;
  std::function<void()> changed_;
  RecordEffect record_;
  ActionDone done_;
  std::string job_;
  // Our last job, as long as the unit, should it be stopped, was stopped by it and by nobody
  // else: it failed or was cancelled at its deadline halfway. 0 = none.
  uint32_t our_job_ = 0;
  TimerId look_ = TimerId::kNone;
  TimerId holds_ = TimerId::kNone;
};

}  // namespace

absl::Status CheckRestartService(const config::RestartService& config) {
  if (config.service().empty()) {
    return absl::InvalidArgumentError("restart_service.service: names no service");
  }
  if (config.command().empty() && !IsUnitName(config.service())) {
    return absl::InvalidArgumentError(
        absl::StrCat("restart_service.service: no unit can be named '",
                     absl::CHexEscape(config.service().substr(0, 64)), "'"));
  }
  if (!config.command().empty() && config.command(0).empty()) {
    return absl::InvalidArgumentError("restart_service.command: the argv begins empty");
  }
  return absl::OkStatus();
}

std::unique_ptr<Action> NewRestartService(const config::RestartService& config,
                                          const ActionEnvironment& environment) {
  if (!config.command().empty()) {
    return NewCommandAction("RestartService", config.service(),
                            {config.command().begin(), config.command().end()}, {}, environment);
  }
  return std::make_unique<RestartUnitAction>(UnitName(config.service()), config.heal_clean_stop(),
                                             environment);
}

}  // namespace salve

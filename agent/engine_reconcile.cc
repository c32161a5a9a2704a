// What an earlier life of the agent left in progress: its attempts count whatever becomes of
// them here; an effect that outlived the agent is awaited, never doubled.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/engine_items.h"
#include "base/log.h"

namespace salve {
namespace {

constexpr absl::Duration kSettleOfOutlived = absl::Seconds(15);

// The number after `name=` in an effect such as "pid=12 start=345"; 0 when it is not there.
uint64_t NumberIn(absl::string_view effect, absl::string_view name) {
  for (absl::string_view part : absl::StrSplit(effect, ' ')) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    uint64_t number;
    if (field.first == name && absl::SimpleAtoi(field.second, &number)) return number;
  }
  return 0;
}

}  // namespace

void Engine::Reconcile(const std::set<std::string>& held) {
  std::vector<Attempt> left;
  for (const Attempt* attempt : parts_.ledger.Unfinished()) {
    if (!held.contains(attempt->id)) left.push_back(*attempt);
  }
  for (const Attempt& attempt : left) ReconcileAttempt(attempt);
}

void Engine::ReconcileAttempt(const Attempt& attempt) {
  const bool rebooted = attempt.boot_id != parts_.boot_id;
  if (rebooted && attempt.action == RecoveryAction::kRebootServer) {
    FinishAttempt(attempt.id, {AttemptResult::kSucceeded, "", "", "the server has booted"});
    return;
  }
  if (attempt.action == RecoveryAction::kRebootServer && !attempt.effect.empty()) {
    auto& outlived = outlived_[attempt.id] = std::make_unique<Outlived>();
    AwaitReboot(attempt, *outlived);
    return;
  }
  const ProcessIdentity process{static_cast<pid_t>(NumberIn(attempt.effect, "pid")),
                                NumberIn(attempt.effect, "start")};
  if (!rebooted && process.pid > 0) {
    const auto running = IdentifyProcess(parts_.host.proc(), process.pid);
    if (running.ok() && *running == process) {
      auto outlived = std::make_unique<Outlived>();
      AwaitProcess(attempt, *outlived, process);
      outlived_[attempt.id] = std::move(outlived);
      return;
    }
  }
  // A job may have been queued although its number was not written any more: systemd knows.
  const bool has_job =
      attempt.action == RecoveryAction::kRestartService ||
      (attempt.action == RecoveryAction::kResetPool && NumberIn(attempt.effect, "job") != 0);
  const bool of_unit = has_job && process.pid == 0 && absl::StrContains(attempt.resource, '.');
  if (!rebooted && of_unit) {
    auto& outlived = outlived_[attempt.id] = std::make_unique<Outlived>();
    AwaitUnit(attempt, *outlived);
    return;
  }
  FinishAttempt(attempt.id,
                {AttemptResult::kCrashed, "AgentCrashed", "the agent ended before the action did",
                 attempt.effect.empty() ? "no effect had begun" : attempt.effect});
}

// Until CloseOutlived its resource is busy and its monitors suppressed. Returns what is left of its
// time.
absl::Duration Engine::HoldFor(const Attempt& attempt, Outlived& outlived, std::string key) {
  outlived.attempt_id = attempt.id;
  outlived.resource_key = std::move(key);
  Occupy(outlived.resource_key);
  Suppress(outlived.resource_key);
  return std::max(absl::ZeroDuration(), attempt.timeout - parts_.ledger.AgeOf(attempt));
}

void Engine::AwaitProcess(const Attempt& attempt, Outlived& outlived, ProcessIdentity process) {
  const absl::Duration left = HoldFor(attempt, outlived, absl::AsciiStrToLower(attempt.resource));
  const std::string id = attempt.id;
  const absl::StatusOr<int> pidfd = parts_.host.OpenProcess(process.pid);
  const auto ended = [this, id, effect = attempt.effect](int) {
    CloseOutlived(id,
                  {AttemptResult::kCrashed, "AgentCrashed",
                   "it outlived the agent and has ended; its exit status is not known", effect});
  };
  if (!pidfd.ok()) {  // It has ended meanwhile; not inside this call.
    parts_.loop.Post([alive = alive_, ended] {
      if (*alive) ended(0);
    });
    return;
  }
  outlived.pidfd = *pidfd;
  outlived.process_watch = parts_.loop.WatchFd(*pidfd, kReadable, ended);
  outlived.deadline = parts_.loop.CallAfter(left, [this, id, process] {
    KillProcessGroup(parts_.host.proc(), process).IgnoreError();
    CloseOutlived(id, {AttemptResult::kTimedOut, "TimedOut",
                       "it outlived the agent and was killed at its deadline", ""});
  });
}

void Engine::AwaitUnit(const Attempt& attempt, Outlived& outlived) {
  const absl::Duration left = HoldFor(attempt, outlived, absl::AsciiStrToLower(attempt.resource));
  const std::string id = attempt.id;
  const auto close = [this, id](AttemptResult result, std::string name, std::string message) {
    // Not inside the watch's own callback, which ends with the watch.
    parts_.loop.Post([this, alive = alive_, id,
                      end = AttemptEnd{result, std::move(name), std::move(message), ""}] {
      if (*alive) CloseOutlived(id, end);
    });
  };
  // Its job by number, where that was written; another one is somebody else's.
  const uint32_t ours = static_cast<uint32_t>(NumberIn(attempt.effect, "job"));
  outlived.watch = parts_.services.WatchUnit(
      attempt.resource, [this, id, close, ours](const absl::StatusOr<UnitState>& state) {
        const auto found = outlived_.find(id);
        if (found == outlived_.end()) return;
        if (!state.ok()) {
          if (absl::IsNotFound(state.status())) {
            close(AttemptResult::kCrashed, "AgentCrashed", std::string(state.status().message()));
          }
          return;  // systemd can't be asked now: the deadline ends it.
        }
        if (state->job_id != 0 && (ours == 0 || state->job_id == ours)) {
          found->second->seen_running = true;
          found->second->job_id = state->job_id;
          return;
        }
        if (!found->second->seen_running) {
          close(AttemptResult::kCrashed, "AgentCrashed", "the agent ended before the action did");
        } else if (state->active_state == "active") {
          close(AttemptResult::kSucceeded, "", "");
        } else {
          close(AttemptResult::kFailed, "NotActive",
                absl::StrCat("its job outlived the agent; ", state->id, " is ", state->active_state,
                             "/", state->sub_state));
        }
      });
  outlived.deadline = parts_.loop.CallAfter(left, [this, id, close, ours] {
    const auto found = outlived_.find(id);
    if (found == outlived_.end()) return;
    if (ours != 0 && found->second->job_id == ours)
      parts_.services.CancelJob(found->second->job_id);
    close(AttemptResult::kTimedOut, "TimedOut", "not known to have ended by its deadline");
  });
}

// It was asked for, and may still come: nothing but the next boot or the deadline tells.
void Engine::AwaitReboot(const Attempt& attempt, Outlived& outlived) {
  const absl::Duration left = HoldFor(attempt, outlived, ServerKey());
  outlived.deadline = parts_.loop.CallAfter(left, [this, id = attempt.id, effect = attempt.effect] {
    CloseOutlived(id, {AttemptResult::kTimedOut, "NotRebooted",
                       "the server is still up at the deadline", effect});
  });
}

bool Engine::IsRebooting() const {
  const std::vector<const Attempt*> unfinished = parts_.ledger.Unfinished();
  return std::any_of(unfinished.begin(), unfinished.end(), [](const Attempt* attempt) {
    return attempt->action == RecoveryAction::kRebootServer && !attempt->effect.empty();
  });
}

void Engine::CloseOutlived(const std::string& attempt_id, AttemptEnd end) {
  auto node = outlived_.extract(attempt_id);
  if (node.empty()) return;
  EndWatches(*node.mapped());
  const std::string key = node.mapped()->resource_key;
  FinishAttempt(attempt_id, std::move(end), [this, key] { Vacate(key); });
  if (SettleOutlived(attempt_id, key)) return;
  parts_.loop.CallAfter(kSettleOfOutlived, [this, alive = alive_, key] {
    if (!*alive) return;
    Unsuppress(key);
    ConsiderAll();
  });
}

void Engine::EndWatches(Outlived& outlived) {
  parts_.loop.CancelTimer(outlived.deadline);
  parts_.loop.UnwatchFd(outlived.process_watch);
  parts_.services.UnwatchUnit(outlived.watch);
  if (outlived.pidfd >= 0) close(outlived.pidfd);
  outlived.pidfd = -1;
}

}  // namespace salve

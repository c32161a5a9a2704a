// What a person asks the engine to do: run an action, look now, take a report.
#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"
#include "base/fault.h"
#include "config/names.h"

namespace salve {

absl::StatusOr<std::pair<Engine::MonitorPtr, size_t>> Engine::FindResponder(
    const std::string& name) const {
  std::vector<std::string> known;
  for (const auto& [monitor, item] : monitors_) {
    for (size_t i = 0; i < item->responders.size(); ++i) {
      const ResponderDefinition& definition = item->responders[i].definition;
      if (definition.name == name || FullName(definition) == name) return std::pair(item, i);
      known.push_back(definition.name);
    }
  }
  if (FindAside(name) != nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name, "' is no recovery action: it runs by itself and has no limits"));
  }
  return absl::NotFoundError(absl::StrCat("no responder '", name, "'", DidYouMean(name, known)));
}

const Engine::AsideItem* Engine::FindAside(const std::string& name) const {
  for (const auto& [monitor, item] : monitors_) {
    for (const AsideItem& aside : item->asides) {
      if (aside.definition.name == name || FullName(aside.definition) == name) return &aside;
    }
  }
  return nullptr;
}

void Engine::RunManually(const v1::RunActionRequest& request,
                         std::function<void(absl::StatusOr<v1::RunActionResponse>)> done) {
  auto run = std::make_shared<ManualRun>();
  run->done = std::move(done);
  run->dry_run = request.dry_run();
  if (request.defer() && !request.dry_run()) run->defer = request;
  run->request.requester =
      absl::StrCat("operator:", request.user().empty() ? "unknown" : request.user());
  FindAndAsk(request, run);
}

void Engine::RunDeferred(const v1::RunActionRequest& request, const std::string& requester,
                         std::function<void(absl::StatusOr<v1::RunActionResponse>)> done) {
  auto run = std::make_shared<ManualRun>();
  run->done = std::move(done);
  run->request.requester = requester;
  FindAndAsk(request, run);
}

void Engine::FindAndAsk(const v1::RunActionRequest& request,
                        const std::shared_ptr<ManualRun>& run) {
  run->reason = request.reason();
  const std::string requester = run->request.requester;
  if (!request.responder().empty()) {
    if (run->dry_run) {
      if (const AsideItem* aside = FindAside(request.responder())) {
        v1::RunActionResponse response;
        response.set_plan(absl::StrCat(aside->action->Plan(), "; by itself, and without limits"));
        response.set_allowed(true);
        return run->done(std::move(response));
      }
    }
    auto found = FindResponder(request.responder());
    if (!found.ok()) return run->done(found.status());
    std::tie(run->item, run->index) = *found;
    run->settle = run->item->responders[run->index].definition.settle;
    if (run->action().is_throttled()) run->request = RequestOf(*run->item, run->index);
  } else {
    const absl::StatusOr<RecoveryAction> action = ParseAction(request.action());
    if (!action.ok()) return run->done(action.status());
    if (*action != RecoveryAction::kRestartService || request.resource().empty()) {
      return run->done(absl::InvalidArgumentError(
          "by ACTION RESOURCE only RestartService UNIT can be run; name a responder instead"));
    }
    config::Responder config;
    config.mutable_restart_service()->set_service(request.resource());
    auto made = parts_.new_action(config);
    if (!made.ok()) return run->done(made.status());
    run->own = *std::move(made);
    run->request.action = *action;
  }
  run->request.requester = requester;
  const bool was_deferred = !run->dry_run && absl::StartsWith(requester, "deferred:");
  if (was_deferred && !run->action().is_throttled()) {
    return run->done(absl::NotFoundError(absl::StrCat(
        "'", request.responder(), "' is another action now, which passes no throttle")));
  }
  if (was_deferred && run->item != nullptr && !IsOn(*run, request.resource())) {
    // Its resource has no name of its own before systemd has answered.
    const Readiness ready = run->action().Check();
    if (ready.kind == Readiness::Kind::kWait) {
      v1::RunActionResponse response;
      response.set_refused_because(ready.reason);
      return run->done(std::move(response));
    }
    return run->done(absl::AbortedError(absl::StrCat("it was accepted for ", request.resource(),
                                                     "; '", request.responder(), "' acts on ",
                                                     run->action().resource(), " now")));
  }
  if (run->defer.has_value() && !run->action().is_throttled()) {
    return run->done(absl::InvalidArgumentError(
        absl::StrCat("'", request.responder(), "' passes no throttle: there is nothing that it ",
                     "could wait for; run it without --defer")));
  }
  if (!run->dry_run && absl::StartsWith(requester, "operator:")) {
    AppendAgentEvent(10, v1::Information,
                     absl::StrCat("action run ", run->defer.has_value() ? "--defer " : "",
                                  run->action().id(), " ", run->action().resource(),
                                  request.reason().empty() ? "" : ": ", request.reason()),
                     0, request.user());
  }
  if (run->item != nullptr) return AskManually(run);
  std::erase_if(manual_runs_, [](const auto& old) { return old.expired(); });
  manual_runs_.push_back(run);
  // The unit's own name is the throttle's key: it is known when systemd has answered.
  const auto ask = [this, alive = alive_, weak = std::weak_ptr<ManualRun>(run)] {
    const auto asked = weak.lock();
    if (!*alive || !asked || asked->asked) return;
    if (asked->own->Check().kind == Readiness::Kind::kWait) return;
    asked->asked = true;
    AskManually(asked);
  };
  run->own->Watch(ask);
  parts_.loop.CallAfter(kLookAgain, [this, alive = alive_, ask, run] {
    ask();
    if (!*alive || std::exchange(run->asked, true)) return;
    if (run->defer.has_value()) {  // Its turn comes when systemd answers.
      run->request.resource = run->own->resource();
      return Defer(run);
    }
    v1::RunActionResponse response;
    if (run->dry_run) response.set_plan(run->own->Plan());
    response.set_refused_because(run->own->Check().reason);
    run->done(std::move(response));
  });
}

// Whether it acts on this resource, by the system's name for it or by that of the configuration.
bool Engine::IsOn(const ManualRun& run, const std::string& resource) const {
  if (absl::EqualsIgnoreCase(run.action().resource(), resource)) return true;
  const auto as_configured = parts_.new_action(run.item->responders[run.index].definition.config);
  return as_configured.ok() && absl::EqualsIgnoreCase((*as_configured)->resource(), resource);
}

void Engine::AskManually(const std::shared_ptr<ManualRun>& run) {
  run->request.resource = run->action().resource();
  if (run->own) {
    run->request.limits_of = LimitsOfKey(run->request.action, run->request.resource);
    run->request.timeout = std::max(run->request.timeout, run->own->Needs());
  }
  if (run->dry_run) return DryRun(run);
  if (run->defer.has_value()) return Defer(run);
  const std::string key = KeyOf(run->action());
  const ActionTraits traits = TraitsOf(run->action());
  run->request.still_wanted = [this, traits]() -> std::optional<std::string> {
    if (stopping_ || parts_.services.IsStopping()) return "the agent or the system is stopping";
    // A maintenance is no reason: a person who maintains acts by hand.
    std::string paused = guards_.PausedBecause();
    if (!paused.empty() && KeepsFrom(HoldKind::kPause, traits)) return paused;
    return std::nullopt;
  };
  std::optional<std::string> why = run->request.still_wanted();
  if (!why.has_value() && !run->action().is_throttled()) return RunUnthrottledManually(run);
  if (!why.has_value() && IsBusy(key)) why = "another action on the resource is under way";
  if (why.has_value()) {
    v1::RunActionResponse response;
    response.set_refused_because(*why);
    return run->done(std::move(response));
  }
  Occupy(key);
  parts_.gate.Ask(run->request, [this, alive = alive_, run, key](GateAnswer answer) {
    if (!*alive) return;
    v1::RunActionResponse response;
    response.set_allowed(answer.kind == GateAnswer::Kind::kAllowed);
    FillVerdict(run->request, answer, response);
    if (response.allowed()) {
      StartManually(run, key, answer.attempt, std::move(response));
      return;
    }
    if (answer.kind == GateAnswer::Kind::kObsolete) {
      response.set_refused_because(answer.message);
    }
    if (answer.kind == GateAnswer::Kind::kBusy) {
      response.set_refused_because("a request for this resource is being decided");
    }
    Vacate(key);
    run->done(std::move(response));
  });
}

void Engine::Defer(const std::shared_ptr<ManualRun>& run) {
  if (!parts_.defer) return run->done(absl::UnavailableError("this agent has no queue"));
  v1::RunActionRequest request = *run->defer;
  // In full: another of that name may come to be.
  if (run->item != nullptr) {
    request.set_responder(FullName(run->item->responders[run->index].definition));
  } else {
    request.set_action(std::string(ActionName(run->request.action)));
  }
  parts_.defer(request, run->request.resource,
               [alive = alive_, run](absl::StatusOr<std::string> mid) {
                 if (!*alive) return;
                 if (!mid.ok()) return run->done(mid.status());
                 v1::RunActionResponse response;
                 response.set_allowed(true);
                 response.set_mid(*std::move(mid));
                 run->done(std::move(response));
               });
}

void Engine::StartManually(const std::shared_ptr<ManualRun>& run, const std::string& key,
                           const Attempt& attempt, v1::RunActionResponse response) {
  if (const std::optional<std::string> why = run->request.still_wanted()) {
    response.set_allowed(false);
    response.set_refused_because(*why);
    FinishAttempt(attempt.id, {AttemptResult::kFailed, "Obsolete", *why, "nothing was done"},
                  [this, run, key, response] {
                    Vacate(key);
                    run->done(response);
                  });
    return;
  }
  Suppress(key);
  run->action().AskedBy(run->request.requester, run->reason);
  run->action().Run(
      attempt.start + attempt.timeout, RecorderOf(attempt.id),
      [this, alive = alive_, run, key, attempt, response](ActionResult result) mutable {
        if (!*alive) return;
        *response.mutable_result() = EndProto(attempt, result, parts_.loop.clock().WallNow());
        FinishAttempt(attempt.id, EndOf(result), [this, run, key, response] {
          Vacate(key);
          run->done(response);
        });
        parts_.loop.CallAfter(run->settle, [this, alive, key] {
          if (!*alive) return;
          Unsuppress(key);
          ConsiderAll();
        });
      });
}

RecordEffect Engine::RecorderOf(const std::string& attempt_id) {
  return [this, alive = alive_, attempt_id](std::string effect,
                                            absl::AnyInvocable<void(absl::Status)> then) {
    if (!*alive) return;
    FaultPoint("engine.effect.before");
    parts_.gate.SetEffect(attempt_id, effect,
                          [then = std::move(then)](absl::Status status) mutable {
                            FaultPoint("engine.effect.recorded");
                            then(std::move(status));
                          });
  };
}

void Engine::RunProbe(const std::string& health_set, const std::string& name,
                      std::function<void(absl::StatusOr<v1::RunProbeResponse>)> done) {
  const std::string full_name = absl::StrCat(health_set, "/", name);
  const auto found = probes_.find(full_name);
  if (found == probes_.end()) {
    std::vector<std::string> known;
    for (const auto& [probe, definition] : probes_) known.push_back(probe);
    return done(absl::NotFoundError(
        absl::StrCat("no probe '", full_name, "'", DidYouMean(full_name, known))));
  }
  const auto last = last_looks_.find(full_name);
  if (found->second.config.has_notification() && last != last_looks_.end()) {
    v1::RunProbeResponse response;  // Its last report: asking for it again is no new one.
    *response.mutable_result() = last->second.result;
    return done(std::move(response));
  }
  // Answers also when a reload drops the look; the first answer is the one that counts.
  const std::shared_ptr<void> dropped(nullptr, [done](void*) {
    done(absl::AbortedError("the look was dropped: the configuration has changed"));
  });
  const absl::Status started =
      scheduler_.LookNow(full_name, [definition = found->second, done, dropped](const Look& look) {
        v1::RunProbeResponse response;
        *response.mutable_result() = ResultProto(definition, look);
        done(std::move(response));
      });
  if (!started.ok()) done(started);
}

absl::Status Engine::Notify(const v1::NotifyRequest& request) {
  const std::string full_name = absl::StrCat(request.health_set(), "/", request.name());
  if (!probes_.contains(full_name)) {
    std::vector<std::string> known;
    for (const auto& [probe, definition] : probes_) known.push_back(probe);
    return absl::NotFoundError(
        absl::StrCat("no probe '", full_name, "'", DidYouMean(full_name, known)));
  }
  const std::string error = request.error().substr(0, 4096);
  const absl::Status status = scheduler_.Report(full_name, request.passed(), error);
  if (!status.ok()) return status;
  AppendAgentEvent(
      10, v1::Information,
      absl::StrCat("reported of the probe ", full_name, ": ",
                   request.passed() ? "passed" : "failed", error.empty() ? "" : ": ", error),
      0, request.user());
  return absl::OkStatus();
}

}  // namespace salve

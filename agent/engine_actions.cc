// Acting: from a responder whose turn it is, through the gate, to the judgement of its action.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"
#include "base/fault.h"
#include "base/log.h"

namespace salve {
namespace {

constexpr absl::Duration kBusyAgain = absl::Milliseconds(100);

}  // namespace

std::optional<std::string> Engine::WhyNotNow(const MonitorItem& item, size_t index) const {
  if (stopping_) return "the agent is stopping";
  if (item.retired) return "the configuration has changed";
  if (std::string why = WhyHeld(item, *item.responders[index].action); !why.empty()) return why;
  if (std::string why = WhyDependencyWaits(item, index); !why.empty()) return why;
  if (auto why = item.chain.WhyNot(index, item.monitor->Status(parts_.loop.Now()))) return why;
  const Readiness readiness = ReadinessOf(item, index);
  if (readiness.kind != Readiness::Kind::kReady) return readiness.reason;
  return std::nullopt;
}

// What one responder of the monitor leaves alone, a service that a person stopped say, the next
// rung does not answer with something stronger.
Readiness Engine::ReadinessOf(const MonitorItem& item, size_t index) const {
  const ResponderItem& responder = item.responders[index];
  Readiness own = responder.action->Check();
  // A vote on a component fights nobody: what was stopped on purpose serves no one either.
  const bool only_votes =
      responder.definition.config.has_take_offline() || !responder.action->is_throttled();
  if (own.kind != Readiness::Kind::kReady || only_votes) return own;
  const bool left_alone = responder.waits_for == Readiness::Kind::kLeave;
  for (const ResponderItem& other : item.responders) {
    Readiness readiness = other.action->Check();
    if (readiness.kind == Readiness::Kind::kLeave) return readiness;
    // The person starts it again: it is left alone until that has ended, too.
    if (left_alone && readiness.kind == Readiness::Kind::kWait) {
      return {Readiness::Kind::kLeave, std::move(readiness.reason)};
    }
  }
  return own;
}

ActionRequest Engine::RequestOf(const MonitorItem& item, size_t index) const {
  const ResponderItem& responder = item.responders[index];
  ActionRequest request;
  request.action = *ParseAction(responder.action->id());
  request.resource = responder.action->resource();
  request.requester = responder.definition.name;
  request.limits_of.push_back({ResponderTypeName(responder.definition.config),
                               responder.definition.name, responder.definition.config.throttle()});
  request.incident_id = item.monitor->Status(parts_.loop.Now()).incident_id;
  request.health_set = responder.definition.health_set;
  request.timeout = responder.definition.timeout;
  if (responder.definition.config.timeout().empty()) {
    request.timeout = std::max(request.timeout, responder.action->Needs());
  }
  return request;
}

void Engine::TryResponder(const MonitorPtr& item, size_t index) {
  ResponderItem& responder = item->responders[index];
  if (VoteStands(*item, index)) {
    // Nothing is left to ask for; those after it have their turn.
    item->chain.AskAgainAt(index, parts_.loop.Now() + responder.definition.retry_after);
    return Respond(item, index, 1, "its vote for offline stands");
  }
  Readiness readiness = ReadinessOf(*item, index);
  if (std::string why = WhyDependencyWaits(*item, index); !why.empty()) {
    readiness = {Readiness::Kind::kWait, std::move(why)};
    LookAtDependencies(item);
  }
  if (readiness.kind != Readiness::Kind::kReady) {
    // Told once, not at each step of what is awaited.
    if (responder.waits_for != readiness.kind) Respond(item, index, 1, readiness.reason);
    responder.waits_for = readiness.kind;
    return;
  }
  if (std::exchange(responder.waits_for, std::nullopt).has_value()) {
    // What was awaited may have healed it: only a look made since may justify an action.
    item->monitor->Outdate();
    LookNow(*item, [](const Look&) {});
    return;
  }
  if (!responder.action->is_throttled()) return RunUnthrottled(item, index);
  const std::string key = KeyOf(*responder.action);
  if (IsBusy(key)) {
    Respond(item, index, 1, "another action on the resource is under way");
    return;
  }
  if (responder.definition.observe) {
    Observe(item, index);
    return;
  }
  item->chain.Asked(index);
  Occupy(key);
  if (responder.action->is_disruptive() && configuration_.agent.config.min_healthy_percent() > 0) {
    return AskAboveFloor(item, index, key);
  }
  AskGate(item, index, key);
}

void Engine::AskGate(const MonitorPtr& item, size_t index, const std::string& key) {
  ActionRequest request = RequestOf(*item, index);
  request.still_wanted = [this, item, index] { return WhyNotNow(*item, index); };
  parts_.gate.Ask(std::move(request), [this, alive = alive_, item, index, key](GateAnswer answer) {
    if (*alive) OnAnswer(item, index, key, std::move(answer));
  });
}

void Engine::LookNow(const MonitorItem& item, std::function<void(const Look&)> done) {
  for (const std::string& name : ProbesOf(item)) {
    const auto found = probes_.find(name);
    // A notification has nothing new to say: its last report must not count once more.
    if (found == probes_.end() || found->second.config.has_notification()) continue;
    scheduler_.LookNow(name, done).IgnoreError();
  }
}

void Engine::Observe(const MonitorPtr& item, size_t index) {
  item->chain.Asked(index);
  parts_.gate.DryCheck(
      RequestOf(*item, index), [this, alive = alive_, item, index](GateAnswer answer) {
        if (!*alive) return;
        const ResponderItem& responder = item->responders[index];
        const Instant next =
            parts_.loop.Now() + answer.retry_in.value_or(responder.definition.retry_after);
        item->chain.AskAgainAt(index, next);
        const std::string what =
            absl::StrCat(responder.action->id(), " on ", responder.action->resource());
        Respond(item, index, 1,
                answer.kind == GateAnswer::Kind::kAllowed
                    ? absl::StrCat("OBSERVE: would run ", what, " now")
                    : absl::StrCat("OBSERVE: would ask for ", what,
                                   ", and be refused: ", JoinChecks(answer.failed)));
        Consider(item);
      });
}

void Engine::OnAnswer(const MonitorPtr& item, size_t index, const std::string& key,
                      GateAnswer answer) {
  const Instant now = parts_.loop.Now();
  switch (answer.kind) {
    case GateAnswer::Kind::kAllowed:
      StartAction(item, index, key, answer.attempt);
      return;
    case GateAnswer::Kind::kRefused: {
      const Instant next =
          answer.retry_in.has_value() ? now + *answer.retry_in : Instant::InfiniteFuture();
      item->chain.AskAgainAt(index, next);
      item->responders[index].last_reason.clear();  // Every refusal is told.
      item->responders[index].refused_by_running =
          std::count(answer.failed.begin(), answer.failed.end(), Check::kLocalRecoveryInProgress) >
          0;
      item->responders[index].refused_by_group =
          std::count(answer.failed.begin(), answer.failed.end(), Check::kGroupRecoveryInProgress) >
          0;
      Respond(item, index, 3, JoinChecks(answer.failed), next);
      break;
    }
    case GateAnswer::Kind::kObsolete:
      item->chain.AskAgainAt(index, now + kLookAgain);
      Respond(item, index, 4, answer.message);
      break;
    case GateAnswer::Kind::kBusy:
      item->chain.AskAgainAt(index, now + kBusyAgain);
      break;
  }
  Vacate(key);
}

void Engine::StartAction(const MonitorPtr& item, size_t index, const std::string& key,
                         const Attempt& attempt) {
  item->responders[index].refused_by_running = false;
  // It may have healed while the attempt was being written. The attempt counts; nothing is done.
  if (const std::optional<std::string> why = WhyNotNow(*item, index)) {
    item->chain.AskAgainAt(index, parts_.loop.Now() + kLookAgain);
    Respond(item, index, 4, *why);
    FinishAttempt(attempt.id, {AttemptResult::kFailed, "Obsolete", *why, "nothing was done"},
                  [this, key] { Vacate(key); });
    return;
  }
  item->chain.Started(index, attempt.id);
  Suppress(key);
  Respond(item, index, 2, absl::StrCat("attempt ", attempt.id));
  Save(*item);
  FaultPoint("engine.run.before");
  item->responders[index].action->AskedBy(attempt.requester, ReasonOf(*item));
  item->responders[index].action->Run(
      attempt.start + attempt.timeout, RecorderOf(attempt.id),
      [this, alive = alive_, item, index, key, attempt](ActionResult result) {
        if (*alive) OnActionEnded(item, index, key, attempt, std::move(result));
      });
}

void Engine::OnActionEnded(const MonitorPtr& item, size_t index, const std::string& key,
                           const Attempt& attempt, ActionResult result) {
  FaultPoint("engine.ended");
  Settle(item, index, key, parts_.loop.Now() + item->responders[index].definition.settle);
  FinishAttempt(attempt.id, EndOf(result), [this, key] { Vacate(key); });
}

// The settle is over: one more look of each probe, for which failing still does not count, so that
// an interval longer than the settle is no reason to call an attempt ineffective.
void Engine::OnSettled(const MonitorPtr& item, size_t index, const std::string& key) {
  // Judges when the last look has ended, or was dropped because a reload took its probe away.
  const std::shared_ptr<void> last(nullptr, [this, alive = alive_, item, index, key](void*) {
    if (!*alive) return;
    parts_.loop.Post([this, alive, item, index, key] {
      if (*alive) Judge(item, index, key);
    });
  });
  LookNow(*item, [last](const Look&) {});
}

void Engine::Judge(const MonitorPtr& item, size_t index, const std::string& key) {
  const Instant now = parts_.loop.Now();
  // What takes a component out of service is not meant to heal it.
  const bool effective =
      item->chain.IsEffective(index, item->monitor->Status(now)) || VoteStands(*item, index);
  Unsuppress(key);
  // Before the next attempt its dependencies are looked at once more.
  item->in_doubt_since = now;
  item->looks_asked_for.clear();
  if (item->retired) {  // It gets no looks any more: there is nothing to judge.
    ConsiderAll();
    return;
  }
  if (item->chain.Judged(index, effective, now)) {
    Respond(item, index, 1,
            absl::StrCat("held back: ", item->chain.ineffective(index),
                         " attempts in this incident did not help"));
    Escalate(item,
             absl::StrCat("person/", item->responders[index].definition.name, "/",
                          item->chain.ineffective(index)),
             absl::StrCat(item->full_name, " needs a person"),
             absl::StrCat(item->responders[index].definition.name, " ran ",
                          item->chain.ineffective(index), " times and the monitor is still ",
                          config::HealthState_Name(item->monitor->Status(now).state)));
  }
  if (!effective && item->chain.phase(index) == ResponderChain::Phase::kIdle) {
    Respond(item, index, 1,
            absl::StrCat("the attempt did not help (", item->chain.ineffective(index), " of ",
                         item->responders[index].definition.ineffective_after, ")"),
            item->chain.not_before(index));
  }
  Save(*item);
  Consider(item);
}

void Engine::FinishAttempt(const std::string& attempt_id, AttemptEnd end,
                           std::function<void()> then) {
  parts_.gate.Finish(
      attempt_id, std::move(end), [alive = alive_, then = std::move(then)](absl::Status status) {
        if (!*alive) return;
        if (!status.ok()) {
          LogError(absl::StrCat("the end of an action could not be written: ", status.message()));
        }
        if (then) then();
      });
}

bool Engine::IsBusy(const std::string& key) const {
  const auto is_busy = [this](const std::string& one) {
    const auto found = resources_.find(one);
    return found != resources_.end() && found->second.busy;
  };
  if (key != ServerKey()) return is_busy(key) || is_busy(ServerKey());
  return std::any_of(resources_.begin(), resources_.end(),
                     [](const auto& entry) { return entry.second.busy; });
}

void Engine::Occupy(const std::string& key) { resources_[key].busy = true; }

void Engine::Vacate(const std::string& key) {
  Resource& resource = resources_[key];
  resource.busy = false;
  if (resource.suppressors == 0) resources_.erase(key);
  if (stopping_ && stopped_ &&
      std::none_of(resources_.begin(), resources_.end(),
                   [](const auto& entry) { return entry.second.busy; })) {
    for (const auto& [name, item] : monitors_) Save(*item);
    parts_.loop.CancelTimer(stop_timer_);
    parts_.loop.Post(std::exchange(stopped_, nullptr));
    return;
  }
  // What waited for this may ask now, and who was refused because of it too.
  for (const auto& [name, item] : monitors_) {
    for (size_t i = 0; i < item->responders.size(); ++i) {
      ResponderItem& responder = item->responders[i];
      if (!responder.refused_by_running || KeyOf(*responder.action) != key) continue;
      responder.refused_by_running = false;
      item->chain.AskAgainAt(i, parts_.loop.Now());
    }
  }
  parts_.loop.Post([this, alive = alive_] {
    if (*alive) ConsiderAll();
  });
}

void Engine::Suppress(const std::string& key) {
  Resource& resource = resources_[key];
  if (resource.suppressors++ > 0) return;
  for (const auto& [name, item] : monitors_) {
    const bool concerned =
        std::any_of(item->responders.begin(), item->responders.end(),
                    [&](const ResponderItem& r) { return KeyOf(*r.action) == key; });
    if (!concerned) continue;
    SuppressItem(*item);
    resource.suppressed.push_back(item);
  }
}

void Engine::SuppressItem(MonitorItem& item) {
  if (item.suppressors++ == 0) item.monitor->Suppress(parts_.loop.Now(), true);
}

void Engine::Unsuppress(const std::string& key) {
  Resource& resource = resources_[key];
  if (--resource.suppressors > 0) return;
  for (const MonitorPtr& item : resource.suppressed) {
    if (--item->suppressors == 0) item->monitor->Suppress(parts_.loop.Now(), false);
  }
  resource.suppressed.clear();
  if (!resource.busy) resources_.erase(key);
}

void Engine::Stop(std::function<void()> done) {
  stopping_ = true;
  stopped_ = std::move(done);
  const auto finish = [this] {
    for (const auto& [name, item] : monitors_) Save(*item);
    if (stopped_) parts_.loop.Post(std::exchange(stopped_, nullptr));
  };
  const bool busy = std::any_of(resources_.begin(), resources_.end(),
                                [](const auto& entry) { return entry.second.busy; });
  // A reboot that is on its way ends the agent with the server: the next boot tells its end.
  if (!busy || IsRebooting()) {
    finish();
    return;
  }
  stop_timer_ = parts_.loop.CallAfter(configuration_.agent.stop_timeout, finish);
}

}  // namespace salve

// What people ask the engine: health, items, limits, what comes next.
#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"
#include "config/names.h"
#include "probes/registry.h"
#include "throttling/state.h"

namespace salve {
namespace {

using config::HealthState;

// The order of badness in a roll-up; what is DISABLED or NOT_APPLICABLE counts for nothing.
int Rank(HealthState state) {
  switch (state) {
    case config::UNRECOVERABLE:
      return 6;
    case config::UNHEALTHY:
      return 5;
    case config::DEGRADED:
      return 4;
    case config::REPAIRING:
      return 3;
    case config::UNAVAILABLE:
    case config::UNINITIALIZED:
      return 2;
    case config::HEALTHY:
      return 1;
    default:
      return 0;
  }
}

std::string InWords(absl::Duration d) {
  if (d < absl::Seconds(10)) return absl::FormatDuration(absl::Ceil(d, absl::Milliseconds(100)));
  return absl::FormatDuration(absl::Ceil(d, absl::Seconds(1)));
}

// Of a set as long as none of its monitors is worse.
HealthState StateWithoutTrouble(const HealthSetDefinition& set) {
  if (!set.enabled) return config::DISABLED;
  return set.applicable ? config::HEALTHY : config::NOT_APPLICABLE;
}

constexpr int kStatePageMax = 1000;
constexpr size_t kGroupPageMax = 50;

}  // namespace

std::vector<std::string> Engine::HealthSetNames() const {
  std::vector<std::string> names;
  for (const HealthSetDefinition& set : configuration_.health_sets) names.push_back(set.name);
  return names;
}

absl::StatusOr<v1::GetServerHealthResponse> Engine::Health(const std::string& health_set) const {
  v1::GetServerHealthResponse response;
  response.set_server(configuration_.agent.server);
  HealthState server_state = config::HEALTHY;
  bool found = false;
  for (const HealthSetDefinition& set : configuration_.health_sets) {
    if (!health_set.empty() && set.name != health_set) continue;
    found = true;
    v1::HealthSetHealth& out = *response.add_health_sets();
    out.set_name(set.name);
    out.set_group(config::HealthGroup_Name(set.group));
    HealthState state = StateWithoutTrouble(set);
    absl::Time since = absl::InfinitePast();
    for (const MonitorDefinition& definition : set.monitors) {
      const auto item = monitors_.find(FullName(definition));
      if (item == monitors_.end()) continue;
      const MonitorStatus status = item->second->monitor->Status(parts_.loop.Now());
      *out.add_monitors() = HealthOf(*item->second);
      if (Rank(status.state) > Rank(state)) {
        state = status.state;
        since = status.since;
      } else if (status.state == state) {
        since = std::max(since, status.since);
      }
    }
    out.set_state(config::HealthState_Name(state));
    if (since > absl::UnixEpoch()) SetTime(since, out.mutable_since());
    if (Rank(state) > Rank(server_state)) server_state = state;
  }
  if (!found && !health_set.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no health set '", health_set, "'", DidYouMean(health_set, HealthSetNames())));
  }
  response.set_state(config::HealthState_Name(server_state));
  return response;
}

v1::MonitorHealth Engine::HealthOf(const MonitorItem& item) const {
  const MonitorStatus status = item.monitor->Status(parts_.loop.Now());
  const MonitorDefinition& definition = item.monitor->definition();
  v1::MonitorHealth health;
  health.set_health_set(definition.health_set);
  health.set_name(definition.name);
  health.set_type_name(MonitorTypeName(definition.config));
  health.set_state(config::HealthState_Name(status.state));
  if (status.since > absl::UnixEpoch()) SetTime(status.since, health.mutable_since());
  health.set_is_alert(status.alert);
  health.set_last_error(status.last_error);
  health.set_incident_id(status.incident_id);
  health.set_hold(JoinHolds(item.holds));
  AddRepair(status, health);
  for (std::string& next : NextOf(item)) health.add_next(std::move(next));
  for (const std::string& probe : definition.probes) health.add_probes(probe);
  for (const std::string& input : combinations_.InputsOf(item.full_name)) health.add_probes(input);
  return health;
}

std::vector<std::string> Engine::NextOf(const MonitorItem& item) const {
  std::vector<std::string> next;
  const Instant now = parts_.loop.Now();
  const MonitorStatus status = item.monitor->Status(now);
  if (status.repair.has_value()) {
    next.push_back(absl::StrCat("nothing is done while ", status.repair->owner,
                                " repairs it, another ",
                                InWords(std::max(absl::ZeroDuration(), status.repair->until - now)),
                                "; then it begins anew with the looks made after that"));
    return next;
  }
  if (!status.alert && status.state != config::UNAVAILABLE) return next;
  if (stopping_) next.push_back("the agent is stopping: nothing more is started");
  for (const Hold& hold : item.holds) {
    next.push_back(absl::StrCat("held, the timeline starts anew afterwards: ", hold.why));
  }
  for (size_t i = 0; i < item.chain.size(); ++i) {
    const ResponderDefinition& definition = item.chain.definition(i);
    const std::string& name = definition.name;
    switch (item.chain.phase(i)) {
      case ResponderChain::Phase::kAsking:
        next.push_back(absl::StrCat(name, " is at the gate"));
        continue;
      case ResponderChain::Phase::kRunning:
        next.push_back(absl::StrCat(name, " runs its action now"));
        continue;
      case ResponderChain::Phase::kSettling:
        next.push_back(absl::StrCat(name, " has acted; looks are judged when its settle of ",
                                    InWords(definition.settle), " has ended"));
        continue;
      case ResponderChain::Phase::kHeldBack:
        next.push_back(absl::StrCat(name, " is held back after ", item.chain.ineffective(i),
                                    " attempts that did not help: a person is needed"));
        continue;
      case ResponderChain::Phase::kIdle:
        break;
    }
    if (status.state != definition.on) continue;
    const Instant when = item.chain.not_before(i);
    if (when == Instant::InfiniteFuture()) {
      next.push_back(absl::StrCat(
          name, " was refused and may not ask again by itself: ", item.responders[i].last_reason));
    } else if (when > now) {
      next.push_back(absl::StrCat(
          name, " asks again at ",
          absl::FormatTime("%Y-%m-%d %H:%M:%S", parts_.loop.clock().WallNow() + (when - now),
                           absl::LocalTimeZone()),
          " (in ", InWords(when - now), ")", item.responders[i].last_reason.empty() ? "" : ": ",
          item.responders[i].last_reason));
    } else if (status.in_state < definition.after) {
      next.push_back(absl::StrCat(name, " asks when the state is ", InWords(definition.after),
                                  " old, in ", InWords(definition.after - status.in_state)));
    } else if (!status.fresh) {
      next.push_back(absl::StrCat(name, " asks after the next failed look"));
    } else if (!item.responders[i].last_reason.empty()) {
      next.push_back(absl::StrCat(name, " waits: ", item.responders[i].last_reason));
    }
  }
  if (status.clearing) {
    next.push_back(
        absl::StrCat("the alert clears in ",
                     InWords(std::max(absl::ZeroDuration(), item.monitor->NextTick(now) - now)),
                     ", unless its rule holds again"));
  }
  const Instant state = item.monitor->NextState(now);
  if (state != Instant::InfiniteFuture()) {
    next.push_back(absl::StrCat("without recovery the next state comes in ",
                                InWords(std::max(absl::ZeroDuration(), state - now))));
  }
  return next;
}

std::vector<std::string> Engine::NextSteps(const std::string& incident_id) const {
  for (const auto& [name, item] : monitors_) {
    if (item->monitor->Status(parts_.loop.Now()).incident_id == incident_id) return NextOf(*item);
  }
  return {};
}

absl::StatusOr<v1::ListProbesResponse> Engine::Probes(const v1::ListRequest& request) const {
  v1::ListProbesResponse response;
  std::vector<std::string> known;
  for (const auto& [name, definition] : probes_) {
    known.push_back(name);
    if (!request.health_set().empty() && definition.health_set != request.health_set()) continue;
    if (!request.name().empty() && definition.name != request.name()) continue;
    v1::ProbeStatus& out = *response.add_probes();
    out.set_health_set(definition.health_set);
    out.set_name(definition.name);
    out.set_type_name(ProbeTypeName(definition.config));
    out.set_interval_seconds(absl::ToDoubleSeconds(definition.interval));
    out.set_timeout_seconds(absl::ToDoubleSeconds(definition.timeout));
    out.set_enabled(definition.enabled);
    const auto last = last_looks_.find(name);
    if (last != last_looks_.end()) *out.mutable_last() = last->second.result;
    const ProbeCounters counters = scheduler_.counters(name);
    out.set_looks(counters.looks);
    out.set_skipped(counters.skipped);
  }
  if (response.probes().empty() && !request.name().empty()) {
    const std::string name = absl::StrCat(request.health_set(), "/", request.name());
    return absl::NotFoundError(absl::StrCat("no probe '", name, "'", DidYouMean(name, known)));
  }
  return response;
}

absl::StatusOr<v1::ListMonitorsResponse> Engine::Monitors(const v1::ListRequest& request) const {
  v1::ListMonitorsResponse response;
  std::vector<std::string> known;
  for (const auto& [name, item] : monitors_) {
    known.push_back(name);
    const MonitorDefinition& definition = item->monitor->definition();
    if (!request.health_set().empty() && definition.health_set != request.health_set()) continue;
    if (!request.name().empty() && definition.name != request.name()) continue;
    *response.add_monitors() = HealthOf(*item);
  }
  if (response.monitors().empty() && !request.name().empty()) {
    const std::string name = absl::StrCat(request.health_set(), "/", request.name());
    return absl::NotFoundError(absl::StrCat("no monitor '", name, "'", DidYouMean(name, known)));
  }
  return response;
}

absl::StatusOr<v1::ListRespondersResponse> Engine::Responders(
    const v1::ListRequest& request) const {
  v1::ListRespondersResponse response;
  const auto is_asked_for = [&](const ResponderDefinition& definition) {
    if (!request.health_set().empty() && definition.health_set != request.health_set())
      return false;
    return request.name().empty() || definition.name == request.name() ||
           FullName(definition) == request.name();
  };
  const auto add = [&](const ResponderDefinition& definition) -> v1::ResponderStatus& {
    v1::ResponderStatus& out = *response.add_responders();
    out.set_health_set(definition.health_set);
    out.set_name(definition.name);
    out.set_type_name(ResponderTypeName(definition.config));
    out.set_monitor(definition.monitor);
    out.set_on(config::HealthState_Name(definition.on));
    out.set_mode(definition.observe ? "OBSERVE" : "ACT");
    return out;
  };
  const Instant now = parts_.loop.Now();
  for (const auto& [name, item] : monitors_) {
    for (size_t i = 0; i < item->responders.size(); ++i) {
      const ResponderItem& responder = item->responders[i];
      const ResponderDefinition& definition = responder.definition;
      if (!is_asked_for(definition)) continue;
      v1::ResponderStatus& out = add(definition);
      out.set_action_id(responder.action->id());
      out.set_resource_name(responder.action->resource());
      out.set_enabled(true);
      out.set_last_reason(responder.last_reason);
      GateAnswer answer;
      if (responder.action->is_throttled()) {
        const ActionRequest ask = RequestOf(*item, i);
        answer = parts_.gate.DryCheckLocal(ask);
        *out.mutable_throttle() = ThrottleEntryProto(ask, answer, parts_.ledger, false);
      }
      if (answer.effective.has_value()) {
        v1::LimitSource& enabled = *out.add_limit_sources();
        enabled.set_attribute("Enabled");
        enabled.set_value(answer.effective->limits.enabled);
        enabled.set_source(std::string(LimitSourceName(answer.effective->enabled_source)));
        for (int a = 0; a < kLimitAttributeCount; ++a) {
          v1::LimitSource& source = *out.add_limit_sources();
          source.set_attribute(kLimitAttributes[a].name);
          source.set_value(answer.effective->limits.*kLimitAttributes[a].field);
          source.set_source(std::string(LimitSourceName(answer.effective->sources[a])));
        }
      }
      switch (item->chain.phase(i)) {
        case ResponderChain::Phase::kIdle:
          out.set_state(item->chain.not_before(i) > now ? "waiting" : "idle");
          break;
        case ResponderChain::Phase::kAsking:
          out.set_state("asking");
          break;
        case ResponderChain::Phase::kRunning:
          out.set_state("running");
          break;
        case ResponderChain::Phase::kSettling:
          out.set_state("settling");
          break;
        case ResponderChain::Phase::kHeldBack:
          out.set_state("held back");
          break;
      }
    }
  }
  for (const auto& [name, item] : monitors_) {
    for (const AsideItem& aside : item->asides) {
      if (!is_asked_for(aside.definition)) continue;
      v1::ResponderStatus& out = add(aside.definition);
      out.set_action_id(aside.action->id());
      out.set_resource_name(aside.action->resource());
      out.set_enabled(true);
      out.set_last_reason(aside.last_reason);
      out.set_state(aside.running ? "running" : "idle");
    }
  }
  // What is disabled, perhaps by an override, has no action and so no limits.
  for (const HealthSetDefinition& set : configuration_.health_sets) {
    for (const ResponderDefinition& definition : set.responders) {
      if ((set.active() && definition.enabled) || !is_asked_for(definition)) continue;
      add(definition).set_state("disabled");
    }
  }
  if (response.responders().empty() && !request.name().empty()) {
    const auto found = FindResponder(request.name());
    if (!found.ok()) return found.status();
  }
  return response;
}

// ---------------------------------------------------------------------------------------------
// Throttling.

std::vector<LimitsOf> Engine::LimitsOfKey(RecoveryAction action,
                                          const std::string& resource) const {
  std::vector<LimitsOf> limits;
  for (const auto& [name, item] : monitors_) {
    for (size_t i = 0; i < item->responders.size(); ++i) {
      // The cheap question first: there may be thousands of others.
      if (!absl::EqualsIgnoreCase(item->responders[i].action->resource(), resource)) continue;
      if (!item->responders[i].action->is_throttled()) continue;
      const ActionRequest request = RequestOf(*item, i);
      if (request.action == action) limits.push_back(request.limits_of.front());
    }
  }
  return limits;
}

// The keys that have responders or attempts, each with whose limits hold.
absl::StatusOr<std::vector<ActionRequest>> Engine::ThrottledKeys(
    const v1::GetThrottleStateRequest& request) const {
  std::optional<RecoveryAction> action;
  if (!request.action().empty()) {
    const auto parsed = ParseAction(request.action());
    if (!parsed.ok()) return parsed.status();
    action = *parsed;
  }
  const auto wanted = [&](RecoveryAction a, const std::string& resource) {
    return (!action.has_value() || a == *action) &&
           (request.resource().empty() || absl::EqualsIgnoreCase(resource, request.resource()));
  };
  // Those with attempts and, in the end, without a responder.
  std::map<std::pair<RecoveryAction, std::string>, std::string> others;
  for (const Ledger::Key& key : parts_.ledger.Keys()) {
    if (!wanted(key.action, key.resource)) continue;
    others[{key.action, absl::AsciiStrToLower(key.resource)}] = key.resource;
  }
  std::vector<ActionRequest> requests;
  requests.reserve(monitors_.size() + others.size());
  for (const auto& [name, item] : monitors_) {
    for (size_t i = 0; i < item->responders.size(); ++i) {
      if (!item->responders[i].action->is_throttled()) continue;
      if (!request.resource().empty() &&
          !absl::EqualsIgnoreCase(item->responders[i].action->resource(), request.resource())) {
        continue;
      }
      ActionRequest ask = RequestOf(*item, i);
      if (!others.empty()) others.erase({ask.action, absl::AsciiStrToLower(ask.resource)});
      if (wanted(ask.action, ask.resource)) requests.push_back(std::move(ask));
    }
  }
  for (const auto& [key, resource] : others) {
    ActionRequest ask;
    ask.action = key.first;
    ask.resource = resource;
    requests.push_back(std::move(ask));
  }
  return requests;
}

void Engine::ThrottleState(const v1::GetThrottleStateRequest& request,
                           std::function<void(absl::StatusOr<v1::GetThrottleStateResponse>)> done) {
  const auto requests = ThrottledKeys(request);
  if (!requests.ok()) return done(requests.status());
  size_t begin = 0;
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &begin)) {
    return done(absl::InvalidArgumentError("page_token: is not from an earlier answer"));
  }
  if (request.page_size() < 0 || request.page_size() > kStatePageMax) {
    return done(
        absl::InvalidArgumentError(absl::StrCat("page_size: is not in [0, ", kStatePageMax, "]")));
  }
  size_t size = request.page_size() == 0 ? kStatePageMax : static_cast<size_t>(request.page_size());
  // Each asks the coordinator: a page of them must be answered in time.
  if (request.with_group()) size = std::min(size, kGroupPageMax);
  v1::GetThrottleStateResponse response;
  const size_t end = std::min(requests->size(), begin + size);
  if (end < requests->size()) response.set_next_page_token(absl::StrCat(end));
  if (!request.with_group()) {
    response.mutable_entries()->Reserve(static_cast<int>(end - std::min(begin, end)));
    for (size_t i = begin; i < end; ++i) {
      const ActionRequest& ask = (*requests)[i];
      *response.add_entries() = ThrottleEntryProto(ask, parts_.gate.DryCheckLocal(ask),
                                                   parts_.ledger, request.with_attempts());
    }
    return done(std::move(response));
  }
  // Answered when the last entry is filled in.
  const auto all = std::make_shared<v1::GetThrottleStateResponse>(std::move(response));
  const std::shared_ptr<void> last(nullptr, [all, done = std::move(done)](void*) { done(*all); });
  for (size_t i = begin; i < end; ++i) {
    v1::ThrottleEntry* entry = all->add_entries();
    parts_.gate.DryCheck((*requests)[i],
                         [this, alive = alive_, last, entry, ask = (*requests)[i],
                          with_attempts = request.with_attempts()](GateAnswer answer) {
                           if (*alive)
                             *entry = ThrottleEntryProto(ask, answer, parts_.ledger, with_attempts);
                         });
  }
}

void Engine::CheckThrottle(const v1::CheckThrottleRequest& request,
                           std::function<void(absl::StatusOr<v1::CheckThrottleResponse>)> done) {
  const auto action = ParseAction(request.action());
  if (!action.ok()) return done(action.status());
  if (request.resource().empty()) {
    return done(absl::InvalidArgumentError("resource: names nothing"));
  }
  ActionRequest ask;
  if (!request.requester().empty()) {
    const auto found = FindResponder(request.requester());
    if (!found.ok()) return done(found.status());
    if (!found->first->responders[found->second].action->is_throttled()) {
      return done(absl::InvalidArgumentError(
          absl::StrCat("requester: ", request.requester(), " passes no throttle")));
    }
    ask = RequestOf(*found->first, found->second);
  } else {
    ask.limits_of = LimitsOfKey(*action, request.resource());
  }
  ask.action = *action;
  ask.resource = request.resource();
  parts_.gate.DryCheck(ask, [this, alive = alive_, ask, done = std::move(done)](GateAnswer answer) {
    if (*alive) done(CheckThrottleProto(ask, answer, parts_.ledger));
  });
}

v1::ListThrottleConfigResponse Engine::ThrottleConfig() const {
  v1::ListThrottleConfigResponse response;
  for (const PolicyEntry& entry : parts_.gate.policy().entries()) {
    *response.add_entries() = ConfigEntryProto(entry, LimitSource::kPolicy);
  }
  for (const PolicyEntry& entry : BuiltInPolicy().entries()) {
    *response.add_entries() = ConfigEntryProto(entry, LimitSource::kBuiltIn);
  }
  for (const auto& [name, item] : monitors_) {
    for (size_t i = 0; i < item->responders.size(); ++i) {
      if (!item->responders[i].action->is_throttled()) continue;
      const ActionRequest ask = RequestOf(*item, i);
      const std::optional<EffectiveLimits> limits = parts_.gate.LimitsFor(ask);
      if (!limits.has_value()) continue;
      v1::ThrottleConfigEntry& out = *response.add_entries();
      PolicyEntry own;
      own.action = ask.action;
      own.responder_type = ask.limits_of.front().responder_type;
      own.responder_name = ask.requester;
      own.resource = ask.resource;
      out.set_identity(own.Identity());
      *out.mutable_limits() = LimitsProto(limits->limits);
      out.set_source(std::string(LimitSourceName(limits->HighestSource())));
    }
  }
  return response;
}

absl::StatusOr<v1::ListActionsResponse> Engine::Actions(
    const v1::ListActionsRequest& request) const {
  if (request.limit() < 0 || request.limit() > 1000) {
    return absl::InvalidArgumentError("limit: is not in [0, 1000]");
  }
  const absl::Time since = request.has_since() ? absl::FromUnixSeconds(request.since().seconds()) +
                                                     absl::Nanoseconds(request.since().nanos())
                                               : absl::InfinitePast();
  v1::ListActionsResponse response;
  const size_t limit = request.limit() == 0 ? 100 : static_cast<size_t>(request.limit());
  for (const Attempt* attempt : parts_.ledger.List(nullptr, "", since, limit)) {
    *response.add_attempts() = AttemptProto(*attempt);
  }
  return response;
}

}  // namespace salve

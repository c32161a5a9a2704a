#include "config/item.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "config/duration.h"
#include "config/rules.h"

namespace salve {
namespace {

using google::protobuf::Message;

void CheckItemRanges(const Message& item, ItemFaults& faults) {
  CheckRanges(item, faults.place(),
              [&](const std::string& path, const std::string& why) { faults.Add(path, why); });
}

// The check of a kind sees only items that are right by themselves.
template <typename Check, typename Item>
void CheckKind(const Check& check, const Item& item, ItemFaults& faults) {
  if (check && !faults.any() && !faults.silent()) faults.Add(check(item));
}

bool IsEnabled(const auto& item) { return !item.has_enabled() || item.enabled(); }

bool IsAlertState(config::HealthState state) {
  return state == config::DEGRADED || state == config::UNHEALTHY || state == config::UNRECOVERABLE;
}

constexpr char kAlertStates[] = "DEGRADED, UNHEALTHY or UNRECOVERABLE";

std::string FaultOfState(config::HealthState state) {
  if (state == config::HEALTH_STATE_UNSPECIFIED) return absl::StrCat("is needed: ", kAlertStates);
  return absl::StrCat(config::HealthState_Name(state), " is not ", kAlertStates);
}

std::vector<StateTransition> ReadTransitions(const config::Monitor& monitor, ItemFaults& faults) {
  if (monitor.transition().empty()) {
    return {{config::DEGRADED, absl::ZeroDuration()}, {config::UNHEALTHY, absl::Seconds(60)}};
  }
  std::vector<StateTransition> timeline;
  for (const config::Transition& transition : monitor.transition()) {
    const std::string path = absl::StrCat("transition[", timeline.size(), "]");
    const StateTransition next{transition.to(), DurationOf(transition, "after")};
    if (!IsAlertState(next.to)) faults.Add(path + ".to", FaultOfState(next.to));
    if (!timeline.empty() && next.to <= timeline.back().to) {
      faults.Add(path + ".to",
                 absl::StrCat(config::HealthState_Name(next.to), " is no worse than ",
                              config::HealthState_Name(timeline.back().to), " before it"));
    }
    if (!timeline.empty() && next.after <= timeline.back().after) {
      faults.Add(path + ".after", absl::StrCat(DurationText(next.after), " is not later than the ",
                                               DurationText(timeline.back().after), " before it"));
    }
    timeline.push_back(next);
  }
  return timeline;
}

}  // namespace

// A look that outlasts its interval would have the next ones skipped. Nothing is looked at for a
// notification.
std::string FaultOfTimeout(const ProbeDefinition& definition) {
  if (definition.config.has_notification() || definition.timeout <= definition.interval) return "";
  return absl::StrCat(DurationText(definition.timeout), " is longer than the interval of ",
                      DurationText(definition.interval));
}

ProbeDefinition ReadProbe(config::Probe probe, const KindChecks& checks, ItemFaults& faults) {
  CheckItemRanges(probe, faults);
  faults.CheckHasOne(probe, "kind");
  ProbeDefinition definition;
  definition.interval = ProbeInterval(probe);
  definition.timeout = ProbeTimeout(probe);
  definition.max_retry_attempts = static_cast<int>(probe.max_retry_attempts());
  definition.enabled = IsEnabled(probe);
  definition.name = probe.name();
  definition.config = std::move(probe);
  if (!faults.any()) {
    const std::string fault = FaultOfTimeout(definition);
    if (!fault.empty()) faults.Add("timeout", fault);
  }
  CheckKind(checks.probe, definition.config, faults);
  return definition;
}

MonitorDefinition ReadMonitor(config::Monitor monitor, const KindChecks& checks,
                              ItemFaults& faults) {
  CheckItemRanges(monitor, faults);
  faults.CheckHasOne(monitor, "kind");
  MonitorDefinition definition;
  definition.probes.assign(monitor.probe().begin(), monitor.probe().end());
  definition.transitions = ReadTransitions(monitor, faults);
  definition.reopen_within = DurationOf(monitor, "reopen_within");
  definition.clear_after = DurationOf(monitor, "clear_after");
  definition.enabled = IsEnabled(monitor);
  CheckKind(checks.monitor, monitor, faults);
  definition.name = monitor.name();
  definition.config = std::move(monitor);
  return definition;
}

ResponderDefinition ReadResponder(config::Responder responder, const KindChecks& checks,
                                  ItemFaults& faults) {
  CheckItemRanges(responder, faults);
  faults.CheckHasOne(responder, "action");
  // Could not look is not sick: people may be told, and that is all.
  if (responder.on() == config::UNAVAILABLE) {
    if (!responder.has_escalate()) faults.Add("on", "UNAVAILABLE is for escalate alone");
  } else if (!IsAlertState(responder.on())) {
    faults.Add("on", FaultOfState(responder.on()));
  }
  ResponderDefinition definition;
  definition.monitor = responder.monitor();
  definition.on = responder.on();
  definition.after = DurationOf(responder, "after");
  definition.observe = responder.mode() == config::Responder::OBSERVE;
  definition.timeout = DurationOf(responder, "timeout");
  definition.settle = DurationOf(responder, "settle");
  definition.retry_after = DurationOf(responder, "retry_after");
  definition.ineffective_after = static_cast<int>(NumberOf(responder, "ineffective_after"));
  definition.enabled = IsEnabled(responder);
  CheckKind(checks.responder, responder, faults);
  definition.name = responder.name();
  definition.config = std::move(responder);
  return definition;
}

}  // namespace salve

// What monitors are told by others than probes: by people, who repair, and by monitors that they
// combine.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"
#include "config/names.h"

namespace salve {
namespace {

constexpr int64_t kRepairSecondsMax = 30 * 24 * 3600;
constexpr size_t kReasonBytesMax = 1000;

constexpr int kRepairBegan = 15;  // Of the Agent channel.
constexpr int kRepairEnded = 16;

}  // namespace

absl::StatusOr<v1::SetMonitorStateResponse> Engine::SetMonitorState(
    const v1::SetMonitorStateRequest& request) {
  const std::string full_name = absl::StrCat(request.health_set(), "/", request.monitor());
  const auto found = monitors_.find(full_name);
  if (found == monitors_.end()) {
    std::vector<std::string> known;
    for (const auto& [name, item] : monitors_) known.push_back(name);
    return absl::NotFoundError(
        absl::StrCat("no monitor '", full_name, "'", DidYouMean(full_name, known)));
  }
  const MonitorPtr item = found->second;
  if (!item->monitor->definition().enabled) {
    return absl::FailedPreconditionError(absl::StrCat("monitor '", full_name, "' is disabled"));
  }
  const Instant now = parts_.loop.Now();
  const absl::Time wall = parts_.loop.clock().WallNow();
  if (!request.repairing()) {
    if (!item->monitor->Status(now).repair.has_value()) {
      return absl::FailedPreconditionError(
          absl::StrCat("monitor '", full_name, "' is not being repaired"));
    }
    OnTransitions(item, item->monitor->EndRepair(
                            now, wall, request.user().empty() ? "somebody" : request.user()));
    // What it is now is better known at once than at the next turn.
    LookNow(*item, [](const Look&) {});
  } else {
    if (request.duration_seconds() < 1 || request.duration_seconds() > kRepairSecondsMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("duration_seconds: ", request.duration_seconds(), " is not in [1, ",
                       kRepairSecondsMax, "]"));
    }
    if (request.reason().size() > kReasonBytesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("reason: is longer than ", kReasonBytesMax, " bytes"));
    }
    const Repair repair{.owner = request.user().empty() ? "somebody" : request.user(),
                        .reason = request.reason(),
                        .since = wall,
                        .until = now + absl::Seconds(request.duration_seconds())};
    OnTransitions(item, item->monitor->BeginRepair(now, wall, repair));
    AppendRepairEvent(*item, kRepairBegan,
                      absl::StrCat(full_name, " is REPAIRING for ",
                                   absl::FormatDuration(absl::Seconds(request.duration_seconds())),
                                   repair.reason.empty() ? "" : ": ", repair.reason),
                      repair.owner);
  }
  Save(*item);
  Consider(item);
  LookAtCombinationsOver(item);
  v1::SetMonitorStateResponse response;
  *response.mutable_monitor() = HealthOf(*item);
  return response;
}

void Engine::AppendRepairEvent(const MonitorItem& item, int event_id, std::string message,
                               std::string who) {
  v1::Event event =
      NewEvent(v1::Agent, event_id, v1::Information, item, item.monitor->definition().name);
  v1::AgentEvent& agent = *event.mutable_agent();
  agent.set_message(std::move(message));
  agent.set_version(parts_.version);
  agent.set_who(std::move(who));
  parts_.events.Append(std::move(event));
}

void Engine::TellRepairEnded(const MonitorItem& item, const Transition& transition) {
  AppendRepairEvent(item, kRepairEnded,
                    absl::StrCat(item.full_name, " is no longer REPAIRING: ", transition.reason),
                    transition.who);
}

void Engine::AddRepair(const MonitorStatus& status, v1::MonitorHealth& health) const {
  if (!status.repair.has_value()) return;
  const Repair& repair = *status.repair;
  const absl::Duration left = std::max(absl::ZeroDuration(), repair.until - parts_.loop.Now());
  health.set_repairing_owner(repair.owner);
  health.set_repairing_reason(repair.reason);
  // By the wall clock of now: it ends when that much time has passed, whatever the clock shows.
  SetTime(parts_.loop.clock().WallNow() + left, health.mutable_repairing_until());
  const std::string others = health.hold().empty() ? "" : absl::StrCat("; ", health.hold());
  health.set_hold(absl::StrCat("REPAIRING by ", repair.owner, ", another ",
                               absl::FormatDuration(absl::Ceil(left, absl::Seconds(1))),
                               repair.reason.empty() ? "" : ": ", repair.reason, others));
}

void Engine::LookAtInputs(const std::string& combination) {
  const auto found = monitors_.find(combination);
  if (found == monitors_.end()) return;
  const MonitorPtr item = found->second;
  const Instant now = parts_.loop.Now();
  const InputsLook look = combinations_.Look(combination, [&](const std::string& name) {
    CombinationGraph::Input input;
    const auto asked = monitors_.find(name);
    if (asked == monitors_.end()) return input;
    input.status = asked->second->monitor->Status(now);
    input.record_id = asked->second->result_record_id;
    return input;
  });
  OnTransitions(item, item->monitor->ObserveInputs(now, parts_.loop.clock().WallNow(), look));
  Consider(item);
}

void Engine::LookAtCombinationsOver(const MonitorPtr& item) {
  for (const std::string& name : combinations_.Over(item->full_name)) LookAtInputs(name);
}

std::vector<std::string> Engine::ProbesOf(const MonitorItem& item) const {
  std::set<std::string> probes;
  std::set<std::string> seen = {item.full_name};
  std::vector<std::string> open = {item.full_name};
  while (!open.empty()) {
    const std::string name = std::move(open.back());
    open.pop_back();
    const auto found = monitors_.find(name);
    if (found == monitors_.end()) continue;
    const MonitorDefinition& definition = found->second->monitor->definition();
    for (const std::string& probe : definition.probes) {
      probes.insert(absl::StrCat(definition.health_set, "/", probe));
    }
    for (const std::string& input : combinations_.InputsOf(name)) {
      if (seen.insert(input).second) open.push_back(input);
    }
  }
  return {probes.begin(), probes.end()};
}

}  // namespace salve

// The engine's own records of its items. Private to agent/engine*.cc.
#ifndef SALVE_AGENT_ENGINE_ITEMS_H_
#define SALVE_AGENT_ENGINE_ITEMS_H_

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "agent/engine.h"
#include "responders/aside_record.pb.h"

namespace salve {

// An item that could not ask for a reason that nobody announces is looked at again so soon.
inline constexpr absl::Duration kLookAgain = absl::Seconds(1);

// Of an action on the server itself, which waits for all others and keeps them out. No resource is
// called so: no string of the configuration holds a NUL.
inline const std::string& ServerKey() {
  static const std::string key("\0server", 7);
  return key;
}

// Exclusion and suppression go by what the action excludes, whatever its case.
inline std::string KeyOf(const Action& action) {
  if (action.id() == "RebootServer") return ServerKey();
  return absl::AsciiStrToLower(action.exclusion());
}

struct Engine::ResponderItem {
  ResponderDefinition definition;
  std::unique_ptr<Action> action;
  std::string last_reason;  // Of the last ResponderResult, so that only changes are written.
  int last_result = -1;
  // It could not act for a reason outside; what was seen meanwhile is old.
  std::optional<Readiness::Kind> waits_for;
  bool refused_by_running = false;  // By an attempt in progress: asks again when that ends.
  bool refused_by_group = false;    // By one of another server.
};

struct Engine::AsideItem {
  ResponderDefinition definition;
  size_t before = 0;  // Index of the first responder of the chain that is written after it.
  std::unique_ptr<Action> action;
  bool running = false;
  std::string last_reason;

  // Whether the monitor is where this one's turn is …
  bool Applies(const MonitorStatus& status) const;
  // … and how long it still has to be there.
  absl::Duration Wait(const MonitorStatus& status, absl::Time wall) const;
};

// A monitor with its responders: the unit that a reload keeps or replaces. Shared with the
// callbacks of running actions, which may outlive a reload.
struct Engine::MonitorItem {
  std::string full_name;
  std::unique_ptr<Monitor> monitor;
  ResponderChain chain{{}};
  std::vector<ResponderItem> responders;  // As in the chain.
  std::vector<AsideItem> asides;
  responders::AsideRecord aside_record;
  std::string evidence;  // Of the last transition.
  TimerId timer = TimerId::kNone;
  int suppressors = 0;            // Resources of its responders on which an action runs or settles.
  bool retired = false;           // A reload has taken it away; only its running action goes on.
  std::string incident_id;        // Of the open incident, or of the last one.
  uint64_t result_record_id = 0;  // Of its last MonitorResult; 0: none in this life of the agent.
  std::vector<Hold> holds;        // What holds the monitor now.
  // Since when its dependencies must have been looked at: its alert's begin, or its last action.
  std::optional<Instant> in_doubt_since;
  std::set<std::string> looks_asked_for;  // Of dependencies, since then.
};

inline ActionTraits TraitsOf(const Action& action) {
  return {.is_disruptive = action.is_disruptive(), .is_notification = action.is_notification()};
}

struct Engine::Resource {
  bool busy = false;  // An action is being decided or runs.
  int suppressors = 0;
  std::vector<MonitorPtr> suppressed;
};

// A run for a person, on its way: who asked for what, and the action that does it.
struct Engine::ManualRun {
  ActionRequest request;
  std::shared_ptr<Action> own;  // Of ACTION RESOURCE; else the responder's, kept by `item`.
  MonitorPtr item;
  size_t index = 0;
  absl::Duration settle = absl::Seconds(15);
  std::function<void(absl::StatusOr<v1::RunActionResponse>)> done;
  std::string reason;
  bool dry_run = false;
  bool asked = false;
  std::optional<v1::RunActionRequest> defer;  // It goes into the queue, as asked for.

  Action& action() const { return own ? *own : *item->responders[index].action; }
};

struct Engine::Outlived {
  std::string attempt_id;
  std::string resource_key;
  bool seen_running = false;
  uint32_t job_id = 0;
  UnitWatchId watch = UnitWatchId::kNone;
  WatchId process_watch = WatchId::kNone;
  int pidfd = -1;
  TimerId deadline = TimerId::kNone;
};

}  // namespace salve

#endif  // SALVE_AGENT_ENGINE_ITEMS_H_

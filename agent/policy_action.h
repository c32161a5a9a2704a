// The actions of a policy test: real ones as far as they only decide, scripted as soon as they
// would touch the machine.
#ifndef SALVE_AGENT_POLICY_ACTION_H_
#define SALVE_AGENT_POLICY_ACTION_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "agent/policy_record.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "responders/action.h"

namespace salve {

// How an action of a responder ends.
struct ActionScript {
  std::string fails;                    // The error; empty: it succeeds.
  std::optional<absl::Duration> takes;  // Default: a second; of a reboot, a minute of downtime.
  std::vector<std::string> heals;       // Full names of probes.
};

// Whether what it does stays within the agent, so that it runs as it is: it cannot be scripted.
bool RunsForReal(const config::Responder& config);

// All must outlive the action.
struct PolicyActionParts {
  EventLoop& loop;
  PolicyRecord& record;
  std::function<ActionScript()> script;                // Asked when it begins.
  std::function<void(absl::Duration down)> goes_down;  // A reboot is accepted.
  std::function<void(const ActionScript&)> succeeded;
};

// `real` is the action of `config`.
std::unique_ptr<Action> NewPolicyAction(const config::Responder& config,
                                        std::unique_ptr<Action> real, PolicyActionParts parts);

}  // namespace salve

#endif  // SALVE_AGENT_POLICY_ACTION_H_

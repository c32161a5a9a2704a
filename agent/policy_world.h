// PolicyWorld: the server of one case of a policy test. The agent's own engine, gate, ledger and
// records on a simulated clock; looks, units and the ends of actions as the test says. Nothing of
// it reaches the machine it runs on but a folder of its own, which goes with it. One thread only.
#ifndef SALVE_AGENT_POLICY_WORLD_H_
#define SALVE_AGENT_POLICY_WORLD_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/policy_action.h"
#include "agent/policy_probe.h"
#include "agent/policy_record.h"
#include "base/service_manager.h"
#include "config/definition.h"
#include "probes/probe.h"
#include "throttling/policy.h"

namespace salve {

class PolicyWorld {
 public:
  // Looks of a case, all probes together: what bounds the time that it takes.
  static constexpr int64_t kLooksMax = 5'000'000;

  // A healthy server that has been up for an hour, with a running agent. The arguments must outlive
  // the world. Errors: kInvalidArgument: an item can't be made; kUnavailable, kResourceExhausted,
  //   kPermissionDenied: no folder can be had.
  static absl::StatusOr<std::unique_ptr<PolicyWorld>> Create(const Configuration& configuration,
                                                             const Policy& policy,
                                                             int64_t looks_max = kLooksMax);
  ~PolicyWorld();
  PolicyWorld(const PolicyWorld&) = delete;
  PolicyWorld& operator=(const PolicyWorld&) = delete;

  // From now on. Full names.
  void See(const std::string& probe, Sight sight);
  void Script(const std::string& responder, ActionScript script);
  // An error is a unit that is not there.
  void SetUnit(const std::string& unit, const absl::StatusOr<UnitState>& state);

  // Time passes. Errors, of these three: kResourceExhausted: the case has more than looks_max
  //   looks; else as Create: the agent did not start again after a reboot.
  absl::Status RunFor(absl::Duration d);
  absl::Status RestartAgent(absl::Duration down);
  absl::Status Reboot(absl::Duration down);

  // `length` zero: it ends. An empty set is the whole server; a pause of InfiniteDuration lasts
  // until it is ended. Errors: as Engine::Maintain, Engine::PauseActions.
  absl::Status Maintain(const std::string& health_set, absl::Duration length);
  absl::Status PauseActions(absl::Duration length);

  struct State {
    std::string name;   // "UNHEALTHY"
    std::string error;  // Of a monitor: its last.
    std::string hold;   // Of a monitor: why nothing is done.
  };
  // Of a health set, or a monitor as "SET/NAME". Requires: it is configured.
  State StateOf(const std::string& item) const;
  // Since the case began.
  absl::Duration Now() const { return record_.Now(); }
  const PolicyRecord& record() const { return record_; }
  PolicyRecord& record() { return record_; }

 private:
  struct Server;  // What ends with a reboot.
  struct Agent;   // What ends with the agent.

  PolicyWorld(const Configuration& configuration, const Policy& policy, int64_t looks_max);
  void Boot(absl::Time wall, absl::Duration uptime);
  absl::Status StartAgent();
  std::unique_ptr<Probe> NewProbe(const config::Probe& config);
  absl::StatusOr<std::unique_ptr<Action>> NewAction(const config::Responder& config);
  void Succeeded(const config::Responder& config, const ActionScript& script);

  Configuration configuration_;
  const Policy& policy_;
  std::string dir_;
  PolicyRecord record_;
  std::map<std::string, Seen> seen_;  // By probe; its entries never move.
  std::map<std::string, ActionScript> scripts_;
  const int64_t looks_max_;
  int64_t looks_ = 0;
  int boots_ = 0;
  std::optional<absl::Duration> goes_down_;  // A reboot was accepted.
  std::unique_ptr<Server> server_;
  std::unique_ptr<Agent> agent_;
};

// The units that actions of these responders act on, by the name that systemd knows.
std::set<std::string> UnitsOf(const Configuration& configuration);

}  // namespace salve

#endif  // SALVE_AGENT_POLICY_WORLD_H_

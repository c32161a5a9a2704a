// Gate: the one way to a recovery action. Decides, reserves, writes the ledger and the events
// 2050/2051 and 500..503, in the order that a crash anywhere leaves the count too high and never
// a second effect. Does not act itself: who was allowed runs the action and calls Finish. Lives
// on the loop thread; no call blocks.
#ifndef SALVE_THROTTLING_GATE_H_
#define SALVE_THROTTLING_GATE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "channels/event_log.h"
#include "config/config.pb.h"
#include "throttling/coordinator.h"
#include "throttling/failed_check.h"
#include "throttling/ledger.h"
#include "throttling/limit_overrides.h"
#include "throttling/limits.h"
#include "throttling/local_throttle.h"
#include "throttling/policy.h"

namespace salve {

// Whose limits hold for a request.
struct LimitsOf {
  std::string responder_type;  // "RestartServiceResponder"
  std::string responder_name;
  config::Throttle own;  // The responder's own limits; may be empty.
};

struct ActionRequest {
  RecoveryAction action = RecoveryAction::kRestartService;
  std::string resource;   // The key of local counting, with `action`. Not empty.
  std::string requester;  // Recorded: the responder's name, or "operator:<who>".
  // Normally one, the responder itself; of several the strictest of each attribute holds. Empty:
  // what the policy says for `requester` and the action's own responder type.
  std::vector<LimitsOf> limits_of;
  std::string incident_id;  // May be empty, as the next.
  std::string health_set;
  absl::Duration timeout = absl::Minutes(2);  // The attempt's deadline is its start + this.
  // Asked again directly before the ledger is written: a reason ends the request as obsolete.
  // Null: always wanted. Must be callable until the answer.
  std::function<std::optional<std::string>()> still_wanted;
};

struct GateAnswer {
  enum class Kind {
    kAllowed,   // The attempt is in the ledger: run it, then call Finish.
    kRefused,   // By a check; 2051 was written.
    kObsolete,  // No longer wanted; nothing was written. `message` is the reason.
    kBusy,      // A request of the same key is being decided; nothing was written. Ask again
                // after its answer.
  };
  Kind kind = Kind::kRefused;
  Attempt attempt;                           // Allowed only.
  std::optional<EffectiveLimits> effective;  // Unset: NoThrottlePolicy.
  LocalVerdict local;                        // most_recent is null here:
  std::optional<Attempt> most_recent;
  std::string local_xml;               // Empty with NoThrottlePolicy.
  GroupVerdict group;                  // Its xml is "<not attempted>" when refused locally.
  std::vector<Check> failed;           // All, in order; empty when allowed.
  std::string message;                 // As in the event's ExceptionMessage; empty when allowed.
  std::vector<FailedCheck> explained;  // Of a dry check: as `failed`, with the attempts that block.
  // Refused only: from now until it may be asked again; unset: never by itself (a maximum of 0,
  // no policy). With kLocalRecoveryInProgress it may be asked sooner, when that attempt ends.
  std::optional<absl::Duration> retry_in;
};
using GateDone = absl::AnyInvocable<void(GateAnswer)>;

// How an action ended, for the event 501, 502 or 503.
struct AttemptEnd {
  AttemptResult result = AttemptResult::kFailed;
  std::string exception_name;     // Empty when it succeeded.
  std::string exception_message;  // Empty when it succeeded.
  std::string context;            // Job, pid, output …; cut to 4 KiB.
};

class Gate {
 public:
  // All must outlive the gate.
  struct Parts {
    EventLoop* loop;
    Ledger* ledger;
    Coordinator* coordinator;
    EventLog* events;
  };
  explicit Gate(Parts parts);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Replaces the policy of throttle.xml. Until the first call only the built-in defaults hold.
  // Requests that are being decided end by the limits they began with.
  void SetPolicy(Policy policy);
  const Policy& policy() const { return policy_; }
  // Replaces the overrides of limits: the layer above policy and definitions.
  void SetOverrides(LimitOverrideTable overrides);
  const LimitOverrideTable& overrides() const { return overrides_; }
  // Of the responders' own limits, in minutes: the ledger keeps what they need.
  void SetLargestOwnMinimum(int minutes);

  // Decides; calls `done` once, on the loop, never inside this call.
  void Ask(ActionRequest request, GateDone done);

  // What Ask would say now, and the group's verdict also where the local limits refuse already;
  // records, reserves and writes nothing. Kind is allowed or refused.
  void DryCheck(const ActionRequest& request, GateDone done);
  // The same of the local limits alone, at once; group.xml is "<not attempted>", or
  // "<not configured>" where no group limit is set.
  GateAnswer DryCheckLocal(const ActionRequest& request) const;

  // nullopt: nothing matches.
  std::optional<EffectiveLimits> LimitsFor(const ActionRequest& request) const {
    return LimitsFor(request, overrides_);
  }
  // The same with other overrides.
  std::optional<EffectiveLimits> LimitsFor(const ActionRequest& request,
                                           const LimitOverrideTable& overrides) const;

  // Notes what the effect is (Attempt::effect), synced when `done` is called.
  void SetEffect(const std::string& attempt_id, absl::string_view effect, LedgerDone done);

  // The action has ended: ledger synced, the group's mark freed, then event 501, 502 or 503, then
  // `done`. The event is written also when the ledger could not be (its status is done's).
  // Serves also what an earlier life of the agent left in progress (Ledger::Unfinished).
  // Errors of `done`: as Ledger::Finish.
  void Finish(const std::string& attempt_id, AttemptEnd end, LedgerDone done);

 private:
  struct Decision;
  using DecisionPtr = std::unique_ptr<Decision>;
  struct Running {
    std::string throttle_identity;
    std::string limits_xml;
  };

  // The steps of a request, in this order. Each hands the decision on or ends it.
  void OnGroupVerdict(DecisionPtr decision, GroupVerdict verdict);
  void OnLedger(DecisionPtr decision, const absl::Status& status);
  void Refuse(DecisionPtr decision);
  void Answer(DecisionPtr decision, GateAnswer::Kind kind);

  // Fills in what the policy and the local check say.
  void CheckLocally(const ActionRequest& request, bool real_attempt, GateAnswer& answer) const;
  void AppendVerdict(const ActionRequest& request, const GateAnswer& answer, bool allowed);
  void AppendResult(const Attempt& attempt, const AttemptEnd* end);
  Running RunningOf(const Attempt& attempt) const;

  void TellLedger();

  const Parts parts_;
  Policy policy_;
  LimitOverrideTable overrides_;
  int largest_own_minimum_ = 0;
  absl::flat_hash_set<std::string> deciding_;          // Keys, at most one request each.
  absl::flat_hash_map<std::string, Running> running_;  // By the attempt's id.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace salve

#endif  // SALVE_THROTTLING_GATE_H_

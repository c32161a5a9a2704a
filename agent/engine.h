// Engine: the one loop that moves the data. Looks go to monitors, their states to the chains of
// responders, requests through the gate to actions, and every step into the event log. It owns no
// thread and no file; the same engine runs in the agent and, on a simulated clock, in tests.
// Lives on the loop's thread.
#ifndef SALVE_AGENT_ENGINE_H_
#define SALVE_AGENT_ENGINE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/components.h"
#include "agent/dependencies.h"
#include "agent/guards.h"
#include "agent/state_store.h"
#include "api/salve.pb.h"
#include "base/event_loop.h"
#include "base/ids.h"
#include "channels/event_log.h"
#include "config/definition.h"
#include "config/kind_checks.h"
#include "config/override.h"
#include "config/override_apply.h"
#include "monitors/combination.h"
#include "monitors/monitor.h"
#include "probes/scheduler.h"
#include "responders/action.h"
#include "responders/chain.h"
#include "responders/notice.h"
#include "throttling/gate.h"
#include "throttling/shared_text.h"

namespace salve {

class Notifier;

// The world of an engine. Everything must outlive it.
struct EngineParts {
  EventLoop& loop;
  Host& host;
  ServiceManager& services;
  EventLog& events;
  Ledger& ledger;
  Gate& gate;
  Coordinator& coordinator;           // The gate's.
  SharedText* group_pause = nullptr;  // The group's kill switch; null: there is no group.
  StateStore& state;
  Components* components = nullptr;  // May be none.
  RandomSource& random;
  std::string boot_id;
  std::function<absl::StatusOr<std::unique_ptr<Probe>>(const config::Probe&)> new_probe;
  std::function<absl::StatusOr<std::unique_ptr<Action>>(const config::Responder&)> new_action;
  std::string version;           // Of the agent.
  KindChecks checks = {};        // What overrides must pass.
  Notifier* notifier = nullptr;  // Where escalations go beside the journal; may be none.
  // Puts a deferred action into the queue; `done` gets the MID when it is on disk. The request
  // names a responder in full, or the action; `resource` is the one that it works on. Null: none.
  std::function<void(const v1::RunActionRequest& request, const std::string& resource,
                     std::function<void(absl::StatusOr<std::string>)> done)>
      defer = nullptr;
  // Only what a person asks for, or deferred, is done: nothing is looked at, no responder acts by
  // itself, and what is kept of the monitors stays as it is (`salved --recover-set`).
  bool by_hand_only = false;
};

// The overrides that are known; those that have ended hold no more.
struct OverrideSet {
  std::vector<ScopedOverride> overrides;
  std::vector<bool> ended;  // As numbered; may be shorter.
};

class Engine {
 public:
  explicit Engine(EngineParts parts);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Takes up a configuration: at start, or in place of the one that runs. Items that did not
  // change keep their state. Requires: it was loaded with the kinds' checks.
  // Errors: kInvalidArgument: an item can't be made; nothing has changed then.
  absl::Status Apply(Configuration configuration);

  // Lays other overrides over the configuration. Items that they do not change keep their state.
  // Before the first Apply they are only noted. Errors: kInvalidArgument: an item can't be made;
  // nothing has changed then.
  absl::Status SetOverrides(OverrideSet set);
  // Of each override given, why it does not hold; empty: it is in force.
  const std::vector<std::string>& overrides_why_not() const { return why_not_; }
  // Whether `one` could be added to what is known. Errors: kNotFound: no such item, with the
  // nearest names (not with `unchecked`); kInvalidArgument: the configuration would refuse it.
  absl::Status CheckOverride(const ScopedOverride& one, bool unchecked) const;
  // What would become of the last of `then`, in place of the overrides that are known.
  struct OverridePreview {
    std::vector<v1::OverrideEffect> effects;  // Of the items that it names.
    std::string why_not;                      // As overrides_why_not.
  };
  OverridePreview PreviewLast(const OverrideSet& then) const;

  // Takes up what an earlier life of the agent left in progress: an effect that still runs is
  // awaited until its deadline, the others are closed as crashed. Once, before Apply. The attempts
  // in `held` stay in progress: they wait in a crash set for a person (queue/crash_set.h).
  void Reconcile(const std::set<std::string>& held = {});

  // No new action starts from now on; calls `done` when the running ones have ended, at most
  // after the configuration's stop_timeout.
  void Stop(std::function<void()> done);

  // Runs an action for a person: a responder's ("NAME" or "SET/NAME"), or ACTION on RESOURCE; a dry
  // run only says what would be done, and whether the run would be allowed. With `defer` it is put
  // into the durable queue, and the answer has its MID. Errors (through `done`): kNotFound with the
  // nearest names, kInvalidArgument; of `defer` also kUnavailable, kResourceExhausted and
  // kFailedPrecondition: the queue does not take it.
  void RunManually(const v1::RunActionRequest& request,
                   std::function<void(absl::StatusOr<v1::RunActionResponse>)> done);
  // The same of one whose turn it is in the queue; the attempt's requester is `requester`.
  void RunDeferred(const v1::RunActionRequest& request, const std::string& requester,
                   std::function<void(absl::StatusOr<v1::RunActionResponse>)> done);

  // One look now. Errors (through `done`): kNotFound with the nearest names.
  void RunProbe(const std::string& health_set, const std::string& name,
                std::function<void(absl::StatusOr<v1::RunProbeResponse>)> done);
  // Errors: kNotFound with the nearest names, kFailedPrecondition.
  absl::Status Notify(const v1::NotifyRequest& request);
  // A person repairs, or has (engine_monitors.cc). Errors: kNotFound with the nearest names;
  // kInvalidArgument: a duration outside 1 s..30 days, a reason of more than 1000 bytes;
  // kFailedPrecondition: it is disabled, or not being repaired.
  absl::StatusOr<v1::SetMonitorStateResponse> SetMonitorState(
      const v1::SetMonitorStateRequest& request);

  // Guards (engine_guards.cc). Answer when what they changed is on disk, and in the group's key.
  // Errors (through `done`): kNotFound with the nearest names, kInvalidArgument: no reason or
  // duration, or one out of range; kFailedPrecondition: there is no group; kUnavailable: it holds
  // here and can't be written.
  void Maintain(const v1::MaintenanceRequest& request,
                std::function<void(absl::StatusOr<v1::MaintenanceResponse>)> done);
  void PauseActions(const v1::PauseRequest& request,
                    std::function<void(absl::StatusOr<v1::PauseResponse>)> done);
  // The files that pause all actions now, by path.
  void SetPauseFiles(std::map<std::string, Guard> files);

  // What people ask (engine_reports.cc). Errors: kNotFound with the nearest names.
  absl::StatusOr<v1::GetServerHealthResponse> Health(const std::string& health_set) const;
  absl::StatusOr<v1::ListProbesResponse> Probes(const v1::ListRequest& request) const;
  absl::StatusOr<v1::ListMonitorsResponse> Monitors(const v1::ListRequest& request) const;
  absl::StatusOr<v1::ListRespondersResponse> Responders(const v1::ListRequest& request) const;
  // What comes next for the monitor with this incident open, in sentences.
  std::vector<std::string> NextSteps(const std::string& incident_id) const;
  // The keys that have attempts or responders, with the limits in force.
  void ThrottleState(const v1::GetThrottleStateRequest& request,
                     std::function<void(absl::StatusOr<v1::GetThrottleStateResponse>)> done);
  void CheckThrottle(const v1::CheckThrottleRequest& request,
                     std::function<void(absl::StatusOr<v1::CheckThrottleResponse>)> done);
  v1::ListThrottleConfigResponse ThrottleConfig() const;
  // The servers of the group (engine_group.cc). Errors: as Coordinator::ListServers, ForgetServer.
  void ListServers(std::function<void(absl::StatusOr<v1::ListServersResponse>)> done);
  void ForgetServer(const v1::ForgetServerRequest& request,
                    std::function<void(absl::StatusOr<v1::ForgetServerResponse>)> done);
  // Attempts in the ledger, newest last. Errors: kInvalidArgument: a limit out of range.
  absl::StatusOr<v1::ListActionsResponse> Actions(const v1::ListActionsRequest& request) const;

  // Escalates: into the journal, the channel, and to the notice's destinations, which are told when
  // the monitor is healthy again.
  void Tell(Notice notice);

  const Configuration& configuration() const { return configuration_; }
  // The limits in force have changed: who waits for a refusal asks again.
  void LimitsChanged();
  // When the first look ended; the time of the call if none has.
  Instant first_look() const { return first_look_.value_or(parts_.loop.Now()); }
  uint64_t probes_skipped() const { return scheduler_.skipped_total(); }
  // Says something of the agent's own life.
  void AppendAgentEvent(int event_id, v1::Level level, std::string message, int64_t count = 0,
                        std::string who = "");

 private:
  struct ResponderItem;
  struct AsideItem;  // A notification or a collection: beside the chain.
  struct MonitorItem;
  struct Resource;
  struct ManualRun;
  struct Outlived;  // An effect of an earlier life that is awaited.
  using MonitorPtr = std::shared_ptr<MonitorItem>;

  // Configuring.
  absl::Status TakeUp(Configuration configuration);
  void RestoreItem(MonitorItem& item, bool first);
  AppliedOverrides ApplyTo(const std::vector<HealthSetDefinition>& base, const std::string& version,
                           const OverrideSet& set) const;
  AppliedOverrides ApplyToSetOf(const Override& about, const OverrideSet& set) const;

  // Looking and deciding.
  void OnLook(const ProbeDefinition& definition, const Look& look);
  void OnTransitions(const MonitorPtr& item, const Monitor::Transitions& transitions);
  // Combinations look at their inputs when one of these was looked at, or has changed.
  void LookAtCombinationsOver(const MonitorPtr& item);
  void LookAtInputs(const std::string& combination);
  // Full names; of a combination those of all that it is made of.
  std::vector<std::string> ProbesOf(const MonitorItem& item) const;
  void Consider(const MonitorPtr& item);
  void ConsiderAll();
  void ReleaseBootGrace();

  // Guards (engine_guards.cc): what holds the monitors, and why an action waits for a dependency.
  void RestoreGuards();
  void TakeUpGuards();
  void OnGuardsChanged();
  void ScheduleGuards();
  void OnGuardTimer();
  void TellEnded(const Guards::Ended& ended);
  void OnGroupPause(const std::string& text);
  void ReplaceGroupPause(const std::string& text, std::function<void(absl::Status)> done,
                         int tries_left);
  void SyncGuards(std::function<void(absl::Status)> done);
  v1::MaintenanceResponse MaintenanceStatus() const;
  v1::PauseResponse PauseStatus() const;
  std::vector<Hold> HoldsOn(const MonitorItem& item) const;
  void UpdateHolds(const MonitorPtr& item);
  void SayHeld(const MonitorPtr& item, const MonitorStatus& status);
  std::string WhyHeld(const MonitorItem& item, const Action& action) const;
  void OnDependencyLook(const std::string& health_set);
  std::string WhyDependencyHolds(const std::string& health_set) const;
  std::string WhyDependencyWaits(const MonitorItem& item, size_t index) const;
  std::string NotLookedAt(const MonitorItem& item, const MonitorItem& dependency) const;
  void LookAtDependencies(const MonitorPtr& item);
  void LookAtDependency(const MonitorPtr& item, const std::string& probe);
  void ConsiderSoon();
  bool IsHealthy() const;
  void ReportHealthSoon();
  void ReportHealth();
  void AskAboveFloor(const MonitorPtr& item, size_t index, const std::string& key);

  // Acting.
  void TryResponder(const MonitorPtr& item, size_t index);
  void AskGate(const MonitorPtr& item, size_t index, const std::string& key);
  void LookNow(const MonitorItem& item, std::function<void(const Look&)> done);
  void Observe(const MonitorPtr& item, size_t index);
  void OnAnswer(const MonitorPtr& item, size_t index, const std::string& key, GateAnswer answer);
  void StartAction(const MonitorPtr& item, size_t index, const std::string& key,
                   const Attempt& attempt);
  void OnActionEnded(const MonitorPtr& item, size_t index, const std::string& key,
                     const Attempt& attempt, ActionResult result);
  // engine_settle.cc. Requires of Settle: the resource is suppressed.
  void Settle(const MonitorPtr& item, size_t index, const std::string& key, Instant end);
  void ResumeSettles();
  bool SettleOutlived(const std::string& attempt_id, const std::string& key);
  void OnSettled(const MonitorPtr& item, size_t index, const std::string& key);
  void Judge(const MonitorPtr& item, size_t index, const std::string& key);
  // `occasion`: one of an incident; what is told twice of the same one is told once.
  void Escalate(const MonitorPtr& item, const std::string& occasion, std::string subject,
                std::string message);
  std::optional<std::string> WhyNotNow(const MonitorItem& item, size_t index) const;
  Readiness ReadinessOf(const MonitorItem& item, size_t index) const;
  ActionRequest RequestOf(const MonitorItem& item, size_t index) const;

  // Beside the chain (engine_notify.cc). Takes such responders out of `responders`: each with how
  // many of the others are written before it.
  static std::vector<std::pair<ResponderDefinition, size_t>> TakeAsides(
      std::vector<ResponderDefinition>& responders);
  void FollowIncident(MonitorItem& item, const Transition& transition);
  // Runs those whose turn it is; returns when the next one's comes by itself.
  Instant ConsiderAsides(const MonitorPtr& item);
  bool WaitsForEvidence(const MonitorItem& item, size_t index) const;
  std::string KeyOfAside(const MonitorItem& item, const AsideItem& aside) const;
  void RunAside(const MonitorPtr& item, size_t index);
  void OnAsideEnded(const MonitorPtr& item, size_t index, ActionResult result);
  void RespondAside(const MonitorItem& item, AsideItem& aside, int recovery_result,
                    std::string reason);
  Notice NoticeOf(const MonitorItem& item) const;
  void TellHealthyAgain(MonitorItem& item, const Transition& transition);

  // Exclusion: one action at a time on a resource; monitors of it are suppressed until the last
  // action on it has settled.
  bool IsBusy(const std::string& key) const;
  void Occupy(const std::string& key);
  void Vacate(const std::string& key);
  void Suppress(const std::string& key);
  void SuppressItem(MonitorItem& item);
  void Unsuppress(const std::string& key);

  // Votes of responders, and what passes no throttle (engine_components.cc).
  std::string ReasonOf(const MonitorItem& item) const;
  bool VoteStands(const MonitorItem& item, size_t index) const;
  void TakeBackVotes(const MonitorItem& item);
  void DropVotesOfNobody();
  void RunUnthrottled(const MonitorPtr& item, size_t index);
  void RunUnthrottledManually(const std::shared_ptr<ManualRun>& run);

  // For a person.
  void FindAndAsk(const v1::RunActionRequest& request, const std::shared_ptr<ManualRun>& run);
  void Defer(const std::shared_ptr<ManualRun>& run);
  bool IsOn(const ManualRun& run, const std::string& resource) const;
  void AskManually(const std::shared_ptr<ManualRun>& run);
  void DryRun(const std::shared_ptr<ManualRun>& run);
  void FillVerdict(const ActionRequest& request, const GateAnswer& answer,
                   v1::RunActionResponse& response) const;
  void StartManually(const std::shared_ptr<ManualRun>& run, const std::string& key,
                     const Attempt& attempt, v1::RunActionResponse response);

  // The end of what was allowed; what an earlier life left (engine_reconcile.cc).
  RecordEffect RecorderOf(const std::string& attempt_id);
  void FinishAttempt(const std::string& attempt_id, AttemptEnd end,
                     std::function<void()> then = nullptr);
  void ReconcileAttempt(const Attempt& attempt);
  absl::Duration HoldFor(const Attempt& attempt, Outlived& outlived, std::string key);
  void AwaitProcess(const Attempt& attempt, Outlived& outlived, ProcessIdentity process);
  void AwaitUnit(const Attempt& attempt, Outlived& outlived);
  void AwaitReboot(const Attempt& attempt, Outlived& outlived);
  // Whether this server was told to reboot and may do so any moment.
  bool IsRebooting() const;
  void CloseOutlived(const std::string& attempt_id, AttemptEnd end);
  void EndWatches(Outlived& outlived);

  // Records.
  v1::Event NewEvent(v1::Channel channel, int event_id, v1::Level level, const MonitorItem& item,
                     const std::string& name) const;
  void Respond(const MonitorPtr& item, size_t index, int recovery_result, std::string reason,
               std::optional<Instant> next = std::nullopt);
  // Which definition events are due.
  enum class Told { kAll, kChanges, kNewLimits };
  void AppendDefinitions(Told told);
  void AppendDefinition(v1::Event event, absl::string_view more, bool only_changes);
  void AppendProbeDefinition(const HealthSetDefinition& set, const ProbeDefinition& definition,
                             bool only_changes);
  void AppendMonitorDefinition(const HealthSetDefinition& set, const MonitorDefinition& definition,
                               bool only_changes);
  void AppendResponderDefinition(const HealthSetDefinition& set,
                                 const ResponderDefinition& definition, bool only_changes);
  void AppendRepairEvent(const MonitorItem& item, int event_id, std::string message,
                         std::string who);
  void TellRepairEnded(const MonitorItem& item, const Transition& transition);
  void Save(const MonitorItem& item);
  void Housekeep();

  // An action of another server has ended that refused ours.
  void OnGroupFreed(RecoveryAction action, const std::string& resource, absl::Duration spread);
  absl::StatusOr<std::vector<ActionRequest>> ThrottledKeys(
      const v1::GetThrottleStateRequest& request) const;

  v1::MonitorHealth HealthOf(const MonitorItem& item) const;
  void AddRepair(const MonitorStatus& status, v1::MonitorHealth& health) const;
  std::vector<std::string> NextOf(const MonitorItem& item) const;
  const AsideItem* FindAside(const std::string& name) const;  // nullptr: there is none.
  absl::StatusOr<std::pair<MonitorPtr, size_t>> FindResponder(const std::string& name) const;
  std::vector<LimitsOf> LimitsOfKey(RecoveryAction action, const std::string& resource) const;
  std::vector<std::string> HealthSetNames() const;

  EngineParts parts_;
  Configuration configuration_;                 // With overrides in its health sets.
  std::vector<HealthSetDefinition> base_sets_;  // Without them.
  bool is_configured_ = false;
  OverrideSet overrides_;
  std::vector<std::string> why_not_;
  std::vector<std::string> overridden_;  // What they change in the definitions.
  // What the definition events said last, by channel and item.
  absl::flat_hash_map<std::string, size_t> told_definitions_;
  ProbeScheduler scheduler_;
  std::map<std::string, MonitorPtr> monitors_;  // By full name.
  absl::flat_hash_map<std::string, std::vector<MonitorPtr>> monitors_of_probe_;
  CombinationGraph combinations_;
  struct LastLook {
    v1::ProbeResultEvent result;
    bool succeeded = false;
    std::optional<Instant> seen;  // When the last one that saw something began.
  };
  absl::flat_hash_map<std::string, LastLook> last_looks_;      // By the probe's full name.
  std::map<std::string, ProbeDefinition> probes_;              // By full name.
  absl::flat_hash_map<std::string, Resource> resources_;       // By lower-case resource.
  std::map<std::string, std::unique_ptr<Outlived>> outlived_;  // By attempt id.

  Guards guards_;
  Dependencies dependencies_;
  std::map<std::string, std::vector<MonitorPtr>> monitors_of_set_;
  // Why the dependencies of a health set hold it; absent: they don't.
  std::map<std::string, std::string> dependency_holds_;
  std::string boot_grace_why_;
  std::optional<std::string> group_pause_text_;  // What the group's key holds, once that is known.
  std::optional<bool> reported_healthy_;
  std::string below_floor_;  // Why the last disruptive action was below the health floor.
  bool considering_soon_ = false;
  TimerId guard_timer_ = TimerId::kNone;
  TimerId health_timer_ = TimerId::kNone;

  std::optional<Instant> first_look_;
  // What callbacks keep alive beyond a reload; their actions end with the engine.
  std::vector<std::weak_ptr<MonitorItem>> retired_;
  std::vector<std::weak_ptr<ManualRun>> manual_runs_;
  bool in_boot_grace_ = false;
  bool stopping_ = false;
  std::function<void()> stopped_;
  TimerId stop_timer_ = TimerId::kNone;
  TimerId boot_grace_timer_ = TimerId::kNone;
  TimerId housekeeping_ = TimerId::kNone;
  uint64_t skipped_told_ = 0;
  absl::Time last_wall_;
  Instant last_boot_;
  int ticks_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace salve

#endif  // SALVE_AGENT_ENGINE_H_

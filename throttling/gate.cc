#include "throttling/gate.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/log.h"

namespace salve {
namespace {

constexpr int kAllowedEvent = 2050;
constexpr int kRefusedEvent = 2051;
constexpr int kStartedEvent = 500;
constexpr absl::Duration kLedgerRetry = absl::Seconds(30);
constexpr size_t kContextBytesMax = 4096;
constexpr char kNotAttempted[] = "<not attempted>";
constexpr char kNotConfigured[] = "<not configured>";

std::string KeyOf(const ActionRequest& request) {
  return absl::StrCat(ActionName(request.action), "/", absl::AsciiStrToLower(request.resource));
}

void SetTime(absl::Time time, google::protobuf::Timestamp& timestamp) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

void KeepLocalVerdict(LocalVerdict verdict, GateAnswer& answer) {
  if (verdict.most_recent != nullptr) answer.most_recent = *verdict.most_recent;
  verdict.most_recent = nullptr;
  answer.local = std::move(verdict);
}

// Of a dry check, which asks the group even where the local limits have refused.
void AddGroupRefusal(const ActionRequest& request, const GroupVerdict& verdict,
                     GateAnswer& answer) {
  const bool locally_passed = answer.failed.empty();
  answer.kind = GateAnswer::Kind::kRefused;
  answer.failed.insert(answer.failed.end(), verdict.failed.begin(), verdict.failed.end());
  answer.explained.insert(answer.explained.end(), verdict.explained.begin(),
                          verdict.explained.end());
  if (verdict.retry_in == absl::InfiniteDuration()) {
    answer.retry_in.reset();
  } else if (locally_passed || answer.retry_in.has_value()) {
    answer.retry_in = std::max(verdict.retry_in, answer.retry_in.value_or(verdict.retry_in));
  }
  // The engine says what refuses first.
  if (locally_passed) {
    answer.message =
        RefusalMessage(request.action, request.resource, request.requester, verdict.failed);
  }
}

}  // namespace

struct Gate::Decision {
  ActionRequest request;
  GateDone done;
  std::string key;
  GateAnswer answer;
};

Gate::Gate(Parts parts) : parts_(parts) { SetPolicy(Policy()); }
Gate::~Gate() { alive_.reset(); }

void Gate::SetPolicy(Policy policy) {
  policy_ = std::move(policy);
  TellLedger();
}

void Gate::SetOverrides(LimitOverrideTable overrides) {
  overrides_ = std::move(overrides);
  TellLedger();
}

void Gate::SetLargestOwnMinimum(int minutes) {
  largest_own_minimum_ = minutes;
  TellLedger();
}

// The largest minimum that any layer asks for.
void Gate::TellLedger() {
  int largest = std::max(largest_own_minimum_, overrides_.LargestMinimum());
  for (const Policy* layer : std::initializer_list<const Policy*>{&policy_, &BuiltInPolicy()}) {
    for (const PolicyEntry& entry : layer->entries()) {
      largest = std::max(
          {largest, entry.limits.local_minimum_minutes, entry.limits.group_minimum_minutes});
    }
  }
  parts_.ledger->SetLargestMinimum(absl::Minutes(largest));
}

std::optional<EffectiveLimits> Gate::LimitsFor(const ActionRequest& request,
                                               const LimitOverrideTable& overrides) const {
  const auto resolve = [&](absl::string_view type, absl::string_view name,
                           const config::Throttle* own) {
    return Resolve(policy_, BuiltInPolicy(), {request.action, request.resource, type, name},
                   {.own = own, .overrides = overrides.Find(name)});
  };
  if (request.limits_of.empty()) {
    return resolve(ResponderTypeName(request.action), request.requester, nullptr);
  }
  std::vector<EffectiveLimits> all;
  for (const LimitsOf& one : request.limits_of) {
    std::optional<EffectiveLimits> limits =
        resolve(one.responder_type, one.responder_name, &one.own);
    if (!limits.has_value()) return std::nullopt;
    all.push_back(*std::move(limits));
  }
  return StrictestOf(all);
}

void Gate::CheckLocally(const ActionRequest& request, bool real_attempt, GateAnswer& answer) const {
  answer.failed.clear();
  answer.group.xml = kNotAttempted;
  if (!answer.effective.has_value()) answer.effective = LimitsFor(request);
  if (!answer.effective.has_value()) {
    answer.failed = {Check::kNoThrottlePolicy};
    return;
  }
  const Ledger& ledger = *parts_.ledger;
  const KeyHistory& history = ledger.History(request.action, request.resource);
  const absl::Duration now = ledger.Now();
  LocalVerdict verdict = CheckLocal(answer.effective->limits, history, now);
  if (!real_attempt) answer.explained = ExplainFailed(verdict, history, now);
  answer.local_xml = LocalResultXml(verdict, ledger.WallOfOrigin(), real_attempt);
  answer.failed.assign(verdict.failed.begin(), verdict.failed.end());
  answer.retry_in.reset();
  if (!verdict.passed && verdict.retry_at != absl::InfiniteDuration()) {
    answer.retry_in = verdict.retry_at - now;
  }
  KeepLocalVerdict(std::move(verdict), answer);
}

void Gate::Ask(ActionRequest request, GateDone done) {
  auto decision = std::make_unique<Decision>();
  decision->key = KeyOf(request);
  decision->request = std::move(request);
  decision->done = std::move(done);
  if (!deciding_.insert(decision->key).second) {
    // Not ours: whoever decides this key must keep it.
    decision->key.clear();
    return Answer(std::move(decision), GateAnswer::Kind::kBusy);
  }
  GateAnswer& answer = decision->answer;
  CheckLocally(decision->request, /*real_attempt=*/true, answer);
  if (!answer.failed.empty()) return Refuse(std::move(decision));

  answer.attempt =
      parts_.ledger->NewAttempt(decision->request.action, decision->request.resource,
                                decision->request.requester, decision->request.timeout);
  answer.attempt.incident_id = decision->request.incident_id;
  answer.attempt.health_set = decision->request.health_set;
  const GroupRequest group = {answer.attempt, answer.effective->limits.InForce()};
  parts_.coordinator->Reserve(group,
                              [this, alive = std::weak_ptr<bool>(alive_),
                               decision = std::move(decision)](GroupVerdict verdict) mutable {
                                if (!alive.expired())
                                  OnGroupVerdict(std::move(decision), std::move(verdict));
                              });
}

void Gate::OnGroupVerdict(DecisionPtr decision, GroupVerdict verdict) {
  GateAnswer& answer = decision->answer;
  if (!verdict.passed) {
    answer.failed.assign(verdict.failed.begin(), verdict.failed.end());
    if (verdict.retry_in != absl::InfiniteDuration()) {
      answer.retry_in = verdict.retry_in + verdict.retry_spread;
    }
    answer.group = std::move(verdict);
    return Refuse(std::move(decision));
  }
  // The answer may have taken its time: what justified the request must still be so.
  const ActionRequest& request = decision->request;
  if (request.still_wanted) {
    if (std::optional<std::string> reason = request.still_wanted()) {
      parts_.coordinator->Release(answer.attempt);
      answer.message = *std::move(reason);
      return Answer(std::move(decision), GateAnswer::Kind::kObsolete);
    }
  }
  CheckLocally(request, /*real_attempt=*/true, answer);
  if (!answer.failed.empty()) {
    parts_.coordinator->Release(answer.attempt);
    return Refuse(std::move(decision));
  }
  answer.group = std::move(verdict);
  answer.attempt.start = parts_.loop->Now();
  answer.attempt.start_wall = parts_.loop->clock().WallNow();
  const Attempt attempt = answer.attempt;
  parts_.ledger->Begin(attempt,
                       [this, decision = std::move(decision),
                        alive = std::weak_ptr<bool>(alive_)](const absl::Status& status) mutable {
                         if (!alive.expired()) OnLedger(std::move(decision), status);
                       });
}

void Gate::OnLedger(DecisionPtr decision, const absl::Status& status) {
  GateAnswer& answer = decision->answer;
  if (!status.ok()) {
    LogError(absl::StrCat(ActionName(decision->request.action), " of ", decision->request.resource,
                          " is refused, the ledger can't be written: ", status.message()));
    parts_.coordinator->Release(answer.attempt);
    const Ledger& ledger = *parts_.ledger;
    LocalVerdict verdict = answer.local;
    verdict.passed = false;
    verdict.failed = {Check::kLedgerUnavailable};
    verdict.retry_at = ledger.Now() + kLedgerRetry;
    if (answer.most_recent.has_value()) verdict.most_recent = &*answer.most_recent;
    answer.local_xml = LocalResultXml(verdict, ledger.WallOfOrigin(), /*real_attempt=*/true);
    verdict.most_recent = nullptr;
    answer.local = std::move(verdict);
    answer.failed = {Check::kLedgerUnavailable};
    answer.retry_in = kLedgerRetry;
    return Refuse(std::move(decision));
  }
  running_[answer.attempt.id] = {answer.effective->identity, LimitsXml(answer.effective->limits)};
  FaultPoint("gate.2050.before");
  AppendVerdict(decision->request, answer, /*allowed=*/true);
  FaultPoint("gate.500.before");
  AppendResult(answer.attempt, nullptr);
  FaultPoint("gate.allowed");
  Answer(std::move(decision), GateAnswer::Kind::kAllowed);
}

void Gate::Refuse(DecisionPtr decision) {
  GateAnswer& answer = decision->answer;
  answer.attempt = Attempt();
  answer.message = RefusalMessage(decision->request.action, decision->request.resource,
                                  decision->request.requester, answer.failed);
  AppendVerdict(decision->request, answer, /*allowed=*/false);
  Answer(std::move(decision), GateAnswer::Kind::kRefused);
}

void Gate::Answer(DecisionPtr decision, GateAnswer::Kind kind) {
  decision->answer.kind = kind;
  // The key is given back together with the answer, so that nobody decides on what the asker
  // does not know yet.
  parts_.loop->Post(
      [this, alive = std::weak_ptr<bool>(alive_), decision = std::move(decision)]() mutable {
        if (alive.expired()) return;
        if (!decision->key.empty()) deciding_.erase(decision->key);
        decision->done(std::move(decision->answer));
      });
}

GateAnswer Gate::DryCheckLocal(const ActionRequest& request) const {
  GateAnswer answer;
  CheckLocally(request, /*real_attempt=*/false, answer);
  if (answer.effective.has_value() && !answer.effective->limits.HasGroupLimit()) {
    answer.group.xml = kNotConfigured;
  }
  answer.kind = answer.failed.empty() ? GateAnswer::Kind::kAllowed : GateAnswer::Kind::kRefused;
  if (!answer.failed.empty()) {
    answer.message =
        RefusalMessage(request.action, request.resource, request.requester, answer.failed);
  }
  return answer;
}

void Gate::DryCheck(const ActionRequest& request, GateDone done) {
  GateAnswer answer = DryCheckLocal(request);
  if (!answer.effective.has_value()) {
    parts_.loop->Post([alive = std::weak_ptr<bool>(alive_), done = std::move(done),
                       answer = std::move(answer)]() mutable {
      if (!alive.expired()) done(std::move(answer));
    });
    return;
  }
  const GroupRequest group = {parts_.ledger->NewAttempt(request.action, request.resource,
                                                        request.requester, request.timeout),
                              answer.effective->limits.InForce()};
  parts_.coordinator->Check(
      group, [alive = std::weak_ptr<bool>(alive_), request, answer = std::move(answer),
              done = std::move(done)](GroupVerdict verdict) mutable {
        if (alive.expired()) return;
        if (!verdict.passed) AddGroupRefusal(request, verdict, answer);
        answer.group = std::move(verdict);
        done(std::move(answer));
      });
}

void Gate::SetEffect(const std::string& attempt_id, absl::string_view effect, LedgerDone done) {
  parts_.ledger->SetEffect(attempt_id, effect, std::move(done));
}

void Gate::Finish(const std::string& attempt_id, AttemptEnd end, LedgerDone done) {
  const Attempt* running = parts_.ledger->Find(attempt_id);
  const bool is_running = running != nullptr && running->state == AttemptState::kInProgress;
  parts_.ledger->Finish(
      attempt_id, end.result,
      [this, alive = std::weak_ptr<bool>(alive_), attempt_id, is_running, end = std::move(end),
       done = std::move(done)](absl::Status status) mutable {
        if (alive.expired()) return;
        const Attempt* attempt = parts_.ledger->Find(attempt_id);
        if (is_running && attempt != nullptr) {
          parts_.coordinator->Release(*attempt);
          FaultPoint("gate.finished.before");
          AppendResult(*attempt, &end);
          FaultPoint("gate.finished.after");
          running_.erase(attempt_id);
        }
        done(std::move(status));
      });
}

void Gate::AppendVerdict(const ActionRequest& request, const GateAnswer& answer, bool allowed) {
  v1::Event event;
  event.set_channel(v1::RecoveryActionLogs);
  event.set_event_id(allowed ? kAllowedEvent : kRefusedEvent);
  event.set_level(allowed ? v1::Information : v1::Warning);
  event.set_incident_id(request.incident_id);
  event.set_health_set(request.health_set);
  event.set_name(request.requester);
  v1::RecoveryActionLogEvent& log = *event.mutable_recovery_action_log();
  log.set_action_id(std::string(ActionName(request.action)));
  log.set_resource_name(request.resource);
  log.set_requester_name(request.requester);
  log.set_exception_message(answer.message);
  log.set_local_throttle_result(answer.local_xml);
  log.set_group_throttle_result(answer.group.xml);
  log.set_total_servers_in_group(answer.group.servers_in_group);
  log.set_total_servers_in_compatible_version(answer.group.servers_in_compatible_version);
  parts_.events->Append(std::move(event));
}

// What was in force when it began; of an attempt of an earlier life, what is in force now.
Gate::Running Gate::RunningOf(const Attempt& attempt) const {
  const auto running = running_.find(attempt.id);
  if (running != running_.end()) return running->second;
  ActionRequest request;
  request.action = attempt.action;
  request.resource = attempt.resource;
  request.requester = attempt.requester;
  const std::optional<EffectiveLimits> limits = LimitsFor(request);
  if (!limits.has_value()) return {};
  return {limits->identity, LimitsXml(limits->limits)};
}

void Gate::AppendResult(const Attempt& attempt, const AttemptEnd* end) {
  v1::Event event;
  event.set_channel(v1::RecoveryActionResults);
  event.set_event_id(kStartedEvent);
  event.set_level(v1::Information);
  event.set_incident_id(attempt.incident_id);
  event.set_health_set(attempt.health_set);
  event.set_name(attempt.requester);
  v1::RecoveryActionResultEvent& result = *event.mutable_recovery_action_result();
  result.set_id(std::string(ActionName(attempt.action)));
  result.set_instance_id(attempt.id);
  result.set_resource_name(attempt.resource);
  result.set_requestor_name(attempt.requester);
  SetTime(attempt.start_wall, *result.mutable_start_time());
  const Running running = RunningOf(attempt);
  result.set_throttle_identity(running.throttle_identity);
  result.set_throttle_parameters_xml(running.limits_xml);
  result.set_state("Started");
  if (end != nullptr) {
    const bool succeeded = end->result == AttemptResult::kSucceeded;
    event.set_event_id(succeeded ? 501 : end->result == AttemptResult::kCrashed ? 503 : 502);
    event.set_level(succeeded ? v1::Information : v1::Error);
    result.set_state("Finished");
    SetTime(attempt.end_wall, *result.mutable_end_time());
    result.set_result(std::string(AttemptResultName(end->result)));
    result.set_exception_name(end->exception_name);
    result.set_exception_message(end->exception_message);
    result.set_context(end->context.substr(0, kContextBytesMax));
  }
  parts_.events->Append(std::move(event));
}

}  // namespace salve

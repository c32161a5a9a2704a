#include "agent/policy_action.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

using policytest::ExpectedAction;

constexpr absl::Duration kTakes = absl::Seconds(1);
constexpr absl::Duration kRebootTakes = absl::Seconds(60);

ExpectedAction::Result ResultOf(ActionResult::Kind kind) {
  switch (kind) {
    case ActionResult::Kind::kSucceeded:
      return ExpectedAction::SUCCEEDED;
    case ActionResult::Kind::kFailed:
      return ExpectedAction::FAILED;
    case ActionResult::Kind::kTimedOut:
      return ExpectedAction::TIMED_OUT;
  }
  return ExpectedAction::ANY;
}

class PolicyAction final : public Action {
 public:
  PolicyAction(const config::Responder& config, std::unique_ptr<Action> real,
               PolicyActionParts parts)
      : name_(config.name()),
        runs_for_real_(RunsForReal(config)),
        is_reboot_(config.has_reboot_server()),
        real_(std::move(real)),
        parts_(std::move(parts)) {}
  ~PolicyAction() override {
    *alive_ = false;
    parts_.loop.CancelTimer(timer_);
    if (deed_.has_value()) {
      // A reboot that was accepted is just what ends the agent.
      parts_.record.Ended(*deed_,
                          is_going_down_ ? ExpectedAction::SUCCEEDED : ExpectedAction::CRASHED, "");
    }
  }

  std::string id() const override { return real_->id(); }
  std::string resource() const override { return real_->resource(); }
  std::string exclusion() const override { return real_->exclusion(); }
  void Watch(std::function<void()> changed) override { real_->Watch(std::move(changed)); }
  Readiness Check() const override { return real_->Check(); }
  absl::Duration Needs() const override { return real_->Needs(); }
  bool is_disruptive() const override { return real_->is_disruptive(); }
  bool is_notification() const override { return real_->is_notification(); }
  bool is_throttled() const override { return real_->is_throttled(); }
  void About(Notice incident) override { real_->About(std::move(incident)); }
  void AskedBy(const std::string& requester, const std::string& reason) override {
    real_->AskedBy(requester, reason);
  }
  std::string Plan() const override { return real_->Plan(); }

  void Run(Instant deadline, RecordEffect record, ActionDone done) override {
    script_ = parts_.script();
    deed_ = parts_.record.Began(name_);
    done_ = std::move(done);
    if (runs_for_real_) {
      real_->Run(deadline, std::move(record), [this, alive = alive_](ActionResult result) {
        if (*alive) Finish(std::move(result));
      });
      return;
    }
    record(is_reboot_ ? "reboot" : "simulated", [this, alive = alive_, deadline](absl::Status s) {
      if (*alive) Begin(deadline, s);
    });
  }

 private:
  void Begin(Instant deadline, const absl::Status& recorded) {
    if (!recorded.ok()) {
      return Finish({ActionResult::Kind::kFailed, "LedgerUnavailable",
                     std::string(recorded.message()), "not begun"});
    }
    if (is_reboot_ && script_.fails.empty()) {
      is_going_down_ = true;
      return parts_.goes_down(script_.takes.value_or(kRebootTakes));
    }
    const Instant end = parts_.loop.Now() + (is_reboot_ ? kTakes : script_.takes.value_or(kTakes));
    timer_ = parts_.loop.CallAt(std::min(end, deadline), [this, in_time = end <= deadline] {
      Finish(in_time ? Scripted()
                     : ActionResult{ActionResult::Kind::kTimedOut, "TimedOut",
                                    "simulated: it did not end in time", "simulated"});
    });
  }

  ActionResult Scripted() const {
    if (script_.fails.empty()) return {ActionResult::Kind::kSucceeded, "", "", "simulated"};
    return {ActionResult::Kind::kFailed, "Simulated", script_.fails, "simulated"};
  }

  void Finish(ActionResult result) {
    parts_.record.Ended(*std::exchange(deed_, std::nullopt), ResultOf(result.kind),
                        result.exception_message);
    if (result.kind == ActionResult::Kind::kSucceeded) parts_.succeeded(script_);
    ActionDone done = std::exchange(done_, nullptr);
    done(std::move(result));
  }

  const std::string name_;
  const bool runs_for_real_;
  const bool is_reboot_;
  const std::unique_ptr<Action> real_;
  const PolicyActionParts parts_;
  ActionScript script_;
  std::optional<size_t> deed_;  // Of the run that has not ended.
  bool is_going_down_ = false;
  ActionDone done_;
  TimerId timer_ = TimerId::kNone;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

bool RunsForReal(const config::Responder& config) {
  return config.has_escalate() || config.has_take_offline() || config.has_bring_online();
}

std::unique_ptr<Action> NewPolicyAction(const config::Responder& config,
                                        std::unique_ptr<Action> real, PolicyActionParts parts) {
  return std::make_unique<PolicyAction>(config, std::move(real), std::move(parts));
}

}  // namespace salve

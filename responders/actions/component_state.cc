#include "responders/actions/component_state.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/duration.h"

namespace salve {
namespace {

constexpr absl::Duration kDurationMin = absl::Seconds(1);
constexpr absl::Duration kDurationMax = absl::Hours(720);

absl::Status NoComponents() { return absl::UnavailableError("this agent has no components"); }

ActionResult ResultOf(const absl::Status& status, std::string context) {
  if (status.ok()) return {ActionResult::Kind::kSucceeded, "", "", std::move(context)};
  return {ActionResult::Kind::kFailed, absl::IsNotFound(status) ? "NoSuchComponent" : "CannotVote",
          std::string(status.message()), ""};
}

class TakeOfflineAction final : public Action {
 public:
  TakeOfflineAction(std::string component, absl::Duration duration,
                    const ActionEnvironment& environment)
      : component_(std::move(component)),
        duration_(duration),
        votes_(environment.components),
        services_(environment.services) {}

  std::string id() const override { return "TakeOffline"; }
  std::string resource() const override { return component_; }
  // What looks sick while all is being stopped says nothing of the time after.
  Readiness Check() const override {
    if (services_.IsStopping()) return {Readiness::Kind::kWait, "the system is stopping"};
    return {};
  }
  void AskedBy(const std::string& requester, const std::string& reason) override {
    requester_ = requester;
    reason_ = reason;
  }
  std::string Plan() const override {
    return absl::StrCat(
        "votes the component ", component_, " out of service, ",
        duration_ == absl::InfiniteDuration()
            ? "until its monitor is healthy again or bring_online takes the vote back"
            : absl::StrCat("for ", absl::FormatDuration(duration_)));
  }

  // The vote stands when this returns: nothing of it can outlive the agent unseen.
  void Run(Instant, RecordEffect, ActionDone done) override {
    done(ResultOf(votes_ == nullptr
                      ? NoComponents()
                      : votes_->VoteOffline({component_, requester_, reason_, duration_}),
                  absl::StrCat("voted ", component_, " out of service")));
  }

 private:
  const std::string component_;
  const absl::Duration duration_;
  ComponentVotes* const votes_;
  ServiceManager& services_;
  std::string requester_;
  std::string reason_;
};

class BringOnlineAction final : public Action {
 public:
  BringOnlineAction(std::string component, ComponentVotes* votes)
      : component_(std::move(component)), votes_(votes) {}

  std::string id() const override { return "BringOnline"; }
  std::string resource() const override { return component_; }
  bool is_disruptive() const override { return false; }
  bool is_throttled() const override { return false; }
  void AskedBy(const std::string& requester, const std::string& reason) override {
    why_ = absl::StrCat(requester, reason.empty() ? "" : ": ", reason);
  }
  std::string Plan() const override {
    return absl::StrCat("takes back the votes of responders for the component ", component_,
                        " to be offline");
  }

  void Run(Instant, RecordEffect, ActionDone done) override {
    if (votes_ == nullptr) return done(ResultOf(NoComponents(), ""));
    const absl::StatusOr<std::vector<std::string>> taken =
        votes_->TakeBackOfResponders(component_, why_);
    if (!taken.ok()) return done(ResultOf(taken.status(), ""));
    done(ResultOf(absl::OkStatus(),
                  taken->empty()
                      ? absl::StrCat("no responder votes for ", component_, " to be offline")
                      : absl::StrCat("took back for ", component_, " the vote of ",
                                     absl::StrJoin(*taken, ", "))));
  }

 private:
  const std::string component_;
  ComponentVotes* const votes_;
  std::string why_;
};

}  // namespace

absl::Status CheckTakeOffline(const config::TakeOffline& config) {
  if (config.component().empty()) {
    return absl::InvalidArgumentError("take_offline.component: names no component");
  }
  if (config.duration().empty()) return absl::OkStatus();
  const absl::StatusOr<absl::Duration> duration = ParseDuration(config.duration());
  if (!duration.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("take_offline.duration: ", duration.status().message()));
  }
  if (*duration < kDurationMin || *duration > kDurationMax) {
    return absl::InvalidArgumentError(absl::StrCat("take_offline.duration: ", config.duration(),
                                                   " is not in [", DurationText(kDurationMin), ", ",
                                                   DurationText(kDurationMax), "]"));
  }
  return absl::OkStatus();
}

absl::Status CheckBringOnline(const config::BringOnline& config) {
  if (!config.component().empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("bring_online.component: names no component");
}

std::unique_ptr<Action> NewTakeOffline(const config::TakeOffline& config,
                                       const ActionEnvironment& environment) {
  return std::make_unique<TakeOfflineAction>(
      config.component(), ParseDuration(config.duration()).value_or(absl::InfiniteDuration()),
      environment);
}

std::unique_ptr<Action> NewBringOnline(const config::BringOnline& config,
                                       const ActionEnvironment& environment) {
  return std::make_unique<BringOnlineAction>(config.component(), environment.components);
}

}  // namespace salve

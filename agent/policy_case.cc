#include "agent/policy_case.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "agent/policy_record.h"
#include "agent/policy_world.h"
#include "base/status_macros.h"
#include "base/unit_name.h"
#include "config/duration.h"

namespace salve {
namespace {

using policytest::ExpectedAction;
using policytest::Step;

constexpr size_t kStoryLines = 20;
constexpr size_t kTimesTold = 5;
// How often, at most, and how exactly an expectation with `within` is looked at.
constexpr int kLooksWithin = 1000;
constexpr absl::Duration kExactness = absl::Milliseconds(100);

std::string At(absl::Duration at) { return absl::StrCat("+", TimeText(at)); }

// So that an expectation may be copied from it.
std::string RoundText(absl::Duration d) {
  return TimeText(d < absl::Seconds(1) ? d : d + absl::Milliseconds(500));
}

// "1 time", "3 times"
std::string Times(size_t count) { return absl::StrCat(count, count == 1 ? " time" : " times"); }

// The unit of the last part of a duration as it is written: "9m" is 1 minute.
absl::Duration PrecisionOf(const std::string& text) {
  if (absl::EndsWith(text, "ms")) return absl::Milliseconds(1);
  if (absl::EndsWith(text, "s")) return absl::Seconds(1);
  return absl::EndsWith(text, "m") ? absl::Minutes(1) : absl::Hours(1);
}

Observation ObservationOf(const policytest::See& see) {
  Observation seen;
  switch (see.outcome()) {
    case policytest::See::FAILED:
      seen.outcome = Outcome::kFailed;
      break;
    case policytest::See::TIMED_OUT:
      seen.outcome = Outcome::kTimedOut;
      break;
    case policytest::See::REJECTED:
      seen.outcome = Outcome::kRejected;
      break;
    default:
      break;
  }
  if (seen.outcome != Outcome::kSucceeded) {
    seen.error = see.error().empty() ? "simulated" : see.error();
  }
  for (const policytest::Value& value : see.value()) {
    seen.values.push_back({value.name(), value.number(), value.unit()});
  }
  return seen;
}

absl::StatusOr<UnitState> StateOf(const policytest::Unit& unit) {
  const std::string name = UnitName(unit.name());
  UnitState state{.id = name,
                  .load_state = "loaded",
                  .active_state = "active",
                  .sub_state = "running",
                  .result = "success",
                  .restart = "no"};
  switch (unit.state()) {
    case policytest::Unit::INACTIVE:
      state.active_state = "inactive";
      state.sub_state = "dead";
      break;
    case policytest::Unit::DEAD:
      state.active_state = "failed";
      state.sub_state = "failed";
      state.result = "exit-code";
      break;
    case policytest::Unit::STARTING:
      state.active_state = "activating";
      state.sub_state = "start";
      state.job_id = 1'000'000;  // None of ours.
      break;
    case policytest::Unit::MASKED:
      state.load_state = "masked";
      state.active_state = "inactive";
      state.sub_state = "dead";
      break;
    case policytest::Unit::GONE:
      return absl::NotFoundError(absl::StrCat(name, ": no such unit"));
    default:
      break;
  }
  return state;
}

class CaseRun {
 public:
  CaseRun(const PolicyTestFile& file, int index, PolicyWorld& world)
      : file_(file), index_(index), config_(file.test().case_(index)), world_(world) {}

  policytest::CaseReport Run() {
    for (step_ = 0; step_ < config_.step_size() && report_.failure().empty(); ++step_) {
      const Step& step = config_.step(step_);
      if (step.has_expect()) {
        Expect(step.expect());
      } else if (absl::Status status = Do(step); !status.ok()) {
        Fail(file_.PlaceOf(index_, step_, ""), std::string(status.message()));
      }
    }
    if (report_.failure().empty()) ExpectNothingElse();
    report_.set_name(config_.name());
    report_.set_passed(report_.failure().empty());
    report_.set_simulated(TimeText(world_.Now()));
    if (!report_.passed()) TellStory();
    return std::move(report_);
  }

 private:
  struct Miss {
    std::string path;  // Within the step.
    std::string text;
  };
  // What an expectation has matched so far.
  struct Claims {
    std::vector<size_t> deeds;
    std::vector<size_t> refusals;
  };

  absl::Status Do(const Step& step) {
    switch (step.kind_case()) {
      case Step::kRun:
        return world_.RunFor(DurationOr(step.run(), absl::ZeroDuration()));
      case Step::kUntil:
        return RunUntil(step.until());
      case Step::kSee:
        See(step.see());
        // What is due now: a look that the news has asked for.
        return world_.RunFor(absl::ZeroDuration());
      case Step::kActionOutcome:
        Script(step.action_outcome());
        return absl::OkStatus();
      case Step::kUnit:
        world_.record().Say(absl::StrCat(UnitName(step.unit().name()), " is ",
                                         policytest::Unit::UnitState_Name(step.unit().state())));
        world_.SetUnit(UnitName(step.unit().name()), StateOf(step.unit()));
        return world_.RunFor(absl::ZeroDuration());
      case Step::kRestartAgent:
        return world_.RestartAgent(DurationOr(step.restart_agent().down(), absl::Seconds(1)));
      case Step::kReboot:
        return world_.Reboot(DurationOr(step.reboot().down(), absl::Seconds(60)));
      case Step::kMaintenance:
        return world_.Maintain(step.maintenance().health_set(),
                               DurationOr(step.maintenance().length(), absl::ZeroDuration()));
      case Step::kPause:
        return world_.PauseActions(
            step.pause().end() ? absl::ZeroDuration()
                               : DurationOr(step.pause().length(), absl::InfiniteDuration()));
      default:
        return absl::InternalError("a step that nothing does");
    }
  }

  absl::Status RunUntil(const std::string& until) {
    const absl::Duration left = DurationOr(until, absl::ZeroDuration()) - world_.Now();
    if (left >= absl::ZeroDuration()) return world_.RunFor(left);
    return absl::InvalidArgumentError(absl::StrCat(until, " has passed: it is ", At(world_.Now())));
  }

  void See(const policytest::See& see) {
    Sight sight{ObservationOf(see), DurationOr(see.takes(), absl::ZeroDuration())};
    if (sight.observation.outcome == Outcome::kTimedOut) sight.takes = absl::InfiniteDuration();
    world_.record().Say(
        absl::StrCat(see.probe(), " will see ", policytest::See::Outcome_Name(see.outcome()),
                     sight.observation.error.empty() ? "" : ": ", sight.observation.error));
    for (const std::string& probe : file_.Probes(see.probe())) world_.See(probe, sight);
  }

  void Script(const policytest::ActionOutcome& outcome) {
    ActionScript script;
    script.fails = outcome.fails();
    if (!outcome.takes().empty()) script.takes = DurationOr(outcome.takes(), absl::ZeroDuration());
    for (const std::string& glob : outcome.heals()) {
      for (std::string& probe : file_.Probes(glob)) script.heals.push_back(std::move(probe));
    }
    for (const std::string& responder : file_.Responders(outcome.responder())) {
      world_.Script(responder, script);
    }
  }

  void Expect(const policytest::Expect& expect) {
    const absl::Duration within = DurationOr(expect.within(), absl::ZeroDuration());
    const absl::Duration end = world_.Now() + within;
    const absl::Duration slice = std::max(kExactness, within / kLooksWithin);
    while (true) {
      Claims claims;
      const std::vector<Miss> misses = MissesOf(expect, claims);
      if (misses.empty()) return Claim(claims);
      if (world_.Now() >= end) {
        for (const Miss& miss : misses) Fail(file_.PlaceOf(index_, step_, miss.path), miss.text);
        return;
      }
      const absl::Status status = world_.RunFor(std::min(slice, end - world_.Now()));
      if (!status.ok()) {
        return Fail(file_.PlaceOf(index_, step_, "expect"), std::string(status.message()));
      }
    }
  }

  std::vector<Miss> MissesOf(const policytest::Expect& expect, Claims& claims) const {
    std::vector<Miss> misses;
    const auto note = [&misses](absl::string_view field, int i, std::string text) {
      if (!text.empty()) misses.push_back({absl::StrCat("expect.", field, "[", i, "]"), text});
    };
    for (int i = 0; i < expect.state_size(); ++i) note("state", i, MissOf(expect.state(i)));
    for (int i = 0; i < expect.action_size(); ++i) {
      note("action", i, MissOf(expect.action(i), claims));
    }
    for (int i = 0; i < expect.refusal_size(); ++i) {
      note("refusal", i, MissOf(expect.refusal(i), claims));
    }
    for (int i = 0; i < expect.no_action_size(); ++i) {
      const std::vector<size_t> deeds = Unclaimed(expect.no_action(i), claims);
      if (deeds.empty()) continue;
      note("no_action", i,
           absl::StrCat("expected no action of ", expect.no_action(i), "; ", SayDeeds(deeds)));
    }
    return misses;
  }

  // Each says what is not so; "" where it is.
  std::string MissOf(const policytest::ExpectedState& expected) const {
    const PolicyWorld::State state = world_.StateOf(expected.item());
    const std::string& wanted = policytest::State_Name(expected.is());
    if (state.name == wanted) return "";
    return absl::StrCat("expected ", expected.item(), " to be ", wanted, "; it is ", state.name,
                        state.error.empty() ? "" : absl::StrCat(", last error: ", state.error),
                        state.hold.empty() ? "" : absl::StrCat(", held: ", state.hold));
  }

  std::string MissOf(const ExpectedAction& expected, Claims& claims) const {
    const size_t wanted = expected.has_count() ? expected.count() : 1;
    const std::vector<size_t> found = Unclaimed(expected.responder(), claims);
    const std::string what =
        absl::StrCat("expected ", expected.responder(), " to have acted ", Times(wanted));
    if (found.size() != wanted) {
      return absl::StrCat(what, "; ", found.empty() ? WhyNoDeed(expected) : SayDeeds(found));
    }
    for (const size_t i : found) {
      const Deed& deed = world_.record().deeds()[i];
      if (expected.result() == ExpectedAction::ANY || deed.result == expected.result()) continue;
      return absl::StrCat(what, ", each ", ExpectedAction::Result_Name(expected.result()), "; ",
                          SayDeeds({i}));
    }
    claims.deeds.insert(claims.deeds.end(), found.begin(), found.end());
    return "";
  }

  std::string MissOf(const policytest::ExpectedRefusal& expected, Claims& claims) const {
    const std::vector<Refusal>& refusals = world_.record().refusals();
    std::vector<size_t> found;
    for (size_t i = 0; i < refusals.size(); ++i) {
      const bool claimed = i < claimed_refusals_.size() && claimed_refusals_[i];
      if (!claimed && MatchesGlob(expected.responder(), refusals[i].responder)) found.push_back(i);
    }
    const std::string what =
        absl::StrCat("expected ", expected.responder(), " to be refused by the throttle (2051)");
    if (found.empty()) return absl::StrCat(what, "; it was not");
    const Refusal& last = refusals[found.back()];
    const std::string happened = absl::StrCat(" refused at ", At(last.at), " by ", last.checks);
    const std::vector<std::string> checks = absl::StrSplit(last.checks, ", ");
    if (!expected.check().empty() &&
        std::find(checks.begin(), checks.end(), expected.check()) == checks.end()) {
      return absl::StrCat(what, " by ", expected.check(), "; it was", happened);
    }
    if (std::string miss = MissOfNext(expected.next_allowed_in(), last); !miss.empty()) {
      return absl::StrCat(what, miss, "; it was", happened);
    }
    claims.refusals.insert(claims.refusals.end(), found.begin(), found.end());
    return "";
  }

  std::string MissOfNext(const std::string& expected, const Refusal& refusal) const {
    if (expected.empty()) return "";
    if (!refusal.again.has_value()) {
      return absl::StrCat(" and allowed again in ", expected, ", but it never is by itself");
    }
    const absl::Duration in = *refusal.again - refusal.at;
    const absl::Duration wrong = absl::AbsDuration(in - DurationOr(expected, in));
    if (wrong * 2 <= PrecisionOf(expected)) return "";
    return absl::StrCat(" and allowed again in ", expected, ", but it is in ", RoundText(in));
  }

  // Why nothing was done, as far as the throttle knows.
  std::string WhyNoDeed(const ExpectedAction& expected) const {
    const std::vector<Refusal>& refusals = world_.record().refusals();
    for (size_t i = refusals.size(); i > 0; --i) {
      const Refusal& refusal = refusals[i - 1];
      if (!MatchesGlob(expected.responder(), refusal.responder)) continue;
      return absl::StrCat(
          "it has not; at ", At(refusal.at), " it was refused by ", refusal.checks,
          refusal.again.has_value() ? absl::StrCat(", until ", At(*refusal.again)) : "");
    }
    return "it has not";
  }

  std::vector<size_t> Unclaimed(absl::string_view glob, const Claims& claims) const {
    const std::vector<Deed>& deeds = world_.record().deeds();
    std::vector<size_t> found;
    for (size_t i = 0; i < deeds.size(); ++i) {
      const bool claimed =
          (i < claimed_.size() && claimed_[i]) ||
          std::find(claims.deeds.begin(), claims.deeds.end(), i) != claims.deeds.end();
      if (!claimed && MatchesGlob(glob, deeds[i].responder)) found.push_back(i);
    }
    return found;
  }

  // "RestartNginx acted 2 times: at +1m (SUCCEEDED), +12m (FAILED: no such unit)"
  std::string SayDeeds(const std::vector<size_t>& indices) const {
    std::vector<std::string> told;
    for (const size_t i : indices) {
      const Deed& deed = world_.record().deeds()[i];
      if (told.size() == kTimesTold) {
        told.push_back("…");
        break;
      }
      told.push_back(absl::StrCat(deed.responder, " at ", At(deed.at), " (",
                                  ExpectedAction::Result_Name(deed.result),
                                  deed.error.empty() ? "" : ": ", deed.error, ")"));
    }
    return absl::StrCat("it was ", Times(indices.size()), ": ", absl::StrJoin(told, ", "));
  }

  void Claim(const Claims& claims) {
    claimed_.resize(world_.record().deeds().size());
    for (const size_t i : claims.deeds) claimed_[i] = true;
    claimed_refusals_.resize(world_.record().refusals().size());
    for (const size_t i : claims.refusals) claimed_refusals_[i] = true;
  }

  // An action that nobody has thought of is what such tests are for.
  void ExpectNothingElse() {
    for (const std::string& glob : config_.allow()) {
      Claims allowed;
      allowed.deeds = Unclaimed(glob, allowed);
      Claim(allowed);
    }
    const std::vector<size_t> left = Unclaimed("*", {});
    if (left.empty()) return;
    Fail(file_.PlaceOf(index_),
         absl::StrCat("no step has expected what was done; ", SayDeeds(left)));
  }

  void Fail(std::string place, std::string text) {
    policytest::Failure& failure = *report_.add_failure();
    failure.set_place(std::move(place));
    failure.set_at(TimeText(world_.Now()));
    failure.set_text(std::move(text));
  }

  void TellStory() {
    for (PolicyRecord::Line& line : world_.record().Story(kStoryLines)) {
      policytest::StoryLine& told = *report_.add_story();
      told.set_at(TimeText(line.at));
      told.set_text(std::move(line.text));
    }
  }

  const PolicyTestFile& file_;
  const int index_;
  const policytest::Case& config_;
  PolicyWorld& world_;
  int step_ = 0;
  std::vector<bool> claimed_;           // Deeds, by index.
  std::vector<bool> claimed_refusals_;  // The same of refusals.
  policytest::CaseReport report_;
};

}  // namespace

absl::StatusOr<policytest::CaseReport> RunPolicyCase(const PolicyTestFile& file, int case_index) {
  ASSIGN_OR_RETURN(const std::unique_ptr<PolicyWorld> world,
                   PolicyWorld::Create(file.configuration(), file.policy()));
  return CaseRun(file, case_index, *world).Run();
}

}  // namespace salve

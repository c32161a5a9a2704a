#include "agent/policy_test_checks.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agent/policy_action.h"
#include "agent/policy_test_file.h"
#include "agent/policy_world.h"
#include "base/unit_name.h"
#include "config/duration.h"
#include "config/item_faults.h"
#include "config/names.h"
#include "probes/probe.h"
#include "throttling/limits.h"

namespace salve {
namespace {

using policytest::Step;

constexpr int kSourcesMax = 1000;
constexpr uint32_t kCountMax = 100'000;
constexpr absl::Duration kDayMax = absl::Hours(24);
constexpr absl::Duration kGuardMax = absl::Hours(720);

std::vector<std::string> CheckNames() {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(Check::kLedgerUnavailable); ++i) {
    names.emplace_back(CheckName(static_cast<Check>(i)));
  }
  return names;
}

// Checks one step of a case after the other; the time that they take adds up.
class StepChecker {
 public:
  // Faults of the next step, or of the case itself, go to `faults`.
  StepChecker(const PolicyTestFile& file, ItemFaults& faults) : file_(file), faults_(&faults) {}
  void SetFaults(ItemFaults& faults) { faults_ = &faults; }

  void CheckStep(const Step& step) {
    switch (step.kind_case()) {
      case Step::kRun:
        return Spend("run",
                     CheckDuration("run", step.run(), absl::Milliseconds(1), kPolicyTimeMax));
      case Step::kUntil:
        return CheckUntil(step.until());
      case Step::kSee:
        return CheckSee(step.see());
      case Step::kExpect:
        return CheckExpect(step.expect());
      case Step::kActionOutcome:
        return CheckOutcome(step.action_outcome());
      case Step::kUnit:
        return CheckUnit(step.unit());
      case Step::kRestartAgent:
        return CheckDown("restart_agent.down", step.restart_agent().down(), absl::Seconds(1));
      case Step::kReboot:
        return CheckDown("reboot.down", step.reboot().down(), absl::Seconds(60));
      case Step::kMaintenance:
        return CheckMaintenance(step.maintenance());
      case Step::kPause:
        return CheckPause(step.pause());
      case Step::KIND_NOT_SET:
        return faults_->CheckHasOne(step, "kind");
    }
  }

  void CheckResponders(const std::string& path, const std::string& glob) {
    if (!file_.Responders(glob).empty()) return;
    faults_->Add(path, absl::StrCat("there is no responder ", Quoted(glob),
                                    DidYouMean(glob, file_.Responders("*"))));
  }

 private:
  // Of one that is wrong, zero.
  absl::Duration CheckDuration(const std::string& path, const std::string& text,
                               absl::Duration least, absl::Duration most) {
    const absl::StatusOr<absl::Duration> duration = ParseDuration(text);
    if (!duration.ok()) {
      faults_->Add(path, duration.status().message());
      return absl::ZeroDuration();
    }
    if (*duration < least || *duration > most) {
      faults_->Add(
          path, absl::StrCat(text, " is not in ", DurationText(least), "..", DurationText(most)));
      return absl::ZeroDuration();
    }
    return *duration;
  }

  // `certain`: no less time passes.
  void Spend(const std::string& path, absl::Duration time, bool certain = true) {
    const bool was_over = spent_ > kPolicyTimeMax;
    spent_ += time;
    if (certain) spent_at_least_ += time;
    if (spent_ <= kPolicyTimeMax || was_over) return;
    faults_->Add(path,
                 absl::StrCat("with it the case takes more than ", DurationText(kPolicyTimeMax)));
  }

  void CheckUntil(const std::string& until) {
    const absl::Duration time =
        CheckDuration("until", until, absl::Milliseconds(1), kPolicyTimeMax);
    // Where an expectation may have taken less than it might, only the run can tell.
    if (time > absl::ZeroDuration() && time < spent_at_least_) {
      faults_->Add("until", absl::StrCat(until, " has passed: the steps before take ",
                                         DurationText(spent_at_least_)));
    }
    if (time > spent_) Spend("until", time - spent_, /*certain=*/false);
    spent_at_least_ = std::max(spent_at_least_, time);
  }

  void CheckDown(const std::string& path, const std::string& text, absl::Duration otherwise) {
    Spend(path,
          text.empty() ? otherwise : CheckDuration(path, text, absl::ZeroDuration(), kDayMax));
  }

  void CheckProbes(const std::string& path, const std::string& glob) {
    if (!file_.Probes(glob).empty()) return;
    faults_->Add(path, absl::StrCat("there is no probe ", Quoted(glob),
                                    DidYouMean(glob, file_.Probes("*"))));
  }

  void CheckSee(const policytest::See& see) {
    CheckProbes("see.probe", see.probe());
    if (see.outcome() == policytest::See::SUCCEEDED && !see.error().empty()) {
      faults_->Add("see.error", "has no meaning where the look has SUCCEEDED");
    }
    if (see.value_size() > static_cast<int>(kValuesMax)) {
      faults_->Add("see.value", absl::StrCat("there are ", see.value_size(), "; at most ",
                                             kValuesMax, " may be"));
    }
    for (int i = 0; i < see.value_size(); ++i) {
      if (!see.value(i).name().empty()) continue;
      faults_->Add(absl::StrCat("see.value[", i, "].name"), "is needed");
    }
    if (see.takes().empty()) return;
    CheckDuration("see.takes", see.takes(), absl::ZeroDuration(), kDayMax);
  }

  void CheckOutcome(const policytest::ActionOutcome& outcome) {
    CheckResponders("action_outcome.responder", outcome.responder());
    for (const HealthSetDefinition& set : file_.configuration().health_sets) {
      for (const ResponderDefinition& responder : set.responders) {
        if (!MatchesGlob(outcome.responder(), responder.name)) continue;
        if (!RunsForReal(responder.config)) continue;
        faults_->Add("action_outcome.responder",
                     absl::StrCat("how ", Quoted(responder.name),
                                  " ends can't be said: escalate, "
                                  "take_offline and bring_online run as they are"));
      }
    }
    for (int i = 0; i < outcome.heals_size(); ++i) {
      CheckProbes(absl::StrCat("action_outcome.heals[", i, "]"), outcome.heals(i));
    }
    if (outcome.heals_size() > 0 && !outcome.fails().empty()) {
      faults_->Add("action_outcome.heals", "what fails heals nothing: leave one of the two out");
    }
    if (!outcome.takes().empty()) {
      CheckDuration("action_outcome.takes", outcome.takes(), absl::ZeroDuration(), kDayMax);
    }
  }

  void CheckUnit(const policytest::Unit& unit) {
    const std::set<std::string> units = UnitsOf(file_.configuration());
    if (units.contains(UnitName(unit.name()))) return;
    faults_->Add("unit.name",
                 absl::StrCat("no responder acts on a unit ", Quoted(unit.name()),
                              DidYouMean(UnitName(unit.name()), {units.begin(), units.end()})));
  }

  void CheckMaintenance(const policytest::Maintenance& maintenance) {
    if (!maintenance.health_set().empty()) {
      CheckItem("maintenance.health_set", maintenance.health_set(), /*is_set=*/true);
    }
    if (maintenance.end() == !maintenance.length().empty()) {
      faults_->Add("maintenance", "needs either its length or `end: true`");
    }
    if (!maintenance.length().empty()) {
      CheckDuration("maintenance.length", maintenance.length(), absl::Seconds(1), kGuardMax);
    }
  }

  void CheckPause(const policytest::Pause& pause) {
    if (pause.end() && !pause.length().empty()) {
      faults_->Add("pause", "has both a length and `end: true`");
    }
    if (!pause.length().empty()) {
      CheckDuration("pause.length", pause.length(), absl::Seconds(1), kGuardMax);
    }
  }

  void CheckItem(const std::string& path, const std::string& item, bool is_set) {
    std::vector<std::string> known;
    for (const HealthSetDefinition& set : file_.configuration().health_sets) {
      known.push_back(set.name);
      if (is_set) continue;
      for (const MonitorDefinition& monitor : set.monitors) known.push_back(FullName(monitor));
    }
    if (std::find(known.begin(), known.end(), item) != known.end()) return;
    faults_->Add(path, absl::StrCat("there is no health set ", is_set ? "" : "or monitor ",
                                    Quoted(item), DidYouMean(item, known)));
  }

  void CheckExpect(const policytest::Expect& expect) {
    if (!expect.within().empty()) {
      Spend("expect.within",
            CheckDuration("expect.within", expect.within(), absl::ZeroDuration(), kDayMax),
            /*certain=*/false);
      if (expect.no_action_size() > 0) {
        faults_->Add("expect.within",
                     "may not stand with no_action, which is so at once: let the "
                     "time pass by `run` before");
      }
    }
    if (expect.state_size() + expect.action_size() + expect.refusal_size() +
            expect.no_action_size() ==
        0) {
      faults_->Add("expect", "expects nothing");
    }
    for (int i = 0; i < expect.state_size(); ++i) {
      const std::string path = absl::StrCat("expect.state[", i, "]");
      CheckItem(path + ".item", expect.state(i).item(), /*is_set=*/false);
      if (expect.state(i).is() != policytest::STATE_UNSPECIFIED) continue;
      faults_->Add(path, "does not say which state: `is` is needed");
    }
    for (int i = 0; i < expect.action_size(); ++i) CheckAction(expect.action(i), i);
    for (int i = 0; i < expect.refusal_size(); ++i) CheckRefusal(expect.refusal(i), i);
    for (int i = 0; i < expect.no_action_size(); ++i) {
      CheckResponders(absl::StrCat("expect.no_action[", i, "]"), expect.no_action(i));
    }
  }

  void CheckAction(const policytest::ExpectedAction& action, int index) {
    const std::string path = absl::StrCat("expect.action[", index, "]");
    CheckResponders(path + ".responder", action.responder());
    if (!action.has_count() || (action.count() >= 1 && action.count() <= kCountMax)) return;
    faults_->Add(path + ".count", action.count() == 0
                                      ? std::string("0 of them is `no_action`")
                                      : absl::StrCat(action.count(), " is not in 1..", kCountMax));
  }

  void CheckRefusal(const policytest::ExpectedRefusal& refusal, int index) {
    const std::string path = absl::StrCat("expect.refusal[", index, "]");
    CheckResponders(path + ".responder", refusal.responder());
    const std::vector<std::string> known = CheckNames();
    if (!refusal.check().empty() &&
        std::find(known.begin(), known.end(), refusal.check()) == known.end()) {
      faults_->Add(path + ".check", absl::StrCat("there is no check ", Quoted(refusal.check()),
                                                 DidYouMean(refusal.check(), known)));
    }
    if (refusal.next_allowed_in().empty()) return;
    CheckDuration(path + ".next_allowed_in", refusal.next_allowed_in(), absl::ZeroDuration(),
                  absl::Hours(24 * 400));
  }

  const PolicyTestFile& file_;
  ItemFaults* faults_;
  absl::Duration spent_;  // At most, by the steps so far.
  absl::Duration spent_at_least_;
};

}  // namespace

void CheckPolicySources(const policytest::PolicyTest& test, const Place& root, ErrorList& errors) {
  ItemFaults faults("", root, errors);
  if (test.file().empty() && test.health_sets().empty() && test.ready_made().empty()) {
    faults.Add("", "names no health set: file, health_sets or ready_made is needed");
  }
  if (test.file_size() > kSourcesMax) {
    faults.Add("file",
               absl::StrCat("there are ", test.file_size(), "; at most ", kSourcesMax, " may be"));
  }
  if (!test.agent_file().empty() && !test.agent().empty()) {
    faults.Add("agent", "may not stand beside agent_file");
  }
  if (!test.throttle_file().empty() && !test.throttle().empty()) {
    faults.Add("throttle", "may not stand beside throttle_file");
  }
  if (test.case__size() == 0) faults.Add("", "has no case");
  if (test.case__size() > kPolicyCasesMax) {
    faults.Add("case", absl::StrCat("there are ", test.case__size(), "; at most ", kPolicyCasesMax,
                                    " may be"));
  }
  for (int i = 0; i < test.found_size(); ++i) {
    if (!test.found(i).empty() && test.found(i)[0] == '/') continue;
    faults.Add(absl::StrCat("found[", i, "]"), "must be a path from / on");
  }
}

void CheckPolicyCases(const PolicyTestFile& file, const Place& root, ErrorList& errors) {
  std::map<std::string, std::string> names;  // With the line where each stands.
  for (int c = 0; c < file.test().case__size(); ++c) {
    const policytest::Case& one = file.test().case_(c);
    const Place place = root.In("case", c);
    ItemFaults faults(absl::StrCat("case ", Quoted(one.name())), place, errors);
    if (one.name().empty()) faults.Add("name", "is needed");
    const auto [other, is_new] = names.try_emplace(one.name(), place.DescribeLine("name"));
    if (!is_new) faults.Add("name", absl::StrCat("is taken at ", other->second));
    if (one.step().empty()) faults.Add("", "has no step");
    if (one.step_size() > kPolicyStepsMax) {
      faults.Add("step", absl::StrCat("there are ", one.step_size(), "; at most ", kPolicyStepsMax,
                                      " may be"));
      continue;
    }
    StepChecker checker(file, faults);
    for (int i = 0; i < one.allow_size(); ++i) {
      checker.CheckResponders(absl::StrCat("allow[", i, "]"), one.allow(i));
    }
    for (int i = 0; i < one.step_size(); ++i) {
      ItemFaults of_step(absl::StrCat("case ", Quoted(one.name())), place.In("step", i), errors);
      checker.SetFaults(of_step);
      checker.CheckStep(one.step(i));
    }
  }
}

}  // namespace salve

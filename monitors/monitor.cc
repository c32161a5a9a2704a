#include "monitors/monitor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "config/combination.h"

namespace salve {
namespace {

constexpr size_t kEvidenceMax = 20;
constexpr size_t kRejectedWindow = 10;
constexpr int kRejectedInARowMax = 3;

constexpr char kStartsAnew[] = "the timeline starts anew";

// A person's end may be far away, but not farther than anybody may say.
constexpr absl::Duration kRepairMax = absl::Hours(30 * 24);

bool IsSick(config::HealthState state) {
  return state == config::DEGRADED || state == config::UNHEALTHY || state == config::UNRECOVERABLE;
}

int64_t UnixNanos(absl::Time t) { return t == absl::InfinitePast() ? 0 : absl::ToUnixNanos(t); }
absl::Time FromNanos(int64_t n) { return n == 0 ? absl::InfinitePast() : absl::FromUnixNanos(n); }

}  // namespace

bool Monitor::Source::Unavailable() const {
  if (undecided) return true;
  if (rejected_in_a_row >= kRejectedInARowMax) return true;
  if (rejected.size() < kRejectedWindow) return false;
  return 2 * std::count(rejected.begin(), rejected.end(), true) >=
         static_cast<long>(kRejectedWindow);
}

void Monitor::Source::NoteRejected(bool is_rejected) {
  rejected.push_back(is_rejected);
  if (rejected.size() > kRejectedWindow) rejected.pop_front();
  rejected_in_a_row = is_rejected ? std::min(rejected_in_a_row + 1, kRejectedInARowMax) : 0;
  if (Unavailable()) quiet_since.reset();  // Whether the rule held meanwhile nobody knows.
}

void Monitor::Source::Count(Instant now, const Observation& observation, Sign sign,
                            uint64_t record_id) {
  rule->Observe(now, observation);
  if (sign == Sign::kBad) bad_looks.push_back(record_id);
  while (bad_looks.size() > std::min(rule->BadLooks(), kEvidenceMax)) bad_looks.pop_front();
  if (!fires && rule->Holds()) {
    fires = true;
    good_since = false;
    return;
  }
  if (sign == Sign::kGood) good_since = true;
  if (!fires || !good_since || rule->Holds()) {
    quiet_since.reset();
  } else if (!quiet_since.has_value()) {
    quiet_since = now;
  }
}

void Monitor::Source::EndQuiet(Instant now, absl::Duration clear_after) {
  if (!quiet_since.has_value() || now - *quiet_since < clear_after) return;
  quiet_since.reset();
  fires = false;
}

void Monitor::Source::Forget() {
  rule->Forget();
  good_since = false;
  quiet_since.reset();
}

absl::StatusOr<std::unique_ptr<Monitor>> Monitor::New(const MonitorDefinition& definition,
                                                      RandomSource& random) {
  std::unique_ptr<Monitor> monitor(new Monitor(definition, random));
  // A combination has one source: its inputs together.
  const bool combines = CombinationOf(definition.config) != nullptr;
  CHECK(combines == definition.probes.empty());
  const std::vector<std::string> inputs = {""};
  for (const std::string& probe : combines ? inputs : definition.probes) {
    Source source;
    source.name = probe;
    ASSIGN_OR_RETURN(source.rule, NewRule(definition.config));
    monitor->sources_.push_back(std::move(source));
  }
  return monitor;
}

Monitor::Monitor(const MonitorDefinition& definition, RandomSource& random)
    : definition_(definition), random_(random) {
  if (!definition_.enabled) state_ = config::DISABLED;
}

Monitor::Transitions Monitor::Observe(Instant now, absl::Time wall, const std::string& probe,
                                      const Observation& observation, uint64_t record_id) {
  if (!definition_.enabled) return {};
  const auto source = std::find_if(sources_.begin(), sources_.end(),
                                   [&](const Source& s) { return s.name == probe; });
  CHECK(source != sources_.end());
  const bool rejected = observation.outcome == Outcome::kRejected;
  source->NoteRejected(rejected);
  if (rejected) {
    last_error_ = observation.error;
    blind_fresh_ = true;
    return Evaluate(now, wall, /*looked=*/false);
  }
  source->seen = true;
  const Sign sign = source->rule->Judge(observation);
  source->bad = sign == Sign::kBad;
  if (sign == Sign::kBad) {
    last_error_ = observation.error;
    if (alert_) KeepEvidence(record_id);
  }
  // While an action runs or settles a bad look is recorded but not counted.
  if (sign != Sign::kBad || !suppressed_) {
    source->Count(now, observation, sign, record_id);
    if (sign == Sign::kBad) {
      fresh_ = true;
      ++bad_looks_;
    }
  }
  return Evaluate(now, wall, /*looked=*/true);
}

Monitor::Transitions Monitor::ObserveInputs(Instant now, absl::Time wall, const InputsLook& look) {
  if (!definition_.enabled) return {};
  Source& source = sources_.front();
  const bool rejected = look.outcome == Outcome::kRejected;
  // At the start of the agent, an input that has not looked yet is no reason to be UNAVAILABLE.
  if (rejected && look.too_early && !source.seen && !source.undecided) return {};
  inputs_ = look.text;
  source.undecided = rejected;
  if (rejected) {
    source.quiet_since.reset();
    last_error_ = look.text;
    blind_fresh_ = true;
    return Evaluate(now, wall, /*looked=*/false);
  }
  source.seen = true;
  const bool bad = look.outcome != Outcome::kSucceeded;
  if (bad) last_error_ = look.text;
  if (bad && alert_) {
    for (uint64_t id : look.record_ids) {
      if (std::count(evidence_.begin(), evidence_.end(), id) == 0) KeepEvidence(id);
    }
    std::sort(evidence_.begin(), evidence_.end());
  }
  if (!bad || !suppressed_) {
    Observation observation;
    observation.outcome = look.outcome;
    source.Count(now, observation, bad ? Sign::kBad : Sign::kGood, 0);
    if (bad) source.bad_looks.assign(look.record_ids.begin(), look.record_ids.end());
    if (bad && look.fresh) {
      fresh_ = true;
      ++bad_looks_;
    }
  }
  return Evaluate(now, wall, /*looked=*/true);
}

Monitor::Transitions Monitor::Tick(Instant now, absl::Time wall) {
  if (repair_.has_value() && now >= repair_->until) return EndRepair(now, wall, "");
  if (now >= ClearsAt()) return Evaluate(now, wall, /*looked=*/false);
  Transitions out;
  if (alert_ && state_ != config::UNAVAILABLE && !repair_) AdvanceTimeline(now, wall, out);
  return out;
}

Monitor::Transitions Monitor::Evaluate(Instant now, absl::Time wall, bool looked) {
  Transitions out;
  for (Source& source : sources_) source.EndQuiet(now, definition_.clear_after);
  const bool fires = Fires();
  if (repair_.has_value()) {
    FollowAlert(now, wall, fires);
    return out;
  }
  if (!fires && CannotLook()) {
    if (state_ != config::UNAVAILABLE) {
      fresh_ = false;
      unavailable_since_ = now;
      Enter(config::UNAVAILABLE, wall,
            definition_.probes.empty() ? "its inputs can't be judged" : "the probe could not look",
            out);
    }
    return out;
  }
  const bool can_look_again = state_ == config::UNAVAILABLE && looked;
  if (can_look_again) RestartTimeline(now);
  if (!alert_ && fires) BeginAlert(now, wall);
  if (alert_ && !fires) EndAlert(now, wall, out);
  if (alert_) AdvanceTimeline(now, wall, out);

  if (state_ == config::UNAVAILABLE && can_look_again) {
    Enter(
        AllSeen() ? config::HEALTHY : config::UNINITIALIZED, wall,
        definition_.probes.empty() ? "its inputs can be judged again" : "the probe can look again",
        out);
  } else if (state_ == config::UNINITIALIZED && AllSeen()) {
    Enter(config::HEALTHY, wall, "", out);
  }
  return out;
}

bool Monitor::AllSeen() const {
  return std::all_of(sources_.begin(), sources_.end(), [](const Source& s) { return s.seen; });
}

// While a person repairs, an alert begins and ends without a word, and an incident that is open
// stays open: whether it may close is decided when the repair has ended.
void Monitor::FollowAlert(Instant now, absl::Time wall, bool fires) {
  if (!alert_ && fires) BeginAlert(now, wall);
  if (!alert_ || fires || CannotLook()) return;
  alert_ = false;
  first_alert_ = absl::InfinitePast();
  evidence_.clear();
}

Monitor::Transitions Monitor::BeginRepair(Instant now, absl::Time wall, Repair repair) {
  CHECK(definition_.enabled);
  const bool begins = !repair_.has_value();
  repair_ = std::move(repair);
  Transitions out;
  if (!begins) return out;
  RestartTimeline(now);
  Enter(config::REPAIRING, wall,
        absl::StrCat("repaired by ", repair_->owner, repair_->reason.empty() ? "" : ": ",
                     repair_->reason),
        out);
  out.back().who = repair_->owner;
  return out;
}

Monitor::Transitions Monitor::EndRepair(Instant now, absl::Time wall, const std::string& who) {
  CHECK(repair_.has_value());
  const std::string reason =
      who.empty() ? absl::StrCat("the time for the repair by ", repair_->owner, " is over")
                  : absl::StrCat("the repair was ended by ", who);
  repair_.reset();
  RestartTimeline(now);
  Outdate();
  for (Source& source : sources_) {
    source.Forget();
    // What was seen before it ended says nothing of an alert.
    if (alert_) source.seen = false;
  }
  Transitions out;
  const bool well = !alert_ && (incident_open_ || (AllSeen() && !CannotLook()));
  if (incident_open_ && well) {
    closed_ = wall;
    closed_at_ = now;
  }
  Enter(well ? config::HEALTHY : config::UNINITIALIZED, wall, reason, out);
  out.back().who = who;
  return out;
}

void Monitor::BeginAlert(Instant now, absl::Time wall) {
  alert_ = true;
  first_alert_ = wall;
  RestartTimeline(now);
  if (!incident_open_ && !ReopensIncident(now, wall)) incident_id_.clear();
  std::vector<uint64_t> ids;
  for (const Source& source : sources_) {
    if (source.fires) ids.insert(ids.end(), source.bad_looks.begin(), source.bad_looks.end());
  }
  std::sort(ids.begin(), ids.end());  // Record ids rise with time.
  for (uint64_t id : ids) KeepEvidence(id);
}

void Monitor::EndAlert(Instant now, absl::Time wall, Transitions& out) {
  alert_ = false;
  if (incident_open_) {  // Else it never came to a first state.
    Enter(config::HEALTHY, wall, "", out);
    closed_ = wall;
    closed_at_ = now;
  }
  first_alert_ = absl::InfinitePast();
  evidence_.clear();
}

void Monitor::AdvanceTimeline(Instant now, absl::Time wall, Transitions& out) {
  if (!fresh_ || IsClearing()) return;
  const absl::Duration age = Age(now);
  const bool anew = position_ < 0 && IsSick(state_);
  const int count = static_cast<int>(definition_.transitions.size());
  while (position_ + 1 < count && age >= definition_.transitions[position_ + 1].after) {
    const StateTransition& next = definition_.transitions[++position_];
    state_age_ = next.after;
    if (next.to != state_) Enter(next.to, wall, anew ? kStartsAnew : "", out);
  }
  // It started anew, before its first state: none of the old states holds now.
  if (position_ < 0 && anew) Enter(config::HEALTHY, wall, kStartsAnew, out);
}

void Monitor::RestartTimeline(Instant now) {
  age_ = absl::ZeroDuration();
  mark_ = now;
  position_ = -1;
  state_age_ = absl::ZeroDuration();
}

void Monitor::Enter(config::HealthState to, absl::Time wall, std::string reason, Transitions& out) {
  Transition transition;
  transition.from = state_;
  transition.to = to;
  transition.alert = alert_;
  transition.first_alert = first_alert_;
  transition.evidence = Evidence();
  transition.reason = std::move(reason);
  if (IsSick(to) && !incident_open_) OpenIncident(wall, transition);
  if (incident_open_) {
    transition.incident_id = incident_id_;
    transition.times_reopened = times_reopened_;
    transition.evidence_record_ids.assign(evidence_.begin(), evidence_.end());
  }
  if (incident_open_ && !alert_) {
    transition.closed = true;
    incident_open_ = false;
  }
  state_ = to;
  since_ = wall;
  out.push_back(std::move(transition));
}

void Monitor::OpenIncident(absl::Time wall, Transition& transition) {
  if (incident_id_.empty()) {
    incident_id_ = NewId(wall, random_);
    times_reopened_ = 0;
    transition.opened = true;
  } else {
    ++times_reopened_;
    transition.reopened = true;
  }
  incident_open_ = true;
}

bool Monitor::ReopensIncident(Instant now, absl::Time wall) const {
  if (incident_id_.empty()) return false;
  const absl::Duration since_closed = closed_at_.has_value() ? now - *closed_at_ : wall - closed_;
  return since_closed < definition_.reopen_within;
}

bool Monitor::FireTogether(bool (*fires)(const Source&)) const {
  if (definition_.config.require() == config::Monitor::ALL) {
    return std::all_of(sources_.begin(), sources_.end(), fires);
  }
  return std::any_of(sources_.begin(), sources_.end(), fires);
}

bool Monitor::Fires() const {
  return FireTogether([](const Source& s) { return !s.Unavailable() && s.fires; });
}

bool Monitor::IsClearing() const {
  return alert_ && Fires() && !FireTogether([](const Source& s) {
           return !s.Unavailable() && s.fires && !s.quiet_since.has_value();
         });
}

Instant Monitor::ClearsAt() const {
  Instant first = Instant::InfiniteFuture();
  for (const Source& source : sources_) {
    if (!source.quiet_since.has_value()) continue;
    first = std::min(first, *source.quiet_since + definition_.clear_after);
  }
  return first;
}

bool Monitor::CannotLook() const {
  const auto unavailable = [](const Source& s) { return s.Unavailable(); };
  if (std::none_of(sources_.begin(), sources_.end(), unavailable)) return false;
  if (definition_.config.require() == config::Monitor::ALL) {
    // One that looks and is well settles it: not all of them are sick.
    return std::all_of(sources_.begin(), sources_.end(),
                       [](const Source& s) { return s.Unavailable() || s.fires; });
  }
  return true;
}

bool Monitor::StandsStill() const { return suppressed_ || held_ || state_ == config::UNAVAILABLE; }

Instant Monitor::NextTick(Instant now) const {
  return std::min(ClearsAt(), repair_.has_value() ? repair_->until : NextState(now));
}

Instant Monitor::NextState(Instant now) const {
  const bool waits = !alert_ || !fresh_ || StandsStill() || repair_.has_value() || IsClearing();
  const size_t next = static_cast<size_t>(position_ + 1);
  if (waits || next >= definition_.transitions.size()) return Instant::InfiniteFuture();
  return now + (definition_.transitions[next].after - Age(now));
}

void Monitor::Suppress(Instant now, bool suppressed) {
  if (suppressed == suppressed_) return;
  age_ = Age(now);  // As it is; from here on it grows, or no longer does.
  mark_ = now;
  suppressed_ = suppressed;
  for (Source& source : sources_) source.Forget();
  Outdate();
}

void Monitor::Hold(Instant now, bool held) {
  if (held == held_) return;
  held_ = held;
  RestartTimeline(now);
  unavailable_since_ = now;
  Outdate();
}

absl::Duration Monitor::Age(Instant now) const {
  return StandsStill() ? age_ : age_ + (now - mark_);
}

MonitorStatus Monitor::Status(Instant now) const {
  MonitorStatus status;
  status.state = state_;
  status.alert = alert_;
  status.clearing = IsClearing();
  status.fresh = state_ == config::UNAVAILABLE ? blind_fresh_ : fresh_ && !status.clearing;
  status.bad_looks = bad_looks_;
  status.held = held_;
  status.suppressed = suppressed_;
  status.doubtful =
      std::any_of(sources_.begin(), sources_.end(), [](const Source& s) { return s.bad; });
  if (alert_) status.in_state = std::max(Age(now) - state_age_, absl::ZeroDuration());
  if (state_ == config::UNAVAILABLE) status.in_state = now - unavailable_since_;
  if (incident_open_) status.incident_id = incident_id_;
  status.since = since_;
  if (alert_ || state_ == config::UNAVAILABLE) status.last_error = last_error_;
  status.repair = repair_;
  return status;
}

void Monitor::KeepEvidence(uint64_t record_id) {
  if (record_id == 0) return;
  evidence_.push_back(record_id);
  if (evidence_.size() > kEvidenceMax) evidence_.pop_front();
}

std::string Monitor::Evidence() const {
  if (definition_.probes.empty()) return inputs_;
  std::string evidence;
  for (const Source& source : sources_) {
    const bool tell = source.fires || source.Unavailable() || sources_.size() == 1;
    if (!tell) continue;
    absl::StrAppend(
        &evidence, evidence.empty() ? "" : "; ", source.name, ": ",
        source.Unavailable()
            ? absl::StrCat(std::count(source.rejected.begin(), source.rejected.end(), true),
                           " of the last ", source.rejected.size(), " looks could not be made")
            : source.rule->Evidence());
  }
  if (alert_ && !last_error_.empty()) absl::StrAppend(&evidence, "; last error: ", last_error_);
  return evidence;
}

monitors::MonitorRecord Monitor::Save(Instant now, const std::string& boot_id) const {
  monitors::MonitorRecord record;
  record.set_state(config::HealthState_Name(state_));
  record.set_alert(alert_);
  record.set_incident_id(incident_id_);
  record.set_incident_open(incident_open_);
  record.set_reopened(times_reopened_);
  record.set_alert_age_ns(absl::ToInt64Nanoseconds(Age(now)));
  record.set_position(position_);
  record.set_state_age_ns(absl::ToInt64Nanoseconds(state_age_));
  record.set_first_alert_unix_ns(UnixNanos(first_alert_));
  record.set_since_unix_ns(UnixNanos(since_));
  record.set_closed_unix_ns(UnixNanos(closed_));
  if (closed_at_.has_value()) record.set_closed_boot_ns(closed_at_->nanos_since_boot());
  record.set_last_error(last_error_);
  for (uint64_t id : evidence_) record.add_evidence_record_ids(id);
  for (const Source& source : sources_) {
    if (source.fires) record.add_firing_probe(source.name);
  }
  record.set_boot_id(boot_id);
  if (repair_.has_value()) {
    auto& repair = *record.mutable_repair();
    repair.set_owner(repair_->owner);
    repair.set_reason(repair_->reason);
    repair.set_since_unix_ns(UnixNanos(repair_->since));
    repair.set_until_boot_ns(repair_->until.nanos_since_boot());
    repair.set_remaining_ns(absl::ToInt64Nanoseconds(repair_->until - now));
  }
  return record;
}

void Monitor::Restore(Instant now, const monitors::MonitorRecord& record,
                      const std::string& boot_id) {
  if (!definition_.enabled) return;
  const bool same_boot = record.boot_id() == boot_id;
  incident_id_ = record.incident_id();
  times_reopened_ = record.reopened();
  closed_ = FromNanos(record.closed_unix_ns());
  if (same_boot && record.closed_boot_ns() != 0) {
    closed_at_ = Instant::FromNanosSinceBoot(record.closed_boot_ns());
  }
  if (record.has_repair()) {
    // In another boot what was left of it when this was written: it may end late, never early.
    const auto& repair = record.repair();
    const Instant until =
        same_boot ? Instant::FromNanosSinceBoot(repair.until_boot_ns())
                  : now + absl::Nanoseconds(std::max<int64_t>(repair.remaining_ns(), 0));
    repair_ = Repair{repair.owner(), repair.reason(), FromNanos(repair.since_unix_ns()),
                     std::min(until, now + kRepairMax)};
    state_ = config::REPAIRING;
    since_ = FromNanos(record.since_unix_ns());
    incident_open_ = record.incident_open();
  }
  if (!record.alert()) return;  // A state without an alert is found anew by looking.
  config::HealthState state;
  if (!config::HealthState_Parse(record.state(), &state)) return;
  alert_ = true;
  incident_open_ = record.incident_open();
  state_ = state;
  since_ = FromNanos(record.since_unix_ns());
  unavailable_since_ = now;
  first_alert_ = FromNanos(record.first_alert_unix_ns());
  last_error_ = record.last_error();
  for (uint64_t id : record.evidence_record_ids()) KeepEvidence(id);
  RestoreFiring(record);
  RestartTimeline(now);
  const int count = static_cast<int>(definition_.transitions.size());
  if (!same_boot || record.position() >= count) return;  // Anew, in the same incident.
  age_ = absl::Nanoseconds(record.alert_age_ns());
  position_ = std::max(record.position(), -1);
  state_age_ = absl::Nanoseconds(record.state_age_ns());
}

void Monitor::RestoreFiring(const monitors::MonitorRecord& record) {
  const auto& firing = record.firing_probe();
  const auto named = [&](const Source& s) {
    return std::find(firing.begin(), firing.end(), s.name) != firing.end();
  };
  // An alert must not end because its probes have other names now: then each is to be seen well.
  const bool all = definition_.config.require() == config::Monitor::ALL ||
                   std::none_of(sources_.begin(), sources_.end(), named);
  for (Source& source : sources_) source.fires = all || named(source);
}

}  // namespace salve

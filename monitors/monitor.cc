#include "monitors/monitor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr size_t kEvidenceMax = 20;
constexpr size_t kRejectedWindow = 10;
constexpr int kRejectedInARowMax = 3;

constexpr char kStartsAnew[] = "the timeline starts anew";

bool IsSick(config::HealthState state) {
  return state == config::DEGRADED || state == config::UNHEALTHY || state == config::UNRECOVERABLE;
}

int64_t UnixNanos(absl::Time t) { return t == absl::InfinitePast() ? 0 : absl::ToUnixNanos(t); }
absl::Time FromNanos(int64_t n) { return n == 0 ? absl::InfinitePast() : absl::FromUnixNanos(n); }

}  // namespace

bool Monitor::Source::Unavailable() const {
  if (rejected_in_a_row >= kRejectedInARowMax) return true;
  if (rejected.size() < kRejectedWindow) return false;
  return 2 * std::count(rejected.begin(), rejected.end(), true) >=
         static_cast<long>(kRejectedWindow);
}

void Monitor::Source::NoteRejected(bool is_rejected) {
  rejected.push_back(is_rejected);
  if (rejected.size() > kRejectedWindow) rejected.pop_front();
  rejected_in_a_row = is_rejected ? std::min(rejected_in_a_row + 1, kRejectedInARowMax) : 0;
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
  if (good_since && !rule->Holds()) fires = false;
}

void Monitor::Source::Forget() {
  rule->Forget();
  good_since = false;
}

absl::StatusOr<std::unique_ptr<Monitor>> Monitor::New(const MonitorDefinition& definition,
                                                      RandomSource& random) {
  CHECK(!definition.probes.empty());
  std::unique_ptr<Monitor> monitor(new Monitor(definition, random));
  for (const std::string& probe : definition.probes) {
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
    return Evaluate(now, wall, /*looked=*/false);
  }
  source->seen = true;
  const Sign sign = source->rule->Judge(observation);
  if (sign == Sign::kBad) {
    last_error_ = observation.error;
    if (alert_) KeepEvidence(record_id);
  }
  // While an action runs or settles a bad look is recorded but not counted.
  if (sign != Sign::kBad || !suppressed_) {
    source->Count(now, observation, sign, record_id);
    if (sign == Sign::kBad) fresh_ = true;
  }
  return Evaluate(now, wall, /*looked=*/true);
}

Monitor::Transitions Monitor::Tick(Instant now, absl::Time wall) {
  Transitions out;
  if (alert_ && state_ != config::UNAVAILABLE) AdvanceTimeline(now, wall, out);
  return out;
}

Monitor::Transitions Monitor::Evaluate(Instant now, absl::Time wall, bool looked) {
  Transitions out;
  const bool fires = Fires();
  if (!fires && CannotLook()) {
    if (state_ != config::UNAVAILABLE) {
      fresh_ = false;
      Enter(config::UNAVAILABLE, wall, "the probe could not look", out);
    }
    return out;
  }
  const bool can_look_again = state_ == config::UNAVAILABLE && looked;
  if (can_look_again) RestartTimeline(now);
  if (!alert_ && fires) BeginAlert(now, wall);
  if (alert_ && !fires) EndAlert(now, wall, out);
  if (alert_) AdvanceTimeline(now, wall, out);

  const bool all_seen =
      std::all_of(sources_.begin(), sources_.end(), [](const Source& s) { return s.seen; });
  if (state_ == config::UNAVAILABLE && can_look_again) {
    Enter(all_seen ? config::HEALTHY : config::UNINITIALIZED, wall, "the probe can look again",
          out);
  } else if (state_ == config::UNINITIALIZED && all_seen) {
    Enter(config::HEALTHY, wall, "", out);
  }
  return out;
}

void Monitor::BeginAlert(Instant now, absl::Time wall) {
  alert_ = true;
  first_alert_ = wall;
  RestartTimeline(now);
  if (!ReopensIncident(now, wall)) incident_id_.clear();
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
  if (!fresh_) return;
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

bool Monitor::Fires() const {
  const auto fires = [](const Source& s) { return !s.Unavailable() && s.fires; };
  if (definition_.config.require() == config::Monitor::ALL) {
    return std::all_of(sources_.begin(), sources_.end(), fires);
  }
  return std::any_of(sources_.begin(), sources_.end(), fires);
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
  if (!alert_ || !fresh_ || StandsStill()) return Instant::InfiniteFuture();
  const size_t next = static_cast<size_t>(position_ + 1);
  if (next >= definition_.transitions.size()) return Instant::InfiniteFuture();
  return now + (definition_.transitions[next].after - Age(now));
}

void Monitor::Suppress(Instant now, bool suppressed) {
  if (suppressed == suppressed_) return;
  age_ = Age(now);  // As it is; from here on it grows, or no longer does.
  mark_ = now;
  suppressed_ = suppressed;
  for (Source& source : sources_) source.Forget();
  fresh_ = false;
}

void Monitor::Hold(Instant now, bool held) {
  if (held == held_) return;
  held_ = held;
  RestartTimeline(now);
  fresh_ = false;
}

absl::Duration Monitor::Age(Instant now) const {
  return StandsStill() ? age_ : age_ + (now - mark_);
}

MonitorStatus Monitor::Status(Instant now) const {
  MonitorStatus status;
  status.state = state_;
  status.alert = alert_;
  status.fresh = fresh_;
  status.held = held_;
  status.suppressed = suppressed_;
  if (alert_) status.in_state = std::max(Age(now) - state_age_, absl::ZeroDuration());
  if (incident_open_) status.incident_id = incident_id_;
  status.since = since_;
  if (alert_ || state_ == config::UNAVAILABLE) status.last_error = last_error_;
  return status;
}

void Monitor::KeepEvidence(uint64_t record_id) {
  if (record_id == 0) return;
  evidence_.push_back(record_id);
  if (evidence_.size() > kEvidenceMax) evidence_.pop_front();
}

std::string Monitor::Evidence() const {
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
  if (!record.alert()) return;  // A state without an alert is found anew by looking.
  config::HealthState state;
  if (!config::HealthState_Parse(record.state(), &state)) return;
  alert_ = true;
  incident_open_ = record.incident_open();
  state_ = state;
  since_ = FromNanos(record.since_unix_ns());
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

#include "channels/explain.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "channels/describe.h"
#include "channels/event_filter.h"

namespace salve {
namespace {

constexpr int kEventsMax = 10'000;
constexpr int kLooksMax = 2'000;  // Of one incident; more say no more.
constexpr int kEvidenceMax = 1'000;

absl::StatusOr<std::string> FindIncident(EventReader& reader, const v1::ExplainRequest& request) {
  if (!request.incident_id().empty()) return absl::AsciiStrToLower(request.incident_id());
  if (request.health_set().empty() != request.monitor().empty()) {
    return absl::InvalidArgumentError("a monitor is named SET/MONITOR");
  }
  v1::QueryEventsRequest query;
  query.add_channel(v1::MonitorResult);
  query.set_health_set(request.health_set());
  query.set_name(request.monitor());
  query.set_limit(kEventsMax);
  ASSIGN_OR_RETURN(const std::vector<v1::Event> changes, reader.Query(query));
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    if (!change->incident_id().empty()) return change->incident_id();
  }
  if (request.monitor().empty()) return absl::NotFoundError("there was no incident yet");
  return absl::NotFoundError(
      absl::StrCat("no incident of ", request.health_set(), "/", request.monitor(), " is known"));
}

// What is known of an incident, and what is not any more.
struct Record {
  std::vector<v1::Event> events;  // In order, evidence from before the incident first.
  const v1::Event* opening = nullptr;
  size_t evidence_gone = 0;
  bool looks_left_out = false;
};

absl::StatusOr<std::vector<v1::Event>> EventsOf(EventReader& reader, const std::string& incident,
                                                bool looks, int limit) {
  v1::QueryEventsRequest query;
  query.set_incident_id(incident);
  query.set_limit(limit);
  for (int channel = v1::Channel_MIN + 1; channel <= v1::Channel_MAX; ++channel) {
    if ((channel == v1::ProbeResult) == looks) query.add_channel(static_cast<v1::Channel>(channel));
  }
  return reader.Query(query);
}

// Record ids of failing looks that the state changes name and `events` lacks.
std::set<uint64_t> MissingEvidence(const std::vector<v1::Event>& events) {
  std::set<uint64_t> ids;
  for (const v1::Event& event : events) {
    for (const uint64_t id : event.monitor_result().evidence_record_ids()) {
      if (id != 0 && ids.size() < kEvidenceMax) ids.insert(id);
    }
  }
  for (const v1::Event& event : events) ids.erase(event.record_id());
  return ids;
}

void Append(std::vector<v1::Event> more, std::vector<v1::Event>* events) {
  std::move(more.begin(), more.end(), std::back_inserter(*events));
}

absl::StatusOr<Record> Gather(EventReader& reader, const std::string& incident) {
  Record record;
  ASSIGN_OR_RETURN(record.events, EventsOf(reader, incident, /*looks=*/false, kEventsMax));
  ASSIGN_OR_RETURN(std::vector<v1::Event> looks,
                   EventsOf(reader, incident, /*looks=*/true, kLooksMax));
  record.looks_left_out = looks.size() == kLooksMax;
  Append(std::move(looks), &record.events);
  if (record.events.empty()) {
    return absl::NotFoundError(absl::StrCat("no incident ", incident, " is known"));
  }
  const std::set<uint64_t> missing = MissingEvidence(record.events);
  if (!missing.empty()) {
    v1::QueryEventsRequest query;
    for (const uint64_t id : missing) query.add_record_id(id);
    query.set_limit(static_cast<int>(missing.size()));
    ASSIGN_OR_RETURN(std::vector<v1::Event> evidence, reader.Query(query));
    record.evidence_gone = missing.size() - evidence.size();
    Append(std::move(evidence), &record.events);
  }
  std::sort(record.events.begin(), record.events.end(),
            [](const auto& a, const auto& b) { return a.record_id() < b.record_id(); });
  for (const v1::Event& event : record.events) {
    if (event.incident_id() != incident) continue;
    if (record.opening == nullptr) record.opening = &event;
    if (event.has_monitor_result()) {
      record.opening = &event;
      break;
    }
  }
  return record;
}

// Looks of one probe that said the same, one after another.
struct Run {
  const v1::Event* first;
  const v1::Event* last;
  int count;

  bool Continues(const v1::Event& look) const {
    return first->name() == look.name() && first->health_set() == look.health_set() &&
           first->event_id() == look.event_id() &&
           first->probe_result().error() == look.probe_result().error();
  }
  bool IsOfSameProbe(const v1::Event& look) const {
    return first->name() == look.name() && first->health_set() == look.health_set();
  }
};

class Story {
 public:
  Story(absl::Time opened, absl::TimeZone zone) : opened_(opened), zone_(zone) {}

  void Say(std::string line) { lines_.push_back(std::move(line)); }

  void Tell(const v1::Event& event) {
    if (!event.has_probe_result()) {
      EndRuns();
      return Say(LineOf(event));
    }
    const auto run = std::find_if(runs_.begin(), runs_.end(),
                                  [&](const Run& r) { return r.IsOfSameProbe(event); });
    if (run != runs_.end() && run->Continues(event)) {
      run->last = &event;
      ++run->count;
      return;
    }
    if (run != runs_.end()) EndRuns();
    runs_.push_back({.first = &event, .last = &event, .count = 1});
  }

  std::vector<std::string> Lines() {
    EndRuns();
    return std::move(lines_);
  }

 private:
  std::string LineOf(const v1::Event& event) const {
    const absl::Time time = ToTime(event.time());
    const bool same_day = absl::ToCivilDay(time, zone_) == absl::ToCivilDay(opened_, zone_);
    const std::string offset = HumanDuration(time - opened_);
    return absl::StrFormat(
        "%s  %11s  %s", absl::FormatTime(same_day ? "%H:%M:%E3S" : "%m-%d %H:%M:%E3S", time, zone_),
        absl::StrCat(offset[0] == '-' ? "" : "+", offset), Describe(event, zone_));
  }

  void EndRuns() {
    for (const Run& run : runs_) {
      std::string line = LineOf(*run.first);
      if (run.count > 1) {
        absl::StrAppend(&line, " x ", run.count, ", the last at ",
                        absl::FormatTime("%H:%M:%S", ToTime(run.last->time()), zone_));
      }
      Say(std::move(line));
    }
    runs_.clear();
  }

  const absl::Time opened_;
  const absl::TimeZone zone_;
  std::vector<Run> runs_;
  std::vector<std::string> lines_;
};

const v1::Event* LastChange(const std::vector<v1::Event>& events, const std::string& incident) {
  const auto last = std::find_if(events.rbegin(), events.rend(), [&](const v1::Event& event) {
    return event.has_monitor_result() && event.incident_id() == incident;
  });
  return last == events.rend() ? nullptr : &*last;
}

std::string Headline(const v1::Event& opening, const v1::Event* last_change, bool is_open,
                     absl::Time now, absl::TimeZone zone) {
  const absl::Time opened = ToTime(opening.time());
  std::string text = absl::StrCat(opening.health_set(), "/", opening.name(), ", opened ",
                                  absl::FormatTime("%Y-%m-%d %H:%M:%S %Z", opened, zone));
  if (is_open) return absl::StrCat(text, ", open for ", HumanDuration(now - opened));
  if (last_change == nullptr) return text;
  return absl::StrCat(text, ", closed after ", HumanDuration(ToTime(last_change->time()) - opened));
}

}  // namespace

absl::StatusOr<v1::ExplainResponse> Explain(EventReader& reader, const v1::ExplainRequest& request,
                                            absl::Time now, absl::TimeZone zone) {
  ASSIGN_OR_RETURN(const std::string incident, FindIncident(reader, request));
  ASSIGN_OR_RETURN(Record record, Gather(reader, incident));
  const v1::Event* last_change = LastChange(record.events, incident);

  v1::ExplainResponse response;
  response.set_incident_id(incident);
  response.set_is_open(last_change != nullptr && last_change->monitor_result().is_alert());
  Story story(ToTime(record.opening->time()), zone);
  story.Say(Headline(*record.opening, last_change, response.is_open(), now, zone));
  if (record.evidence_gone > 0) {
    story.Say(absl::StrCat(record.evidence_gone,
                           " of the looks that led to it are no longer kept (retention)"));
  }
  if (record.looks_left_out) story.Say("only the newest looks are shown");
  for (const v1::Event& event : record.events) story.Tell(event);
  for (std::string& line : story.Lines()) response.add_lines(std::move(line));
  response.mutable_events()->Reserve(static_cast<int>(record.events.size()));
  for (v1::Event& event : record.events) *response.add_events() = std::move(event);
  return response;
}

}  // namespace salve

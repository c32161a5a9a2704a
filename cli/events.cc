// salvectl events.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/event_rows.h"
#include "cli/verbs.h"
#include "cli/when.h"

namespace salve {
namespace {

struct EventsOptions {
  std::vector<std::string> channels;
  std::string since;
  std::string until;
  std::vector<int> event_ids;
  std::string health_set;
  std::string name;
  std::string incident;
  std::string from;
  bool follow = false;
  int limit = 100;
};

std::vector<std::string> ChannelNames() {
  std::vector<std::string> names;
  for (int i = 0; i < v1::Channel_descriptor()->value_count(); ++i) {
    const auto* value = v1::Channel_descriptor()->value(i);
    if (value->number() != v1::CHANNEL_UNSPECIFIED) names.push_back(value->name());
  }
  return names;
}

absl::Status SetTimes(const EventsOptions& options, const Verb& verb,
                      v1::QueryEventsRequest& request) {
  absl::Time since = absl::InfinitePast();
  if (!options.since.empty()) {
    ASSIGN_OR_RETURN(since, ParseWhen(options.since, verb.now(), verb.world.time_zone));
    *request.mutable_since() = TimestampOf(since);
  }
  if (options.until.empty()) return absl::OkStatus();
  if (options.follow) return absl::InvalidArgumentError("--follow has no end: leave out --until");
  ASSIGN_OR_RETURN(const absl::Time until,
                   ParseWhen(options.until, verb.now(), verb.world.time_zone));
  if (until < since) return absl::InvalidArgumentError("--until is before --since");
  *request.mutable_until() = TimestampOf(until);
  return absl::OkStatus();
}

absl::StatusOr<v1::QueryEventsRequest> RequestOf(const EventsOptions& options, const Verb& verb) {
  v1::QueryEventsRequest request;
  for (const std::string& name : options.channels) {
    v1::Channel channel;
    if (!v1::Channel_Parse(name, &channel)) {
      return absl::InternalError(absl::StrCat("channel '", name, "'"));
    }
    request.add_channel(channel);
  }
  RETURN_IF_ERROR(SetTimes(options, verb, request));
  for (int id : options.event_ids) request.add_event_id(id);
  request.set_health_set(options.health_set);
  request.set_name(options.name);
  request.set_incident_id(options.incident);
  request.set_origin_server(options.from);
  request.set_limit(options.limit);
  return request;
}

absl::StatusOr<ExitStatus> Events(Verb& verb, const EventsOptions& options) {
  ASSIGN_OR_RETURN(const v1::QueryEventsRequest request, RequestOf(options, verb));
  if (options.follow) {
    return FollowEvents(verb, [&](int interrupt, const OnEvent& on_event) {
      return verb.agent.TailEvents(request, interrupt, on_event);
    });
  }
  ASSIGN_OR_RETURN(const v1::QueryEventsResponse response, verb.agent.QueryEvents(request));
  switch (verb.output.format()) {
    case Format::kJson:
      verb.output.PrintWithEvents(response);
      break;
    case Format::kJsonl:
      for (const v1::Event& event : response.events()) verb.output.Print(event);
      break;
    case Format::kTable: {
      Table table = NewEventTable(verb.output);
      for (const v1::Event& event : response.events()) AddEvent(event, verb, table);
      table.Flush(verb.output.out());
    }
  }
  return ExitStatus::kDone;
}

}  // namespace

void AddEventsVerb(CLI::App& salvectl, Choice& choice) {
  AddVerb(salvectl,
          {"events", "What happened, newest last",
           "salvectl events --channel RecoveryActionLogs --event-id 2051 --since 7d\n"
           "  salvectl events --set Web --follow -o jsonl\n"
           "  salvectl events --from web-7"},
          choice, Events, [](CLI::App& verb, EventsOptions& options) {
            verb.add_option("--channel", options.channels, "Only of this channel; may be repeated")
                ->transform(OneOf(ChannelNames()))
                ->take_all()
                ->expected(1);
            verb.add_option("--since", options.since,
                            "10m, 2h, 7d ago, '2026-11-21 10:00' (local) or RFC 3339");
            verb.add_option("--until", options.until, "The same");
            verb.add_option("--event-id", options.event_ids, "Only this id; may be repeated")
                ->take_all()
                ->expected(1);
            verb.add_option("--set", options.health_set, "Only of this health set");
            verb.add_option("--name", options.name, "Only of this probe, monitor or responder");
            verb.add_option("--incident", options.incident, "Only of this incident");
            verb.add_option("--from", options.from,
                            "Only those that this other server sent here (channel Queue, 40009)");
            verb.add_flag("-f,--follow", options.follow, "Then each new one, until Ctrl-C");
            verb.add_option("-n,--limit", options.limit, "The newest so many")
                ->capture_default_str()
                ->check(CLI::Range(1, 10000));
          });
}

}  // namespace salve

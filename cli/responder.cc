// salvectl responder list|show.
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"
#include "config/names.h"

namespace salve {
namespace {

struct ListOptions {
  std::string health_set;
};

std::string FullName(const v1::ResponderStatus& responder) {
  return absl::StrCat(responder.health_set(), "/", responder.name());
}

std::string ActionText(const v1::ResponderStatus& responder) {
  if (responder.resource_name().empty()) return responder.action_id();
  return absl::StrCat(responder.action_id(), " ", responder.resource_name());
}

// A responder without an action of its own (an escalation) passes no throttle.
std::string NextAllowedOf(const v1::ResponderStatus& responder, const Verb& verb) {
  return responder.has_throttle() ? NextAllowed(responder.throttle(), verb) : "-";
}

absl::StatusOr<ExitStatus> ListResponders(Verb& verb, const ListOptions& options) {
  v1::ListRequest request;
  request.set_health_set(options.health_set);
  ASSIGN_OR_RETURN(const v1::ListRespondersResponse list, verb.agent.ListResponders(request));
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.responders());
    return ExitStatus::kDone;
  }
  Table table = verb.output.NewTable(
      {"RESPONDER", "MONITOR", "ON", "MODE", "ACTION", "STATE", "NEXT ALLOWED"});
  for (const v1::ResponderStatus& responder : list.responders()) {
    table.AddRow({FullName(responder), responder.monitor(), responder.on(), responder.mode(),
                  ActionText(responder), responder.enabled() ? responder.state() : "disabled",
                  NextAllowedOf(responder, verb)});
  }
  table.Flush(verb.output.out());
  return ExitStatus::kDone;
}

struct ShowOptions {
  std::string name;
};

// Names are unique per server, so that the health set may be left out. A name of a `for_each` has
// a '/' itself: both readings are tried on all responders.
absl::StatusOr<v1::ResponderStatus> Find(const v1::ListRespondersResponse& list,
                                         const std::string& name) {
  std::vector<std::string> names;
  for (const v1::ResponderStatus& responder : list.responders()) {
    const std::string full_name = FullName(responder);
    if (absl::EqualsIgnoreCase(responder.name(), name) || absl::EqualsIgnoreCase(full_name, name)) {
      return responder;
    }
    names.push_back(absl::StrContains(name, "/") ? full_name : responder.name());
  }
  return absl::NotFoundError(
      absl::StrCat("there is no responder '", name, "'", DidYouMean(name, names)));
}

void PrintResponder(const v1::ResponderStatus& responder, const Verb& verb) {
  std::ostream& out = verb.output.out();
  const v1::ThrottleEntry& throttle = responder.throttle();
  out << Printable(FullName(responder)) << "\n";
  Table details = NewDetails(verb.output);
  AddDetail(details, "type", responder.type_name());
  AddDetail(details, "monitor", absl::StrCat(responder.monitor(), ", on ", responder.on()));
  AddDetail(details, "mode", responder.mode());
  AddDetail(details, "action", ActionText(responder));
  AddDetail(details, "state", responder.enabled() ? responder.state() : "disabled");
  AddDetail(details, "last reason", responder.last_reason());
  if (responder.has_throttle()) {
    AddDetail(details, "identity", throttle.identity());
    AddDetail(details, "attempts", AttemptCounts(throttle.local()));
    AddDetail(details, "most recent", MostRecentAttempt(throttle.local(), verb));
    AddDetail(details, "next allowed", NextAllowed(throttle, verb));
  }
  details.Flush(out);
  PrintFailedChecks(throttle, verb);
  if (responder.limit_sources().empty()) return;
  out << "\n";
  Table limits = verb.output.NewTable({"LIMIT", "VALUE", "SOURCE"});
  for (const v1::LimitSource& limit : responder.limit_sources()) {
    const bool is_flag = limit.attribute() == "Enabled";
    limits.AddRow({limit.attribute(),
                   is_flag ? (limit.value() != 0 ? "True" : "False") : absl::StrCat(limit.value()),
                   limit.source()});
  }
  limits.Flush(out);
}

absl::StatusOr<ExitStatus> ShowResponder(Verb& verb, const ShowOptions& options) {
  ASSIGN_OR_RETURN(const v1::ListRespondersResponse list,
                   verb.agent.ListResponders(v1::ListRequest()));
  ASSIGN_OR_RETURN(const v1::ResponderStatus responder, Find(list, options.name));
  if (verb.output.is_table()) {
    PrintResponder(responder, verb);
  } else {
    verb.output.Print(responder);
  }
  return ExitStatus::kDone;
}

}  // namespace

void AddResponderVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family = AddFamily(
      salvectl, {"responder", "Lists the responders, or shows one", "salvectl responder list"});
  AddVerb(*family,
          {"list", "Their actions and when these could next run", "salvectl responder list Web"},
          choice, ListResponders, [](CLI::App& verb, ListOptions& options) {
            verb.add_option("SET", options.health_set, "One health set. Default: all");
          });
  AddVerb(*family,
          {"show", "One responder with its effective limits and where each comes from",
           "salvectl responder show NginxRestart"},
          choice, ShowResponder, [](CLI::App& verb, ShowOptions& options) {
            verb.add_option("NAME", options.name, "NAME or SET/NAME")->required();
          });
}

}  // namespace salve

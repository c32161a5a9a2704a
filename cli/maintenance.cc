// salvectl maintenance start|end|status.
#include <string>

#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"
#include "cli/when.h"
#include "config/duration.h"

namespace salve {
namespace {

struct MaintenanceOptions {
  std::string health_set;
  std::string length;
  std::string reason;
};

absl::StatusOr<ExitStatus> Ask(Verb& verb, v1::MaintenanceRequest request) {
  request.set_user(verb.world.user);
  ASSIGN_OR_RETURN(const v1::MaintenanceResponse response, verb.agent.Maintain(request));
  if (!verb.output.is_table()) {
    verb.output.PrintList(response, response.windows());
    return ExitStatus::kDone;
  }
  Table table = verb.output.NewTable({"HEALTH SET", "BY", "SINCE", "UNTIL", "REASON"});
  for (const v1::MaintenanceWindow& window : response.windows()) {
    table.AddRow({window.health_set().empty() ? "all" : window.health_set(), window.who(),
                  Ago(window.has_since(), window.since(), verb),
                  LocalAndRelativeTime(TimeOf(window.until()), verb.now(), verb.world.time_zone),
                  window.reason()});
  }
  table.Flush(verb.output.out());
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> Start(Verb& verb, const MaintenanceOptions& options) {
  ASSIGN_OR_RETURN(const absl::Duration length, ParseDuration(options.length));
  v1::MaintenanceRequest request;
  request.set_verb(v1::MaintenanceRequest::START);
  request.set_health_set(options.health_set);
  request.set_duration_seconds(absl::ToInt64Seconds(length));
  request.set_reason(options.reason);
  return Ask(verb, request);
}

absl::StatusOr<ExitStatus> End(Verb& verb, const MaintenanceOptions& options) {
  v1::MaintenanceRequest request;
  request.set_verb(v1::MaintenanceRequest::END);
  request.set_health_set(options.health_set);
  return Ask(verb, request);
}

absl::StatusOr<ExitStatus> Status(Verb& verb, const NoOptions&) {
  return Ask(verb, v1::MaintenanceRequest());
}

void AddSet(CLI::App& verb, MaintenanceOptions& options) {
  verb.add_option("--set", options.health_set, "One health set. Default: the whole server");
}

}  // namespace

void AddMaintenanceVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family =
      AddFamily(salvectl, {"maintenance", "Times in which no responder acts, and nobody is told",
                           "salvectl maintenance status"});
  AddVerb(*family,
          {"start",
           "No responder acts until it ends, by itself or by `end`; probes and monitors go on, and "
           "afterwards what is wrong is judged anew",
           "salvectl maintenance start --for 2h --reason 'new disks' --set Database"},
          choice, Start, [](CLI::App& verb, MaintenanceOptions& options) {
            verb.add_option("--for", options.length, "How long: 30m, 2h, 1h30m; at most 720h")
                ->required();
            verb.add_option("--reason", options.reason, "Why; it is recorded")->required();
            AddSet(verb, options);
          });
  AddVerb(*family, {"end", "Ends it now", "salvectl maintenance end --set Database"}, choice, End,
          AddSet);
  AddVerb(*family, {"status", "Those that there are", "salvectl maintenance status"}, choice,
          Status, BindNothing);
}

}  // namespace salve

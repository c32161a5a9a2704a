// salvectl health.
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"

namespace salve {
namespace {

struct HealthOptions {
  std::string health_set;
};

// What the monitor waits for, or is about to do, goes on lines of its own below its error.
void AddMonitor(const v1::MonitorHealth& monitor, const Verb& verb, Table& table) {
  table.AddRow({absl::StrCat("  ", monitor.name()), StateCell(monitor.state()),
                Ago(monitor.has_since(), monitor.since(), verb), monitor.last_error()});
  if (!monitor.hold().empty()) table.AddRow({"", "", "", absl::StrCat("held: ", monitor.hold())});
  for (const std::string& next : monitor.next()) {
    table.AddRow({"", "", "", absl::StrCat("next: ", next)});
  }
}

absl::StatusOr<ExitStatus> Health(Verb& verb, const HealthOptions& options) {
  v1::GetServerHealthRequest request;
  request.set_health_set(options.health_set);
  ASSIGN_OR_RETURN(const v1::GetServerHealthResponse health, verb.agent.GetServerHealth(request));
  const ExitStatus status =
      health.state() == "HEALTHY" ? ExitStatus::kDone : ExitStatus::kUnhealthy;
  if (!verb.output.is_table()) {
    verb.output.PrintList(health, health.health_sets());
    return status;
  }
  if (verb.output.with_header()) {
    verb.output.out() << Printable(health.server()) << " is " << Printable(health.state()) << "\n";
  }
  Table table = verb.output.NewTable({"HEALTH SET", "STATE", "SINCE", "LAST ERROR"});
  for (const v1::HealthSetHealth& set : health.health_sets()) {
    table.AddRow({set.name(), StateCell(set.state()), Ago(set.has_since(), set.since(), verb)});
    for (const v1::MonitorHealth& monitor : set.monitors()) AddMonitor(monitor, verb, table);
  }
  table.Flush(verb.output.out());
  return status;
}

}  // namespace

void AddHealthVerbs(CLI::App& salvectl, Choice& choice) {
  AddVerb(salvectl,
          {"health", "Health sets, their monitors and what is wrong; exit 1 when not healthy",
           "salvectl health Web"},
          choice, Health, [](CLI::App& verb, HealthOptions& options) {
            verb.add_option("SET", options.health_set, "One health set. Default: all");
          });
}

}  // namespace salve

// salvectl monitor list.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"

namespace salve {
namespace {

struct ListOptions {
  std::string health_set;
};

absl::StatusOr<ExitStatus> ListMonitors(Verb& verb, const ListOptions& options) {
  v1::ListRequest request;
  request.set_health_set(options.health_set);
  ASSIGN_OR_RETURN(const v1::ListMonitorsResponse list, verb.agent.ListMonitors(request));
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.monitors());
    return ExitStatus::kDone;
  }
  Table table =
      verb.output.NewTable({"MONITOR", "TYPE", "STATE", "SINCE", "PROBES", "INCIDENT", "HOLD"});
  for (const v1::MonitorHealth& monitor : list.monitors()) {
    table.AddRow({absl::StrCat(monitor.health_set(), "/", monitor.name()), monitor.type_name(),
                  StateCell(monitor.state()), Ago(monitor.has_since(), monitor.since(), verb),
                  absl::StrJoin(monitor.probes(), ", "),
                  monitor.incident_id().empty() ? "-" : monitor.incident_id(), monitor.hold()});
  }
  table.Flush(verb.output.out());
  return ExitStatus::kDone;
}

}  // namespace

void AddMonitorVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family =
      AddFamily(salvectl, {"monitor", "Lists the monitors", "salvectl monitor list"});
  AddVerb(*family, {"list", "Their states, probes and open incidents", "salvectl monitor list Web"},
          choice, ListMonitors, [](CLI::App& verb, ListOptions& options) {
            verb.add_option("SET", options.health_set, "One health set. Default: all");
          });
}

}  // namespace salve

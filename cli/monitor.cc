// salvectl monitor list|repairing|clear.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"
#include "cli/when.h"
#include "config/duration.h"

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

struct RepairOptions {
  std::string item;
  std::string lasts;
  std::string reason;
};

absl::StatusOr<v1::MonitorHealth> Tell(Verb& verb, const std::string& item,
                                       v1::SetMonitorStateRequest request) {
  ASSIGN_OR_RETURN(const ItemName name, ParseItemName(item));
  request.set_health_set(name.health_set);
  request.set_monitor(name.name);
  request.set_user(verb.world.user);
  ASSIGN_OR_RETURN(const v1::SetMonitorStateResponse response, verb.agent.SetMonitorState(request));
  return response.monitor();
}

absl::StatusOr<ExitStatus> BeginRepair(Verb& verb, const RepairOptions& options) {
  const absl::StatusOr<absl::Duration> lasts = ParseDuration(options.lasts);
  if (!lasts.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--for: ", lasts.status().message()));
  }
  v1::SetMonitorStateRequest request;
  request.set_repairing(true);
  request.set_duration_seconds(absl::ToInt64Seconds(*lasts));
  request.set_reason(options.reason);
  ASSIGN_OR_RETURN(const v1::MonitorHealth monitor, Tell(verb, options.item, std::move(request)));
  if (!verb.output.is_table()) {
    verb.output.Print(monitor);
    return ExitStatus::kDone;
  }
  verb.output.out() << Printable(options.item) << " is REPAIRING until "
                    << LocalAndRelativeTime(TimeOf(monitor.repairing_until()), verb.now(),
                                            verb.world.time_zone)
                    << "\n";
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> EndRepair(Verb& verb, const RepairOptions& options) {
  ASSIGN_OR_RETURN(const v1::MonitorHealth monitor, Tell(verb, options.item, {}));
  if (verb.output.is_table()) {
    verb.output.out() << Printable(options.item) << " is " << Printable(monitor.state()) << "\n";
  } else {
    verb.output.Print(monitor);
  }
  return ExitStatus::kDone;
}

}  // namespace

void AddMonitorVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family =
      AddFamily(salvectl, {"monitor", "Lists the monitors, or holds one while a person repairs",
                           "salvectl monitor list"});
  AddVerb(*family, {"list", "Their states, probes and open incidents", "salvectl monitor list Web"},
          choice, ListMonitors, [](CLI::App& verb, ListOptions& options) {
            verb.add_option("SET", options.health_set, "One health set. Default: all");
          });
  AddVerb(
      *family,
      {"repairing", "REPAIRING: nothing acts on it until the time is over, or `clear`",
       "salvectl monitor repairing Web/NginxDown --for 2h --reason 'new disk'"},
      choice, BeginRepair, [](CLI::App& verb, RepairOptions& options) {
        verb.add_option("SET/NAME", options.item, "The monitor")->required();
        verb.add_option("--for", options.lasts, "How long, 1s to 720h")->required();
        verb.add_option("--reason", options.reason, "What is done, for the records")->required();
      });
  AddVerb(*family,
          {"clear", "Ends REPAIRING before its time", "salvectl monitor clear Web/NginxDown"},
          choice, EndRepair, [](CLI::App& verb, RepairOptions& options) {
            verb.add_option("SET/NAME", options.item, "The monitor")->required();
          });
}

}  // namespace salve

// salvectl probe list|run, notify.
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"
#include "cli/when.h"

namespace salve {
namespace {

struct ListOptions {
  std::string health_set;
};

absl::StatusOr<ExitStatus> ListProbes(Verb& verb, const ListOptions& options) {
  v1::ListRequest request;
  request.set_health_set(options.health_set);
  ASSIGN_OR_RETURN(const v1::ListProbesResponse list, verb.agent.ListProbes(request));
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.probes());
    return ExitStatus::kDone;
  }
  Table table = verb.output.NewTable(
      {"PROBE", "TYPE", "EVERY", "LAST", "WHEN", "TOOK", "LOOKS", "SKIPPED", "ERROR"});
  for (const v1::ProbeStatus& probe : list.probes()) {
    const v1::ProbeResultEvent& last = probe.last();
    const std::string result = !probe.enabled()   ? "disabled"
                               : probe.has_last() ? last.result_type()
                                                  : "-";
    table.AddRow(
        {absl::StrCat(probe.health_set(), "/", probe.name()), probe.type_name(),
         probe.interval_seconds() > 0 ? ShortDuration(absl::Seconds(probe.interval_seconds()))
                                      : "-",
         StateCell(result), Ago(last.has_execution_start_time(), last.execution_start_time(), verb),
         probe.has_last() ? ShortDuration(absl::Milliseconds(last.duration_ms())) : "-",
         absl::StrCat(probe.looks()), absl::StrCat(probe.skipped()), last.error()});
  }
  table.Flush(verb.output.out());
  return ExitStatus::kDone;
}

struct RunProbeOptions {
  std::string item;
};

void PrintLook(const std::string& item, const v1::ProbeResultEvent& look, const Verb& verb) {
  Output& output = verb.output;
  Table headline = output.NewTable({"", "", ""});
  headline.AddRow({absl::StrCat(item, ":"), StateCell(look.result_type()),
                   absl::StrCat("in ", ShortDuration(absl::Milliseconds(look.duration_ms())))});
  headline.Flush(output.out());
  Table details = NewDetails(output);
  AddDetail(details, "error", look.error());
  for (const v1::Value& value : look.values()) {
    AddDetail(details, value.name(),
              absl::StrCat(value.number(), value.unit().empty() ? "" : " ", value.unit()));
  }
  for (const v1::Attribute& attribute : look.attributes()) {
    AddDetail(details, attribute.name(), attribute.text());
  }
  details.Flush(output.out());
}

absl::StatusOr<ExitStatus> RunProbe(Verb& verb, const RunProbeOptions& options) {
  ASSIGN_OR_RETURN(const ItemName item, ParseItemName(options.item));
  v1::RunProbeRequest request;
  request.set_health_set(item.health_set);
  request.set_name(item.name);
  ASSIGN_OR_RETURN(const v1::RunProbeResponse response, verb.agent.RunProbe(request));
  const v1::ProbeResultEvent& look = response.result();
  if (verb.output.is_table()) {
    PrintLook(options.item, look, verb);
  } else {
    verb.output.Print(look);
  }
  return look.result_type() == "Succeeded" ? ExitStatus::kDone : ExitStatus::kUnhealthy;
}

struct NotifyOptions {
  std::string item;
  bool pass = false;
  bool fail = false;
  std::string error;
};

absl::StatusOr<ExitStatus> Notify(Verb& verb, const NotifyOptions& options) {
  ASSIGN_OR_RETURN(const ItemName item, ParseItemName(options.item));
  if (options.pass == options.fail) {
    return absl::InvalidArgumentError("say one of --pass and --fail");
  }
  if (options.pass && !options.error.empty()) {
    return absl::InvalidArgumentError("--error goes with --fail");
  }
  v1::NotifyRequest request;
  request.set_health_set(item.health_set);
  request.set_name(item.name);
  request.set_passed(options.pass);
  request.set_error(options.error);
  request.set_user(verb.world.user);
  ASSIGN_OR_RETURN(const v1::NotifyResponse response, verb.agent.Notify(request));
  if (!verb.output.is_table()) verb.output.Print(response);
  return ExitStatus::kDone;
}

}  // namespace

void AddProbeVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family =
      AddFamily(salvectl, {"probe", "Lists the probes, or runs one now", "salvectl probe list"});
  AddVerb(*family, {"list", "Definitions and last results", "salvectl probe list Web"}, choice,
          ListProbes, [](CLI::App& verb, ListOptions& options) {
            verb.add_option("SET", options.health_set, "One health set. Default: all");
          });
  AddVerb(*family,
          {"run", "Looks once, now, and prints the result; exit 1 unless it succeeds",
           "salvectl probe run Web/NginxPing"},
          choice, RunProbe, [](CLI::App& verb, RunProbeOptions& options) {
            verb.add_option("SET/NAME", options.item, "The probe")->required();
          });
  AddVerb(salvectl,
          {"notify", "Reports for a notification probe",
           "salvectl notify Backup/Nightly --fail --error 'disk full'"},
          choice, Notify, [](CLI::App& verb, NotifyOptions& options) {
            verb.add_option("SET/NAME", options.item, "The notification probe")->required();
            verb.add_flag("--pass", options.pass, "It is well");
            verb.add_flag("--fail", options.fail, "It is not");
            verb.add_option("--error", options.error, "What is wrong, with --fail");
          });
}

}  // namespace salve

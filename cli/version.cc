// salvectl version.
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"
#include "cli/when.h"

namespace salve {
namespace {

void PrintAgent(const v1::GetInfoResponse& agent, const Verb& verb) {
  Table details = NewDetails(verb.output);
  AddDetail(details, "server", agent.server());
  AddDetail(details, "definitions", agent.definitions_version());
  if (agent.has_started()) {
    AddDetail(details, "started",
              LocalAndRelativeTime(TimeOf(agent.started()), verb.now(), verb.world.time_zone));
  }
  AddDetail(details, "configuration", agent.config_dir());
  AddDetail(details, "state", agent.state_dir());
  for (const std::string& warning : agent.warnings()) {
    AddDetail(details, "warning", warning, Colour::kYellow);
  }
  details.Flush(verb.output.out());
}

absl::StatusOr<ExitStatus> Version(Verb& verb, const NoOptions&) {
  // salvectl's own version is known even when no agent answers.
  if (verb.output.is_table()) {
    verb.output.out() << "salvectl " << verb.world.version << std::endl;
  }
  ASSIGN_OR_RETURN(const v1::GetInfoResponse agent, verb.agent.GetInfo(v1::GetInfoRequest()));
  if (verb.output.is_table()) {
    verb.output.out() << "salved " << Printable(agent.version()) << "\n";
    PrintAgent(agent, verb);
  } else {
    verb.output.Print(agent);
  }
  return ExitStatus::kDone;
}

}  // namespace

void AddVersionVerb(CLI::App& salvectl, Choice& choice) {
  AddVerb(salvectl, {"version", "Versions of salvectl and of the agent", "salvectl version"},
          choice, Version, BindNothing);
}

}  // namespace salve

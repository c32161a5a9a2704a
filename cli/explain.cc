// salvectl explain.
#include <string>

#include "absl/strings/match.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"

namespace salve {
namespace {

struct ExplainOptions {
  std::string subject;  // An incident's id, or SET/MONITOR; empty: the newest incident.
  bool last = false;
};

void PrintStory(const v1::ExplainResponse& story, Output& output) {
  std::ostream& out = output.out();
  out << "Incident " << Printable(story.incident_id()) << (story.is_open() ? ", open" : ", closed")
      << "\n";
  for (const std::string& line : story.lines()) out << Printable(line) << "\n";
  out << "\nWhat comes next:\n";
  for (const std::string& line : story.next()) out << "  " << Printable(line) << "\n";
  if (story.next().empty()) out << "  nothing\n";
}

absl::StatusOr<ExitStatus> Explain(Verb& verb, const ExplainOptions& options) {
  if (options.last && !options.subject.empty()) {
    return absl::InvalidArgumentError("say either which incident, or --last");
  }
  v1::ExplainRequest request;
  if (absl::StrContains(options.subject, "/")) {
    ASSIGN_OR_RETURN(const ItemName item, ParseItemName(options.subject));
    request.set_health_set(item.health_set);
    request.set_monitor(item.name);
  } else {
    request.set_incident_id(options.subject);
  }
  ASSIGN_OR_RETURN(const v1::ExplainResponse story, verb.agent.Explain(request));
  if (verb.output.is_table()) {
    PrintStory(story, verb.output);
  } else {
    verb.output.PrintWithEvents(story);
  }
  return ExitStatus::kDone;
}

}  // namespace

void AddExplainVerb(CLI::App& salvectl, Choice& choice) {
  AddVerb(salvectl,
          {"explain", "The whole story of an incident, and what comes next and when",
           "salvectl explain --last\n  salvectl explain Web/NginxDown"},
          choice, Explain, [](CLI::App& verb, ExplainOptions& options) {
            verb.add_option("INCIDENT", options.subject,
                            "An incident's id, or SET/MONITOR. Default: the newest incident");
            verb.add_flag("--last", options.last, "The newest incident of all");
          });
}

}  // namespace salve

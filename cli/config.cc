// salvectl config check|reload|show.
#include <string>

#include "base/status_macros.h"
#include "cli/table.h"
#include "cli/verbs.h"

namespace salve {
namespace {

struct CheckOptions {
  std::string dir;
};

absl::StatusOr<ExitStatus> CheckConfig(Verb& verb, const CheckOptions& options) {
  const std::string dir = options.dir.empty() ? verb.world.config_dir : options.dir;
  RETURN_IF_ERROR(verb.world.check_configuration(dir));
  if (verb.output.is_table()) verb.output.out() << Printable(dir) << ": no faults\n";
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> ReloadConfig(Verb& verb, const NoOptions&) {
  v1::ReloadRequest request;
  request.set_user(verb.world.user);
  ASSIGN_OR_RETURN(const v1::ReloadResponse response, verb.agent.Reload(request));
  if (verb.output.is_table()) {
    verb.output.out() << Printable(response.message()) << "\n";
  } else {
    verb.output.Print(response);
  }
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> ShowConfig(Verb& verb, const NoOptions&) {
  ASSIGN_OR_RETURN(const v1::GetConfigResponse response,
                   verb.agent.GetConfig(v1::GetConfigRequest()));
  if (!verb.output.is_table()) {
    verb.output.Print(response);
    return ExitStatus::kDone;
  }
  // The agent's own printer has escaped what is in the strings.
  verb.output.out() << response.text();
  if (!response.text().empty() && response.text().back() != '\n') verb.output.out() << "\n";
  return ExitStatus::kDone;
}

}  // namespace

void AddConfigVerbs(CLI::App& salvectl, Choice& choice, const Surroundings& world) {
  CLI::App* family = AddFamily(
      salvectl, {"config", "Checks, reloads or shows the configuration", "salvectl config show"});
  if (world.check_configuration) {
    AddVerb(*family,
            {"check", "Checks a folder as the agent would, without one",
             "salvectl config check /etc/salve"},
            choice, CheckConfig, [](CLI::App& verb, CheckOptions& options) {
              verb.add_option("DIR", options.dir, "The folder. Default: /etc/salve");
            });
  }
  AddVerb(*family,
          {"reload",
           "Has the agent read its configuration again; one that is refused changes "
           "nothing",
           "salvectl config reload"},
          choice, ReloadConfig, BindNothing);
  AddVerb(*family,
          {"show", "The effective configuration, with the source of what is not a default",
           "salvectl config show"},
          choice, ShowConfig, BindNothing);
}

}  // namespace salve

// salvectl group list|forget.
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"

namespace salve {
namespace {

absl::StatusOr<ExitStatus> ListServers(Verb& verb, const NoOptions&) {
  ASSIGN_OR_RETURN(const v1::ListServersResponse list,
                   verb.agent.ListServers(v1::ListServersRequest()));
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.servers());
    return ExitStatus::kDone;
  }
  Table table = verb.output.NewTable(
      {"SERVER", "ALIVE", "COUNTED", "LAST SEEN", "PROTOCOL", "AGENT", "MACHINE"});
  for (const v1::GroupServer& server : list.servers()) {
    table.AddRow(
        {server.name(), server.alive() ? Cell("yes", Colour::kGreen) : Cell("no", Colour::kRed),
         server.counted() ? "yes" : "no", Ago(server.has_last_seen(), server.last_seen(), verb),
         absl::StrCat(server.protocol_version()), server.agent_version(), server.machine_id()});
  }
  table.Flush(verb.output.out());
  return ExitStatus::kDone;
}

struct ForgetOptions {
  std::string server;
};

absl::StatusOr<ExitStatus> ForgetServer(Verb& verb, const ForgetOptions& options) {
  v1::ForgetServerRequest request;
  request.set_name(options.server);
  request.set_user(verb.world.user);
  RETURN_IF_ERROR(verb.agent.ForgetServer(request).status());
  return ExitStatus::kDone;
}

}  // namespace

void AddGroupVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family = AddFamily(
      salvectl, {"group", "The servers that share the group throttle", "salvectl group list"});
  AddVerb(*family, {"list", "Its servers and when each was last seen", "salvectl group list"},
          choice, ListServers, BindNothing);
  AddVerb(*family,
          {"forget", "Takes a decommissioned server out of the group; its attempts stay counted",
           "salvectl group forget web-7"},
          choice, ForgetServer, [](CLI::App& verb, ForgetOptions& options) {
            verb.add_option("SERVER", options.server, "Its name; it must not be alive")->required();
          });
}

}  // namespace salve

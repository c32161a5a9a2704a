// salvectl cluster list|acceptors|mode|test.
#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"

namespace salve {
namespace {

constexpr char kDefault[] = "default";

bool IsUsable(const v1::ClusterMember& member) {
  return member.state() == "in use" || member.state() == "usable" ||
         member.state() == "would take one";
}

void PrintAcceptors(const v1::GetClusterResponse& cluster, Verb& verb) {
  Table table = verb.output.NewTable({"SERVER", "ADDRESS", "STATE", "WAITING"});
  for (const v1::ClusterMember& member : cluster.acceptors()) {
    table.AddRow({member.server(), member.address(),
                  Cell(member.state(), IsUsable(member) ? Colour::kGreen : Colour::kYellow),
                  absl::StrCat(member.waiting())});
  }
  table.Flush(verb.output.out());
}

absl::StatusOr<ExitStatus> ListCluster(Verb& verb, const NoOptions&) {
  ASSIGN_OR_RETURN(const v1::GetClusterResponse cluster,
                   verb.agent.GetCluster(v1::GetClusterRequest()));
  if (!verb.output.is_table()) {
    verb.output.Print(cluster);
    return ExitStatus::kDone;
  }
  Table about = NewDetails(verb.output);
  AddDetail(about, "server", cluster.server());
  AddDetail(about, "group", cluster.group());
  AddDetail(about, "mode",
            cluster.mode() == cluster.configured_mode()
                ? cluster.mode()
                : absl::StrCat(cluster.mode(), " (configured: ", cluster.configured_mode(), ")"));
  AddDetail(about, "accepts at", cluster.address());
  AddDetail(about, "acceptors from", cluster.source());
  about.Flush(verb.output.out());
  PrintAcceptors(cluster, verb);
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> ListAcceptors(Verb& verb, const NoOptions&) {
  ASSIGN_OR_RETURN(const v1::GetClusterResponse cluster,
                   verb.agent.GetCluster(v1::GetClusterRequest()));
  if (!verb.output.is_table()) {
    verb.output.PrintList(cluster, cluster.acceptors());
    return ExitStatus::kDone;
  }
  PrintAcceptors(cluster, verb);
  return ExitStatus::kDone;
}

struct ModeOptions {
  std::string mode;
  std::string reason;
};

absl::StatusOr<ExitStatus> Mode(Verb& verb, const ModeOptions& options) {
  if (options.mode.empty()) {
    if (!options.reason.empty()) return absl::InvalidArgumentError("--reason is for a new mode");
    ASSIGN_OR_RETURN(const v1::GetClusterResponse cluster,
                     verb.agent.GetCluster(v1::GetClusterRequest()));
    if (verb.output.is_table()) {
      verb.output.out() << cluster.mode() << "\n";
    } else {
      v1::SetModeResponse mode;
      mode.set_mode(cluster.mode());
      verb.output.Print(mode);
    }
    return ExitStatus::kDone;
  }
  if (options.reason.empty()) return absl::InvalidArgumentError("a new mode needs --reason");
  v1::SetModeRequest request;
  if (options.mode != kDefault) request.set_mode(options.mode);
  request.set_user(verb.world.user);
  request.set_reason(options.reason);
  ASSIGN_OR_RETURN(const v1::SetModeResponse response, verb.agent.SetClusterMode(request));
  if (verb.output.is_table()) {
    verb.output.out() << response.mode() << "\n";
  } else {
    verb.output.Print(response);
  }
  return ExitStatus::kDone;
}

struct TestOptions {
  std::string server;
};

absl::StatusOr<ExitStatus> TestAcceptors(Verb& verb, const TestOptions& options) {
  v1::GetClusterRequest request;
  request.set_test(options.server.empty() ? "*" : options.server);
  ASSIGN_OR_RETURN(v1::GetClusterResponse cluster, verb.agent.GetCluster(request));
  if (!options.server.empty()) {
    auto& all = *cluster.mutable_acceptors();
    all.erase(std::remove_if(all.begin(), all.end(),
                             [&](const v1::ClusterMember& member) {
                               return member.server() != options.server;
                             }),
              all.end());
  }
  if (verb.output.is_table()) {
    PrintAcceptors(cluster, verb);
    if (cluster.acceptors().empty() && verb.output.with_header()) {
      verb.output.out() << "no server accepts for others (acceptors from: " << cluster.source()
                        << ")\n";
    }
  } else {
    verb.output.PrintList(cluster, cluster.acceptors());
  }
  const auto& acceptors = cluster.acceptors();
  const bool all_usable = std::all_of(acceptors.begin(), acceptors.end(), IsUsable);
  return all_usable && !acceptors.empty() ? ExitStatus::kDone : ExitStatus::kUnhealthy;
}

}  // namespace

void AddClusterVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family = AddFamily(
      salvectl, {"cluster", "The hand-over of notifications between the servers of a group",
                 "salvectl cluster list"});
  AddVerb(*family,
          {"list", "This server's part in it, and who accepts for others", "salvectl cluster list"},
          choice, ListCluster, BindNothing);
  AddVerb(*family,
          {"acceptors", "The servers that accept for others", "salvectl cluster acceptors"}, choice,
          ListAcceptors, BindNothing);
  AddVerb(*family,
          {"mode",
           "Shows how this server processes its queue, or changes it until `default`: LOCALLY, "
           "LOCALLY_FOR_OTHERS, REMOTELY",
           "salvectl cluster mode REMOTELY --reason 'the mail relay is cut off from here'"},
          choice, Mode, [](CLI::App& verb, ModeOptions& options) {
            verb.add_option("MODE", options.mode, "The new one; default: the configured one again")
                ->transform(OneOf({"LOCALLY", "LOCALLY_FOR_OTHERS", "REMOTELY", kDefault}));
            verb.add_option("--reason", options.reason, "Why; it is recorded");
          });
  AddVerb(*family,
          {"test", "Asks acceptors whether they would take a message; none is sent",
           "salvectl cluster test web-2"},
          choice, TestAcceptors, [](CLI::App& verb, TestOptions& options) {
            verb.add_option("SERVER", options.server, "One of them. Default: each");
          });
}

}  // namespace salve

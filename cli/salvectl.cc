#include "cli/salvectl.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/tree.h"
#include "cli/verbs.h"
#include "config/duration.h"

namespace salve {
namespace {

// Some errors are about several things (the faults of a configuration): a line for each.
void PrintError(std::ostream& err, absl::string_view what, absl::string_view why) {
  for (absl::string_view line : absl::StrSplit(why, '\n', absl::SkipEmpty())) {
    err << "salvectl: " << what << ": " << Printable(line) << "\n";
  }
  err.flush();
}

// "throttle check", as far as it was understood.
std::string VerbOf(const CLI::App& tree) {
  std::string path;
  const CLI::App* app = &tree;
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    absl::StrAppend(&path, path.empty() ? "" : " ", app->get_name());
  }
  return path;
}

int UsageError(const CLI::App& tree, const std::vector<std::string>& args, const CLI::Error& error,
               std::ostream& err) {
  const std::string verb = VerbOf(tree);
  std::string why = UnknownWord(tree, args);
  if (why.empty()) {
    why = absl::StrContains(error.what(), "subcommand is required") ? "a verb is missing"
                                                                    : error.what();
  }
  PrintError(err, verb.empty() ? "usage" : verb,
             absl::StrCat(why, "; see 'salvectl ", verb, verb.empty() ? "" : " ", "--help'"));
  if (verb == "recover") PrintError(err, verb, kRecoverSyntax);
  return static_cast<int>(ExitStatus::kUsage);
}

// Reads the line. Returns an exit status when there is nothing more to do.
std::optional<int> Parse(CLI::App& tree, const std::vector<std::string>& args, std::ostream& out,
                         std::ostream& err) {
  try {
    tree.parse(std::vector<std::string>(args.rbegin(), args.rend()));
    return std::nullopt;
  } catch (const CLI::Success& success) {  // Help or version was asked for.
    tree.exit(success, out, err);
    return static_cast<int>(ExitStatus::kDone);
  } catch (const CLI::Error& error) {
    return UsageError(tree, args, error, err);
  }
}

std::string EnvironmentOf(const Surroundings& world, const std::string& name) {
  const auto it = world.environment.find(name);
  return it == world.environment.end() ? "" : it->second;
}

// The agent elsewhere that is meant; its server is empty when it is the one of a socket. What is
// typed goes before the environment.
absl::StatusOr<RemoteAgent> RemoteOf(const GlobalOptions& globals, const Surroundings& world) {
  RemoteAgent remote = globals.remote;
  if (!remote.server.empty() && !globals.socket.empty()) {
    return absl::InvalidArgumentError("--server and --socket are two agents: leave one out");
  }
  if (!globals.socket.empty()) return RemoteAgent();
  struct Part {
    std::string& value;
    const char* option;
    const char* variable;
  };
  const Part server = {remote.server, "--server", "SALVE_SERVER"};
  if (server.value.empty()) server.value = EnvironmentOf(world, server.variable);
  for (const Part& part : {Part{remote.ca_file, "--ca", "SALVE_CA"},
                           Part{remote.certificate_file, "--cert", "SALVE_CERT"},
                           Part{remote.key_file, "--key", "SALVE_KEY"}}) {
    if (server.value.empty()) {
      if (part.value.empty()) continue;
      return absl::InvalidArgumentError(absl::StrCat(part.option, " needs --server"));
    }
    if (part.value.empty()) part.value = EnvironmentOf(world, part.variable);
    if (part.value.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--server needs ", part.option, " (or $", part.variable, ")"));
    }
  }
  return remote;
}

absl::StatusOr<SessionOptions> SessionOptionsOf(const GlobalOptions& globals,
                                                const Surroundings& world) {
  SessionOptions options;
  ASSIGN_OR_RETURN(options.remote, RemoteOf(globals, world));
  const std::string socket =
      globals.socket.empty() ? EnvironmentOf(world, "SALVE_SOCKET") : globals.socket;
  if (socket.empty()) {
    options.sockets = {world.run_dir + "/admin.sock", world.run_dir + "/salve.sock"};
  } else {
    options.sockets = {socket};
  }
  if (globals.timeout.empty()) return options;
  ASSIGN_OR_RETURN(options.timeout, ParseDuration(globals.timeout));
  if (*options.timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("--timeout must be more than 0");
  }
  return options;
}

Output NewOutput(const GlobalOptions& globals, const Surroundings& world, std::ostream& out) {
  const Format format = globals.output == "json"    ? Format::kJson
                        : globals.output == "jsonl" ? Format::kJsonl
                                                    : Format::kTable;
  const bool colour = world.out_is_terminal && EnvironmentOf(world, "NO_COLOR").empty();
  return Output(out, format, {.header = !globals.no_header, .colour = colour});
}

absl::StatusOr<ExitStatus> RunVerb(const Choice& choice, const GlobalOptions& globals,
                                   std::ostream& out, std::ostream& err,
                                   const Surroundings& world) {
  ASSIGN_OR_RETURN(SessionOptions options, SessionOptionsOf(globals, world));
  Session session(std::move(options));
  Output output = NewOutput(globals, world, out);
  Verb verb{world, session, output, err};
  return choice.run(verb);
}

}  // namespace

int RunSalvectl(const std::vector<std::string>& args, std::ostream& out, std::ostream& err,
                const Surroundings& world) {
  GlobalOptions globals;
  Choice choice;
  const std::unique_ptr<CLI::App> tree = NewTree(globals, choice, world);
  if (std::optional<int> status = Parse(*tree, args, out, err)) return *status;
  const absl::StatusOr<ExitStatus> result = RunVerb(choice, globals, out, err, world);
  out.flush();
  if (result.ok()) {
    // A full disk or a closed pipe: what is not printed must not pass for done.
    if (out.good()) return static_cast<int>(*result);
    PrintError(err, choice.name, "cannot write to standard output");
    return static_cast<int>(ExitStatus::kInternal);
  }
  const ExitStatus status = ExitStatusOf(result.status());
  const bool is_about_agent = status == ExitStatus::kUnreachable;
  PrintError(err, is_about_agent ? "agent" : choice.name, result.status().message());
  return static_cast<int>(status);
}

}  // namespace salve

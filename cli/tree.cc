#include "cli/tree.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cli/verbs.h"
#include "config/names.h"

namespace salve {
namespace {

// The option of that name (with its dashes) of `app` or of what stands above it.
const CLI::Option* FindOption(const CLI::App* app, const std::string& name) {
  for (; app != nullptr; app = app->get_parent()) {
    if (const CLI::Option* option = app->get_option_no_throw(name)) return option;
  }
  return nullptr;
}

std::vector<std::string> OptionNames(const CLI::App* app) {
  std::vector<std::string> names;
  for (; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

std::vector<std::string> VerbNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands({})) names.push_back(verb->get_name());
  return names;
}

const CLI::App* FindVerb(const CLI::App& app, const std::string& name) {
  for (const CLI::App* verb : app.get_subcommands({})) {
    if (verb->get_name() == name) return verb;
  }
  return nullptr;
}

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

}  // namespace

std::unique_ptr<CLI::App> NewTree(GlobalOptions& globals, Choice& choice,
                                  const Surroundings& world) {
  auto tree = std::make_unique<CLI::App>(
      "Asks and tells the Salve agent of this server, or of another.\n"
      "Exit status: 0 done or healthy, 1 unhealthy or failed, 2 usage or bad input,\n"
      "3 precondition not met, 4 not found, 5 permission, 6 refused by the throttle,\n"
      "7 agent unreachable, 8 duplicate or executed already, 9 database dirty or damaged,\n"
      "10 version or role mismatch, 11 timed out, 12 not the exact count, 70 internal.",
      "salvectl");
  tree->fallthrough();  // Inherited by the verbs: the options below may follow them.
  tree->require_subcommand(1);
  tree->get_formatter()->label("SUBCOMMAND", "VERB");
  tree->footer("Example:\n  salvectl health\n");
  tree->set_version_flag("--version", absl::StrCat("salvectl ", world.version));
  tree->add_option("--socket", globals.socket,
                   absl::StrCat("The agent's socket. Default: $SALVE_SOCKET, else ", world.run_dir,
                                "/admin.sock if it may be opened, else salve.sock"));
  tree->add_option("--server", globals.remote.server,
                   "An agent elsewhere, HOST:PORT, instead. Default: $SALVE_SERVER");
  tree->add_option("--ca", globals.remote.ca_file,
                   "With --server: who signed its certificate (PEM). Default: $SALVE_CA");
  tree->add_option("--cert", globals.remote.certificate_file,
                   "With --server: your certificate (PEM). Default: $SALVE_CERT");
  tree->add_option("--key", globals.remote.key_file,
                   "With --server: its key (PEM). Default: $SALVE_KEY");
  tree->add_option("-o,--output", globals.output, "For people, or for programs")
      ->transform(OneOf({"table", "json", "jsonl"}));
  tree->add_option("--timeout", globals.timeout,
                   "How long to wait for an answer. Default: 5s, for actions and probes 2h5m");
  tree->add_flag("--no-header", globals.no_header, "Tables without their first line");
  AddHealthVerbs(*tree, choice);
  AddProbeVerbs(*tree, choice);
  AddMonitorVerbs(*tree, choice);
  AddResponderVerbs(*tree, choice);
  AddActionVerbs(*tree, choice);
  AddComponentVerbs(*tree, choice);
  AddActionsVerbs(*tree, choice);
  AddMaintenanceVerbs(*tree, choice);
  AddThrottleVerbs(*tree, choice);
  AddGroupVerbs(*tree, choice);
  AddOverrideVerbs(*tree, choice);
  AddEventsVerb(*tree, choice);
  AddExplainVerb(*tree, choice);
  AddQueueVerbs(*tree, choice, world);
  AddDeadVerbs(*tree, choice);
  AddClusterVerbs(*tree, choice);
  AddRecoverVerb(*tree, choice, world);
  AddConfigVerbs(*tree, choice, world);
  AddHealthSetVerbs(*tree, choice, world);
  AddTestVerb(*tree, choice, world);
  AddVersionVerb(*tree, choice);
  AddCompletionVerb(*tree, choice);
  return tree;
}

std::string UnknownWord(const CLI::App& tree, const std::vector<std::string>& args) {
  const CLI::App* app = &tree;
  for (size_t i = 0; i < args.size() && args[i] != "--"; ++i) {
    const std::string& word = args[i];
    if (word.size() > 1 && word[0] == '-') {
      const bool is_long = word[1] == '-';
      const size_t equals = word.find('=');
      const std::string name = is_long ? word.substr(0, equals) : word.substr(0, 2);
      const CLI::Option* option = FindOption(app, name);
      if (option == nullptr) {
        return absl::StrCat("unknown option '", name, "'", DidYouMean(name, OptionNames(app)));
      }
      const bool value_is_inside = is_long ? equals != std::string::npos : word.size() > 2;
      if (TakesValue(*option) && !value_is_inside) ++i;
      continue;
    }
    const std::vector<std::string> verbs = VerbNames(*app);
    if (verbs.empty()) continue;  // A verb's own argument.
    const CLI::App* verb = FindVerb(*app, word);
    if (verb == nullptr) {
      return absl::StrCat("unknown verb '", word, "'", DidYouMean(word, verbs));
    }
    app = verb;
  }
  return "";
}

}  // namespace salve

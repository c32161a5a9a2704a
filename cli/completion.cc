// salvectl completion bash|zsh.
#include "cli/completion.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "cli/verbs.h"

namespace salve {
namespace {

struct CompletionOptions {
  std::string shell;
};

// The words that OneOf allows: CLI11 keeps them as "{a,b}" in the name of the option's type.
std::string ChoicesOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{');
  const size_t end = type.find('}', begin);
  if (begin == std::string::npos || end == std::string::npos) return "";
  return absl::StrReplaceAll(type.substr(begin + 1, end - begin - 1), {{",", " "}});
}

// What the scripts are made of; each is the text of `case` branches.
struct Branches {
  std::string paths;    // From a verb and the next word to a deeper verb.
  std::string words;    // What may follow a verb.
  std::string choices;  // What may follow an option of a verb; of all verbs last.
};

// A verb may use a letter of the options of all verbs for itself: `dead show -o`.
std::string PatternOf(const std::vector<std::string>& names, const std::string& path) {
  std::vector<std::string> patterns;
  for (const std::string& name : names) {
    patterns.push_back(path.empty() ? absl::StrCat("*:", name)
                                    : absl::StrCat("'", path, ":", name, "'"));
  }
  return absl::StrJoin(patterns, "|");
}

void AddOptions(const CLI::App& app, const std::string& path, Branches& branches,
                std::vector<std::string>& words) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string choices = ChoicesOf(*option);
    if (option->nonpositional()) {
      // Every verb has its own --help; $global has it already.
      if (!path.empty() && option == app.get_help_ptr()) continue;
      std::vector<std::string> names;
      for (const std::string& name : option->get_snames()) names.push_back("-" + name);
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
      words.insert(words.end(), names.begin(), names.end());
      if (option->get_items_expected_max() == 0) continue;
      // An option of any text has nothing to offer: files are what bash falls back to.
      absl::StrAppend(
          &branches.choices, "    ", PatternOf(names, path), ") ",
          choices.empty() ? "COMPREPLY=(); return" : absl::StrCat("words='", choices, "'; only=1"),
          " ;;\n");
    } else if (!choices.empty()) {
      words.push_back(choices);
    }
  }
}

void AddBranches(const CLI::App& app, const std::string& path, Branches& branches) {
  std::vector<std::string> words;
  for (const CLI::App* verb : app.get_subcommands({})) {
    words.push_back(verb->get_name());
    const std::string verb_path =
        path.empty() ? verb->get_name() : absl::StrCat(path, " ", verb->get_name());
    absl::StrAppend(&branches.paths, "      '", verb_path, "') path='", verb_path, "' ;;\n");
    AddBranches(*verb, verb_path, branches);
  }
  AddOptions(app, path, branches, words);
  absl::StrAppend(&branches.words, "    '", path, "') words=\"", absl::StrJoin(words, " "),
                  path.empty() ? "" : " $global", "\" ;;\n");
}

std::string GlobalWords(const CLI::App& tree) {
  Branches unused;
  std::vector<std::string> words;
  AddOptions(tree, "", unused, words);
  return absl::StrJoin(words, " ");
}

std::string Function(const CLI::App& tree) {
  Branches branches;
  AddBranches(tree, "", branches);
  return absl::StrCat(
      "_salvectl() {\n"
      "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
      "  local path='' words='' only='' i global='",
      GlobalWords(tree),
      "'\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case \"${path:+$path }${COMP_WORDS[i]}\" in\n",
      branches.paths,
      "    esac\n"
      "  done\n"
      "  case \"$path:$prev\" in\n",
      branches.choices,
      "  esac\n"
      "  [[ -n \"$only\" ]] || case \"$path\" in\n",
      branches.words,
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "}\n");
}

constexpr absl::string_view kRegister = "complete -o default -F _salvectl salvectl\n";

absl::StatusOr<ExitStatus> Completion(Verb& verb, const CompletionOptions& options,
                                      const CLI::App& tree) {
  verb.output.out() << (options.shell == "zsh" ? ZshCompletion(tree) : BashCompletion(tree));
  return ExitStatus::kDone;
}

}  // namespace

std::string BashCompletion(const CLI::App& tree) {
  return absl::StrCat("# salvectl completion bash > /etc/bash_completion.d/salvectl\n",
                      Function(tree), kRegister);
}

std::string ZshCompletion(const CLI::App& tree) {
  return absl::StrCat("#compdef salvectl\n# salvectl completion zsh > ~/.zfunc/_salvectl\n",
                      "autoload -Uz bashcompinit && bashcompinit\n", Function(tree), kRegister);
}

void AddCompletionVerb(CLI::App& salvectl, Choice& choice) {
  CLI::App* verb = AddVerb(salvectl, {"completion", "Prints a completion script for a shell",
                                      "source <(salvectl completion bash)"});
  auto options = std::make_shared<CompletionOptions>();
  verb->add_option("SHELL", options->shell, "The shell")
      ->required()
      ->transform(OneOf({"bash", "zsh"}));
  // It is the one verb that needs the tree itself.
  verb->callback([&choice, &salvectl, options] {
    choice = {"completion",
              [&salvectl, options](Verb& verb) { return Completion(verb, *options, salvectl); }};
  });
}

}  // namespace salve

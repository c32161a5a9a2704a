#include "cli/verb.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/names.h"

namespace salve {

CLI::App* AddVerb(CLI::App& parent, const VerbHelp& help) {
  CLI::App* verb = parent.add_subcommand(help.name, help.description);
  verb->group("Verbs");
  verb->footer(absl::StrCat("Example:\n  ", help.example, "\n"));
  return verb;
}

CLI::App* AddFamily(CLI::App& parent, const VerbHelp& help) {
  CLI::App* family = AddVerb(parent, help);
  family->require_subcommand(1);
  return family;
}

CLI::Validator OneOf(std::vector<std::string> words) {
  const std::string description = absl::StrCat("{", absl::StrJoin(words, ","), "}");
  return CLI::Validator(
      [words = std::move(words)](std::string& value) -> std::string {
        for (const std::string& word : words) {
          if (!absl::EqualsIgnoreCase(word, value)) continue;
          value = word;
          return "";
        }
        const std::string nearest = DidYouMean(value, words);
        if (!nearest.empty()) return absl::StrCat("'", value, "' is unknown", nearest);
        return absl::StrCat("'", value, "' is none of ", absl::StrJoin(words, ", "));
      },
      description);
}

}  // namespace salve

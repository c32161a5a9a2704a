#include "config/ready_made_sets.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "config/errors.h"
#include "config/names.h"

namespace salve {
namespace {

struct ReadyMadeSet {
  absl::string_view name;
  absl::string_view text;
};

// {"NAME", R"…(TEXT)…"}, one a file of config/healthsets, in the order of their names.
constexpr ReadyMadeSet kSets[] = {
#include "config/ready_made_texts.inc"
};

}  // namespace

std::vector<std::string> ReadyMadeSetNames() {
  std::vector<std::string> names;
  for (const ReadyMadeSet& set : kSets) names.emplace_back(set.name);
  return names;
}

absl::StatusOr<absl::string_view> FindReadyMadeSet(absl::string_view name) {
  for (const ReadyMadeSet& set : kSets) {
    if (set.name == name) return set.text;
  }
  return absl::NotFoundError(absl::StrCat("no health set ", Quoted(name), " ships",
                                          DidYouMean(name, ReadyMadeSetNames())));
}

std::string ObservingText(absl::string_view text) {
  // The form of the files that ship; ready_made_sets_test looks whether it caught all of them.
  return absl::StrReplaceAll(text, {{"\n  responder {\n", "\n  responder {\n    mode: OBSERVE\n"}});
}

std::vector<SourceFile> ObservingSets() {
  std::vector<SourceFile> files;
  for (const ReadyMadeSet& set : kSets) {
    files.push_back({absl::StrCat(set.name, ".textproto"), ObservingText(set.text)});
  }
  return files;
}

}  // namespace salve

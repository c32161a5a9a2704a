// The health sets that ship: files of conf.d for what many servers run (docs/HEALTHSETS.md), in the
// programs themselves.
#ifndef SALVE_CONFIG_READY_MADE_SETS_H_
#define SALVE_CONFIG_READY_MADE_SETS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "config/definition.h"

namespace salve {

// Their names, sorted.
std::vector<std::string> ReadyMadeSetNames();

// The text of the file. Errors: kNotFound, with the nearest names.
absl::StatusOr<absl::string_view> FindReadyMadeSet(absl::string_view name);

// The same file with every responder in mode OBSERVE; all else, comments too, stays.
// Requires: it is the text of a set that ships.
std::string ObservingText(absl::string_view text);

// All of them, as the files of a folder, observing: what an agent runs that has no configuration.
std::vector<SourceFile> ObservingSets();

}  // namespace salve

#endif  // SALVE_CONFIG_READY_MADE_SETS_H_

// Names that people type: which are allowed, and which known ones are near to a mistyped one.
#ifndef SALVE_CONFIG_NAMES_H_
#define SALVE_CONFIG_NAMES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace salve {

// Letters, digits, '.', '_', '-'; 1..100 of them.
bool IsValidName(absl::string_view name);

// Could be a user of some system: 1..256 characters, none of them blank, ':', '/' or a control
// character, and no '-' first. Whether there is one only the server itself can say.
bool IsValidUserName(absl::string_view name);

// The at most `count` of `known` nearest to `name` (edit distance, any case), best first; only
// those near enough to be meant.
std::vector<std::string> NearestNames(absl::string_view name, const std::vector<std::string>& known,
                                      size_t count = 3);

// " (did you mean 'a', 'b'?)", or "" when nothing is near.
std::string DidYouMean(absl::string_view name, const std::vector<std::string>& known);

}  // namespace salve

#endif  // SALVE_CONFIG_NAMES_H_

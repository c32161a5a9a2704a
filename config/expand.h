// for_each: one item of a health set becomes an item for each target.
#ifndef SALVE_CONFIG_EXPAND_H_
#define SALVE_CONFIG_EXPAND_H_

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace salve {

// Letters, digits and . _ - @ : anywhere, / inside; 1..100 of them.
bool IsValidTarget(absl::string_view target);

// Makes `item` (a Probe, Monitor or Responder) the one of `target`: its name and the names it
// refers to (`name`, `probe`, `monitor`) become Name/target, and in all its other strings, at any
// depth, `{target}` is replaced.
void ExpandItem(absl::string_view target, google::protobuf::Message& item);

}  // namespace salve

#endif  // SALVE_CONFIG_EXPAND_H_

// Whether a health set is about this server, and about which targets: `if_exists`, `for_each`.
#ifndef SALVE_CONFIG_CONDITIONS_H_
#define SALVE_CONFIG_CONDITIONS_H_

#include <string>
#include <vector>

#include "config/config.pb.h"
#include "config/found_paths.h"
#include "config/item_faults.h"

namespace salve {

struct Conditions {
  bool applicable = true;
  std::vector<std::string> targets;  // Of the for_each; without one a single empty one.
  // Found by the glob, and what it stands for there is no target.
  std::vector<std::string> skipped_paths;
};

// Adds what is wrong with them to `faults`. A pattern that `found` does not know has no path.
Conditions ReadConditions(const config::HealthSet& set, const FoundPaths& found,
                          ItemFaults& faults);

}  // namespace salve

#endif  // SALVE_CONFIG_CONDITIONS_H_

// Health sets, from what was written to what the engine works on, with all checks on the way.
#ifndef SALVE_CONFIG_HEALTH_SET_H_
#define SALVE_CONFIG_HEALTH_SET_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "config/combination.h"
#include "config/config.pb.h"
#include "config/definition.h"
#include "config/errors.h"
#include "config/found_paths.h"
#include "config/item_faults.h"
#include "config/kind_checks.h"
#include "config/text_file.h"

namespace salve {

// Reads the health sets of one server, one after the other. Names are compared in any case, as
// the throttle and the overrides do. At most 100,000 items and 256 MiB of them are read, those of
// for_each counted in. What `world` refers to, errors and the places' files must outlive the
// reader.
class HealthSetReader {
 public:
  struct World {
    const KindChecks& checks;
    const FoundPaths& found;     // Of the paths that the sets' conditions name.
    const config::Agent& agent;  // Whose destinations and components the sets may name.
  };
  HealthSetReader(const World& world, ErrorList& errors) : world_(world), errors_(errors) {}

  // The result is whole only if `errors` is still empty. Of an item in a for_each the faults of
  // the first target that has any are told; where a glob has no target now, they are checked for
  // one that is called "sample", and the result has none.
  HealthSetDefinition Read(const config::HealthSet& set, const Place& place);

  // Checks what only all sets together, as they were read, can show.
  void CheckTogether(const std::vector<HealthSetDefinition>& sets) {
    combinations_.Check(sets, errors_);
  }

 private:
  class SetReader;
  // Names that are taken, in lower case, and by whom.
  using TakenNames = absl::flat_hash_map<std::string, Place>;

  const World world_;
  ErrorList& errors_;
  TakenNames sets_;
  TakenNames responders_;  // Name, or Name/target.
  CombinationChecker combinations_;
  size_t items_ = 0;
  size_t bytes_ = 0;
};

}  // namespace salve

#endif  // SALVE_CONFIG_HEALTH_SET_H_

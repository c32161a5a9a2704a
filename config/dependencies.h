// The dependencies that health sets declare: do their names resolve, and is there no circle. Pure.
#ifndef SALVE_CONFIG_DEPENDENCIES_H_
#define SALVE_CONFIG_DEPENDENCIES_H_

#include <string>
#include <vector>

#include "config/errors.h"
#include "config/text_file.h"

namespace salve {

// What one health set says of itself, and where.
struct DeclaredDependencies {
  std::string name;
  std::vector<std::string> depends_on;
  Place place;
};

// Adds a fault for each name that is no health set of `sets` (with the nearest ones), stands there
// twice or is the set itself; when there is none of these, for one circle.
void CheckDependencies(const std::vector<DeclaredDependencies>& sets, ErrorList& errors);

}  // namespace salve

#endif  // SALVE_CONFIG_DEPENDENCIES_H_

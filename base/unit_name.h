// Names of systemd units as people write them.
#ifndef SALVE_BASE_UNIT_NAME_H_
#define SALVE_BASE_UNIT_NAME_H_

#include <string>

#include "absl/strings/string_view.h"

namespace salve {

// The unit that `name` means: "nginx" is "nginx.service", and "php8.2-fpm" is
// "php8.2-fpm.service"; a name with the suffix of a type of unit is left as it is.
std::string UnitName(absl::string_view name);

// Whether systemd could have a unit that UnitName makes of `name`: letters, digits and `:-_.\@`,
// at most 255 bytes with the suffix.
bool IsUnitName(absl::string_view name);

}  // namespace salve

#endif  // SALVE_BASE_UNIT_NAME_H_

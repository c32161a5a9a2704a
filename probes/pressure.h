// Pressure stall information: what the kernel says in /proc/pressure of how long tasks waited.
#ifndef SALVE_PROBES_PRESSURE_H_
#define SALVE_PROBES_PRESSURE_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace salve {

// Percent of the last 10 s. Nothing where the kernel does not say it.
struct Pressure {
  std::optional<double> some;  // Some task waited.
  std::optional<double> full;  // All did.
};

// Of the text of a file like /proc/pressure/memory. What does not read like one is passed over;
// each number is in 0..100.
Pressure ParsePressure(absl::string_view text);

// Of PROC/pressure/RESOURCE ("cpu", "memory"). Nothing in it where the kernel has no PSI.
Pressure ReadPressure(const std::string& proc, absl::string_view resource);

}  // namespace salve

#endif  // SALVE_PROBES_PRESSURE_H_

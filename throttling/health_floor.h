// The health floor: no disruptive action while too few servers of the group are healthy. Pure.
#ifndef SALVE_THROTTLING_HEALTH_FLOOR_H_
#define SALVE_THROTTLING_HEALTH_FLOOR_H_

#include <optional>
#include <string>

#include "throttling/coordinator.h"

namespace salve {

// How many servers other than the one that asks must be healthy: `percent` of all `servers`,
// rounded up, and at most all the others. The asker never counts: an action may cost it what health
// it has. Requires: percent in [0, 100].
int HealthyOthersNeeded(int percent, int servers);

// Why a disruptive action may not be, for people; nullopt: it may. A group of no servers is
// unknown, and never "no limit".
std::optional<std::string> BelowHealthFloor(int percent, const GroupHealth& health);

}  // namespace salve

#endif  // SALVE_THROTTLING_HEALTH_FLOOR_H_

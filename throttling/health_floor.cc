#include "throttling/health_floor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace salve {

int HealthyOthersNeeded(int percent, int servers) {
  const int64_t rounded_up = (int64_t{percent} * servers + 99) / 100;
  return static_cast<int>(std::min<int64_t>(rounded_up, std::max(servers - 1, 0)));
}

std::optional<std::string> BelowHealthFloor(int percent, const GroupHealth& health) {
  if (percent == 0) return std::nullopt;
  if (health.servers < 1) return "health floor: it is not known which servers the group has";
  const int needed = HealthyOthersNeeded(percent, health.servers);
  if (health.healthy_others >= needed) return std::nullopt;
  return absl::StrCat("health floor: ", health.healthy_others, " of the ", health.servers - 1,
                      " other servers of the group are healthy, and min_healthy_percent ", percent,
                      " needs ", needed);
}

}  // namespace salve

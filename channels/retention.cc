#include "channels/retention.h"

namespace salve {

RetentionTable DefaultRetention() {
  RetentionTable table;
  for (int number = v1::Channel_MIN + 1; number <= v1::Channel_MAX; ++number) {
    table[static_cast<v1::Channel>(number)] = {.age = absl::Hours(90 * 24), .bytes = 256u << 20};
  }
  table[v1::ProbeResult] = {.age = absl::Hours(7 * 24), .bytes = 64u << 20};
  return table;
}

bool KeepsNewestOfItem(v1::Channel channel) {
  return channel == v1::ProbeDefinition || channel == v1::MonitorDefinition ||
         channel == v1::ResponderDefinition || channel == v1::ThrottlingConfig;
}

}  // namespace salve

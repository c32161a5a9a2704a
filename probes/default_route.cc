#include "probes/default_route.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace salve {
namespace {

// Of the kernel's include/uapi/linux/route.h.
constexpr uint32_t kRouteUp = 0x1;
constexpr uint32_t kRouteReject = 0x200;

struct Route {
  uint64_t metric = std::numeric_limits<uint64_t>::max();
  std::string interface;
};

bool IsUsable(absl::string_view hex_flags) {
  uint32_t flags = 0;
  return absl::SimpleHexAtoi(hex_flags, &flags) && (flags & kRouteUp) != 0 &&
         (flags & kRouteReject) == 0;
}

void Take(absl::string_view interface, uint64_t metric, Route& best) {
  // The unreachable default of IPv6 goes out by lo.
  if (metric >= best.metric || interface == "lo" || !IsInterfaceName(interface)) return;
  best = {.metric = metric, .interface = std::string(interface)};
}

bool IsZero(absl::string_view hex) {
  return !hex.empty() && hex.find_first_not_of('0') == absl::string_view::npos;
}

// Iface Destination Gateway Flags RefCnt Use Metric Mask …
void TakeIpv4(absl::string_view line, Route& best) {
  const std::vector<absl::string_view> fields =
      absl::StrSplit(line, absl::ByAnyChar("\t "), absl::SkipEmpty());
  uint32_t metric = 0;
  if (fields.size() < 8 || !IsZero(fields[1]) || !IsZero(fields[7]) || !IsUsable(fields[3]) ||
      !absl::SimpleAtoi(fields[6], &metric)) {
    return;
  }
  Take(fields[0], metric, best);
}

// Destination its-length source its-length next-hop metric references use flags interface.
void TakeIpv6(absl::string_view line, Route& best) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
  uint32_t metric = 0;
  if (fields.size() < 10 || !IsZero(fields[0]) || !IsZero(fields[1]) || !IsUsable(fields[8]) ||
      !absl::SimpleHexAtoi(fields[5], &metric)) {
    return;
  }
  Take(fields[9], metric, best);
}

}  // namespace

std::string DefaultInterface(absl::string_view route, absl::string_view ipv6_route) {
  Route best;
  for (absl::string_view line : absl::StrSplit(route, '\n')) TakeIpv4(line, best);
  if (!best.interface.empty()) return best.interface;
  for (absl::string_view line : absl::StrSplit(ipv6_route, '\n')) TakeIpv6(line, best);
  return best.interface;
}

bool IsInterfaceName(absl::string_view name) {
  if (name.empty() || name.size() > 15 || name == "." || name == "..") return false;
  for (const char c : name) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c)) || c == '/' || c == ':') return false;
  }
  return true;
}

}  // namespace salve

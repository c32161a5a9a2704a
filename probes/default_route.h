// Which interface the default route goes out by, as /proc/net tells it. Pure.
#ifndef SALVE_PROBES_DEFAULT_ROUTE_H_
#define SALVE_PROBES_DEFAULT_ROUTE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace salve {

// The interface of the default route with the lowest metric; "" when there is none. `route` is the
// text of /proc/net/route, `ipv6_route` that of /proc/net/ipv6_route; a route of IPv4 comes first.
std::string DefaultInterface(absl::string_view route, absl::string_view ipv6_route);

// Whether it can be the name of an interface: 1..15 bytes, no blank, slash or colon, not "." or
// "..".
bool IsInterfaceName(absl::string_view name);

}  // namespace salve

#endif  // SALVE_PROBES_DEFAULT_ROUTE_H_

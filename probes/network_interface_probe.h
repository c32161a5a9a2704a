// Sees whether a network interface is up with a carrier, its speed, and its traffic, errors and
// drops since the look before.
#ifndef SALVE_PROBES_NETWORK_INTERFACE_PROBE_H_
#define SALVE_PROBES_NETWORK_INTERFACE_PROBE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/host.h"
#include "config/config.pb.h"
#include "probes/probe.h"

struct sockaddr;

namespace salve {

// Whether it is one that only this link knows: 169.254.0.0/16, fe80::/10. True also for what is
// neither IPv4 nor IPv6.
bool IsLinkLocal(const sockaddr* address);

// Whether the kernel has given the interface an address that is not link-local.
// Errors: kResourceExhausted, kUnavailable: it cannot be asked.
absl::StatusOr<bool> HasAddress(const std::string& interface);

// Where the kernel is asked, beside Host::proc().
struct NetworkSources {
  std::string sys = "/sys";
  std::function<absl::StatusOr<bool>(const std::string& interface)> has_address = HasAddress;
};

// Errors: kInvalidArgument: "network_interface.FIELD: …".
absl::Status CheckNetworkInterfaceProbe(const config::NetworkInterfaceProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewNetworkInterfaceProbe(
    const config::NetworkInterfaceProbe& config, EventLoop& loop, Host& host,
    NetworkSources sources = {});

}  // namespace salve

#endif  // SALVE_PROBES_NETWORK_INTERFACE_PROBE_H_

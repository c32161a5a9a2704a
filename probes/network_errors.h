// What goes wrong between us and a target, in the words of an Observation: what is the
// target's fault has Failed or TimedOut, what is ours is Rejected.
#ifndef SALVE_PROBES_NETWORK_ERRORS_H_
#define SALVE_PROBES_NETWORK_ERRORS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "probes/probe.h"

namespace salve {

// "127.0.0.1:80", "[::1]:80".
std::string HostAndPort(absl::string_view host, int port);

// "timed out after 3.0 s while connecting"
Observation TimedOutWhile(absl::Duration elapsed, absl::string_view phase);

// `error` is an errno. No descriptor, memory or local port, and what this machine forbids
// itself, is Rejected; all others are Failed.
Observation SocketError(int error, absl::string_view what);

// An error of Resolver.
Observation ResolveError(const absl::Status& error, absl::Duration elapsed);

}  // namespace salve

#endif  // SALVE_PROBES_NETWORK_ERRORS_H_

// Opens a TCP connection, with TLS if asked for, and may say something and match the answer.
// Requires: the process ignores SIGPIPE, which OpenSSL's writes to a closed connection raise.
#ifndef SALVE_PROBES_TCP_PROBE_H_
#define SALVE_PROBES_TCP_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/probe.h"
#include "probes/resolver.h"

namespace salve {

// Errors: kInvalidArgument: "tcp.FIELD: …".
absl::Status CheckTcpProbe(const config::TcpProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewTcpProbe(const config::TcpProbe& config, EventLoop& loop,
                                                   Resolver& resolver);

}  // namespace salve

#endif  // SALVE_PROBES_TCP_PROBE_H_

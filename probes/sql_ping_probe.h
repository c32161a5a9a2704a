// Speaks the beginning of a database's protocol: is it there, does it let in, is it ready?
#ifndef SALVE_PROBES_SQL_PING_PROBE_H_
#define SALVE_PROBES_SQL_PING_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/probe.h"
#include "probes/resolver.h"

namespace salve {

// Errors: kInvalidArgument: "sql_ping.FIELD: …".
absl::Status CheckSqlPingProbe(const config::SqlPingProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewSqlPingProbe(const config::SqlPingProbe& config,
                                                       EventLoop& loop, Resolver& resolver);

}  // namespace salve

#endif  // SALVE_PROBES_SQL_PING_PROBE_H_

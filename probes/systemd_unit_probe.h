// Sees the ActiveState of a systemd unit, as the service manager last told it: at once when it
// changes, and every interval.
#ifndef SALVE_PROBES_SYSTEMD_UNIT_PROBE_H_
#define SALVE_PROBES_SYSTEMD_UNIT_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/service_manager.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// Errors: kInvalidArgument: "systemd_unit.FIELD: …".
absl::Status CheckSystemdUnitProbe(const config::SystemdUnitProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewSystemdUnitProbe(const config::SystemdUnitProbe& config,
                                                           EventLoop& loop,
                                                           ServiceManager& services);

}  // namespace salve

#endif  // SALVE_PROBES_SYSTEMD_UNIT_PROBE_H_

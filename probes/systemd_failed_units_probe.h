// Sees which units systemd calls failed, as the service manager last told it: at once when one
// fails, and every interval.
#ifndef SALVE_PROBES_SYSTEMD_FAILED_UNITS_PROBE_H_
#define SALVE_PROBES_SYSTEMD_FAILED_UNITS_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/service_manager.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// Errors: kInvalidArgument: "systemd_failed_units.FIELD: …".
absl::Status CheckSystemdFailedUnitsProbe(const config::SystemdFailedUnitsProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewSystemdFailedUnitsProbe(
    const config::SystemdFailedUnitsProbe& config, EventLoop& loop, ServiceManager& services);

}  // namespace salve

#endif  // SALVE_PROBES_SYSTEMD_FAILED_UNITS_PROBE_H_

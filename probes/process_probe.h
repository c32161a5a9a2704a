// Counts the processes of a pid file or a name, and watches them by pidfd: the end of one is
// seen at once. At most 256 are watched. /proc is read in slices of 256 processes a turn of
// the loop, so that a server with very many stalls nobody.
#ifndef SALVE_PROBES_PROCESS_PROBE_H_
#define SALVE_PROBES_PROCESS_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/host.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// Errors: kInvalidArgument: "process.FIELD: …".
absl::Status CheckProcessProbe(const config::ProcessProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewProcessProbe(const config::ProcessProbe& config,
                                                       EventLoop& loop, Host& host);

}  // namespace salve

#endif  // SALVE_PROBES_PROCESS_PROBE_H_

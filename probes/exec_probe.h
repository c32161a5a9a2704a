// Runs a command and reads its exit code and performance data as a Nagios plugin's.
#ifndef SALVE_PROBES_EXEC_PROBE_H_
#define SALVE_PROBES_EXEC_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/host.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// Errors: kInvalidArgument: "exec.FIELD: …".
absl::Status CheckExecProbe(const config::ExecProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewExecProbe(const config::ExecProbe& config, Host& host);

}  // namespace salve

#endif  // SALVE_PROBES_EXEC_PROBE_H_

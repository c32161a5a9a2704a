// Fails when enough of the lines that came to a file since the look before match a pattern.
// Reads 256 KiB a turn of the loop. A look that is still behind at its deadline times out, and
// the next one goes on with its counts, unless the threshold is reached already.
#ifndef SALVE_PROBES_LOG_MATCH_PROBE_H_
#define SALVE_PROBES_LOG_MATCH_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// Errors: kInvalidArgument: "log_match.FIELD: …".
absl::Status CheckLogMatchProbe(const config::LogMatchProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewLogMatchProbe(const config::LogMatchProbe& config,
                                                        EventLoop& loop);

}  // namespace salve

#endif  // SALVE_PROBES_LOG_MATCH_PROBE_H_

// Sees whether a file, or those that match a pattern, are there, how old and large they are, and
// what stands at their beginning. All of it is done off the loop: any file system may hang.
#ifndef SALVE_PROBES_FILE_PROBE_H_
#define SALVE_PROBES_FILE_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/blocking_calls.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// Errors: kInvalidArgument: "file.FIELD: …".
absl::Status CheckFileProbe(const config::FileProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewFileProbe(const config::FileProbe& config,
                                                    EventLoop& loop, BlockingCalls& blocking);

}  // namespace salve

#endif  // SALVE_PROBES_FILE_PROBE_H_

// Sees the load of this server, how busy its processors are, and how long tasks wait for one.
#ifndef SALVE_PROBES_CPU_PROBE_H_
#define SALVE_PROBES_CPU_PROBE_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/host.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// Of all processors together, in ticks since the boot.
struct CpuTicks {
  uint64_t busy = 0;
  uint64_t total = 0;
  int cores = 0;  // That are online; at least 1.
};

// Of the text of /proc/stat. Errors: kUnavailable: it does not read like one.
absl::StatusOr<CpuTicks> ParseCpuTicks(absl::string_view stat);

// Errors: kInvalidArgument: "cpu.FIELD: …".
absl::Status CheckCpuProbe(const config::CpuProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewCpuProbe(const config::CpuProbe& config, EventLoop& loop,
                                                   Host& host);

}  // namespace salve

#endif  // SALVE_PROBES_CPU_PROBE_H_

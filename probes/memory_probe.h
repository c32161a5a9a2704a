// Sees how much memory of this server is available, its swap, and how long tasks wait for memory.
#ifndef SALVE_PROBES_MEMORY_PROBE_H_
#define SALVE_PROBES_MEMORY_PROBE_H_

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

struct MemoryState {
  uint64_t total_bytes = 0;  // Not 0.
  uint64_t available_bytes = 0;
  uint64_t swap_total_bytes = 0;
  uint64_t swap_free_bytes = 0;
};

// Of the text of /proc/meminfo. Errors: kUnavailable: it lacks a line that is needed, or a number
// is none.
absl::StatusOr<MemoryState> ParseMemoryState(absl::string_view meminfo);

// Errors: kInvalidArgument: "memory.FIELD: …".
absl::Status CheckMemoryProbe(const config::MemoryProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewMemoryProbe(const config::MemoryProbe& config,
                                                      EventLoop& loop, Host& host);

}  // namespace salve

#endif  // SALVE_PROBES_MEMORY_PROBE_H_

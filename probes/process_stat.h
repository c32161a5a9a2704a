// What /proc tells of one process. For the process probe, and for actions on processes.
#ifndef SALVE_PROBES_PROCESS_STAT_H_
#define SALVE_PROBES_PROCESS_STAT_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/host.h"

namespace salve {

struct ProcessStat {
  ProcessIdentity identity;
  std::string comm;  // At most 15 bytes, cut by the kernel.
  bool is_zombie = false;
  bool is_kernel_thread = false;
  pid_t parent = 0;
  absl::Duration cpu_time;  // User and system, of all threads.
  uint64_t rss_bytes = 0;
};

// Errors: kNotFound: no such process; kUnavailable: PROC/PID/stat does not read like one.
absl::StatusOr<ProcessStat> ReadProcessStat(const std::string& proc, pid_t pid);

// Whether the process is one of `name`: its comm is `name`, or the last part of its argv[0].
bool ProcessHasName(const std::string& proc, pid_t pid, absl::string_view name);

// Its argv, as it shows it: a program may write anything over it ("php-fpm: pool www"). At most
// 1 KiB, without blanks at its end; empty when it has none.
std::string ProcessTitle(const std::string& proc, pid_t pid);

// How many descriptors it has open; nothing when we may not see them.
std::optional<uint64_t> CountDescriptors(const std::string& proc, pid_t pid);

}  // namespace salve

#endif  // SALVE_PROBES_PROCESS_STAT_H_

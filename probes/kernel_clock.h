// KernelClock: what the kernel says of this machine's clock, which an NTP daemon disciplines.
#ifndef SALVE_PROBES_KERNEL_CLOCK_H_
#define SALVE_PROBES_KERNEL_CLOCK_H_

#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

struct timex;

namespace salve {

struct KernelClock {
  bool is_synchronised = false;
  absl::Duration estimated_error;  // As the daemon told it.
};

// By adjtimex, which only reads here and needs no right. Errors: kPermissionDenied: a filter of
// system calls forbids it; kUnavailable.
absl::StatusOr<KernelClock> ReadKernelClock();

// What the answer of adjtimex means: what it returned, errno, and what it wrote. Errors: as above.
absl::StatusOr<KernelClock> KernelClockOf(int result, int error, const timex& state);

// Who is asked instead in a test.
using KernelClockReader = std::function<absl::StatusOr<KernelClock>()>;

}  // namespace salve

#endif  // SALVE_PROBES_KERNEL_CLOCK_H_

#include "probes/kernel_clock.h"

#include <errno.h>
#include <string.h>
#include <sys/timex.h>

#include "absl/strings/str_cat.h"

namespace salve {

absl::StatusOr<KernelClock> ReadKernelClock() {
  timex state = {};  // No modes: nothing is set.
  const int result = adjtimex(&state);
  return KernelClockOf(result, errno, state);
}

absl::StatusOr<KernelClock> KernelClockOf(int result, int error, const timex& state) {
  if (result < 0 && error == EPERM) {
    return absl::PermissionDeniedError(
        "the kernel's clock cannot be read: a filter of system calls (SystemCallFilter or "
        "ProtectClock of the unit, or the container) forbids adjtimex");
  }
  if (result < 0) {
    char buffer[256];
    return absl::UnavailableError(absl::StrCat("the kernel's clock cannot be read: ",
                                               strerror_r(error, buffer, sizeof buffer)));
  }
  return KernelClock{.is_synchronised = result != TIME_ERROR && (state.status & STA_UNSYNC) == 0,
                     .estimated_error = absl::Microseconds(state.esterror)};
}

}  // namespace salve

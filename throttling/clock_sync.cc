#include <sys/timex.h>

#include "throttling/ledger.h"

namespace salve {

bool KernelClockIsSynchronised() {
  timex request = {};
  const int state = adjtimex(&request);
  return state >= 0 && state != TIME_ERROR && (request.status & STA_UNSYNC) == 0;
}

}  // namespace salve

#include <time.h>

#include "base/clock.h"
#include "base/fault.h"

namespace salve {

Instant SystemClock::Now() const {
  timespec ts;
  clock_gettime(CLOCK_BOOTTIME, &ts);
  return Instant::FromNanosSinceBoot(int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec);
}

absl::Time SystemClock::WallNow() const {
  timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  ts.tv_sec += FaultWallOffsetSeconds();
  return absl::TimeFromTimespec(ts);
}

}  // namespace salve

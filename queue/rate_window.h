// RateWindow: when the last letters went to a place, so that never more than so many go in a
// window. Bounded by that number.
#ifndef SALVE_QUEUE_RATE_WINDOW_H_
#define SALVE_QUEUE_RATE_WINDOW_H_

#include <cstddef>
#include <deque>

#include "absl/time/time.h"
#include "base/clock.h"

namespace salve {

class RateWindow {
 public:
  // When the next letter may go; the past or now: at once.
  Instant RoomAt(Instant now, size_t most, absl::Duration window) {
    while (!begun_.empty() && now - begun_.front() >= window) begun_.pop_front();
    if (begun_.size() < most) return now;
    return begun_[begun_.size() - most] + window;
  }
  void Add(Instant now) { begun_.push_back(now); }

 private:
  std::deque<Instant> begun_;
};

}  // namespace salve

#endif  // SALVE_QUEUE_RATE_WINDOW_H_

// Time for the engine. Two time lines with two types: Instant (boot time) for every
// interval, deadline and limit; absl::Time (wall) only for people. Both are injected, so
// that the whole engine runs on a simulated clock. Thread-safe unless said otherwise.
#ifndef SALVE_BASE_CLOCK_H_
#define SALVE_BASE_CLOCK_H_

#include <compare>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace salve {

// A point on this boot's time line (CLOCK_BOOTTIME, nanoseconds since boot; goes on during
// suspend, never goes back). Instants of different boots must not be compared.
class Instant {
 public:
  constexpr Instant() = default;
  static constexpr Instant FromNanosSinceBoot(int64_t nanos) { return Instant(nanos); }
  static constexpr Instant InfiniteFuture() { return Instant(std::numeric_limits<int64_t>::max()); }

  constexpr int64_t nanos_since_boot() const { return nanos_; }
  friend constexpr auto operator<=>(Instant, Instant) = default;

  // Saturates at both ends; InfiniteFuture stays where it is.
  friend Instant operator+(Instant t, absl::Duration d) {
    if (t == InfiniteFuture()) return t;
    int64_t sum;
    if (__builtin_add_overflow(t.nanos_, absl::ToInt64Nanoseconds(d), &sum)) {
      return d > absl::ZeroDuration() ? InfiniteFuture()
                                      : Instant(std::numeric_limits<int64_t>::min());
    }
    return Instant(sum);
  }
  friend Instant operator-(Instant t, absl::Duration d) { return t + -d; }
  friend absl::Duration operator-(Instant a, Instant b) {
    if (a == InfiniteFuture()) return absl::InfiniteDuration();
    return absl::Nanoseconds(a.nanos_) - absl::Nanoseconds(b.nanos_);
  }

 private:
  constexpr explicit Instant(int64_t nanos) : nanos_(nanos) {}
  int64_t nanos_ = 0;
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant Now() const = 0;         // For intervals. Never goes back.
  virtual absl::Time WallNow() const = 0;  // For people only.
};

// The kernel's clocks.
class SystemClock final : public Clock {
 public:
  Instant Now() const override;
  absl::Time WallNow() const override;
};

// A clock that moves only when told to. One thread only.
class SimulatedClock final : public Clock {
 public:
  explicit SimulatedClock(absl::Time wall = absl::FromUnixSeconds(1'800'000'000),
                          Instant start = Instant::FromNanosSinceBoot(3'600'000'000'000))
      : now_(start), wall_(wall) {}

  Instant Now() const override { return now_; }
  absl::Time WallNow() const override { return wall_; }

  // Moves both lines forward. Requires: d >= 0.
  void Advance(absl::Duration d) {
    now_ = now_ + d;
    wall_ += d;
  }
  // Steps the wall clock alone, in either direction.
  void StepWall(absl::Duration d) { wall_ += d; }

 private:
  Instant now_;
  absl::Time wall_;
};

}  // namespace salve

#endif  // SALVE_BASE_CLOCK_H_

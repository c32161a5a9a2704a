#include "throttling/uptime_line.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace salve {
namespace {

absl::Duration SinceBoot(Instant moment) { return absl::Nanoseconds(moment.nanos_since_boot()); }

}  // namespace

UptimeLine::UptimeLine(std::vector<SeenBoot> boots)
    : boots_(std::move(boots)), last_at_(boots_.size()) {
  CHECK(!boots_.empty());
}

bool UptimeLine::Look(Instant now, absl::Time wall, bool synchronised) {
  SeenBoot& running = boots_.back();
  running.last = std::max(running.last, now);
  running.last_wall = wall;
  running.synchronised = synchronised;
  // While the answer of the kernel stays the same nothing new is known of earlier boots.
  if (looked_ && synchronised == synchronised_) return false;
  looked_ = true;
  synchronised_ = synchronised;

  const std::vector<absl::Duration> before = last_at_;
  // Time that has surely passed since the next boot began; of the running one that is uptime.
  absl::Duration since_next = SinceBoot(now) - SinceBoot(running.first);
  for (size_t i = boots_.size() - 1; i-- > 0;) {
    const SeenBoot& boot = boots_[i];
    absl::Duration since_last = since_next;
    if (synchronised && boot.synchronised) {
      since_last = std::max(since_last, wall - boot.last_wall);
    }
    last_at_[i] = SinceBoot(now) - since_last;
    since_next = since_last + std::max(absl::ZeroDuration(), boot.last - boot.first);
  }
  return before != last_at_;
}

absl::Duration UptimeLine::At(size_t boot, Instant moment) const {
  if (boot + 1 == boots_.size()) return SinceBoot(moment);
  return last_at_[boot] + (moment - boots_[boot].last);
}

}  // namespace salve

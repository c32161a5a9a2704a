// UptimeLine: one line of time through all boots of this server, for the ages of attempts. A
// step on it is uptime that was seen; time switched off is added only where a synchronised
// clock vouches for it at both ends. So a wrong or stepped clock, or a restored snapshot, makes
// ages shorter and windows longer, never the other way. Pure; one thread.
#ifndef SALVE_THROTTLING_UPTIME_LINE_H_
#define SALVE_THROTTLING_UPTIME_LINE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"

namespace salve {

// What was seen of one boot.
struct SeenBoot {
  std::string boot_id;
  // Where counting of it begins: 0, or, when a snapshot brought back an earlier moment of a boot
  // that was seen before, that moment.
  Instant first;
  // The last that was seen of it: both clocks, and whether the wall clock was synchronised.
  Instant last;
  absl::Time last_wall;
  bool synchronised = false;
};

class UptimeLine {
 public:
  // Boots in the order of their first sight; the last one is the running one. Requires: not empty.
  explicit UptimeLine(std::vector<SeenBoot> boots);

  // Says what the running boot's clocks show. Points of earlier boots may move, in any way that
  // keeps their order. Returns whether they did.
  bool Look(Instant now, absl::Time wall, bool synchronised);

  // The point of a moment of boot `boot` (an index). Those of the running boot are its Instants:
  // the line's origin is its start, earlier boots lie before it.
  absl::Duration At(size_t boot, Instant moment) const;

  const std::vector<SeenBoot>& boots() const { return boots_; }
  size_t running() const { return boots_.size() - 1; }

 private:
  std::vector<SeenBoot> boots_;
  std::vector<absl::Duration> last_at_;  // The point of each boot's `last`.
  bool synchronised_ = false;
  bool looked_ = false;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_UPTIME_LINE_H_

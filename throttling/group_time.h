// The group's time: the coordinator's clock, as a pair of bounds on this server's boot line. Pure.
#ifndef SALVE_THROTTLING_GROUP_TIME_H_
#define SALVE_THROTTLING_GROUP_TIME_H_

#include <optional>

#include "absl/time/time.h"
#include "base/clock.h"
#include "throttling/etcd_client.h"

namespace salve {

class GroupTime {
 public:
  // A reading is good for so long; it is asked for each minute.
  static constexpr absl::Duration kFresh = absl::Seconds(150);

  void Take(const EtcdTime& reading) { reading_ = reading; }
  bool IsFresh(Instant now) const {
    return reading_.has_value() && now - reading_->received <= kFresh;
  }

  // The clock showed `date`, cut to the second, at some instant between sent and received. So it
  // is at least so late …
  // Requires of both: a reading was taken.
  absl::Time Earliest(Instant now) const { return reading_->date + (now - reading_->received); }
  // … and at most so late. Writing by this one and asking by the other makes every age too young
  // by the round trip and a second, never too old.
  absl::Time Latest(Instant now) const {
    return reading_->date + absl::Seconds(1) + (now - reading_->sent);
  }

 private:
  std::optional<EtcdTime> reading_;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_GROUP_TIME_H_

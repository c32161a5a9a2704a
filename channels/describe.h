// One event as one sentence for a person, e.g.
//   probe Web/NginxPing failed after 3.0 s: connection refused
//   2051 RestartService nginx.service refused by the local throttle: LocalMinimumMinutes;
//     may run again at 22:39:57 (in 9 min 58 s)
#ifndef SALVE_CHANNELS_DESCRIBE_H_
#define SALVE_CHANNELS_DESCRIBE_H_

#include <string>

#include "absl/time/time.h"
#include "api/events.pb.h"

namespace salve {

// On one line, without the event's own time, at most about 1 KiB. Wall times inside it are
// those of `zone`, with the date when it is not the event's own.
std::string Describe(const v1::Event& event, absl::TimeZone zone = absl::LocalTimeZone());

// "450 ms", "3.0 s", "9 min 58 s", "2 h 5 min", "3 d 4 h"; negative ones begin with "-".
std::string HumanDuration(absl::Duration d);

}  // namespace salve

#endif  // SALVE_CHANNELS_DESCRIBE_H_

// Says what another process reported, one look a report; fails each time that no report came
// for `expect_within`. At most 64 reports wait to be looked at; beyond that the oldest is lost.
#ifndef SALVE_PROBES_NOTIFICATION_PROBE_H_
#define SALVE_PROBES_NOTIFICATION_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// Errors: kInvalidArgument: "notification.FIELD: …".
absl::Status CheckNotificationProbe(const config::NotificationProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewNotificationProbe(const config::NotificationProbe& config,
                                                            EventLoop& loop);

}  // namespace salve

#endif  // SALVE_PROBES_NOTIFICATION_PROBE_H_

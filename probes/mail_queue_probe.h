// Sees how many mails wait in the queue of Postfix or Exim, and since when the oldest does. The
// folders are read off the loop. At most 100,000 mails are counted.
#ifndef SALVE_PROBES_MAIL_QUEUE_PROBE_H_
#define SALVE_PROBES_MAIL_QUEUE_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/blocking_calls.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// Errors: kInvalidArgument: "mail_queue.FIELD: …".
absl::Status CheckMailQueueProbe(const config::MailQueueProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewMailQueueProbe(const config::MailQueueProbe& config,
                                                         EventLoop& loop, BlockingCalls& blocking);

}  // namespace salve

#endif  // SALVE_PROBES_MAIL_QUEUE_PROBE_H_

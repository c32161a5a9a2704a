// Greets an IMAP server, and may log in and look at a mailbox, read-only.
#ifndef SALVE_PROBES_IMAP_PROBE_H_
#define SALVE_PROBES_IMAP_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/probe.h"
#include "probes/resolver.h"

namespace salve {

// Errors: kInvalidArgument: "imap.FIELD: …".
absl::Status CheckImapProbe(const config::ImapProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewImapProbe(const config::ImapProbe& config,
                                                    EventLoop& loop, Resolver& resolver);

}  // namespace salve

#endif  // SALVE_PROBES_IMAP_PROBE_H_

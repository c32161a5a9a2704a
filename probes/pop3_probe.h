// Greets a POP3 server, and may log in and count the mails.
#ifndef SALVE_PROBES_POP3_PROBE_H_
#define SALVE_PROBES_POP3_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/probe.h"
#include "probes/resolver.h"

namespace salve {

// Errors: kInvalidArgument: "pop3.FIELD: …".
absl::Status CheckPop3Probe(const config::Pop3Probe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewPop3Probe(const config::Pop3Probe& config,
                                                    EventLoop& loop, Resolver& resolver);

}  // namespace salve

#endif  // SALVE_PROBES_POP3_PROBE_H_

// Greets a mail server over SMTP and may ask whether it would take a mail; it sends none.
#ifndef SALVE_PROBES_SMTP_PROBE_H_
#define SALVE_PROBES_SMTP_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/probe.h"
#include "probes/resolver.h"

namespace salve {

// Errors: kInvalidArgument: "smtp.FIELD: …".
absl::Status CheckSmtpProbe(const config::SmtpProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewSmtpProbe(const config::SmtpProbe& config,
                                                    EventLoop& loop, Resolver& resolver);

}  // namespace salve

#endif  // SALVE_PROBES_SMTP_PROBE_H_

// Looks at the certificate that a server shows, or at one in a file.
#ifndef SALVE_PROBES_TLS_CERTIFICATE_PROBE_H_
#define SALVE_PROBES_TLS_CERTIFICATE_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/blocking_calls.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/probe.h"
#include "probes/resolver.h"

namespace salve {

// Errors: kInvalidArgument: "tls_certificate.FIELD: …".
absl::Status CheckTlsCertificateProbe(const config::TlsCertificateProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewTlsCertificateProbe(
    const config::TlsCertificateProbe& config, EventLoop& loop, Resolver& resolver,
    BlockingCalls& blocking);

}  // namespace salve

#endif  // SALVE_PROBES_TLS_CERTIFICATE_PROBE_H_

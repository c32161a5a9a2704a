// Asks an HTTP server and judges its answer by status, headers and body.
#ifndef SALVE_PROBES_HTTP_PROBE_H_
#define SALVE_PROBES_HTTP_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/http_client.h"
#include "probes/probe.h"

namespace salve {

// Errors: kInvalidArgument: "http.FIELD: …".
absl::Status CheckHttpProbe(const config::HttpProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewHttpProbe(const config::HttpProbe& config,
                                                    EventLoop& loop, HttpClient& http);

}  // namespace salve

#endif  // SALVE_PROBES_HTTP_PROBE_H_

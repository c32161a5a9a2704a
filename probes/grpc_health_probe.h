// Asks a gRPC server by grpc.health.v1.Health/Check how it or one of its services is.
#ifndef SALVE_PROBES_GRPC_HEALTH_PROBE_H_
#define SALVE_PROBES_GRPC_HEALTH_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/http_client.h"
#include "probes/probe.h"

namespace salve {

// Errors: kInvalidArgument: "grpc_health.FIELD: …".
absl::Status CheckGrpcHealthProbe(const config::GrpcHealthProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewGrpcHealthProbe(const config::GrpcHealthProbe& config,
                                                          EventLoop& loop, HttpClient& http);

}  // namespace salve

#endif  // SALVE_PROBES_GRPC_HEALTH_PROBE_H_

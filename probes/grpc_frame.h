// What a health check of gRPC says over HTTP/2: a message behind its length, and in it the two
// messages of grpc.health.v1. Read by hand, as they have one field each. Pure.
#ifndef SALVE_PROBES_GRPC_FRAME_H_
#define SALVE_PROBES_GRPC_FRAME_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace salve {

// HealthCheckResponse.ServingStatus; a number that is none of these is what a newer server says.
inline constexpr uint64_t kGrpcServing = 1;

// grpc-status.
inline constexpr int kGrpcOk = 0;
inline constexpr int kGrpcNotFound = 5;
inline constexpr int kGrpcUnimplemented = 12;

// The body of a request for `service`.
std::string GrpcHealthRequest(absl::string_view service);

// The status in the body of an answer; what stands there beside it is left. Errors:
// kInvalidArgument: what is wrong with it.
absl::StatusOr<uint64_t> ParseGrpcHealthResponse(absl::string_view body);

// "NOT_SERVING", …, "status 7".
std::string ServingStatusName(uint64_t status);

// "UNAVAILABLE", …, "code 99".
std::string GrpcStatusName(int code);

// The text of a grpc-message header, without its percent escapes: printable ASCII, all else as
// '?', at most 200 bytes.
std::string GrpcMessageText(absl::string_view header);

}  // namespace salve

#endif  // SALVE_PROBES_GRPC_FRAME_H_

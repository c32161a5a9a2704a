// Whatever a gRPC server sends, what is shown of it is bounded and plain text.
#include <cstddef>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "base/check.h"
#include "probes/grpc_frame.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view body(reinterpret_cast<const char*>(bytes), size);
  const auto status = salve::ParseGrpcHealthResponse(body);
  if (status.ok()) {
    CHECK(size >= 5 && body[0] == 0);
    CHECK(salve::ServingStatusName(*status).size() <= 32);
  }
  const std::string text = salve::GrpcMessageText(body);
  CHECK(text.size() <= 200);
  for (const char c : text) CHECK(absl::ascii_isprint(static_cast<unsigned char>(c)));
  return 0;
}

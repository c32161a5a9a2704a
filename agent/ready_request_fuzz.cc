// What a load balancer, or somebody else, sends to ready_listen: whatever it is, the verdict does
// not change when more arrives, and a path is printable and begins with a slash.
#include <cstddef>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "agent/ready_request.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using salve::ReadyRequest;
  const absl::string_view received(reinterpret_cast<const char*>(data), size);
  const ReadyRequest request = salve::ReadReadyRequest(received);
  const bool is_read =
      request.kind == ReadyRequest::Kind::kGet || request.kind == ReadyRequest::Kind::kHead;
  if (is_read) {
    CHECK(!request.path.empty() && request.path[0] == '/');
    for (const char c : request.path) CHECK(absl::ascii_isgraph(c) && c != '?');
  }
  if (request.kind == ReadyRequest::Kind::kIncomplete) {
    CHECK(size < salve::kReadyRequestBytesMax);
  }
  const ReadyRequest before = salve::ReadReadyRequest(received.substr(0, size / 2));
  if (before.kind == ReadyRequest::Kind::kGet) {
    CHECK(request.kind == ReadyRequest::Kind::kGet && request.path == before.path);
  }
  return 0;
}

// ReadyRequest: what a load balancer asks by HTTP/1: the request line alone matters, its headers
// are passed over. Pure.
#ifndef SALVE_AGENT_READY_REQUEST_H_
#define SALVE_AGENT_READY_REQUEST_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace salve {

struct ReadyRequest {
  enum class Kind {
    kIncomplete,  // More must come.
    kBad,         // No HTTP/1: 400.
    kTooLarge,    // 431.
    kOther,       // A method that changes something, or is unknown: 405.
    kGet,
    kHead,
  };
  Kind kind = Kind::kIncomplete;
  std::string path;  // Of kGet and kHead, without a query: "/ready/web". At least "/".
};

inline constexpr size_t kReadyRequestBytesMax = 4096;

// Reads the request from all that was received so far.
ReadyRequest ReadReadyRequest(absl::string_view received);

// An answer that ends the connection; of HEAD without its body.
std::string ReadyAnswer(int status, absl::string_view body, bool is_head);

}  // namespace salve

#endif  // SALVE_AGENT_READY_REQUEST_H_

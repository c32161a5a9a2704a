// SCRAM-SHA-256 from the client's side (RFC 5802, RFC 7677), without channel binding: both prove
// that they know the password, and nobody who listens learns it. Pure.
#ifndef SALVE_PROBES_SCRAM_H_
#define SALVE_PROBES_SCRAM_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace salve {

class ScramClient {
 public:
  // `nonce`: printable without ',', new each time. The password is taken as its bytes are, without
  // the normalisation of Unicode that the RFC wants. Of `user` '=' and ',' are escaped.
  ScramClient(absl::string_view user, std::string password, std::string nonce);

  std::string FirstMessage() const;
  // The answer to the server's first message. Errors: kInvalidArgument: it is none, it does not go
  // on with our nonce, or it asks for more than 20,000 iterations, which would hold the loop.
  absl::StatusOr<std::string> FinalMessage(absl::string_view server_first);
  // Whether the server's last message proves that it knows the password. Errors:
  // kInvalidArgument: it does not. Requires: FinalMessage.
  absl::Status CheckServer(absl::string_view server_final) const;

 private:
  const std::string bare_;  // The first message without its header.
  const std::string password_;
  const std::string nonce_;
  std::string server_signature_;
};

// 18 random bytes in base64; "" when the machine has none to give.
std::string NewScramNonce();

}  // namespace salve

#endif  // SALVE_PROBES_SCRAM_H_

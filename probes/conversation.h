// Conversation: a Probe that opens a connection, over TCP or a Unix socket, with TLS from the start
// or from the middle on, and has one Dialogue over it a look. It has all that protocols have in
// common: names, addresses one after another, the handshake, the deadline, a close without
// TIME_WAIT. Lives on the loop's thread.
// Requires: the process ignores SIGPIPE, which OpenSSL's writes to a closed connection raise.
#ifndef SALVE_PROBES_CONVERSATION_H_
#define SALVE_PROBES_CONVERSATION_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "probes/dialogue.h"
#include "probes/probe.h"
#include "probes/resolver.h"
#include "probes/tls.h"

namespace salve {

struct ConversationOptions {
  // A name, an address, or the path of a Unix socket, which begins with '/' (kUnixPathBytesMax).
  std::string host;
  uint16_t port = 0;

  std::optional<TlsClient::Options> tls;  // Needed for both.
  bool tls_from_start = false;            // Else where the dialogue wants it.
  uint32_t min_days_left = 0;             // Fails when the certificate ends sooner. 0: not checked.
  // Instead of min_days_left and of the value tls_days_left: judges the session when it stands. If
  // that has not succeeded, it is the look's observation; else its values stand before the others.
  std::function<Observation(SSL*)> judge_tls;

  // What is said could be used by who overhears it: without `tls` only addresses of loopback and
  // Unix sockets are talked to, others are Rejected.
  bool needs_secrecy = false;

  // Called at the start of each look; an error is Rejected. Never null.
  std::function<absl::StatusOr<std::unique_ptr<Dialogue>>()> make_dialogue;
};

// Its looks have the values latency_ms (until the dialogue was done) and tls_days_left and the
// attributes remote_address, connect_ms and tls_ms, and then the dialogue's own.
std::unique_ptr<Probe> NewConversation(ConversationOptions options, EventLoop& loop,
                                       Resolver& resolver);

}  // namespace salve

#endif  // SALVE_PROBES_CONVERSATION_H_

// One mail by SMTP, with libcurl. It blocks, and so has a thread of its own (curl_transport.h):
// libcurl waits for the answer to its QUIT without giving the loop back, for two minutes if the
// relay likes.
#ifndef SALVE_RESPONDERS_ESCALATION_SEND_MAIL_H_
#define SALVE_RESPONDERS_ESCALATION_SEND_MAIL_H_

#include <atomic>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "config/config.pb.h"

namespace salve {

// "smtp://HOST[:PORT]", as the configuration allows it.
struct Relay {
  bool is_tls = false;
  std::string host;  // Without brackets.
  int port = 0;
  bool is_numeric = false;  // An address: there is nothing to resolve.
};
Relay RelayOf(const std::string& url);

struct MailOrder {
  config::Smtp smtp;
  std::string mail;                    // RenderMail.
  std::string helo;                    // The name that it greets with.
  std::vector<std::string> addresses;  // Of the relay's host; libcurl asks no name server.
  std::string password;
  Instant deadline;
};

// Returns what the relay refused of it beside, e.g. one of several recipients; when one recipient
// was taken, the mail counts as sent. Ends about a second after the deadline, or after `cancelled`
// is set, at the latest. Requires: the process ignores SIGPIPE.
// Errors: as Transport::Done, in words for people, without any secret: also not when the relay
// echoes it.
absl::StatusOr<std::string> SendMail(const MailOrder& order, const Clock& clock,
                                     const std::atomic<bool>& cancelled);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ESCALATION_SEND_MAIL_H_

// What the kinds that have conversations have in common in their configuration.
#ifndef SALVE_PROBES_CONVERSATION_FIELDS_H_
#define SALVE_PROBES_CONVERSATION_FIELDS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "config/config.pb.h"
#include "probes/conversation.h"
#include "probes/tls.h"

namespace salve {

// Whom to talk to and, for some, who we are. Points into a message, which must outlive it.
struct ConversationFields {
  absl::string_view kind;  // "smtp": what the paths of errors begin with.
  const std::string& host;
  uint32_t port;
  const config::Tls* tls;  // Null when it is not there.
  bool start_tls;
  const std::string& user;
  const std::string& password_file;
  uint16_t plain_port;  // The default.
  uint16_t tls_port;    // The default with TLS from the start.
};

// The ConversationFields of a message that has all of their fields.
template <typename Message>
ConversationFields FieldsOf(absl::string_view kind, const Message& config, uint16_t plain_port,
                            uint16_t tls_port) {
  return {kind,
          config.host(),
          config.port(),
          config.has_tls() ? &config.tls() : nullptr,
          config.start_tls(),
          config.user(),
          config.password_file(),
          plain_port,
          tls_port};
}

// Errors: kInvalidArgument: "KIND.FIELD: …". A password that would go over a network without TLS
// is refused here as far as the host is an address; of a name each look decides.
absl::Status CheckConversationFields(const ConversationFields& fields);
// `user` and `password_file` are needed both or not at all.
absl::Status CheckBothOrNone(const ConversationFields& fields);

// All but make_dialogue. Requires: CheckConversationFields.
ConversationOptions OptionsOf(const ConversationFields& fields);
TlsClient::Options TlsOptionsOf(const config::Tls& tls, const std::string& host);

// At most `max` bytes, none of them a control character: it stands in a line of the protocol.
absl::Status CheckWord(absl::string_view path, absl::string_view value, size_t max = 255);

// The first line of `file`; "" when `file` is "". Errors: kUnavailable: naming the file, which
// can't be read or whose first line is no password.
absl::StatusOr<std::string> ReadPassword(const std::string& file);

}  // namespace salve

#endif  // SALVE_PROBES_CONVERSATION_FIELDS_H_

// What may be shown of a configuration: in `config show`, in the definition events, in errors.
// Secrets belong into files of their own (password_file …), which are never read into it; this
// takes out those that were written into it all the same. Each is replaced by "***".
#ifndef SALVE_CONFIG_REDACT_H_
#define SALVE_CONFIG_REDACT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace salve {

// Takes out of a message of the language, and of all inside it: values of headers that are not
// known to be harmless, values of environments, what probes and webhooks send as a body, all of a
// webhook's URL but its host, arguments after a `--password`, and of every string what RedactText
// takes. Messages of a copy of the schema (Schema) are taken as those of the schema itself.
void Redact(google::protobuf::Message& message);

// A definition on one line, redacted.
std::string RedactedText(const google::protobuf::Message& message);

// Takes user and password out of URLs, the values of headers that log in, and what stands behind
// `password=`, `token=` and the like. Time is linear in the text.
std::string RedactText(absl::string_view text);

}  // namespace salve

#endif  // SALVE_CONFIG_REDACT_H_

// Letters in the words of a destination: a mail (RFC 5322, MIME, UTF-8) or a JSON text. Whatever a
// probe has seen, its text stays a text: it makes no header, no line of SMTP and no member of JSON.
#ifndef SALVE_RESPONDERS_ESCALATION_RENDER_H_
#define SALVE_RESPONDERS_ESCALATION_RENDER_H_

#include <string>

#include "config/config.pb.h"
#include "responders/escalation/transport.h"

namespace salve {

// The whole mail, with CRLF; without what SMTP does to a dot. Requires: the configuration was
// loaded.
std::string RenderMail(const config::Smtp& smtp, const Letter& letter);

// The body of the request. Requires: the configuration was loaded.
std::string RenderBody(const config::Webhook& webhook, const Letter& letter);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ESCALATION_RENDER_H_

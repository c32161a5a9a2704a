#include "probes/pop3_probe.h"

#include <utility>

#include "base/status_macros.h"
#include "probes/conversation.h"
#include "probes/conversation_fields.h"
#include "probes/field_checks.h"
#include "probes/mail_dialogue.h"
#include "re2/re2.h"

namespace salve {
namespace {

constexpr uint16_t kPort = 110;
constexpr uint16_t kTlsPort = 995;

ConversationFields Fields(const config::Pop3Probe& config) {
  return FieldsOf("pop3", config, kPort, kTlsPort);
}

}  // namespace

absl::Status CheckPop3Probe(const config::Pop3Probe& config) {
  RETURN_IF_ERROR(CheckConversationFields(Fields(config)));
  RETURN_IF_ERROR(CheckBothOrNone(Fields(config)));
  return CompilePattern("pop3.banner_match", config.banner_match()).status();
}

absl::StatusOr<std::unique_ptr<Probe>> NewPop3Probe(const config::Pop3Probe& config,
                                                    EventLoop& loop, Resolver& resolver) {
  RETURN_IF_ERROR(CheckPop3Probe(config));
  ASSIGN_OR_RETURN(std::shared_ptr<RE2> banner_match,
                   CompilePattern("pop3.banner_match", config.banner_match()));
  ConversationOptions options = OptionsOf(Fields(config));
  options.make_dialogue = [config, banner_match]() -> absl::StatusOr<std::unique_ptr<Dialogue>> {
    MailDialogueOptions mail;
    mail.start_tls = config.start_tls();
    mail.banner_match = banner_match.get();
    mail.user = config.user();
    ASSIGN_OR_RETURN(mail.password, ReadPassword(config.password_file()));
    return NewPop3Dialogue(std::move(mail));
  };
  return NewConversation(std::move(options), loop, resolver);
}

}  // namespace salve

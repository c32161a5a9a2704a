#include "probes/imap_probe.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "base/status_macros.h"
#include "probes/conversation.h"
#include "probes/conversation_fields.h"
#include "probes/field_checks.h"
#include "probes/mail_dialogue.h"
#include "re2/re2.h"

namespace salve {
namespace {

constexpr uint16_t kPort = 143;
constexpr uint16_t kTlsPort = 993;

ConversationFields Fields(const config::ImapProbe& config) {
  return FieldsOf("imap", config, kPort, kTlsPort);
}

}  // namespace

absl::Status CheckImapProbe(const config::ImapProbe& config) {
  RETURN_IF_ERROR(CheckConversationFields(Fields(config)));
  RETURN_IF_ERROR(CheckBothOrNone(Fields(config)));
  RETURN_IF_ERROR(CheckWord("imap.mailbox", config.mailbox()));
  const std::string& mailbox = config.mailbox();
  if (!std::all_of(mailbox.begin(), mailbox.end(),
                   [](char c) { return absl::ascii_isascii(static_cast<unsigned char>(c)); })) {
    return BadField("imap.mailbox",
                    "what is not ASCII is written in modified UTF-7, as on the wire");
  }
  if (!mailbox.empty() && config.user().empty()) return BadField("imap.mailbox", "needs user");
  return CompilePattern("imap.banner_match", config.banner_match()).status();
}

absl::StatusOr<std::unique_ptr<Probe>> NewImapProbe(const config::ImapProbe& config,
                                                    EventLoop& loop, Resolver& resolver) {
  RETURN_IF_ERROR(CheckImapProbe(config));
  ASSIGN_OR_RETURN(std::shared_ptr<RE2> banner_match,
                   CompilePattern("imap.banner_match", config.banner_match()));
  ConversationOptions options = OptionsOf(Fields(config));
  options.make_dialogue = [config, banner_match]() -> absl::StatusOr<std::unique_ptr<Dialogue>> {
    MailDialogueOptions mail;
    mail.start_tls = config.start_tls();
    mail.banner_match = banner_match.get();
    mail.user = config.user();
    ASSIGN_OR_RETURN(mail.password, ReadPassword(config.password_file()));
    mail.mailbox = config.mailbox();
    return NewImapDialogue(std::move(mail));
  };
  return NewConversation(std::move(options), loop, resolver);
}

}  // namespace salve

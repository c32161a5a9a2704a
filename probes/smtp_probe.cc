#include "probes/smtp_probe.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "probes/conversation.h"
#include "probes/conversation_fields.h"
#include "probes/field_checks.h"
#include "probes/mail_dialogue.h"
#include "re2/re2.h"

namespace salve {
namespace {

constexpr uint16_t kPort = 25;
constexpr uint16_t kTlsPort = 465;

ConversationFields Fields(const config::SmtpProbe& config) {
  return FieldsOf("smtp", config, kPort, kTlsPort);
}

// A name or an address: both go into a command without quotes.
absl::Status CheckUnquoted(absl::string_view path, absl::string_view value) {
  RETURN_IF_ERROR(CheckWord(path, value));
  const auto is_fit = [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != '<' && c != '>';
  };
  if (std::all_of(value.begin(), value.end(), is_fit)) return absl::OkStatus();
  return BadField(path, absl::StrCat("'", value, "' has a space, < or >, or what is not ASCII"));
}

}  // namespace

absl::Status CheckSmtpProbe(const config::SmtpProbe& config) {
  RETURN_IF_ERROR(CheckConversationFields(Fields(config)));
  RETURN_IF_ERROR(CheckBothOrNone(Fields(config)));
  RETURN_IF_ERROR(CheckUnquoted("smtp.hello_name", config.hello_name()));
  RETURN_IF_ERROR(CheckUnquoted("smtp.mail_from", config.mail_from()));
  RETURN_IF_ERROR(CheckUnquoted("smtp.rcpt_to", config.rcpt_to()));
  if (!config.rcpt_to().empty() && config.mail_from().empty()) {
    return BadField("smtp.rcpt_to", "needs mail_from");
  }
  return CompilePattern("smtp.banner_match", config.banner_match()).status();
}

absl::StatusOr<std::unique_ptr<Probe>> NewSmtpProbe(const config::SmtpProbe& config,
                                                    EventLoop& loop, Resolver& resolver) {
  RETURN_IF_ERROR(CheckSmtpProbe(config));
  ASSIGN_OR_RETURN(std::shared_ptr<RE2> banner_match,
                   CompilePattern("smtp.banner_match", config.banner_match()));
  ConversationOptions options = OptionsOf(Fields(config));
  options.make_dialogue = [config, banner_match]() -> absl::StatusOr<std::unique_ptr<Dialogue>> {
    MailDialogueOptions mail;
    mail.start_tls = config.start_tls();
    mail.banner_match = banner_match.get();
    mail.user = config.user();
    ASSIGN_OR_RETURN(mail.password, ReadPassword(config.password_file()));
    if (!config.hello_name().empty()) mail.hello_name = config.hello_name();
    mail.mail_from = config.mail_from();
    mail.rcpt_to = config.rcpt_to();
    return NewSmtpDialogue(std::move(mail));
  };
  return NewConversation(std::move(options), loop, resolver);
}

}  // namespace salve

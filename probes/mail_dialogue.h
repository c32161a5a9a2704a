// What a client says to a mail server: SMTP, IMAP and POP3. Pure, as all dialogues.
#ifndef SALVE_PROBES_MAIL_DIALOGUE_H_
#define SALVE_PROBES_MAIL_DIALOGUE_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "probes/dialogue.h"
#include "re2/re2.h"

namespace salve {

// No text has a control character in it, but the password may have bytes beyond ASCII.
struct MailDialogueOptions {
  bool start_tls = false;             // TLS in the middle, or nothing.
  bool only_tls = false;              // Done as soon as TLS stands. With start_tls.
  const RE2* banner_match = nullptr;  // Must be found in the greeting. Null: not checked.
  std::string user;                   // Empty: no login.
  std::string password;
  std::string hello_name = "localhost";  // SMTP.
  std::string mail_from;                 // SMTP. Empty: not asked.
  std::string rcpt_to;                   // SMTP. With mail_from.
  std::string mailbox;                   // IMAP, with user. Empty: none is opened.
};

std::unique_ptr<Dialogue> NewSmtpDialogue(MailDialogueOptions options);
std::unique_ptr<Dialogue> NewImapDialogue(MailDialogueOptions options);
std::unique_ptr<Dialogue> NewPop3Dialogue(MailDialogueOptions options);

// Nothing if `banner` has what it must, else what failed.
std::string BannerFault(absl::string_view banner, const RE2* banner_match);

}  // namespace salve

#endif  // SALVE_PROBES_MAIL_DIALOGUE_H_

// Whatever a server says, a dialogue keeps to its bounds and ends in an observation that can be
// shown, and it makes no difference in which pieces the bytes come.
#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "base/check.h"
#include "probes/database_dialogue.h"
#include "probes/dialogue.h"
#include "probes/mail_dialogue.h"
#include "re2/re2.h"

namespace salve {
namespace {

constexpr const char* kPassword = "\xc3\xa9 s3cret \"quoted\\";

// A letter in lower case stands for TLS in the middle.
std::unique_ptr<Dialogue> NewDialogue(char letter, const RE2& banner) {
  MailDialogueOptions mail;
  mail.start_tls = std::islower(static_cast<unsigned char>(letter)) != 0;
  mail.banner_match = &banner;
  mail.user = "ann";
  mail.password = kPassword;
  mail.mail_from = "a@example.org";
  mail.rcpt_to = "b@example.org";
  mail.mailbox = "INBOX";
  DatabaseDialogueOptions database;
  database.start_tls = mail.start_tls;
  database.user = "ann";
  database.password = kPassword;
  database.nonce = "nonce";
  switch (std::toupper(static_cast<unsigned char>(letter))) {
    case 'S':
      return NewSmtpDialogue(mail);
    case 'I':
      return NewImapDialogue(mail);
    case 'P':
      return NewPop3Dialogue(mail);
    case 'G':
      return NewPostgresDialogue(database);
    case 'H':
      database.password.clear();
      return NewPostgresDialogue(database);
    case 'R':
      return NewRedisDialogue(database);
    default:
      database.password.clear();
      return NewRedisDialogue(database);
  }
}

void CheckShown(const std::string& text) {
  for (const char c : text) CHECK(!std::iscntrl(static_cast<unsigned char>(c)));
  CHECK(!absl::StrContains(text, kPassword));
}

// What is seen when `bytes` come in pieces of `piece`.
Observation Hear(Dialogue& dialogue, absl::string_view bytes, size_t piece) {
  size_t said = 0;
  Step step = dialogue.Begin();
  while (true) {
    said += step.send.size();
    CHECK(said <= 4096 * (bytes.size() + 1));
    CHECK(!dialogue.phase().empty());
    if (step.next == Step::Next::kDone) break;
    if (step.next == Step::Next::kStartTls) {
      step = dialogue.OnTls();
    } else if (bytes.empty()) {
      step = dialogue.OnEnd();
      CHECK(step.next == Step::Next::kDone);
    } else {
      step = dialogue.OnBytes(bytes.substr(0, piece));
      bytes.remove_prefix(std::min(piece, bytes.size()));
    }
  }
  CHECK(step.seen.error.empty() == (step.seen.outcome == Outcome::kSucceeded));
  CheckShown(step.seen.error);
  for (const auto& [name, text] : step.seen.attributes) CheckShown(text);
  return step.seen;
}

}  // namespace
}  // namespace salve

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(bytes + 1), size - 1);
  const char letter = static_cast<char>(bytes[0]);
  static const RE2* const banner = new RE2("e");
  const auto bytewise = salve::NewDialogue(letter, *banner);
  const salve::Observation one = salve::Hear(*bytewise, text, 1);
  const auto at_once = salve::NewDialogue(letter, *banner);
  const salve::Observation other = salve::Hear(*at_once, text, 16 * 1024);
  // Where TLS begins, bytes that came with the last ones before it are refused.
  if (std::islower(bytes[0]) != 0 || size > 60'000) return 0;
  CHECK(one.outcome == other.outcome);
  CHECK(one.error == other.error);
  CHECK(one.attributes == other.attributes);
  return 0;
}

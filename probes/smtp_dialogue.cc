// SMTP (RFC 5321) with STARTTLS (RFC 3207) and AUTH PLAIN (RFC 4954, RFC 4616).
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "probes/line_dialogue.h"
#include "probes/mail_dialogue.h"

namespace salve {
namespace {

class SmtpDialogue final : public LineDialogue {
 public:
  explicit SmtpDialogue(MailDialogueOptions options) : options_(std::move(options)) {
    if (options_.user.empty()) return;
    token_ = absl::Base64Escape(std::string(1, '\0') + options_.user + '\0' + options_.password);
    secrets_ = {token_, options_.password};
  }

  Step Begin() override { return Listen(); }

  Step OnTls() override {
    if (options_.only_tls) return Done(Observation{}, "QUIT\r\n");
    tls_stands_ = true;
    return Ask(Phase::kHello);
  }

  absl::string_view phase() const override {
    switch (phase_) {
      case Phase::kGreeting:
        return "waiting for the greeting";
      case Phase::kHello:
        return "waiting for the answer to EHLO";
      case Phase::kStartTls:
        return "waiting for the answer to STARTTLS";
      case Phase::kAuth:
        return "logging in";
      case Phase::kMailFrom:
        return "waiting for the answer to MAIL FROM";
      case Phase::kRcptTo:
        return "waiting for the answer to RCPT TO";
      case Phase::kReset:
        return "waiting for the answer to RSET";
    }
    return "";
  }

 private:
  enum class Phase { kGreeting, kHello, kStartTls, kAuth, kMailFrom, kRcptTo, kReset };

  // A reply is lines of "250-TEXT", and at last "250 TEXT", all with one code.
  Step OnLine(absl::string_view line) override {
    if (!IsReplyLine(line) || (!code_.empty() && line.substr(0, 3) != code_)) {
      return Done(Failed(absl::StrCat("no answer of an SMTP server: '", Words(line), "'")));
    }
    const bool is_first = code_.empty();
    code_ = std::string(line.substr(0, 3));
    const absl::string_view text = line.size() > 4 ? line.substr(4) : absl::string_view();
    if (is_first) words_ = Words(line);
    if (phase_ == Phase::kGreeting) absl::StrAppend(&banner_, is_first ? "" : " ", text);
    if (phase_ == Phase::kHello && !is_first) NoteExtension(text);
    if (line.size() > 3 && line[3] == '-') return Listen();
    const std::string code = std::exchange(code_, "");
    return OnReply(code);
  }

  static bool IsReplyLine(absl::string_view line) {
    if (line.size() < 3 || line[0] < '2' || line[0] > '5') return false;
    if (!absl::ascii_isdigit(line[1]) || !absl::ascii_isdigit(line[2])) return false;
    return line.size() == 3 || line[3] == ' ' || line[3] == '-';
  }

  void NoteExtension(absl::string_view text) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(text, absl::ByAnyChar(" ="), absl::SkipEmpty());
    if (words.empty()) return;
    if (absl::EqualsIgnoreCase(words[0], "STARTTLS")) offers_tls_ = true;
    if (!absl::EqualsIgnoreCase(words[0], "AUTH")) return;
    for (const absl::string_view word : words)
      offers_plain_ |= absl::EqualsIgnoreCase(word, "PLAIN");
  }

  Step OnReply(const std::string& code) {
    switch (phase_) {
      case Phase::kGreeting:
        return code == "220" ? OnGreeting() : Refused("the greeting");
      case Phase::kHello:
        return code == "250" ? AfterHello() : Refused("EHLO");
      case Phase::kStartTls:
        if (code != "220") return Refused("STARTTLS");
        return SayAndStartTls("");
      case Phase::kAuth:
        return code == "235" ? AskForEnvelope() : Refused("AUTH PLAIN");
      case Phase::kMailFrom:
        if (code != "250") return Refused("MAIL FROM");
        return Ask(options_.rcpt_to.empty() ? Phase::kReset : Phase::kRcptTo);
      case Phase::kRcptTo:
        // 251: it will forward it.
        return code == "250" || code == "251" ? Ask(Phase::kReset) : Refused("RCPT TO");
      case Phase::kReset:
        return code == "250" ? Passed() : Refused("RSET");
    }
    return Passed();
  }

  Step OnGreeting() {
    if (std::string fault = BannerFault(banner_, options_.banner_match); !fault.empty()) {
      return End(Failed(std::move(fault)));
    }
    return Ask(Phase::kHello);
  }

  Step AfterHello() {
    if (options_.start_tls && !tls_stands_) {
      if (!offers_tls_) return End(Failed("the server does not offer STARTTLS"));
      return Ask(Phase::kStartTls);
    }
    if (options_.user.empty()) return AskForEnvelope();
    if (!offers_plain_) return End(Failed("the server does not offer AUTH PLAIN"));
    return Ask(Phase::kAuth);
  }

  Step AskForEnvelope() { return options_.mail_from.empty() ? Passed() : Ask(Phase::kMailFrom); }

  Step Ask(Phase phase) {
    phase_ = phase;
    switch (phase) {
      case Phase::kGreeting:
        return Listen();
      case Phase::kHello:
        offers_tls_ = offers_plain_ = false;  // What it offers within TLS is another list.
        return Say(absl::StrCat("EHLO ", options_.hello_name, "\r\n"));
      case Phase::kStartTls:
        return Say("STARTTLS\r\n");
      case Phase::kAuth:
        return Say(absl::StrCat("AUTH PLAIN ", token_, "\r\n"));
      case Phase::kMailFrom:
        return Say(absl::StrCat("MAIL FROM:<", options_.mail_from, ">\r\n"));
      case Phase::kRcptTo:
        return Say(absl::StrCat("RCPT TO:<", options_.rcpt_to, ">\r\n"));
      case Phase::kReset:
        return Say("RSET\r\n");  // Takes the envelope back: no mail is sent.
    }
    return Listen();
  }

  Step Refused(absl::string_view what) {
    return End(Failed(absl::StrCat(what, " was answered by '", words_, "'")));
  }
  Step Passed() { return End(Observation{}); }

  Step End(Observation seen) const {
    seen.attributes.emplace_back("banner", Words(banner_));
    return Done(std::move(seen), "QUIT\r\n");
  }

  std::string Words(absl::string_view text) const { return PeerWords(text, secrets_); }

  const MailDialogueOptions options_;
  std::string token_;  // What AUTH PLAIN says.
  std::vector<std::string> secrets_;
  Phase phase_ = Phase::kGreeting;
  std::string code_;   // Of the reply that has begun.
  std::string words_;  // Its first line.
  std::string banner_;
  bool tls_stands_ = false;
  bool offers_tls_ = false;
  bool offers_plain_ = false;
};

}  // namespace

std::unique_ptr<Dialogue> NewSmtpDialogue(MailDialogueOptions options) {
  return std::make_unique<SmtpDialogue>(std::move(options));
}

}  // namespace salve

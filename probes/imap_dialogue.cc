// IMAP (RFC 9051, and 3501 before it) with STARTTLS.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "probes/line_dialogue.h"
#include "probes/mail_dialogue.h"

namespace salve {
namespace {

constexpr const char* kFarewell = "z LOGOUT\r\n";

class ImapDialogue final : public LineDialogue {
 public:
  explicit ImapDialogue(MailDialogueOptions options) : options_(std::move(options)) {
    // As it stands, and as it is said: a server may repeat the whole command.
    if (!options_.password.empty()) secrets_ = {Quoted(options_.password), options_.password};
  }

  Step Begin() override { return Listen(); }

  Step OnTls() override {
    return options_.only_tls ? Done(Observation{}, kFarewell) : AskForLogin();
  }

  absl::string_view phase() const override {
    switch (phase_) {
      case Phase::kGreeting:
        return "waiting for the greeting";
      case Phase::kStartTls:
        return "waiting for the answer to STARTTLS";
      case Phase::kLogin:
        return "logging in";
      case Phase::kExamine:
        return "opening the mailbox";
      case Phase::kNoop:
        return "waiting for the answer to NOOP";
    }
    return "";
  }

 private:
  enum class Phase { kGreeting, kStartTls, kLogin, kExamine, kNoop };

  Step OnLine(absl::string_view line) override {
    if (phase_ == Phase::kGreeting) return OnGreeting(line);
    absl::string_view rest = line;
    if (absl::ConsumePrefix(&rest, "* ")) return OnUntagged(rest);
    if (absl::StartsWith(line, "+") && !rest_of_command_.empty()) {
      std::string next = std::move(rest_of_command_.front());
      rest_of_command_.erase(rest_of_command_.begin());
      return Say(std::move(next));
    }
    if (absl::ConsumePrefix(&rest, tag_) && absl::ConsumePrefix(&rest, " ")) return OnTagged(rest);
    return NoImap(line);
  }

  Step OnGreeting(absl::string_view line) {
    absl::string_view text = line;
    if (!absl::ConsumePrefix(&text, "* ")) return NoImap(line);
    const bool is_in = absl::StartsWithIgnoreCase(text, "PREAUTH ");
    banner_ = std::string(text);
    if (!is_in && !absl::StartsWithIgnoreCase(text, "OK ")) {
      return End(Failed(absl::StrCat("the greeting is '", Words(text), "'")));
    }
    banner_.erase(0, banner_.find(' ') + 1);
    if (std::string fault = BannerFault(banner_, options_.banner_match); !fault.empty()) {
      return End(Failed(std::move(fault)));
    }
    is_in_ = is_in;
    if (!options_.start_tls) return AskForLogin();
    if (is_in) return End(Failed("the server lets in before TLS (PREAUTH)"));
    return Ask(Phase::kStartTls, "STARTTLS");
  }

  Step OnUntagged(absl::string_view text) {
    if (absl::StartsWithIgnoreCase(text, "BYE")) {
      return Done(Failed(absl::StrCat("the server said '", Words(text), "' while ", phase())));
    }
    const std::vector<absl::string_view> words =
        absl::StrSplit(text, absl::MaxSplits(' ', 2), absl::SkipEmpty());
    uint32_t count = 0;
    if (phase_ == Phase::kExamine && words.size() >= 2 &&
        absl::EqualsIgnoreCase(words[1], "EXISTS") && absl::SimpleAtoi(words[0], &count)) {
      messages_ = count;
    }
    return Listen();
  }

  // "OK …", "NO …", "BAD …"
  Step OnTagged(absl::string_view text) {
    if (!absl::EqualsIgnoreCase(text.substr(0, text.find(' ')), "OK")) {
      return End(Failed(absl::StrCat(Command(), " was answered by '", Words(text), "'")));
    }
    switch (phase_) {
      case Phase::kStartTls:
        return SayAndStartTls("");
      case Phase::kLogin:
        return AfterLogin();
      default:
        return Passed();
    }
  }

  absl::string_view Command() const {
    switch (phase_) {
      case Phase::kStartTls:
        return "STARTTLS";
      case Phase::kLogin:
        return "LOGIN";
      case Phase::kExamine:
        return "EXAMINE";
      default:
        return "NOOP";
    }
  }

  Step AskForLogin() {
    if (options_.user.empty() || is_in_) return AfterLogin();
    // Servers that want TLS first say so, and a client must not try.
    if (!options_.start_tls && absl::StrContains(banner_, "LOGINDISABLED")) {
      return End(Failed("the server takes no login without TLS (LOGINDISABLED)"));
    }
    return Ask(Phase::kLogin, "LOGIN", {options_.user, options_.password});
  }

  Step AfterLogin() {
    if (options_.mailbox.empty()) return Ask(Phase::kNoop, "NOOP");
    return Ask(Phase::kExamine, "EXAMINE", {options_.mailbox});
  }

  // What is not ASCII goes as a literal, "{5}", for which the server says when it wants it.
  Step Ask(Phase phase, absl::string_view command, const std::vector<std::string>& words = {}) {
    phase_ = phase;
    tag_ = absl::StrCat("a", ++commands_);
    std::vector<std::string> parts = {absl::StrCat(tag_, " ", command)};
    for (const std::string& word : words) {
      if (IsAscii(word)) {
        absl::StrAppend(&parts.back(), " ", Quoted(word));
      } else {
        absl::StrAppend(&parts.back(), " {", word.size(), "}\r\n");
        parts.push_back(word);
      }
    }
    parts.back() += "\r\n";
    rest_of_command_.assign(parts.begin() + 1, parts.end());
    return Say(std::move(parts.front()));
  }

  static bool IsAscii(absl::string_view text) {
    return std::none_of(text.begin(), text.end(),
                        [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
  }

  static std::string Quoted(absl::string_view text) {
    std::string quoted = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
    return quoted + "\"";
  }

  Step NoImap(absl::string_view line) const {
    return Done(Failed(absl::StrCat("no answer of an IMAP server: '", Words(line), "'")));
  }

  Step Passed() const {
    Observation seen;
    if (messages_.has_value()) {
      seen.values.push_back({"messages", static_cast<double>(*messages_), ""});
    }
    return End(std::move(seen));
  }

  Step End(Observation seen) const {
    seen.attributes.emplace_back("banner", Words(banner_));
    return Done(std::move(seen), kFarewell);
  }

  std::string Words(absl::string_view text) const { return PeerWords(text, secrets_); }

  const MailDialogueOptions options_;
  std::vector<std::string> secrets_;
  Phase phase_ = Phase::kGreeting;
  std::string banner_;
  bool is_in_ = false;
  int commands_ = 0;
  std::string tag_;  // Of the command that is being answered.
  std::vector<std::string> rest_of_command_;
  std::optional<uint32_t> messages_;
};

}  // namespace

std::unique_ptr<Dialogue> NewImapDialogue(MailDialogueOptions options) {
  return std::make_unique<ImapDialogue>(std::move(options));
}

}  // namespace salve

// POP3 (RFC 1939) with STLS (RFC 2595).
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "probes/line_dialogue.h"
#include "probes/mail_dialogue.h"

namespace salve {
namespace {

class Pop3Dialogue final : public LineDialogue {
 public:
  explicit Pop3Dialogue(MailDialogueOptions options) : options_(std::move(options)) {
    if (!options_.password.empty()) secrets_ = {options_.password};
  }

  Step Begin() override { return Listen(); }

  Step OnTls() override {
    return options_.only_tls ? Done(Observation{}, "QUIT\r\n") : AskForLogin();
  }

  absl::string_view phase() const override {
    switch (phase_) {
      case Phase::kGreeting:
        return "waiting for the greeting";
      case Phase::kStartTls:
        return "waiting for the answer to STLS";
      case Phase::kUser:
      case Phase::kPassword:
        return "logging in";
      case Phase::kStat:
        return "waiting for the answer to STAT";
    }
    return "";
  }

 private:
  enum class Phase { kGreeting, kStartTls, kUser, kPassword, kStat };

  Step OnLine(absl::string_view line) override {
    const bool is_ok = IsStatus(line, "+OK");
    if (!is_ok && !IsStatus(line, "-ERR")) {
      return Done(Failed(absl::StrCat("no answer of a POP3 server: '", Words(line), "'")));
    }
    switch (phase_) {
      case Phase::kGreeting:
        banner_ = std::string(line.substr(std::min<size_t>(line.size(), is_ok ? 4 : 5)));
        return is_ok ? OnGreeting() : Refused("the greeting", line);
      case Phase::kStartTls:
        return is_ok ? SayAndStartTls("") : Refused("STLS", line);
      case Phase::kUser:
        if (!is_ok) return Refused("USER", line);
        return Ask(Phase::kPassword, absl::StrCat("PASS ", options_.password, "\r\n"));
      case Phase::kPassword:
        return is_ok ? Ask(Phase::kStat, "STAT\r\n") : Refused("PASS", line);
      case Phase::kStat:
        return is_ok ? OnStat(line) : Refused("STAT", line);
    }
    return Listen();
  }

  static bool IsStatus(absl::string_view line, absl::string_view word) {
    return absl::StartsWith(line, word) && (line.size() == word.size() || line[word.size()] == ' ');
  }

  Step OnGreeting() {
    if (std::string fault = BannerFault(banner_, options_.banner_match); !fault.empty()) {
      return End(Failed(std::move(fault)));
    }
    return options_.start_tls ? Ask(Phase::kStartTls, "STLS\r\n") : AskForLogin();
  }

  Step AskForLogin() {
    if (options_.user.empty()) return End(Observation{});
    return Ask(Phase::kUser, absl::StrCat("USER ", options_.user, "\r\n"));
  }

  // "+OK 3 12000"
  Step OnStat(absl::string_view line) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t messages = 0, bytes = 0;
    if (words.size() < 3 || !absl::SimpleAtoi(words[1], &messages) ||
        !absl::SimpleAtoi(words[2], &bytes)) {
      return Refused("STAT", line);
    }
    Observation seen;
    seen.values = {{"messages", static_cast<double>(messages), ""},
                   {"mailbox_bytes", static_cast<double>(bytes), "bytes"}};
    return End(std::move(seen));
  }

  Step Ask(Phase phase, std::string command) {
    phase_ = phase;
    return Say(std::move(command));
  }

  Step Refused(absl::string_view what, absl::string_view line) const {
    return End(Failed(absl::StrCat(what, " was answered by '", Words(line), "'")));
  }

  Step End(Observation seen) const {
    seen.attributes.emplace_back("banner", Words(banner_));
    return Done(std::move(seen), "QUIT\r\n");
  }

  std::string Words(absl::string_view text) const { return PeerWords(text, secrets_); }

  const MailDialogueOptions options_;
  std::vector<std::string> secrets_;
  Phase phase_ = Phase::kGreeting;
  std::string banner_;
};

}  // namespace

std::unique_ptr<Dialogue> NewPop3Dialogue(MailDialogueOptions options) {
  return std::make_unique<Pop3Dialogue>(std::move(options));
}

}  // namespace salve

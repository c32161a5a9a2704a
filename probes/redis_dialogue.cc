// The start of Redis' protocol (RESP 2): an answer is a line that begins with + - : $ or *.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "probes/database_dialogue.h"
#include "probes/line_dialogue.h"

namespace salve {
namespace {

std::string Command(const std::vector<absl::string_view>& words) {
  std::string command = absl::StrCat("*", words.size(), "\r\n");
  for (const absl::string_view word : words) {
    absl::StrAppend(&command, "$", word.size(), "\r\n", word, "\r\n");
  }
  return command;
}

class RedisDialogue final : public LineDialogue {
 public:
  explicit RedisDialogue(DatabaseDialogueOptions options)
      : options_(std::move(options)),
        need_login_(options_.need_login || !options_.password.empty()),
        phase_(options_.password.empty() ? Phase::kPing : Phase::kAuth) {
    if (!options_.password.empty()) secrets_ = {options_.password};
  }

  Step Begin() override {
    if (phase_ == Phase::kPing) return Say(Command({"PING"}));
    if (options_.user.empty()) return Say(Command({"AUTH", options_.password}));
    return Say(Command({"AUTH", options_.user, options_.password}));
  }

  Step OnTls() override { return Done(Observation{}); }  // It never asks for TLS.

  // A proxy may close where it does not know a command: that it lives was seen before.
  Step OnEnd() override { return was_ponged_ ? Passed() : LineDialogue::OnEnd(); }

  // ROLE and INFO only decorate.
  std::optional<Observation> SoFar() const override {
    return was_ponged_ ? std::optional<Observation>(Attributes()) : std::nullopt;
  }

  absl::string_view phase() const override {
    switch (phase_) {
      case Phase::kAuth:
        return "logging in";
      case Phase::kPing:
        return "waiting for PONG";
      case Phase::kRole:
        return "waiting for the answer to ROLE";
      case Phase::kInfo:
        return "waiting for the answer to INFO";
    }
    return "";
  }

 private:
  enum class Phase { kAuth, kPing, kRole, kInfo };

  Step OnLine(absl::string_view line) override {
    const bool is_error = absl::StartsWith(line, "-");
    switch (phase_) {
      case Phase::kAuth:
        if (is_error) return Refused("AUTH", line);
        return line == "+OK" ? Ask(Phase::kPing, {"PING"}) : NoRedis(line);
      case Phase::kPing:
        if (is_error) return OnPingError(line);
        if (line != "+PONG") return NoRedis(line);
        was_ponged_ = true;
        return Ask(Phase::kRole, {"ROLE"});
      case Phase::kRole:
        return is_error ? AskForVersion() : OnRoleLine(line);
      case Phase::kInfo:
        return is_error ? Passed() : OnInfoLine(line);
    }
    return Listen();
  }

  // "-LOADING Redis is loading the dataset in memory", "-MASTERDOWN …"
  Step OnPingError(absl::string_view line) {
    // It lives, and does not know us: the default user may do nothing, say.
    const bool is_stranger = absl::StartsWith(line, "-NOAUTH") || absl::StartsWith(line, "-NOPERM");
    if (!need_login_ && is_stranger) return Passed();
    return Refused("PING", line);
  }

  // "*5", "$7", "replica", and then what does not matter.
  Step OnRoleLine(absl::string_view line) {
    if (absl::StartsWith(line, "*") || absl::StartsWith(line, "$")) return Listen();
    role_ = Words(line);
    return AskForVersion();
  }

  Step AskForVersion() { return Ask(Phase::kInfo, {"INFO", "server"}); }

  // What was left of ROLE, then "$3400" and lines, at last an empty one.
  Step OnInfoLine(absl::string_view line) {
    if (absl::StartsWith(line, "# ")) in_info_ = true;
    if (absl::ConsumePrefix(&line, "redis_version:")) {
      version_ = Words(line);
      return Passed();
    }
    return in_info_ && line.empty() ? Passed() : Listen();
  }

  Step Ask(Phase phase, const std::vector<absl::string_view>& words) {
    phase_ = phase;
    return Say(Command(words));
  }

  Step Refused(absl::string_view what, absl::string_view line) const {
    absl::ConsumePrefix(&line, "-");
    return Done(Failed(absl::StrCat(what, " was answered by '", Words(line), "'")));
  }

  Step NoRedis(absl::string_view line) const {
    return Done(Failed(absl::StrCat("no answer of a Redis server: '", Words(line), "'")));
  }

  Step Passed() const { return Done(Attributes()); }

  Observation Attributes() const {
    Observation seen;
    if (!version_.empty()) seen.attributes.emplace_back("server_version", version_);
    if (!role_.empty()) seen.attributes.emplace_back("role", role_);
    return seen;
  }

  std::string Words(absl::string_view text) const { return PeerWords(text, secrets_); }

  const DatabaseDialogueOptions options_;
  const bool need_login_;
  std::vector<std::string> secrets_;
  Phase phase_;
  bool was_ponged_ = false;
  bool in_info_ = false;
  std::string role_;
  std::string version_;
};

}  // namespace

std::unique_ptr<Dialogue> NewRedisDialogue(DatabaseDialogueOptions options) {
  return std::make_unique<RedisDialogue>(std::move(options));
}

}  // namespace salve

// The start of Postgres' protocol, version 3.0: a message is a letter, its length with itself but
// without the letter in 4 bytes, and what it says. The first ones of a client have no letter.
#include <openssl/evp.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "probes/database_dialogue.h"
#include "probes/scram.h"

namespace salve {
namespace {

constexpr size_t kMessageBytesMax = 16 * 1024;
constexpr size_t kBytesMax = 64 * 1024;
constexpr uint32_t kProtocol = 3 << 16;
constexpr uint32_t kSslRequest = 80877103;

std::string Int32(uint32_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift);
  return bytes;
}

// Requires: 4 bytes.
uint32_t ReadInt32(absl::string_view bytes) {
  uint32_t number = 0;
  for (int i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(bytes[i]);
  return number;
}

std::string Message(absl::string_view letter, absl::string_view body) {
  return absl::StrCat(letter, Int32(static_cast<uint32_t>(body.size() + 4)), body);
}

std::string Terminated(absl::string_view text) {
  return std::string(text.data(), text.size()) + '\0';
}

// Nothing where this machine does without MD5.
std::optional<std::string> Md5Hex(absl::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest, &size, EVP_md5(), nullptr) != 1) {
    return std::nullopt;
  }
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), size));
}

// Of an ErrorResponse: a letter and a text, again and again.
struct ServerError {
  std::string severity;
  std::string code;
  std::string message;
};

ServerError ParseError(absl::string_view body) {
  ServerError error;
  for (const absl::string_view field : absl::StrSplit(body, '\0')) {
    if (field.empty()) break;
    const std::string text(field.substr(1));
    if (field[0] == 'S') error.severity = text;
    if (field[0] == 'C') error.code = text;
    if (field[0] == 'M') error.message = text;
  }
  return error;
}

class PostgresDialogue final : public Dialogue {
 public:
  explicit PostgresDialogue(DatabaseDialogueOptions options)
      : options_(std::move(options)),
        need_login_(options_.need_login || !options_.password.empty()),
        phase_(options_.start_tls ? Phase::kTlsAnswer : Phase::kStart) {
    if (!options_.password.empty()) secrets_ = {options_.password};
  }

  Step Begin() override {
    return options_.start_tls ? Say(Message("", Int32(kSslRequest))) : SayStart();
  }

  Step OnTls() override {
    if (options_.only_tls) return DoneAndHalfClose(Observation{});
    phase_ = Phase::kStart;
    return SayStart();
  }

  Step OnBytes(absl::string_view received) override {
    bytes_ += received.size();
    buffer_.append(received.data(), received.size());
    if (phase_ == Phase::kTlsAnswer && buffer_[0] != 'E') return OnTlsAnswer();
    Step all = TakeMessages();
    if (all.next == Step::Next::kListen && bytes_ > kBytesMax) {
      return Done(Failed(absl::StrCat("more than 64 KiB came while ", phase())));
    }
    return all;
  }

  Step OnEnd() override {
    return Done(Failed(absl::StrCat("the server closed the connection while ", phase())));
  }

  absl::string_view phase() const override {
    switch (phase_) {
      case Phase::kTlsAnswer:
        return "waiting for the answer to SSLRequest";
      case Phase::kStart:
        return "waiting for the answer to the start message";
      case Phase::kLogin:
        return "logging in";
      case Phase::kReady:
        return "waiting until the server is ready";
    }
    return "";
  }

 private:
  enum class Phase { kTlsAnswer, kStart, kLogin, kReady };

  Step SayStart() const {
    const std::string& user = options_.user;
    std::string body = Int32(kProtocol);
    absl::StrAppend(&body, Terminated("user"), Terminated(user), Terminated("database"),
                    Terminated(options_.database.empty() ? user : options_.database),
                    Terminated("application_name"), Terminated("salve"), Terminated(""));
    return Say(Message("", body));
  }

  // One byte: S or N. A server that is in trouble, or very old, says an ErrorResponse instead.
  Step OnTlsAnswer() {
    if (buffer_[0] == 'N') return Done(Failed("the server does not offer TLS"));
    if (buffer_[0] != 'S') return NoPostgres();
    // What was said before TLS and is read after it could be a stranger's.
    if (buffer_.size() > 1)
      return Done(Failed("the server said more before TLS than it was asked"));
    buffer_.clear();
    return SayAndStartTls("");
  }

  Step TakeMessages() {
    Step all;
    size_t taken = 0;
    while (buffer_.size() - taken >= 5) {
      const absl::string_view rest = absl::string_view(buffer_).substr(taken);
      const size_t length = ReadInt32(rest.substr(1));
      if (length < 4 || !absl::StrContains("RESKZNv", rest[0])) return NoPostgres();
      if (length > kMessageBytesMax) {
        return Done(Failed(absl::StrCat("a message of ", length, " bytes while ", phase())));
      }
      if (rest.size() < 1 + length) break;
      taken += 1 + length;
      Step step = OnMessage(rest[0], rest.substr(5, length - 4));
      absl::StrAppend(&all.send, step.send);
      if (step.next == Step::Next::kListen) continue;
      step.send = std::move(all.send);
      return step;
    }
    buffer_.erase(0, taken);
    return all;
  }

  Step OnMessage(char letter, absl::string_view body) {
    switch (letter) {
      case 'R':
        return OnAuthentication(body);
      case 'E':
        return OnError(ParseError(body));
      case 'S':
        NoteParameter(body);
        return Listen();
      case 'Z':
        return phase_ == Phase::kReady ? Alive() : NoPostgres();
      default:
        return Listen();
    }
  }

  Step OnAuthentication(absl::string_view body) {
    if (body.size() < 4) return NoPostgres();
    const uint32_t kind = ReadInt32(body);
    body.remove_prefix(4);
    if (kind == 0) return OnAccepted();
    if (phase_ == Phase::kStart && options_.password.empty()) {
      return need_login_ ? End(Failed("the server asks for a password, and there is none"))
                         : Alive();
    }
    switch (kind) {
      case 3:
        return SayPassword(options_.password);
      case 5:
        return SayMd5(body);
      case 10:
        return BeginScram(body);
      case 11:
        return GoOnWithScram(body);
      case 12:
        return EndScram(body);
      default:
        return End(Failed(
            absl::StrCat("the server asks for a login of kind ", kind, ", not for a password")));
    }
  }

  Step OnAccepted() {
    // Who has begun to prove that it knows the password must not get by without.
    if (scram_.has_value() && !server_is_proven_) {
      return End(Failed("the server does not prove that it knows the password"));
    }
    phase_ = Phase::kReady;
    return Listen();
  }

  Step SayPassword(absl::string_view answer) {
    phase_ = Phase::kLogin;
    return Say(Message("p", Terminated(answer)));
  }

  // RFC-less: md5(md5(password + user) + salt), each in hex.
  Step SayMd5(absl::string_view salt) {
    if (salt.size() != 4) return NoPostgres();
    const auto inner = Md5Hex(absl::StrCat(options_.password, options_.user));
    const auto outer = inner.has_value() ? Md5Hex(absl::StrCat(*inner, salt)) : std::nullopt;
    if (!outer.has_value())
      return End(Rejected("the server asks for MD5, which this machine lacks"));
    return SayPassword(absl::StrCat("md5", *outer));
  }

  Step BeginScram(absl::string_view mechanisms) {
    bool offered = false;
    for (const absl::string_view name : absl::StrSplit(mechanisms, '\0')) {
      offered |= name == "SCRAM-SHA-256";
    }
    if (!offered) {
      return End(Failed("the server does not offer SCRAM-SHA-256, but other SASL mechanisms"));
    }
    if (scram_.has_value()) return NoPostgres();
    if (options_.nonce.empty()) return End(Rejected("no random bytes for a login"));
    phase_ = Phase::kLogin;
    // The user's name is that of the start message; here the server ignores it.
    scram_.emplace("", options_.password, options_.nonce);
    const std::string first = scram_->FirstMessage();
    return Say(Message("p", absl::StrCat(Terminated("SCRAM-SHA-256"),
                                         Int32(static_cast<uint32_t>(first.size())), first)));
  }

  // Once: what comes twice would have us compute again and again.
  Step GoOnWithScram(absl::string_view server_first) {
    if (!scram_.has_value() || std::exchange(scram_answered_, true)) return NoPostgres();
    const auto answer = scram_->FinalMessage(server_first);
    if (!answer.ok()) return End(Failed(absl::StrCat("login: ", answer.status().message())));
    return Say(Message("p", *answer));
  }

  Step EndScram(absl::string_view server_final) {
    if (!scram_.has_value() || !scram_answered_) return NoPostgres();
    if (absl::Status proof = scram_->CheckServer(server_final); !proof.ok()) {
      return End(Failed(absl::StrCat("login: ", proof.message())));
    }
    server_is_proven_ = true;
    return Listen();
  }

  // "FATAL 57P03: the database system is starting up"
  Step OnError(const ServerError& error) {
    // A role or a database that it does not know: it lives. In the place of TLS it is no answer:
    // who stands on the way could give it, too.
    const bool answers_start = phase_ != Phase::kTlsAnswer;
    if (answers_start && !need_login_ &&
        (error.code == "28000" || error.code == "28P01" || error.code == "3D000")) {
      return Alive();
    }
    return End(Failed(Words(absl::StrCat(error.severity, " ", error.code, ": ", error.message))));
  }

  void NoteParameter(absl::string_view body) {
    const std::vector<absl::string_view> parts = absl::StrSplit(body, '\0');
    if (parts.size() >= 2 && parts[0] == "server_version") version_ = Words(parts[1]);
  }

  Step NoPostgres() const {
    return Done(Failed(absl::StrCat("no answer of a Postgres server while ", phase())));
  }

  Step Alive() const { return End(Observation{}); }

  Step End(Observation seen) const {
    if (!version_.empty()) seen.attributes.emplace_back("server_version", version_);
    // Before it has let us in, a Terminate would be an error in its log; the end is none.
    if (phase_ != Phase::kReady) return DoneAndHalfClose(std::move(seen));
    return Done(std::move(seen), Message("X", ""));
  }

  std::string Words(absl::string_view text) const { return PeerWords(text, secrets_); }

  const DatabaseDialogueOptions options_;
  const bool need_login_;
  std::vector<std::string> secrets_;
  Phase phase_;
  std::string buffer_;
  size_t bytes_ = 0;
  std::optional<ScramClient> scram_;
  bool scram_answered_ = false;
  bool server_is_proven_ = false;
  std::string version_;
};

}  // namespace

std::unique_ptr<Dialogue> NewPostgresDialogue(DatabaseDialogueOptions options) {
  return std::make_unique<PostgresDialogue>(std::move(options));
}

}  // namespace salve

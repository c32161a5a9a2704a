#include "probes/tls_certificate_probe.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "probes/certificate.h"
#include "probes/conversation.h"
#include "probes/conversation_fields.h"
#include "probes/database_dialogue.h"
#include "probes/dialogue.h"
#include "probes/field_checks.h"
#include "probes/mail_dialogue.h"
#include "probes/tls.h"

namespace salve {
namespace {

using Config = config::TlsCertificateProbe;

constexpr uint32_t kMinDaysLeftDefault = 14;
constexpr const char* kDefaultHost = "127.0.0.1";

// What is asked of a certificate.
struct Demands {
  uint32_t min_days_left = kMinDaysLeftDefault;
  bool chain = true;
  bool name = true;
  std::string server_name;
};

Demands DemandsOf(const Config& config) {
  Demands demands;
  if (config.has_min_days_left()) demands.min_days_left = config.min_days_left();
  demands.chain = !config.has_verify_chain() || config.verify_chain();
  demands.name = !config.has_verify_name() || config.verify_name();
  demands.server_name = config.server_name();
  if (!demands.server_name.empty()) return demands;
  if (config.file().empty()) {
    demands.server_name = config.host().empty() ? kDefaultHost : config.host();
  } else {
    demands.name = false;  // Nobody has said for whom it should be.
  }
  return demands;
}

std::string UtcText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

// All that is wrong, not only the first: one visit should do.
std::vector<std::string> Faults(const CertificateFacts& facts, const Demands& demands,
                                double days_left, absl::Time now) {
  std::vector<std::string> faults;
  if (facts.not_before.has_value() && *facts.not_before > now) {
    faults.push_back(
        absl::StrCat("the certificate is not valid before ", UtcText(*facts.not_before)));
  }
  if (days_left < 0 || EndsTooSoon(days_left, demands.min_days_left)) {
    faults.push_back(EndsTooSoonText(days_left, demands.min_days_left));
  }
  if (demands.name && !facts.has_name) {
    faults.push_back(absl::StrCat("the certificate is for '", facts.names, "', not for '",
                                  demands.server_name, "'"));
  }
  if (demands.chain && !facts.chain_fault.empty()) {
    faults.push_back(absl::StrCat("no known authority vouches for it: ", facts.chain_fault));
  }
  return faults;
}

// Value: days_left, chain_length. `others` may be null.
Observation Judge(X509* certificate, STACK_OF(X509) * others, int chain_length,
                  X509_STORE* authorities, const Demands& demands, absl::Time now) {
  const std::optional<double> days_left = CertificateDaysLeft(certificate, now);
  if (!days_left.has_value()) return Failed("the certificate has no end that can be read");
  const CertificateFacts facts =
      InspectCertificate(certificate, others, authorities, demands.server_name, now);
  const std::vector<std::string> faults = Faults(facts, demands, *days_left, now);
  Observation seen = faults.empty() ? Observation{} : Failed(absl::StrJoin(faults, "; "));
  seen.values = {{"days_left", *days_left, "days"},
                 {"chain_length", static_cast<double>(chain_length), ""}};
  seen.attributes = {{"subject", facts.subject}, {"issuer", facts.issuer}};
  if (facts.not_after.has_value()) {
    seen.attributes.emplace_back("not_after", UtcText(*facts.not_after));
  }
  seen.attributes.emplace_back("names", facts.names);
  return seen;
}

Observation JudgeSession(SSL* session, const Demands& demands, absl::Time now) {
  X509* certificate = SSL_get0_peer_certificate(session);
  if (certificate == nullptr) return Failed("the server shows no certificate");
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(session);
  Observation seen = Judge(certificate, chain, sk_X509_num(chain),
                           SSL_CTX_get_cert_store(SSL_get_SSL_CTX(session)), demands, now);
  seen.attributes.emplace_back("tls_version", SSL_get_version(session));
  return seen;
}

// Says nothing: TLS stands from the start, and that was all.
class SilentDialogue final : public Dialogue {
 public:
  Step Begin() override { return DoneAndHalfClose(Observation{}); }
  Step OnBytes(absl::string_view) override { return Done(Observation{}); }
  Step OnEnd() override { return Done(Observation{}); }
  Step OnTls() override { return Done(Observation{}); }
  absl::string_view phase() const override { return "waiting for nothing"; }
};

std::unique_ptr<Dialogue> NewDialogueBeforeTls(Config::StartTls start_tls) {
  MailDialogueOptions mail;
  mail.start_tls = mail.only_tls = true;
  switch (start_tls) {
    case Config::SMTP:
      return NewSmtpDialogue(std::move(mail));
    case Config::IMAP:
      return NewImapDialogue(std::move(mail));
    case Config::POP3:
      return NewPop3Dialogue(std::move(mail));
    case Config::POSTGRES: {
      DatabaseDialogueOptions database;
      database.start_tls = database.only_tls = true;
      return NewPostgresDialogue(std::move(database));
    }
    default:
      return std::make_unique<SilentDialogue>();
  }
}

uint16_t DefaultPort(Config::StartTls start_tls) {
  switch (start_tls) {
    case Config::SMTP:
      return 25;
    case Config::IMAP:
      return 143;
    case Config::POP3:
      return 110;
    case Config::POSTGRES:
      return 5432;
    default:
      return 443;
  }
}

std::unique_ptr<Probe> NewConnectionProbe(const Config& config, EventLoop& loop,
                                          Resolver& resolver) {
  const Demands demands = DemandsOf(config);
  const Config::StartTls start_tls = config.start_tls();
  ConversationOptions options;
  options.host = config.host().empty() ? kDefaultHost : config.host();
  options.port = config.port() == 0 ? DefaultPort(start_tls) : static_cast<uint16_t>(config.port());
  // The handshake goes through whatever the certificate is like: it is judged afterwards.
  options.tls = TlsClient::Options{
      .verify = false, .ca_file = config.ca_file(), .server_name = demands.server_name};
  options.tls_from_start = start_tls == Config::NONE;
  options.judge_tls = [demands, &loop](SSL* session) {
    return JudgeSession(session, demands, loop.clock().WallNow());
  };
  options.make_dialogue = [start_tls] { return NewDialogueBeforeTls(start_tls); };
  return NewConversation(std::move(options), loop, resolver);
}

class CertificateFileProbe final : public Probe {
 public:
  CertificateFileProbe(const Config& config, EventLoop& loop, BlockingCalls& blocking)
      : file_(config.file()),
        demands_(DemandsOf(config)),
        client_({.verify = false, .ca_file = config.ca_file(), .server_name = ""}),
        loop_(loop),
        blocking_(blocking) {}

  ~CertificateFileProbe() override { blocking_.Cancel(call_); }

  // The file may be on another machine's disk: that is read off the loop.
  void Start(Instant deadline, ObservationDone done) override {
    done_ = std::move(done);
    call_ = blocking_.Run(
        absl::StrCat("read ", file_), deadline, [file = file_] { return ReadFile(file); },
        [this](const absl::StatusOr<std::string>& text) {
          call_ = BlockingCallId::kNone;
          Observation seen = text.ok() ? Look(*text) : Unread(text.status());
          std::exchange(done_, nullptr)(std::move(seen));
        });
  }

 private:
  static Observation Unread(const absl::Status& error) {
    if (absl::IsDeadlineExceeded(error) || absl::IsAlreadyExists(error)) {
      return TimedOut(std::string(error.message()));
    }
    return Rejected(absl::StrCat("cannot read ", error.message()));
  }

  Observation Look(const std::string& text) {
    const absl::StatusOr<CertificateChain> chain = ParsePem(text);
    if (!chain.ok()) return Failed(absl::StrCat(file_, ": ", chain.status().message()));
    const absl::StatusOr<X509_STORE*> authorities = client_.Authorities();
    if (!authorities.ok()) return Rejected(std::string(authorities.status().message()));
    STACK_OF(X509)* others = sk_X509_new_null();
    if (others == nullptr) return Rejected("no memory for the certificates");
    for (const auto& certificate : *chain) sk_X509_push(others, certificate.get());
    Observation seen = Judge(chain->front().get(), others, static_cast<int>(chain->size()),
                             *authorities, demands_, loop_.clock().WallNow());
    sk_X509_free(others);
    return seen;
  }

  const std::string file_;
  const Demands demands_;
  TlsClient client_;
  EventLoop& loop_;
  BlockingCalls& blocking_;
  ObservationDone done_;
  BlockingCallId call_ = BlockingCallId::kNone;
};

absl::Status CheckFile(const Config& config) {
  if (!absl::StartsWith(config.file(), "/")) {
    return BadField("tls_certificate.file",
                    absl::StrCat("'", config.file(), "' is no path from / on"));
  }
  RETURN_IF_ERROR(CheckWord("tls_certificate.file", config.file(), 4095));
  if (config.host().empty() && config.port() == 0 && config.start_tls() == Config::NONE) {
    return absl::OkStatus();
  }
  return BadField("tls_certificate.file",
                  "host, port and start_tls are of a connection, not of a file");
}

}  // namespace

absl::Status CheckTlsCertificateProbe(const Config& config) {
  RETURN_IF_ERROR(CheckWord("tls_certificate.host", config.host(), 253));
  if (absl::StartsWith(config.host(), "/")) {
    return BadField("tls_certificate.host", absl::StrCat("'", config.host(), "' is a path"));
  }
  RETURN_IF_ERROR(CheckRange("tls_certificate.port", config.port(), 0, 65535));
  RETURN_IF_ERROR(CheckRange("tls_certificate.min_days_left", config.min_days_left(), 0, 3650));
  if (!Config::StartTls_IsValid(config.start_tls())) {
    return BadField("tls_certificate.start_tls", absl::StrCat(config.start_tls(), " is unknown"));
  }
  RETURN_IF_ERROR(CheckWord("tls_certificate.server_name", config.server_name(), 253));
  return config.file().empty() ? absl::OkStatus() : CheckFile(config);
}

absl::StatusOr<std::unique_ptr<Probe>> NewTlsCertificateProbe(const Config& config, EventLoop& loop,
                                                              Resolver& resolver,
                                                              BlockingCalls& blocking) {
  RETURN_IF_ERROR(CheckTlsCertificateProbe(config));
  if (!config.file().empty()) return std::make_unique<CertificateFileProbe>(config, loop, blocking);
  return NewConnectionProbe(config, loop, resolver);
}

}  // namespace salve

#include "probes/tcp_probe.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "probes/conversation.h"
#include "probes/conversation_fields.h"
#include "probes/dialogue.h"
#include "probes/field_checks.h"
#include "re2/re2.h"

namespace salve {
namespace {

constexpr size_t kSentBytesMax = 64 * 1024;
constexpr size_t kAnswerBytesMax = 64 * 1024;

// What is the same in all looks.
struct Exchange {
  std::string send;
  std::unique_ptr<RE2> expect;  // Null: no answer is waited for.
};

class TcpDialogue final : public Dialogue {
 public:
  explicit TcpDialogue(const Exchange& exchange) : exchange_(exchange) {}

  Step Begin() override {
    Step step = exchange_.expect == nullptr ? Done(Observation{}) : Listen();
    step.send = exchange_.send;
    return step;
  }

  Step OnBytes(absl::string_view received) override {
    const absl::string_view kept = received.substr(0, kAnswerBytesMax - answer_.size());
    answer_.append(kept.data(), kept.size());
    if (RE2::PartialMatch(answer_, *exchange_.expect)) return Done(Observation{});
    return answer_.size() == kAnswerBytesMax ? OnEnd() : Listen();
  }

  Step OnEnd() override {
    return Done(Failed(absl::StrCat("the answer (", answer_.size(), " bytes) does not match '",
                                    exchange_.expect->pattern(), "'")));
  }

  Step OnTls() override { return Done(Observation{}); }  // It never asks for TLS.

  absl::string_view phase() const override { return "waiting for the answer"; }

 private:
  const Exchange& exchange_;
  std::string answer_;
};

}  // namespace

absl::Status CheckTcpProbe(const config::TcpProbe& config) {
  RETURN_IF_ERROR(CheckLength("tcp.host", config.host(), 253));
  if (absl::StartsWith(config.host(), "/")) {
    return BadField("tcp.host", absl::StrCat("'", config.host(), "' is a path"));
  }
  RETURN_IF_ERROR(CheckRange("tcp.port", config.port(), 1, 65535));
  RETURN_IF_ERROR(CheckLength("tcp.send", config.send(), kSentBytesMax));
  RETURN_IF_ERROR(CompilePattern("tcp.expect", config.expect()).status());
  return CheckTls("tcp.tls", config.tls());
}

absl::StatusOr<std::unique_ptr<Probe>> NewTcpProbe(const config::TcpProbe& config, EventLoop& loop,
                                                   Resolver& resolver) {
  RETURN_IF_ERROR(CheckTcpProbe(config));
  auto exchange = std::make_shared<Exchange>();
  exchange->send = config.send();
  ASSIGN_OR_RETURN(exchange->expect, CompilePattern("tcp.expect", config.expect()));
  ConversationOptions options;
  options.host = config.host().empty() ? "127.0.0.1" : config.host();
  options.port = static_cast<uint16_t>(config.port());
  if (config.has_tls()) {
    options.tls = TlsOptionsOf(config.tls(), options.host);
    options.tls_from_start = true;
    options.min_days_left = config.tls().min_days_left();
  }
  options.make_dialogue = [exchange = std::move(exchange)] {
    return std::make_unique<TcpDialogue>(*exchange);
  };
  return NewConversation(std::move(options), loop, resolver);
}

}  // namespace salve

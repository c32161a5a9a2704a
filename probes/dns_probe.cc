#include "probes/dns_probe.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "probes/dns_answer.h"
#include "probes/field_checks.h"
#include "probes/network_errors.h"
#include "probes/numeric_address.h"
#include "re2/re2.h"

namespace salve {
namespace {

constexpr int kClassInternet = 1;
constexpr size_t kAnswerBytesMax = 256;  // Of the attribute, and of the records in an error.
constexpr int kTries = 3;                // Of each server.
// c-ares waits twice as long for each try as for the one before: 1 + 2 + 4 parts of the time.
constexpr int kPartsOfTries = 7;
constexpr absl::Duration kFirstTryMax = absl::Seconds(2);

DnsType TypeOf(config::DnsProbe::Type type) {
  switch (type) {
    case config::DnsProbe::AAAA:
      return DnsType::kAaaa;
    case config::DnsProbe::CNAME:
      return DnsType::kCname;
    case config::DnsProbe::MX:
      return DnsType::kMx;
    case config::DnsProbe::NS:
      return DnsType::kNs;
    case config::DnsProbe::PTR:
      return DnsType::kPtr;
    case config::DnsProbe::SOA:
      return DnsType::kSoa;
    case config::DnsProbe::SRV:
      return DnsType::kSrv;
    case config::DnsProbe::TXT:
      return DnsType::kTxt;
    case config::DnsProbe::CAA:
      return DnsType::kCaa;
    default:
      return DnsType::kA;
  }
}

// An address without a zone, which c-ares would not take.
bool IsServerAddress(const std::string& text) {
  return IsNumericAddress(text) && !absl::StrContains(text, '%');
}

// "192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:53" as ADDRESS:PORT.
std::optional<std::string> ServerOf(absl::string_view text) {
  if (IsServerAddress(std::string(text))) return HostAndPort(text, 53);
  absl::string_view address, port = "53";
  if (absl::ConsumePrefix(&text, "[")) {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) return std::nullopt;
    address = text.substr(0, end);
    absl::string_view rest = text.substr(end + 1);
    if (!absl::StrContains(address, ':')) return std::nullopt;
    if (!rest.empty() && !absl::ConsumePrefix(&rest, ":")) return std::nullopt;
    if (!rest.empty() || absl::EndsWith(text, ":")) port = rest;
  } else {
    const size_t colon = text.find(':');
    if (colon == absl::string_view::npos) return std::nullopt;
    address = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  int number = 0;
  if (!absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) return std::nullopt;
  if (!IsServerAddress(std::string(address))) return std::nullopt;
  return HostAndPort(address, number);
}

absl::Status CheckName(const config::DnsProbe& config) {
  const std::string& name = config.name();
  if (name.empty()) return BadField("dns.name", "missing");
  if (IsNumericAddress(name)) {
    if (config.type() == config::DnsProbe::PTR && IsServerAddress(name)) return absl::OkStatus();
    return BadField("dns.name", absl::StrCat("'", name, "' is an address: only PTR has those"));
  }
  RETURN_IF_ERROR(CheckLength("dns.name", name, 253));
  if (name == ".") return absl::OkStatus();
  for (const absl::string_view label : absl::StrSplit(absl::StripSuffix(name, "."), '.')) {
    const bool fits = !label.empty() && label.size() <= 63 &&
                      std::all_of(label.begin(), label.end(), [](unsigned char c) {
                        return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '/';
                      });
    if (!fits) {
      return BadField("dns.name", absl::StrCat("'", name,
                                               "' is no name: labels of 1 to 63 "
                                               "letters, digits, - _ / with dots between them"));
    }
  }
  return absl::OkStatus();
}

// The bit TC of the head, RFC 1035 4.1.1.
bool IsCut(absl::string_view message) { return message.size() > 2 && (message[2] & 0x02) != 0; }

class DnsProbe final : public Probe {
 public:
  DnsProbe(const config::DnsProbe& config, std::unique_ptr<RE2> expect, EventLoop& loop,
           NameServers name_servers)
      : name_(config.name()),
        asked_name_(IsNumericAddress(name_) ? ReverseName(name_) : name_),
        type_(TypeOf(config.type())),
        type_name_(config::DnsProbe::Type_Name(config.type())),
        expect_(std::move(expect)),
        expect_nxdomain_(config.expect_nxdomain()),
        tcp_(config.tcp()),
        loop_(loop),
        name_servers_(std::move(name_servers)) {
    if (!config.server().empty()) {
      const std::string server = *ServerOf(config.server());
      name_servers_ = [server] { return std::vector<std::string>{server}; };
    }
  }

  ~DnsProbe() override { StopAsking(); }

  void Start(Instant deadline, ObservationDone done) override {
    start_ = loop_.Now();
    deadline_ = deadline;
    done_ = std::move(done);
    server_.clear();
    ForgetAnswer();
    servers_ = name_servers_();
    next_server_ = 0;
    if (servers_.empty()) {
      Finish(Rejected("this machine has no name server"));
    } else {
      AskNext();
    }
  }

 private:
  // Each server over a channel of its own: c-ares does not tell which of several has answered. A
  // fresh one for each look also has a fresh port, and ends with all that it has asked.
  void AskNext() {
    server_ = servers_[next_server_++];
    const Instant now = loop_.Now();
    const int64_t left = static_cast<int64_t>(servers_.size() - next_server_) + 1;
    server_until_ = now + std::max(deadline_ - now, absl::ZeroDuration()) / left;
    Ask(tcp_);
  }

  void Ask(bool by_tcp) {
    ForgetAnswer();
    asks_by_tcp_ = by_tcp;
    const absl::Duration share = std::max(server_until_ - loop_.Now(), absl::Milliseconds(1));
    // Over TCP nothing is lost that another try would mend: one, and all the time there is.
    const absl::Duration first_try =
        by_tcp ? share : std::clamp(share / kPartsOfTries, absl::Milliseconds(1), kFirstTryMax);
    channel_.emplace(loop_, AresChannel::Options{.servers = server_,
                                                 .server_timeout = first_try,
                                                 .tries = by_tcp ? 1 : kTries,
                                                 .tcp = by_tcp,
                                                 .hands_out_failures = true});
    if (!channel_->Open()) {
      Finish(Rejected("no memory to ask a name server"));
      return;
    }
    SetTimer(server_until_, [this] { Unanswered(NoAnswerInTime()); });
    ares_query(
        channel_->get(), asked_name_.c_str(), kClassInternet, static_cast<int>(type_),
        [](void* self, int status, int, unsigned char* bytes, int size) {
          if (status == ARES_EDESTRUCTION) return;  // By StopAsking.
          static_cast<DnsProbe*>(self)->Answered(
              status, bytes == nullptr
                          ? ""
                          : std::string(reinterpret_cast<char*>(bytes), static_cast<size_t>(size)));
        },
        this);
    channel_->Begun();
  }

  void ForgetAnswer() {
    rcode_.reset();
    records_.clear();
  }

  // Inside c-ares, which must not be ended here.
  void Answered(int status, std::string message) {
    SetTimer(loop_.Now(), [this, status, message = std::move(message)] {
      if (message.empty()) {
        Unanswered(NoAnswer(status));
      } else if (IsCut(message) && !asks_by_tcp_) {
        Ask(/*by_tcp=*/true);
      } else {
        Read(message);
      }
    });
  }

  Observation NoAnswerInTime() const {
    return TimedOutWhile(loop_.Now() - start_, "waiting for the answer of " + server_);
  }

  Observation NoAnswer(int status) const {
    if (status == ARES_ETIMEOUT) return NoAnswerInTime();
    if (status == ARES_ECONNREFUSED && channel_->socket_errors() > 0) {
      return SocketError(channel_->last_socket_error(), "cannot ask " + server_);
    }
    if (status == ARES_ECONNREFUSED) {
      return Failed(absl::StrCat(server_, " gave no answer that can be read"));
    }
    return Rejected(absl::StrCat("cannot ask for ", name_, ": ", ares_strerror(status)));
  }

  void Read(absl::string_view message) {
    absl::StatusOr<DnsAnswer> answer = ParseDnsAnswer(message, type_);
    if (!answer.ok()) {
      Unanswered(Failed(
          absl::StrCat("the answer of ", server_, " cannot be read: ", answer.status().message())));
      return;
    }
    rcode_ = answer->rcode;
    records_ = std::move(answer->records);
    if (*rcode_ != kRcodeNoError && *rcode_ != kRcodeNameError) {
      Unanswered(Failed(absl::StrCat(RcodeName(*rcode_), " for ", name_)));
    } else {
      Finish(Judge());
    }
  }

  // What one server could not say the next one may.
  void Unanswered(Observation failure) {
    if (next_server_ < servers_.size()) {
      AskNext();
    } else {
      Finish(std::move(failure));
    }
  }

  Observation Judge() const {
    if (*rcode_ == kRcodeNameError) {
      return expect_nxdomain_ ? Observation{} : Failed("NXDOMAIN for " + name_);
    }
    if (expect_nxdomain_) {
      return Failed(absl::StrCat(
          name_, " exists: ",
          records_.empty() ? absl::StrCat("without ", type_name_, " record") : AnswerText()));
    }
    if (records_.empty()) return Failed(absl::StrCat("no ", type_name_, " record for ", name_));
    if (expect_ == nullptr) return Observation{};
    for (const std::string& record : records_) {
      if (RE2::PartialMatch(record, *expect_)) return Observation{};
    }
    return Failed(absl::StrCat("no ", type_name_, " record of ", name_, " matches '",
                               expect_->pattern(), "': ", AnswerText()));
  }

  std::string AnswerText() const {
    return absl::StrJoin(records_, ", ").substr(0, kAnswerBytesMax);
  }

  void SetTimer(Instant when, Task task) {
    loop_.CancelTimer(timer_);
    timer_ = loop_.CallAt(when, [this, task = std::move(task)]() mutable {
      timer_ = TimerId::kNone;
      task();
    });
  }

  void StopAsking() {
    loop_.CancelTimer(std::exchange(timer_, TimerId::kNone));
    channel_.reset();
  }

  void Finish(Observation observation) {
    StopAsking();
    observation.values = {
        {"latency_ms", absl::ToDoubleMilliseconds(loop_.Now() - start_), "ms"},
        {"records", static_cast<double>(records_.size()), ""},
    };
    auto& attributes = observation.attributes;
    if (!server_.empty()) attributes.emplace_back("server", server_);
    if (!records_.empty()) attributes.emplace_back("answer", AnswerText());
    if (rcode_.has_value()) attributes.emplace_back("rcode", RcodeName(*rcode_));
    std::exchange(done_, nullptr)(std::move(observation));
  }

  const std::string name_;
  const std::string asked_name_;
  const DnsType type_;
  const std::string type_name_;
  const std::unique_ptr<RE2> expect_;
  const bool expect_nxdomain_;
  const bool tcp_;
  EventLoop& loop_;
  NameServers name_servers_;

  // Of the running look.
  Instant start_, deadline_;
  ObservationDone done_;
  std::vector<std::string> servers_;
  size_t next_server_ = 0;
  std::string server_;
  Instant server_until_;  // Its share of the time.
  bool asks_by_tcp_ = false;
  std::optional<AresChannel> channel_;
  std::optional<int> rcode_;
  std::vector<std::string> records_;
  TimerId timer_ = TimerId::kNone;
};

}  // namespace

absl::Status CheckDnsProbe(const config::DnsProbe& config) {
  RETURN_IF_ERROR(CheckName(config));
  if (!config::DnsProbe::Type_IsValid(config.type())) {
    return BadField("dns.type", absl::StrCat(static_cast<int>(config.type()), " is no type"));
  }
  if (!config.server().empty() && !ServerOf(config.server()).has_value()) {
    return BadField("dns.server", absl::StrCat("'", config.server(),
                                               "' is not like \"192.0.2.1\", \"192.0.2.1:53\" or "
                                               "\"[2001:db8::1]:53\""));
  }
  if (config.expect_nxdomain() && !config.expect().empty()) {
    return BadField("dns.expect", "does not go with expect_nxdomain");
  }
  return CompilePattern("dns.expect", config.expect()).status();
}

absl::StatusOr<std::unique_ptr<Probe>> NewDnsProbe(const config::DnsProbe& config, EventLoop& loop,
                                                   NameServers name_servers) {
  RETURN_IF_ERROR(CheckDnsProbe(config));
  ASSIGN_OR_RETURN(std::unique_ptr<RE2> expect, CompilePattern("dns.expect", config.expect()));
  return std::make_unique<DnsProbe>(config, std::move(expect), loop, std::move(name_servers));
}

}  // namespace salve

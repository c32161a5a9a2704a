#include "probes/grpc_health_probe.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "probes/field_checks.h"
#include "probes/grpc_frame.h"
#include "probes/network_errors.h"
#include "probes/numeric_address.h"
#include "probes/tls.h"

namespace salve {
namespace {

constexpr size_t kServiceBytesMax = 1024;
constexpr size_t kAuthorityBytesMax = 512;
constexpr size_t kAnswerBytesMax = 4096;  // One of the protocol has 7 bytes.
constexpr size_t kShownBytesMax = 100;

std::string HostOf(const config::GrpcHealthProbe& config) {
  return config.host().empty() ? "127.0.0.1" : config.host();
}

// What stands in a URL must not be able to end its host.
bool IsHost(const std::string& host) {
  return IsNumericAddress(host) || std::all_of(host.begin(), host.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
         });
}

absl::Status CheckFields(const config::GrpcHealthProbe& config) {
  RETURN_IF_ERROR(CheckLength("grpc_health.host", config.host(), 253));
  if (!IsHost(HostOf(config))) {
    return BadField("grpc_health.host",
                    absl::StrCat("'", config.host(), "' is neither a name nor an address"));
  }
  RETURN_IF_ERROR(CheckRange("grpc_health.port", config.port(), 1, 65535));
  RETURN_IF_ERROR(CheckLength("grpc_health.service", config.service(), kServiceBytesMax));
  const std::string& authority = config.authority();
  RETURN_IF_ERROR(CheckLength("grpc_health.authority", authority, kAuthorityBytesMax));
  if (!std::all_of(authority.begin(), authority.end(), absl::ascii_isgraph)) {
    return BadField("grpc_health.authority", "holds a character that is none of an authority");
  }
  return CheckTls("grpc_health.tls", config.tls());
}

absl::StatusOr<std::unique_ptr<HttpRequest>> MakeRequest(const config::GrpcHealthProbe& config) {
  HttpRequestOptions options;
  options.url = absl::StrCat(config.has_tls() ? "https://" : "http://",
                             HostAndPort(HostOf(config), static_cast<int>(config.port())),
                             "/grpc.health.v1.Health/Check");
  options.method = "POST";
  options.headers = {{"Content-Type", "application/grpc"}, {"TE", "trailers"}};
  if (!config.authority().empty()) options.headers.emplace_back("Host", config.authority());
  options.body = GrpcHealthRequest(config.service());
  options.verify_tls = !config.tls().has_verify() || config.tls().verify();
  options.ca_file = config.tls().ca_file();
  options.tls_server_name = config.tls().server_name();
  options.body_bytes_max = kAnswerBytesMax;
  options.keep_body = true;
  options.http2 = true;
  auto request = HttpRequest::Make(std::move(options));
  if (!request.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("grpc_health.", request.status().message()));
  }
  return request;
}

// The last value: what a server says at the end holds.
std::optional<absl::string_view> LastHeader(const HttpResult& result, absl::string_view name) {
  const std::vector<absl::string_view> values = HeaderValues(result, name);
  return values.empty() ? std::nullopt : std::optional(values.back());
}

class GrpcHealthProbe final : public Probe {
 public:
  GrpcHealthProbe(const config::GrpcHealthProbe& config, std::unique_ptr<HttpRequest> request,
                  EventLoop& loop, HttpClient& http)
      : target_(HostAndPort(HostOf(config), static_cast<int>(config.port()))),
        service_(config.service()),
        min_days_left_(config.tls().min_days_left()),
        request_(std::move(request)),
        loop_(loop),
        http_(http) {}

  ~GrpcHealthProbe() override { http_.Cancel(call_); }

  void Start(Instant deadline, ObservationDone done) override {
    start_ = loop_.Now();
    done_ = std::move(done);
    grpc_status_.reset();
    serving_.reset();
    call_ = http_.Start(*request_, deadline, [this](HttpResult result) {
      call_ = HttpCallId::kNone;
      Finish(result, Judge(result));
    });
  }

 private:
  Observation Judge(const HttpResult& result) {
    if (result.outcome != Outcome::kSucceeded) {
      Observation observation;
      observation.outcome = result.outcome;
      observation.error = result.error;
      return observation;
    }
    if (std::string fault = FaultOfHttp(result); !fault.empty()) return Failed(std::move(fault));
    if (std::string fault = FaultOfCall(result); !fault.empty()) return Failed(std::move(fault));
    const absl::StatusOr<uint64_t> serving = ParseGrpcHealthResponse(result.body);
    if (!serving.ok()) {
      return Failed(absl::StrCat("the answer cannot be read: ", serving.status().message()));
    }
    serving_ = *serving;
    if (*serving != kGrpcServing) {
      return Failed(
          absl::StrCat(service_.empty() ? "the server" : absl::StrCat("service '", service_, "'"),
                       " is ", ServingStatusName(*serving)));
    }
    const std::optional<double> days_left = result.tls_days_left;
    if (days_left.has_value() && EndsTooSoon(*days_left, min_days_left_)) {
      return Failed(EndsTooSoonText(*days_left, min_days_left_));
    }
    return Observation{};
  }

  // Whether it is a gRPC server that has answered; empty when it is.
  std::string FaultOfHttp(const HttpResult& result) const {
    const absl::string_view headers = result.headers;
    if (!absl::StartsWith(headers, "HTTP/2")) {
      return absl::StrCat(target_, " speaks ", headers.substr(0, headers.find(' ')),
                          ", not HTTP/2");
    }
    if (result.status != 200) return absl::StrCat("HTTP status ", result.status, ", expected 200");
    const absl::string_view type = LastHeader(result, "content-type").value_or("");
    if (absl::StartsWithIgnoreCase(type, "application/grpc")) return "";
    return absl::StrCat(target_, " speaks HTTP/2, but not gRPC: its answer is of the type '",
                        GrpcMessageText(type.substr(0, kShownBytesMax)), "'");
  }

  // Whether the call succeeded; empty when it did.
  std::string FaultOfCall(const HttpResult& result) {
    const std::optional<absl::string_view> text = LastHeader(result, "grpc-status");
    if (!text.has_value() && result.body_bytes == kAnswerBytesMax) {
      return absl::StrCat("the answer is larger than ", kAnswerBytesMax, " bytes");
    }
    if (!text.has_value()) return "the answer has no grpc-status";
    int status = 0;
    if (!absl::SimpleAtoi(*text, &status)) {
      return absl::StrCat("grpc-status is '", GrpcMessageText(text->substr(0, kShownBytesMax)),
                          "', which is no number");
    }
    grpc_status_ = status;
    switch (status) {
      case kGrpcOk:
        return "";
      case kGrpcNotFound:
        return absl::StrCat("the server does not know service '", service_, "'");
      case kGrpcUnimplemented:
        return "the server does not implement grpc.health.v1";
      default: {
        const std::string said =
            GrpcMessageText(LastHeader(result, "grpc-message").value_or(absl::string_view()));
        return absl::StrCat("grpc-status ", GrpcStatusName(status), said.empty() ? "" : ": ", said);
      }
    }
  }

  void Finish(const HttpResult& result, Observation observation) {
    observation.values = {
        {"latency_ms", absl::ToDoubleMilliseconds(loop_.Now() - start_), "ms"},
    };
    if (result.tls_days_left.has_value()) {
      observation.values.push_back({"tls_days_left", *result.tls_days_left, "days"});
    }
    auto& attributes = observation.attributes;
    if (serving_.has_value()) {
      attributes.emplace_back("serving_status", ServingStatusName(*serving_));
    }
    if (grpc_status_.has_value()) {
      attributes.emplace_back("grpc_status", GrpcStatusName(*grpc_status_));
    }
    if (!result.remote_address.empty()) {
      attributes.emplace_back("remote_address", result.remote_address);
    }
    std::exchange(done_, nullptr)(std::move(observation));
  }

  const std::string target_;
  const std::string service_;
  const uint32_t min_days_left_;
  const std::unique_ptr<HttpRequest> request_;
  EventLoop& loop_;
  HttpClient& http_;

  // Of the running look.
  Instant start_;
  ObservationDone done_;
  HttpCallId call_ = HttpCallId::kNone;
  std::optional<int> grpc_status_;
  std::optional<uint64_t> serving_;
};

}  // namespace

absl::Status CheckGrpcHealthProbe(const config::GrpcHealthProbe& config) {
  RETURN_IF_ERROR(CheckFields(config));
  return MakeRequest(config).status();
}

absl::StatusOr<std::unique_ptr<Probe>> NewGrpcHealthProbe(const config::GrpcHealthProbe& config,
                                                          EventLoop& loop, HttpClient& http) {
  RETURN_IF_ERROR(CheckFields(config));
  ASSIGN_OR_RETURN(std::unique_ptr<HttpRequest> request, MakeRequest(config));
  return std::make_unique<GrpcHealthProbe>(config, std::move(request), loop, http);
}

}  // namespace salve

#include "probes/http_probe.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "probes/field_checks.h"
#include "probes/tls.h"
#include "re2/re2.h"

namespace salve {
namespace {

constexpr uint32_t kBodyBytesDefault = 1 << 20;
constexpr size_t kSentBytesMax = 64 * 1024;
constexpr int kFieldsMax = 100;
constexpr const char* kMethods[] = {"GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"};

struct StatusRange {
  int from = 200;
  int to = 299;
};

struct HeaderRule {
  std::string name;
  std::unique_ptr<RE2> pattern;
};

// What the answer must be like.
struct Expectation {
  std::vector<StatusRange> statuses;
  std::string statuses_text;  // As written, for error texts.
  std::unique_ptr<RE2> body_match;
  std::unique_ptr<RE2> body_not_match;
  std::vector<HeaderRule> headers;
  uint32_t min_days_left = 0;
};

// "200", "2xx", "200-299".
bool ParseStatusRange(absl::string_view text, StatusRange& range) {
  if (text.size() == 3 && absl::EndsWithIgnoreCase(text, "xx")) {
    if (text[0] < '1' || text[0] > '5') return false;
    range.from = (text[0] - '0') * 100;
    range.to = range.from + 99;
    return true;
  }
  const std::vector<absl::string_view> ends = absl::StrSplit(text, '-');
  if (ends.size() > 2) return false;
  return absl::SimpleAtoi(ends.front(), &range.from) && absl::SimpleAtoi(ends.back(), &range.to) &&
         100 <= range.from && range.from <= range.to && range.to <= 599;
}

absl::StatusOr<Expectation> MakeExpectation(const config::HttpProbe& config) {
  Expectation expectation;
  for (const std::string& text : config.expected_status()) {
    StatusRange range;
    if (!ParseStatusRange(text, range)) {
      return BadField("http.expected_status",
                      absl::StrCat("'", text, "' is not like \"200\", \"2xx\" or \"200-299\""));
    }
    expectation.statuses.push_back(range);
  }
  expectation.statuses_text = absl::StrJoin(config.expected_status(), " or ");
  if (expectation.statuses.empty()) {
    expectation.statuses.push_back({});
    expectation.statuses_text = "2xx";
  }
  ASSIGN_OR_RETURN(expectation.body_match, CompilePattern("http.body_match", config.body_match()));
  ASSIGN_OR_RETURN(expectation.body_not_match,
                   CompilePattern("http.body_not_match", config.body_not_match()));
  for (const config::HeaderMatch& match : config.header_match()) {
    if (match.name().empty()) return BadField("http.header_match.name", "missing");
    if (match.pattern().empty()) return BadField("http.header_match.pattern", "missing");
    HeaderRule rule{match.name(), nullptr};
    ASSIGN_OR_RETURN(rule.pattern, CompilePattern("http.header_match.pattern", match.pattern()));
    expectation.headers.push_back(std::move(rule));
  }
  expectation.min_days_left = config.tls().min_days_left();
  return expectation;
}

absl::StatusOr<std::unique_ptr<HttpRequest>> MakeRequest(const config::HttpProbe& config) {
  HttpRequestOptions options;
  options.url = config.url();
  if (!config.method().empty()) options.method = config.method();
  for (const config::HttpHeader& header : config.header()) {
    options.headers.emplace_back(header.name(), header.value());
  }
  options.body = config.body();
  options.proxy = config.proxy();
  options.verify_tls = !config.tls().has_verify() || config.tls().verify();
  options.ca_file = config.tls().ca_file();
  options.tls_server_name = config.tls().server_name();
  options.body_bytes_max =
      config.body_bytes_max() == 0 ? kBodyBytesDefault : config.body_bytes_max();
  options.keep_body = !config.body_match().empty() || !config.body_not_match().empty();
  auto request = HttpRequest::Make(std::move(options));
  if (!request.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("http.", request.status().message()));
  }
  return request;
}

absl::Status CheckFields(const config::HttpProbe& config) {
  if (config.url().empty()) return BadField("http.url", "missing");
  if (!config.method().empty() &&
      std::find(std::begin(kMethods), std::end(kMethods), config.method()) == std::end(kMethods)) {
    return BadField("http.method", absl::StrCat("'", config.method(), "' is not one of ",
                                                absl::StrJoin(kMethods, ", ")));
  }
  if (!config.body().empty() && config.method() != "POST" && config.method() != "PUT") {
    return BadField("http.body", "only POST and PUT send one");
  }
  RETURN_IF_ERROR(CheckLength("http.body", config.body(), kSentBytesMax));
  if (config.header_size() > kFieldsMax) return BadField("http.header", "more than 100");
  if (config.header_match_size() > kFieldsMax) {
    return BadField("http.header_match", "more than 100");
  }
  if (config.expected_status_size() > kFieldsMax) {
    return BadField("http.expected_status", "more than 100");
  }
  RETURN_IF_ERROR(CheckRange("http.body_bytes_max", config.body_bytes_max(), 0, 16 << 20));
  RETURN_IF_ERROR(CheckRange("http.max_redirects", config.max_redirects(), 0, 20));
  return CheckTls("http.tls", config.tls());
}

re2::StringPiece Piece(absl::string_view text) {
  return re2::StringPiece(text.data(), text.size());
}

std::string Milliseconds(absl::Duration duration) {
  return absl::StrFormat("%.3f", absl::ToDoubleMilliseconds(duration));
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

class HttpProbe final : public Probe {
 public:
  HttpProbe(std::unique_ptr<HttpRequest> request, Expectation expectation, int max_redirects,
            EventLoop& loop, HttpClient& http)
      : request_(std::move(request)),
        expectation_(std::move(expectation)),
        max_redirects_(max_redirects),
        loop_(loop),
        http_(http) {}

  ~HttpProbe() override { http_.Cancel(call_); }

  void Start(Instant deadline, ObservationDone done) override {
    start_ = loop_.Now();
    deadline_ = deadline;
    done_ = std::move(done);
    redirects_ = 0;
    Send(*request_);
  }

 private:
  void Send(const HttpRequest& request) {
    call_ = http_.Start(request, deadline_, [this, &request](HttpResult result) {
      call_ = HttpCallId::kNone;
      Answered(request, std::move(result));
    });
  }

  void Answered(const HttpRequest& request, HttpResult result) {
    if (result.outcome == Outcome::kSucceeded && max_redirects_ > 0 && IsRedirect(result.status)) {
      Follow(request, std::move(result));
      return;
    }
    Finish(result, Judge(result));
  }

  void Follow(const HttpRequest& request, HttpResult result) {
    if (redirects_ == max_redirects_) {
      Finish(result, Failed(absl::StrCat("more than ", max_redirects_, " redirects")));
      return;
    }
    const std::vector<absl::string_view> locations = HeaderValues(result, "Location");
    if (locations.empty()) {
      Finish(result, Failed(absl::StrCat("status ", result.status, " without a Location")));
      return;
    }
    auto next = Redirected(request, result.status, locations[0]);
    if (!next.ok()) {
      Finish(result, Failed(absl::StrCat("bad redirect: ", next.status().message())));
      return;
    }
    ++redirects_;
    redirected_ = *std::move(next);
    Send(*redirected_);
  }

  static absl::StatusOr<std::unique_ptr<HttpRequest>> Redirected(const HttpRequest& request,
                                                                 int status,
                                                                 absl::string_view location) {
    HttpRequestOptions options = request.options();
    ASSIGN_OR_RETURN(options.url, request.UrlOf(location));
    // As browsers do: only 307 and 308 repeat what was sent.
    const bool repeats = status == 307 || status == 308;
    if (!repeats && options.method != "GET" && options.method != "HEAD") {
      options.method = "GET";
      options.body.clear();
    }
    ASSIGN_OR_RETURN(auto next, HttpRequest::Make(options));
    if (next->origin() == request.origin()) return next;
    // What is meant for one server must not be told to another.
    std::erase_if(options.headers, [](const auto& header) {
      return absl::EqualsIgnoreCase(header.first, "Authorization") ||
             absl::EqualsIgnoreCase(header.first, "Cookie") ||
             absl::EqualsIgnoreCase(header.first, "Host");
    });
    options.tls_server_name.clear();
    return HttpRequest::Make(std::move(options));
  }

  Observation Judge(const HttpResult& result) const {
    if (result.outcome != Outcome::kSucceeded) {
      Observation observation;
      observation.outcome = result.outcome;
      observation.error = result.error;
      return observation;
    }
    if (!IsExpected(result.status)) {
      return Failed(
          absl::StrCat("status ", result.status, ", expected ", expectation_.statuses_text));
    }
    for (const HeaderRule& rule : expectation_.headers) {
      if (std::string fault = HeaderFault(result, rule); !fault.empty()) return Failed(fault);
    }
    const RE2* match = expectation_.body_match.get();
    if (match != nullptr && !RE2::PartialMatch(Piece(result.body), *match)) {
      return Failed(absl::StrCat("the body (", result.body_bytes, " bytes read) does not match '",
                                 match->pattern(), "'"));
    }
    const RE2* not_match = expectation_.body_not_match.get();
    if (not_match != nullptr && RE2::PartialMatch(Piece(result.body), *not_match)) {
      return Failed(absl::StrCat("the body matches '", not_match->pattern(), "'"));
    }
    const std::optional<double> days_left = result.tls_days_left;
    if (days_left.has_value() && EndsTooSoon(*days_left, expectation_.min_days_left)) {
      return Failed(EndsTooSoonText(*days_left, expectation_.min_days_left));
    }
    return Observation{};
  }

  bool IsExpected(int status) const {
    return std::any_of(expectation_.statuses.begin(), expectation_.statuses.end(),
                       [&](const StatusRange& r) { return r.from <= status && status <= r.to; });
  }

  static std::string HeaderFault(const HttpResult& result, const HeaderRule& rule) {
    const std::vector<absl::string_view> values = HeaderValues(result, rule.name);
    if (values.empty()) return absl::StrCat("no header ", rule.name);
    for (const absl::string_view value : values) {
      if (RE2::PartialMatch(Piece(value), *rule.pattern)) return "";
    }
    return absl::StrCat("header ", rule.name, ": '", values[0].substr(0, 200), "' does not match '",
                        rule.pattern->pattern(), "'");
  }

  void Finish(const HttpResult& result, Observation observation) {
    observation.values = {
        {"latency_ms", absl::ToDoubleMilliseconds(loop_.Now() - start_), "ms"},
        {"body_bytes", static_cast<double>(result.body_bytes), "bytes"},
    };
    if (result.tls_days_left.has_value()) {
      observation.values.push_back({"tls_days_left", *result.tls_days_left, "days"});
    }
    auto& attributes = observation.attributes;
    attributes.reserve(6);
    if (result.status != 0) attributes.emplace_back("http_status", absl::StrCat(result.status));
    AddTime("connect_ms", result.connect, attributes);
    AddTime("tls_ms", result.tls, attributes);
    AddTime("first_byte_ms", result.first_byte, attributes);
    if (!result.remote_address.empty()) {
      attributes.emplace_back("remote_address", result.remote_address);
    }
    if (redirects_ > 0) attributes.emplace_back("redirects", absl::StrCat(redirects_));
    std::exchange(done_, nullptr)(std::move(observation));
  }

  static void AddTime(const char* name, absl::Duration duration,
                      std::vector<std::pair<std::string, std::string>>& attributes) {
    if (duration > absl::ZeroDuration()) attributes.emplace_back(name, Milliseconds(duration));
  }

  const std::unique_ptr<HttpRequest> request_;
  const Expectation expectation_;
  const int max_redirects_;
  EventLoop& loop_;
  HttpClient& http_;

  // Of the running look.
  Instant start_;
  Instant deadline_;
  ObservationDone done_;
  HttpCallId call_ = HttpCallId::kNone;
  int redirects_ = 0;
  std::unique_ptr<HttpRequest> redirected_;
};

}  // namespace

absl::Status CheckHttpProbe(const config::HttpProbe& config) {
  RETURN_IF_ERROR(CheckFields(config));
  RETURN_IF_ERROR(MakeExpectation(config).status());
  return MakeRequest(config).status();
}

absl::StatusOr<std::unique_ptr<Probe>> NewHttpProbe(const config::HttpProbe& config,
                                                    EventLoop& loop, HttpClient& http) {
  RETURN_IF_ERROR(CheckFields(config));
  ASSIGN_OR_RETURN(Expectation expectation, MakeExpectation(config));
  ASSIGN_OR_RETURN(std::unique_ptr<HttpRequest> request, MakeRequest(config));
  return std::make_unique<HttpProbe>(std::move(request), std::move(expectation),
                                     static_cast<int>(config.max_redirects()), loop, http);
}

}  // namespace salve

// HttpRequest and HeaderValues; the client is http_client.cc.
#include <curl/curl.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "probes/http_client.h"
#include "probes/http_request_parsed.h"
#include "probes/network_errors.h"
#include "probes/numeric_address.h"

namespace salve {
namespace {

absl::Status Bad(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
}

std::string Part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  std::string copy(text);
  curl_free(text);
  return copy;
}

std::string HostOf(CURLU* url) {
  std::string host = Part(url, CURLUPART_HOST);
  if (host.size() >= 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return host;
}

absl::StatusOr<CurlUrl> ParseUrl(absl::string_view field, const std::string& text) {
  CurlUrl url(curl_url());
  const CURLUcode code = curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0);
  if (code != CURLUE_OK) {
    return Bad(field, absl::StrCat("'", text, "': ", curl_url_strerror(code)));
  }
  const std::string scheme = Part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return Bad(field, absl::StrCat("'", text, "' is neither http:// nor https://"));
  }
  return url;
}

int PortOf(CURLU* url) { return std::atoi(Part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT).c_str()); }

bool IsToken(absl::string_view text) {
  for (const char c : text) {
    if (!absl::ascii_isalnum(c) && !absl::StrContains("!#$%&'*+-.^_`|~", c)) return false;
  }
  return !text.empty();
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpRequest>> HttpRequest::Make(HttpRequestOptions options) {
  auto parsed = std::make_unique<Parsed>();
  ASSIGN_OR_RETURN(parsed->url, ParseUrl("url", options.url));
  CURLU* url = parsed->url.get();
  parsed->is_tls = Part(url, CURLUPART_SCHEME) == "https";
  parsed->host = HostOf(url);
  parsed->port = PortOf(url);
  parsed->resolve_as = parsed->dial_host = parsed->host;
  parsed->dial_port = parsed->port;

  bool has_connection = false;
  const auto add_header = [&](const std::string& line) {
    parsed->headers.reset(curl_slist_append(parsed->headers.release(), line.c_str()));
  };
  for (const auto& [name, value] : options.headers) {
    if (!IsToken(name)) return Bad("header", absl::StrCat("'", name, "' is no name of a header"));
    if (value.find_first_of("\r\n\0", 0, 3) != std::string::npos) {
      return Bad("header", absl::StrCat(name, ": the value holds a line break"));
    }
    has_connection |= absl::EqualsIgnoreCase(name, "Connection");
    // curl's way to send a header without a value.
    add_header(value.empty() ? name + ";" : absl::StrCat(name, ": ", value));
  }
  // The server then closes first, and the port's TIME_WAIT is on its side. Not in HTTP/2.
  if (!has_connection && !options.http2) add_header("Connection: close");

  if (parsed->is_tls && !options.tls_server_name.empty()) {
    if (!options.proxy.empty()) return Bad("proxy", "does not go with another tls.server_name");
    // curl takes the name to ask for from the URL: so the URL gets that name, and the address
    // and the Host header stay those of the target.
    if (curl_url_set(url, CURLUPART_HOST, options.tls_server_name.c_str(), 0) != CURLUE_OK) {
      return Bad("tls.server_name", absl::StrCat("'", options.tls_server_name, "' is no name"));
    }
    parsed->resolve_as = options.tls_server_name;
    add_header("Host: " +
               (parsed->port == 443 ? parsed->host : HostAndPort(parsed->host, parsed->port)));
  }
  if (!options.proxy.empty()) {
    ASSIGN_OR_RETURN(const CurlUrl proxy, ParseUrl("proxy", options.proxy));
    if (Part(proxy.get(), CURLUPART_PORT).empty()) return Bad("proxy", "its port is missing");
    parsed->resolve_as = parsed->dial_host = HostOf(proxy.get());
    parsed->dial_port = PortOf(proxy.get());
  }
  parsed->dial_is_numeric = IsNumericAddress(parsed->dial_host);
  parsed->options = std::move(options);
  return std::unique_ptr<HttpRequest>(new HttpRequest(std::move(parsed)));
}

HttpRequest::HttpRequest(std::unique_ptr<Parsed> parsed) : parsed_(std::move(parsed)) {}
HttpRequest::~HttpRequest() = default;

const HttpRequestOptions& HttpRequest::options() const { return parsed_->options; }

std::string HttpRequest::origin() const {
  return absl::StrCat(parsed_->is_tls ? "https://" : "http://",
                      HostAndPort(parsed_->host, parsed_->port));
}

absl::StatusOr<std::string> HttpRequest::UrlOf(absl::string_view location) const {
  ASSIGN_OR_RETURN(CurlUrl url, ParseUrl("url", parsed_->options.url));
  const CURLUcode code = curl_url_set(url.get(), CURLUPART_URL, std::string(location).c_str(), 0);
  if (code != CURLUE_OK) {
    return Bad("location", absl::StrCat("'", location, "': ", curl_url_strerror(code)));
  }
  // What http does not speak, a redirect must not lead to: file://, say.
  const std::string target = Part(url.get(), CURLUPART_URL);
  RETURN_IF_ERROR(ParseUrl("location", target).status());
  return target;
}

std::vector<absl::string_view> HeaderValues(const HttpResult& result, absl::string_view name) {
  std::vector<absl::string_view> values;
  absl::string_view rest = result.headers;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const absl::string_view line = rest.substr(0, end);
    rest = end == absl::string_view::npos ? absl::string_view() : rest.substr(end + 1);
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos ||
        !absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(line.substr(0, colon)), name)) {
      continue;
    }
    values.push_back(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return values;
}

}  // namespace salve

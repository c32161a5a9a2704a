// HttpClient: HTTP requests on the loop, each over a fresh connection, by one libcurl multi
// handle with an epoll of its own. It resolves names through Resolver, never by itself. What
// is measured is one request: redirects are answers here. Lives on the loop's thread. Requires:
// the process ignores SIGPIPE, which OpenSSL's writes to a closed connection raise.
#ifndef SALVE_PROBES_HTTP_CLIENT_H_
#define SALVE_PROBES_HTTP_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "probes/probe.h"
#include "probes/resolver.h"

namespace salve {

struct HttpRequestOptions {
  std::string url;  // http:// or https://
  std::string method = "GET";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;   // Sent when it is not empty.
  std::string proxy;  // "http://HOST:PORT"; empty: none, whatever the environment says.
  bool verify_tls = true;
  std::string ca_file;              // PEM; empty: the system's.
  std::string certificate_file;     // PEM, shown to the server; with key_file. Empty: none.
  std::string key_file;             // PEM.
  std::string tls_server_name;      // Name that is asked for and checked; empty: the URL's host.
  size_t body_bytes_max = 1 << 20;  // The rest of a body is not read.
  bool keep_body = false;           // Else it is only counted.
  // Asks in HTTP/2: in the clear at once, with TLS where the server chooses it. Whether it did, the
  // first line of the headers says ("HTTP/2 200"); what a server sends after the body comes last.
  bool http2 = false;
};

// A request that is made once, as it is costly, and sent many times.
class HttpRequest {
 public:
  // Errors: kInvalidArgument: "url: …", "proxy: …", "headers: …", what cannot work.
  static absl::StatusOr<std::unique_ptr<HttpRequest>> Make(HttpRequestOptions options);
  ~HttpRequest();

  const HttpRequestOptions& options() const;
  std::string origin() const;  // "https://HOST:PORT"

  // The URL that a `Location` means, seen from this one. Errors: kInvalidArgument: none that
  // is http or https.
  absl::StatusOr<std::string> UrlOf(absl::string_view location) const;

 private:
  friend class HttpClient;
  struct Parsed;
  explicit HttpRequest(std::unique_ptr<Parsed> parsed);
  std::unique_ptr<Parsed> parsed_;
};

// kSucceeded: an answer was read, whatever it says (a body up to body_bytes_max). Otherwise
// `error` says what went wrong, and TimedOut in which phase.
struct HttpResult {
  Outcome outcome = Outcome::kSucceeded;
  std::string error;
  int status = 0;
  std::string headers;  // Lines as received, at most 64 KiB; more is a failure.
  std::string body;     // With keep_body.
  size_t body_bytes = 0;
  std::string remote_address;  // "ADDRESS:PORT"
  absl::Duration connect;      // Until the connection stood; zero when it never did.
  absl::Duration tls;          // Of the handshake alone.
  absl::Duration first_byte;   // Until the answer began.
  std::optional<double> tls_days_left;
};

// The values of the header `name` (any case), in order.
std::vector<absl::string_view> HeaderValues(const HttpResult& result, absl::string_view name);

using HttpDone = absl::AnyInvocable<void(HttpResult)>;
enum class HttpCallId : uint64_t { kNone = 0 };

class HttpClient {
 public:
  HttpClient(EventLoop& loop, Resolver& resolver);
  // Ends what is going on, without `done`.
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Sends a request; calls `done` once, at the latest a moment after `deadline`, never inside
  // this call. `done` may start and cancel calls. Requires: `request` outlives the call.
  HttpCallId Start(const HttpRequest& request, Instant deadline, HttpDone done);
  // Ends a call without `done`. An ended one, or kNone, is ignored.
  void Cancel(HttpCallId id);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salve

#endif  // SALVE_PROBES_HTTP_CLIENT_H_

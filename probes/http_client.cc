#include "probes/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/unique_fd.h"
#include "probes/http_request_parsed.h"
#include "probes/loopback_sockets.h"
#include "probes/network_errors.h"
#include "probes/quiet_close.h"
#include "probes/tls.h"

namespace salve {
namespace {

constexpr size_t kHeaderBytesMax = 64 * 1024;
constexpr size_t kIdleHandlesMax = 64;
// Sockets that are served in one turn of the loop: each may read 100 KiB or do a handshake.
constexpr int kEventsPerTurn = 32;

enum class Cut { kNo, kBodyRead, kHeadersTooLarge };

template <typename T>
T Get(CURL* easy, CURLINFO info) {
  T value = {};
  curl_easy_getinfo(easy, info, &value);
  return value;
}

absl::Duration Time(CURL* easy, CURLINFO info) {
  return absl::Microseconds(Get<curl_off_t>(easy, info));
}

bool IsNoAnswer(CURLcode code) {
  return code == CURLE_GOT_NOTHING || code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM ||
         code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_PARTIAL_FILE ||
         code == CURLE_WEIRD_SERVER_REPLY;
}

}  // namespace

struct HttpClient::State {
  struct Call {
    State* state;
    HttpCallId id;
    const HttpRequest::Parsed* request;
    Instant start;
    Instant begun;  // When curl got it, with its addresses.
    Instant deadline;
    HttpDone done;
    ResolveId resolving = ResolveId::kNone;
    TimerId resolve_deadline = TimerId::kNone;
    CURL* easy = nullptr;
    CurlList addresses;
    HttpResult result;
    size_t header_bytes = 0;  // Of all answers, those with 1xx too.
    Cut cut = Cut::kNo;
    int socket_error = 0;  // Why no socket could be opened.
    int left_fd = -1;      // A socket to this machine that curl has done with.
    int left_family = AF_UNSPEC;
    bool has_ended = false;
    char error[CURL_ERROR_SIZE] = "";
  };

  State(EventLoop& loop, Resolver& resolver);
  ~State();

  void Resolve(Call& call);
  void Resolved(Call& call, const absl::StatusOr<std::vector<std::string>>& addresses);
  void Begin(Call& call);
  CURL* TakeHandle();
  void SetOptions(Call& call);
  void FindCertificates();
  void SetTlsOptions(Call& call);
  void Release(Call& call);
  void EndEarly(Call& call, Observation observation);

  void Act(curl_socket_t fd, int mask);
  void SocketWants(curl_socket_t fd, int what, bool is_watched);
  int OpenSocket(Call& call, const curl_sockaddr& address);
  void SocketCloses(curl_socket_t fd);
  void TimerWants(long ms);
  void Settle();
  void WatchSockets();
  void ArmTimer();
  void TimerFired();
  void SocketsReady();
  void Sweep();
  void Finish(Call& call, CURLcode code);
  static void Judge(Call& call, CURLcode code);
  static Observation Failure(const Call& call, CURLcode code);

  static size_t OnHeader(char* bytes, size_t size, size_t count, void* call);
  static size_t OnBody(char* bytes, size_t size, size_t count, void* call);

  // A socket to this machine that curl has, and for whom.
  struct Lent {
    HttpCallId call;
    int family;
  };

  // What curl wants to hear of a socket, until the epoll is told.
  struct Wish {
    curl_socket_t fd;
    bool is_watched;
    uint32_t events;  // 0: nothing more.
  };

  EventLoop& loop;
  Resolver& resolver;
  CURLM* multi;
  UniqueFd epoll;
  WatchId watch = WatchId::kNone;
  std::vector<Wish> wishes;
  LoopbackSockets loopback;
  absl::flat_hash_map<int, Lent> lent;
  TimerId timer = TimerId::kNone;
  Instant timer_at;                                  // When it fires; may be too early.
  Instant timer_wanted = Instant::InfiniteFuture();  // When curl wants to be called.
  TimerId sweep = TimerId::kNone;
  int begun = 0;    // Calls of which curl has not said yet that they have ended.
  int running = 0;  // Those of them that had not when it was last asked.
  uint64_t last_id = 0;
  absl::flat_hash_map<HttpCallId, std::unique_ptr<Call>> calls;
  std::vector<CURL*> idle;
  std::string default_ca_file;
  std::string default_ca_folder;
};

HttpClient::State::State(EventLoop& loop, Resolver& resolver) : loop(loop), resolver(resolver) {
  CHECK(curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK);
  multi = curl_multi_init();
  epoll.reset(epoll_create1(EPOLL_CLOEXEC));
  CHECK(multi != nullptr && epoll.is_open());
  FindCertificates();

  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(
      multi, CURLMOPT_SOCKETFUNCTION,
      +[](CURL*, curl_socket_t fd, int what, void* state, void* known) {
        static_cast<State*>(state)->SocketWants(fd, what, known != nullptr);
        return 0;
      });
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(
      multi, CURLMOPT_TIMERFUNCTION, +[](CURLM*, long ms, void* state) {
        static_cast<State*>(state)->TimerWants(ms);
        return 0;
      });
  watch = loop.WatchFd(epoll.get(), kReadable, [this](int) { SocketsReady(); });
}

HttpClient::State::~State() {
  for (auto& [id, call] : calls) Release(*call);
  for (CURL* easy : idle) curl_easy_cleanup(easy);
  curl_multi_cleanup(multi);
  loop.UnwatchFd(watch);
  loop.CancelTimer(timer);
  loop.CancelTimer(sweep);
  curl_global_cleanup();
}

void HttpClient::State::FindCertificates() {
  const curl_version_info_data* version = curl_version_info(CURLVERSION_NOW);
  if (version->cainfo != nullptr) default_ca_file = version->cainfo;
  if (version->capath != nullptr && HasHashedCertificates(version->capath)) {
    default_ca_folder = version->capath;
  }
}

void HttpClient::State::Resolve(Call& call) {
  call.resolving = resolver.Resolve(
      call.request->dial_host, [this, &call](const absl::StatusOr<std::vector<std::string>>& a) {
        call.resolving = ResolveId::kNone;
        loop.CancelTimer(std::exchange(call.resolve_deadline, TimerId::kNone));
        Resolved(call, a);
      });
  call.resolve_deadline = loop.CallAt(call.deadline, [this, &call] {
    call.resolve_deadline = TimerId::kNone;
    EndEarly(call, TimedOutWhile(loop.Now() - call.start,
                                 absl::StrCat("resolving ", call.request->dial_host)));
  });
}

void HttpClient::State::Resolved(Call& call,
                                 const absl::StatusOr<std::vector<std::string>>& addresses) {
  if (!addresses.ok()) {
    EndEarly(call, ResolveError(addresses.status(), loop.Now() - call.start));
    return;
  }
  // '+': it is forgotten after a minute, not kept for ever.
  const std::string entry =
      absl::StrCat("+", call.request->resolve_as, ":", call.request->dial_port, ":",
                   absl::StrJoin(*addresses, ","));
  call.addresses.reset(curl_slist_append(nullptr, entry.c_str()));
  Begin(call);
}

// Ends a call outside of libcurl.
void HttpClient::State::EndEarly(Call& call, Observation observation) {
  call.result.outcome = observation.outcome;
  call.result.error = std::move(observation.error);
  Release(call);
  const auto owned = std::move(calls.extract(call.id).mapped());
  owned->done(std::move(owned->result));
}

void HttpClient::State::Begin(Call& call) {
  call.begun = loop.Now();
  call.easy = TakeHandle();
  SetOptions(call);
  curl_multi_add_handle(multi, call.easy);
  ++begun;
  Act(CURL_SOCKET_TIMEOUT, 0);
  // On this machine a connection stands as soon as it is asked for: asking curl once more sends the
  // request at once, for less than a turn of the loop costs. Not with TLS, whose handshakes are
  // work: of those the loop takes a few a turn.
  for (size_t i = 0; i < wishes.size() && !call.request->is_tls; ++i) {
    const Wish wish = wishes[i];
    if (!wish.is_watched && wish.events == EPOLLOUT) Act(wish.fd, CURL_CSELECT_OUT);
  }
  // What has ended already is told later: never inside Start.
  if (running < begun && sweep == TimerId::kNone) {
    sweep = loop.CallAt(loop.Now(), [this] {
      sweep = TimerId::kNone;
      Sweep();
    });
  }
  Settle();
}

CURL* HttpClient::State::TakeHandle() {
  if (!idle.empty()) {
    CURL* easy = idle.back();
    idle.pop_back();
    return easy;
  }
  // What is the same for all requests is set once; SetOptions sets all the rest every time, so
  // that a handle needs no reset.
  CURL* easy = curl_easy_init();
  CHECK(easy != nullptr);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 1024L);
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 0L);
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "salve");
  curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
  curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 3600L);
  // Told when TLS begins: curl keeps to itself when the connection below it stood. Each connection
  // has a context of its own.
  curl_easy_setopt(
      easy, CURLOPT_SSL_CTX_FUNCTION, +[](CURL*, void* context, void* data) {
        LimitKeyExchange(static_cast<SSL_CTX*>(context));
        Call& call = *static_cast<Call*>(data);
        call.result.connect = call.state->loop.Now() - call.begun;
        return CURLE_OK;
      });
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(
      easy, CURLOPT_OPENSOCKETFUNCTION,
      +[](void* data, curlsocktype, curl_sockaddr* address) -> curl_socket_t {
        Call& call = *static_cast<Call*>(data);
        return call.state->OpenSocket(call, *address);
      });
  curl_easy_setopt(
      easy, CURLOPT_CLOSESOCKETFUNCTION, +[](void* state, curl_socket_t fd) {
        static_cast<State*>(state)->SocketCloses(fd);
        return 0;
      });
  return easy;
}

void HttpClient::State::SetOptions(Call& call) {
  CURL* easy = call.easy;
  const HttpRequest::Parsed& request = *call.request;
  const HttpRequestOptions& options = request.options;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &call);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &call);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &call);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &call);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call.error);
  curl_easy_setopt(easy, CURLOPT_CURLU, request.url.get());
  curl_easy_setopt(easy, CURLOPT_RESOLVE, call.addresses.get());
  curl_easy_setopt(easy, CURLOPT_PROXY, options.proxy.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request.headers.get());
  long version = CURL_HTTP_VERSION_1_1;
  if (options.http2) {
    version = request.is_tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
  }
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);

  curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);  // Also ends HEAD and POST of the use before.
  const bool is_head = options.method == "HEAD";
  if (is_head) {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  } else if (!options.body.empty() || options.method == "POST" || options.method == "PUT") {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(options.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, options.body.c_str());
  }
  const bool by_itself = is_head || options.method == "GET";
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, by_itself ? nullptr : options.method.c_str());

  const absl::Duration left = call.deadline - loop.Now();
  const long ms =
      static_cast<long>(std::clamp<int64_t>(absl::ToInt64Milliseconds(left), 1, 24 * 3600 * 1000));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, ms);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, ms);
  if (request.is_tls) SetTlsOptions(call);
}

void HttpClient::State::SetTlsOptions(Call& call) {
  CURL* easy = call.easy;
  const HttpRequest::Parsed& request = *call.request;
  const HttpRequestOptions& options = request.options;
  const bool use_folder = options.ca_file.empty() && !default_ca_folder.empty();
  const std::string& ca_file = options.ca_file.empty() ? default_ca_file : options.ca_file;
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, &call);
  const auto or_none = [](const std::string& file) {
    return file.empty() ? nullptr : file.c_str();
  };
  curl_easy_setopt(easy, CURLOPT_SSLCERT, or_none(options.certificate_file));
  curl_easy_setopt(easy, CURLOPT_SSLKEY, or_none(options.key_file));
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, options.verify_tls ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, options.verify_tls ? 2L : 0L);
  curl_easy_setopt(easy, CURLOPT_CAINFO, use_folder ? nullptr : ca_file.c_str());
  curl_easy_setopt(easy, CURLOPT_CAPATH, use_folder ? default_ca_folder.c_str() : nullptr);
}

// Gives back all that a call holds of others.
void HttpClient::State::Release(Call& call) {
  resolver.Cancel(std::exchange(call.resolving, ResolveId::kNone));
  loop.CancelTimer(std::exchange(call.resolve_deadline, TimerId::kNone));
  CURL* easy = std::exchange(call.easy, nullptr);
  if (easy == nullptr) return;
  curl_multi_remove_handle(multi, easy);
  if (!call.has_ended) --begun;
  if (call.left_fd >= 0) CloseQuietly(std::exchange(call.left_fd, -1));
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, nullptr);
  if (idle.size() < kIdleHandlesMax) {
    idle.push_back(easy);
  } else {
    curl_easy_cleanup(easy);
  }
}

void HttpClient::State::Act(curl_socket_t fd, int mask) {
  // Until it says so again, now.
  if (fd == CURL_SOCKET_TIMEOUT) timer_wanted = Instant::InfiniteFuture();
  curl_multi_socket_action(multi, fd, mask, &running);
}

void HttpClient::State::SocketWants(curl_socket_t fd, int what, bool is_watched) {
  uint32_t events = 0;
  if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) events |= EPOLLIN;
  if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) events |= EPOLLOUT;
  for (Wish& wish : wishes) {
    if (wish.fd != fd) continue;
    wish.events = events;
    return;
  }
  wishes.push_back({fd, is_watched, events});
}

// A look at this machine in the clear gives its socket to the next. Not one with a body: its server
// may have answered before it has read that, and is still reading.
int HttpClient::State::OpenSocket(Call& call, const curl_sockaddr& address) {
  const HttpRequestOptions& options = call.request->options;
  const bool is_lent = LoopbackSockets::Serve(address.addr) && !call.request->is_tls &&
                       !options.http2 && options.proxy.empty() && options.body.empty();
  int fd = is_lent ? loopback.Take(address.family) : -1;
  if (fd < 0) {
    fd = socket(address.family, address.socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address.protocol);
  }
  if (fd < 0) call.socket_error = errno;
  lent.erase(fd);  // Of an attempt that failed curl closes the socket without a word.
  if (fd < 0 || !is_lent) return fd;
  lent[fd] = {call.id, address.family};
  // The request is sent at once, and acknowledges the handshake: that saves a segment. The kernel
  // forgets this with each connection.
  const int off = 0;
  setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
  return fd;
}

void HttpClient::State::SocketCloses(curl_socket_t fd) {
  std::erase_if(wishes, [fd](const Wish& wish) { return wish.fd == fd; });
  const auto loan = lent.extract(fd);
  const auto it = loan ? calls.find(loan.mapped().call) : calls.end();
  if (it == calls.end() || it->second->easy == nullptr) {
    CloseQuietly(fd);  // The epoll forgets it.
    return;
  }
  // Only at the end of the call curl says whether the answer was whole.
  Call& call = *it->second;
  epoll_ctl(epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
  if (call.left_fd >= 0) CloseQuietly(call.left_fd);  // Of an address that did not answer.
  call.left_fd = fd;
  call.left_family = loan.mapped().family;
}

void HttpClient::State::TimerWants(long ms) {
  timer_wanted = ms < 0 ? Instant::InfiniteFuture() : loop.Now() + absl::Milliseconds(ms);
}

// Does what curl wants once it has been called: most of its wishes it takes back within the call.
void HttpClient::State::Settle() {
  WatchSockets();
  ArmTimer();
}

// The inner epoll is one descriptor to the loop, whatever curl does with its sockets.
void HttpClient::State::WatchSockets() {
  for (const Wish& wish : wishes) {
    epoll_event event = {};
    event.events = wish.events;
    event.data.fd = wish.fd;
    if (wish.events == 0) {
      if (wish.is_watched) epoll_ctl(epoll.get(), EPOLL_CTL_DEL, wish.fd, nullptr);
      continue;
    }
    epoll_ctl(epoll.get(), wish.is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, wish.fd, &event);
    curl_multi_assign(multi, wish.fd, this);  // What makes `known` of the next wish not null.
  }
  wishes.clear();
}

// A timer that stands earlier is left to fire in vain: of most of its wishes curl does not live to
// see the end.
void HttpClient::State::ArmTimer() {
  if (timer_wanted == Instant::InfiniteFuture()) return;
  if (timer != TimerId::kNone && timer_at <= timer_wanted) return;
  loop.CancelTimer(timer);
  timer_at = timer_wanted;
  timer = loop.CallAt(timer_at, [this] { TimerFired(); });
}

void HttpClient::State::TimerFired() {
  timer = TimerId::kNone;
  if (timer_wanted <= loop.Now()) {
    Act(CURL_SOCKET_TIMEOUT, 0);
    Sweep();
  }
  Settle();
}

void HttpClient::State::SocketsReady() {
  epoll_event events[kEventsPerTurn];
  const int n = epoll_wait(epoll.get(), events, kEventsPerTurn, 0);
  for (int i = 0; i < n; ++i) {
    int mask = 0;
    if ((events[i].events & (EPOLLIN | EPOLLHUP)) != 0) mask |= CURL_CSELECT_IN;
    if ((events[i].events & EPOLLOUT) != 0) mask |= CURL_CSELECT_OUT;
    if ((events[i].events & EPOLLERR) != 0) mask |= CURL_CSELECT_ERR;
    Act(events[i].data.fd, mask);
  }
  Sweep();
  Settle();
}

// Calls that are begun meanwhile, and end at once, wait for the next turn.
void HttpClient::State::Sweep() {
  std::vector<std::pair<HttpCallId, CURLcode>> ended;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Call* call = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
    call->has_ended = true;
    --begun;
    ended.emplace_back(call->id, message->data.result);
  }
  for (const auto& [id, code] : ended) {
    const auto it = calls.find(id);
    if (it != calls.end()) Finish(*it->second, code);  // Else one before it has cancelled it.
  }
}

void HttpClient::State::Finish(Call& call, CURLcode code) {
  Judge(call, code);
  if (call.left_fd >= 0 && code == CURLE_OK) {  // Not when OnBody has cut it off.
    loopback.Give(std::exchange(call.left_fd, -1), call.left_family);
  }
  Release(call);
  const auto owned = std::move(calls.extract(call.id).mapped());
  owned->done(std::move(owned->result));
}

void HttpClient::State::Judge(Call& call, CURLcode code) {
  HttpResult& result = call.result;
  CURL* easy = call.easy;
  const absl::Duration app_connect = Time(easy, CURLINFO_APPCONNECT_TIME_T);
  const absl::Duration connect = Time(easy, CURLINFO_CONNECT_TIME_T);
  if (connect > absl::ZeroDuration()) result.connect = connect;
  if (app_connect > absl::ZeroDuration()) result.tls = app_connect - result.connect;
  result.first_byte = Time(easy, CURLINFO_STARTTRANSFER_TIME_T);
  const char* address = Get<const char*>(easy, CURLINFO_PRIMARY_IP);
  if (address != nullptr && address[0] != '\0') {
    result.remote_address =
        HostAndPort(address, static_cast<int>(Get<long>(easy, CURLINFO_PRIMARY_PORT)));
  }
  if (code == CURLE_OK || call.cut == Cut::kBodyRead) {
    result.status = static_cast<int>(Get<long>(easy, CURLINFO_RESPONSE_CODE));
    return;
  }
  Observation failure = Failure(call, code);
  result.outcome = failure.outcome;
  result.error = std::move(failure.error);
}

Observation HttpClient::State::Failure(const Call& call, CURLcode code) {
  const HttpRequest::Parsed& request = *call.request;
  const HttpResult& result = call.result;
  const std::string target = HostAndPort(request.dial_host, request.dial_port);
  const std::string details = call.error[0] != '\0' ? call.error : curl_easy_strerror(code);
  const bool connected = result.connect > absl::ZeroDuration();
  const int error = static_cast<int>(Get<long>(call.easy, CURLINFO_OS_ERRNO));

  if (call.cut == Cut::kHeadersTooLarge) return Failed("the headers are larger than 64 KiB");
  // A server of HTTP/1 that is spoken to in HTTP/2 sends what curl has many words for.
  if (request.options.http2 && IsNoAnswer(code) && connected && result.headers.empty()) {
    return Failed(absl::StrCat(target, " does not answer in HTTP/2: ", details));
  }
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT: {
      const char* phase = "reading the answer";
      if (!connected) {
        phase = "connecting";
      } else if (request.is_tls && result.tls == absl::ZeroDuration()) {
        phase = "negotiating TLS";
      } else if (result.first_byte == absl::ZeroDuration() ||
                 (request.options.http2 && result.headers.empty())) {  // Their first is settings.
        phase = "waiting for the answer";
      }
      return TimedOutWhile(call.state->loop.Now() - call.start, phase);
    }
    case CURLE_COULDNT_CONNECT:
      if (call.socket_error != 0) return SocketError(call.socket_error, "cannot open a socket");
      if (error != 0) return SocketError(error, "cannot connect to " + target);
      return Failed(absl::StrCat("cannot connect to ", target, ": ", details));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CIPHER:
      return Failed(absl::StrCat("TLS with ", target, ": ", details));
    case CURLE_SSL_CACERT_BADFILE:
      return Rejected(absl::StrCat("cannot use the CA file '", request.options.ca_file, "'"));
    case CURLE_GOT_NOTHING:
      return Failed(absl::StrCat(target, " closed the connection without an answer"));
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
      if (error != 0) return SocketError(error, absl::StrCat("connection to ", target));
      return Failed(absl::StrCat("connection to ", target, ": ", details));
    case CURLE_OUT_OF_MEMORY:
      // Also what curl says of one line of a header that is larger than it takes.
      if (connected) return Failed("a header is too large");
      return Rejected("no memory");
    case CURLE_FAILED_INIT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_UNKNOWN_OPTION:
    case CURLE_NOT_BUILT_IN:
    case CURLE_URL_MALFORMAT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_SSL_CERTPROBLEM:
      return Rejected(absl::StrCat("cannot ask ", target, ": ", details));
    default:
      return Failed(absl::StrCat("bad answer of ", target, ": ", details));
  }
}

size_t HttpClient::State::OnHeader(char* bytes, size_t size, size_t count, void* data) {
  Call& call = *static_cast<Call*>(data);
  const absl::string_view line(bytes, size * count);
  if (absl::StartsWith(line, "HTTP/")) {
    // An answer begins, perhaps after one of 1xx.
    call.result.headers.clear();
    if (call.request->is_tls && !call.result.tls_days_left.has_value()) {
      const auto* session = Get<curl_tlssessioninfo*>(call.easy, CURLINFO_TLS_SSL_PTR);
      if (session != nullptr && session->backend == CURLSSLBACKEND_OPENSSL &&
          session->internals != nullptr) {
        call.result.tls_days_left = CertificateDaysLeft(static_cast<const SSL*>(session->internals),
                                                        call.state->loop.clock().WallNow());
      }
    }
  }
  call.header_bytes += line.size();
  if (call.header_bytes > kHeaderBytesMax) {
    call.cut = Cut::kHeadersTooLarge;
    return 0;
  }
  call.result.headers.append(line.data(), line.size());
  return line.size();
}

size_t HttpClient::State::OnBody(char* bytes, size_t size, size_t count, void* data) {
  Call& call = *static_cast<Call*>(data);
  const HttpRequestOptions& options = call.request->options;
  const size_t room = options.body_bytes_max - call.result.body_bytes;
  const size_t taken = std::min(room, size * count);
  call.result.body_bytes += taken;
  if (options.keep_body) call.result.body.append(bytes, taken);
  if (taken < room) return taken;
  call.cut = Cut::kBodyRead;
  return 0;  // Ends the transfer: the rest is not wanted.
}

HttpClient::HttpClient(EventLoop& loop, Resolver& resolver)
    : state_(std::make_unique<State>(loop, resolver)) {}

HttpClient::~HttpClient() = default;

HttpCallId HttpClient::Start(const HttpRequest& request, Instant deadline, HttpDone done) {
  State& state = *state_;
  const HttpCallId id{++state.last_id};
  auto owned = std::make_unique<State::Call>();
  State::Call& call = *owned;
  state.calls.emplace(id, std::move(owned));
  call.state = &state;
  call.id = id;
  call.request = request.parsed_.get();
  call.start = state.loop.Now();
  call.deadline = deadline;
  call.done = std::move(done);
  if (call.request->dial_is_numeric && call.request->resolve_as == call.request->dial_host) {
    state.Begin(call);
  } else if (call.request->dial_is_numeric) {
    // An address under another name: curl is told so in Begin.
    state.Resolved(call, std::vector<std::string>{call.request->dial_host});
  } else {
    state.Resolve(call);
  }
  return id;
}

void HttpClient::Cancel(HttpCallId id) {
  auto it = state_->calls.find(id);
  if (it == state_->calls.end()) return;
  state_->Release(*it->second);
  state_->calls.erase(it);
  state_->Settle();
}

}  // namespace salve

#include "probes/tcp_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "probes/field_checks.h"
#include "probes/network_errors.h"
#include "probes/numeric_address.h"
#include "probes/quiet_close.h"
#include "probes/tls.h"
#include "re2/re2.h"

namespace salve {
namespace {

constexpr size_t kSentBytesMax = 64 * 1024;
constexpr size_t kAnswerBytesMax = 64 * 1024;
constexpr size_t kChunkBytes = 16 * 1024;

struct Address {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// Requires: IsNumericAddress(text).
Address MakeAddress(const std::string& text, uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
    return address;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  const size_t zone = text.find('%');
  inet_pton(AF_INET6, text.substr(0, zone).c_str(), &v6->sin6_addr);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  if (zone != std::string::npos) v6->sin6_scope_id = if_nametoindex(text.c_str() + zone + 1);
  address.size = sizeof *v6;
  return address;
}

class TcpProbe final : public Probe {
 public:
  TcpProbe(const config::TcpProbe& config, std::unique_ptr<RE2> expect, EventLoop& loop,
           Resolver& resolver)
      : host_(config.host().empty() ? "127.0.0.1" : config.host()),
        port_(static_cast<uint16_t>(config.port())),
        send_(config.send()),
        expect_(std::move(expect)),
        min_days_left_(config.tls().min_days_left()),
        loop_(loop),
        resolver_(resolver) {
    if (IsNumericAddress(host_)) fixed_.push_back(host_);
    if (config.has_tls()) {
      const config::Tls& tls = config.tls();
      tls_client_.emplace(
          TlsClient::Options{.verify = !tls.has_verify() || tls.verify(),
                             .ca_file = tls.ca_file(),
                             .server_name = tls.server_name().empty() ? host_ : tls.server_name()});
    }
  }

  ~TcpProbe() override { CloseAll(); }

  void Start(Instant deadline, ObservationDone done) override {
    start_ = loop_.Now();
    deadline_ = deadline;
    done_ = std::move(done);
    connected_at_ = handshaken_at_ = start_;
    sent_ = 0;
    answer_.clear();
    days_left_.reset();
    remote_address_.clear();
    if (!fixed_.empty()) {
      ConnectTo(fixed_);
      return;
    }
    SetTimer(deadline_, [this] { TimeOut("resolving " + host_); });
    resolving_ =
        resolver_.Resolve(host_, [this](const absl::StatusOr<std::vector<std::string>>& addresses) {
          resolving_ = ResolveId::kNone;
          if (addresses.ok()) {
            ConnectTo(*addresses);
          } else {
            Finish(ResolveError(addresses.status(), loop_.Now() - start_));
          }
        });
  }

 private:
  // One after another, until one connects.
  void ConnectTo(std::vector<std::string> addresses) {
    addresses_ = std::move(addresses);
    next_address_ = 0;
    ConnectToNext();
  }

  void ConnectToNext() {
    const std::string& text = addresses_[next_address_++];
    const Address address = MakeAddress(text, port_);
    remote_address_ = HostAndPort(text, port_);
    fd_ = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) {
      SocketFailed(errno);
      return;
    }
    int result = connect(fd_, address.get(), address.size);
    // On this machine the connection stands as soon as the first call is back: asking once more
    // is cheaper than to wait for the loop to say so.
    if (result != 0 && errno == EINPROGRESS) result = connect(fd_, address.get(), address.size);
    if (result == 0 || errno == EISCONN) {
      Connected();
    } else if (errno == EALREADY || errno == EINPROGRESS) {
      AwaitConnection();
    } else {
      ConnectFailed(errno);
    }
  }

  void AwaitConnection() {
    // An address that swallows everything must leave time for the others.
    const int64_t left = static_cast<int64_t>(addresses_.size() - next_address_) + 1;
    const Instant now = loop_.Now();
    SetTimer(now + (deadline_ - now) / left, [this] {
      if (next_address_ == addresses_.size()) {
        TimeOut("connecting");
      } else {
        CloseSocket();
        ConnectToNext();
      }
    });
    Await(kWritable, [this](int) {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error == 0) {
        Connected();
      } else {
        ConnectFailed(error);
      }
    });
  }

  void SocketFailed(int error) {
    if (next_address_ < addresses_.size()) {
      ConnectToNext();  // IPv6 is switched off, say.
    } else {
      Finish(SocketError(error, "cannot open a socket"));
    }
  }

  void ConnectFailed(int error) {
    CloseSocket();
    if (next_address_ < addresses_.size()) {
      ConnectToNext();
    } else {
      Finish(SocketError(error, "cannot connect to " + remote_address_));
    }
  }

  void Connected() {
    StopWaiting();
    connected_at_ = handshaken_at_ = loop_.Now();
    if (!tls_client_.has_value()) {
      Talk();
      return;
    }
    auto session = tls_client_->NewSession(fd_);
    if (!session.ok()) {
      Finish(Rejected(std::string(session.status().message())));
      return;
    }
    tls_ = *std::move(session);
    SetTimer(deadline_, [this] { TimeOut("negotiating TLS"); });
    Handshake();
  }

  void Handshake() {
    ERR_clear_error();
    const int result = SSL_connect(tls_.get());
    if (result != 1) {
      if (!AwaitTls(result, [this] { Handshake(); })) {
        Finish(Failed(absl::StrCat("TLS with ", remote_address_, ": ", TlsErrorText(tls_.get()))));
      }
      return;
    }
    handshaken_at_ = loop_.Now();
    days_left_ = CertificateDaysLeft(tls_.get(), loop_.clock().WallNow());
    if (days_left_.has_value() && *days_left_ < min_days_left_) {
      Finish(Failed(absl::StrFormat("the certificate ends in %.1f days, expected at least %d",
                                    *days_left_, min_days_left_)));
      return;
    }
    Talk();
  }

  void Talk() {
    if (sent_ == send_.size() && expect_ == nullptr) {
      Finish(Observation{});
      return;
    }
    SetTimer(deadline_,
             [this] { TimeOut(sent_ < send_.size() ? "sending" : "waiting for the answer"); });
    Send();
  }

  void Send() {
    while (sent_ < send_.size()) {
      const ssize_t n = WriteSome(send_.data() + sent_, send_.size() - sent_);
      if (n > 0) {
        sent_ += static_cast<size_t>(n);
      } else {
        if (!AwaitIo(n, kWritable, [this] { Send(); })) Finish(IoFailure());
        return;
      }
    }
    if (expect_ == nullptr) {
      Finish(Observation{});
    } else {
      Receive();
    }
  }

  void Receive() {
    char chunk[kChunkBytes];
    const ssize_t n = ReadSome(chunk, std::min(sizeof chunk, kAnswerBytesMax - answer_.size()));
    if (n < 0) {
      if (!AwaitIo(n, kReadable, [this] { Receive(); })) Finish(IoFailure());
      return;
    }
    answer_.append(chunk, static_cast<size_t>(n));
    if (RE2::PartialMatch(answer_, *expect_)) {
      Finish(Observation{});
    } else if (n == 0 || answer_.size() == kAnswerBytesMax) {
      Finish(Failed(absl::StrCat("the answer (", answer_.size(), " bytes) does not match '",
                                 expect_->pattern(), "'")));
    } else {
      // By way of the loop: who sends without an end must not hold it.
      if (tls_ != nullptr && SSL_pending(tls_.get()) > 0) {
        Receive();
      } else {
        Await(kReadable, [this](int) { Receive(); });
      }
    }
  }

  // As write and read: -1 when it must wait or failed, 0 at the end.
  ssize_t WriteSome(const char* bytes, size_t size) {
    if (tls_ == nullptr) return send(fd_, bytes, size, MSG_NOSIGNAL);
    ERR_clear_error();
    last_tls_result_ = SSL_write(tls_.get(), bytes, static_cast<int>(size));
    return last_tls_result_ > 0 ? last_tls_result_ : -1;
  }

  ssize_t ReadSome(char* bytes, size_t size) {
    if (tls_ == nullptr) return recv(fd_, bytes, size, 0);
    ERR_clear_error();
    last_tls_result_ = SSL_read(tls_.get(), bytes, static_cast<int>(size));
    if (last_tls_result_ > 0) return last_tls_result_;
    return SSL_get_error(tls_.get(), last_tls_result_) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
  }

  // False when it need not wait: it failed.
  bool AwaitIo(ssize_t result, int events, Task go_on) {
    if (tls_ != nullptr) return AwaitTls(last_tls_result_, std::move(go_on));
    if (result == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return false;
    Await(events, [go_on = std::move(go_on)](int) mutable { go_on(); });
    return true;
  }

  bool AwaitTls(int result, Task go_on) {
    const int error = SSL_get_error(tls_.get(), result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return false;
    Await(error == SSL_ERROR_WANT_READ ? kReadable : kWritable,
          [go_on = std::move(go_on)](int) mutable { go_on(); });
    return true;
  }

  Observation IoFailure() const {
    const int error = errno;
    if (tls_ != nullptr) {
      return Failed(absl::StrCat("TLS with ", remote_address_, ": ", TlsErrorText(tls_.get())));
    }
    return SocketError(error, "connection to " + remote_address_);
  }

  void Await(int events, FdCallback ready) {
    if (watch_ != WatchId::kNone && watched_events_ == events) {
      // The same watch goes on; only what follows is another.
      on_ready_ = std::make_shared<FdCallback>(std::move(ready));
      return;
    }
    loop_.UnwatchFd(watch_);
    watched_events_ = events;
    on_ready_ = std::make_shared<FdCallback>(std::move(ready));
    watch_ = loop_.WatchFd(fd_, events, [this](int got) {
      const std::shared_ptr<FdCallback> current = on_ready_;  // It may set another.
      (*current)(got);
    });
    if (watch_ == WatchId::kNone) {
      SetTimer(loop_.Now(), [this] { Finish(Rejected("the connection cannot be watched")); });
    }
  }

  void SetTimer(Instant when, Task task) {
    loop_.CancelTimer(timer_);
    timer_ = loop_.CallAt(when, [this, task = std::move(task)]() mutable {
      timer_ = TimerId::kNone;
      task();
    });
  }

  void StopWaiting() {
    loop_.UnwatchFd(std::exchange(watch_, WatchId::kNone));
    loop_.CancelTimer(std::exchange(timer_, TimerId::kNone));
  }

  void CloseSocket() {
    StopWaiting();
    tls_.reset();
    if (fd_ >= 0) CloseQuietly(std::exchange(fd_, -1));
  }

  void CloseAll() {
    resolver_.Cancel(std::exchange(resolving_, ResolveId::kNone));
    CloseSocket();
  }

  void TimeOut(absl::string_view phase) { Finish(TimedOutWhile(loop_.Now() - start_, phase)); }

  void Finish(Observation observation) {
    CloseAll();
    observation.values.push_back(
        {"latency_ms", absl::ToDoubleMilliseconds(loop_.Now() - start_), "ms"});
    if (days_left_.has_value()) {
      observation.values.push_back({"tls_days_left", *days_left_, "days"});
    }
    auto& attributes = observation.attributes;
    if (!remote_address_.empty()) attributes.emplace_back("remote_address", remote_address_);
    AddTime("connect_ms", connected_at_ - start_, attributes);
    AddTime("tls_ms", handshaken_at_ - connected_at_, attributes);
    std::exchange(done_, nullptr)(std::move(observation));
  }

  static void AddTime(const char* name, absl::Duration duration,
                      std::vector<std::pair<std::string, std::string>>& attributes) {
    if (duration <= absl::ZeroDuration()) return;
    attributes.emplace_back(name, absl::StrFormat("%.3f", absl::ToDoubleMilliseconds(duration)));
  }

  const std::string host_;
  const uint16_t port_;
  const std::string send_;
  const std::unique_ptr<RE2> expect_;
  const uint32_t min_days_left_;
  EventLoop& loop_;
  Resolver& resolver_;
  std::vector<std::string> fixed_;  // The host, when it is an address.
  std::optional<TlsClient> tls_client_;

  // Of the running look.
  Instant start_, deadline_, connected_at_, handshaken_at_;
  ObservationDone done_;
  ResolveId resolving_ = ResolveId::kNone;
  std::vector<std::string> addresses_;
  size_t next_address_ = 0;
  std::string remote_address_;
  int fd_ = -1;
  TlsSession tls_;
  int last_tls_result_ = 0;
  std::optional<double> days_left_;
  size_t sent_ = 0;
  std::string answer_;
  TimerId timer_ = TimerId::kNone;
  WatchId watch_ = WatchId::kNone;
  int watched_events_ = 0;
  std::shared_ptr<FdCallback> on_ready_;
};

}  // namespace

absl::Status CheckTcpProbe(const config::TcpProbe& config) {
  RETURN_IF_ERROR(CheckLength("tcp.host", config.host(), 253));
  RETURN_IF_ERROR(CheckRange("tcp.port", config.port(), 1, 65535));
  RETURN_IF_ERROR(CheckLength("tcp.send", config.send(), kSentBytesMax));
  RETURN_IF_ERROR(CompilePattern("tcp.expect", config.expect()).status());
  return CheckTls("tcp.tls", config.tls());
}

absl::StatusOr<std::unique_ptr<Probe>> NewTcpProbe(const config::TcpProbe& config, EventLoop& loop,
                                                   Resolver& resolver) {
  RETURN_IF_ERROR(CheckTcpProbe(config));
  ASSIGN_OR_RETURN(std::unique_ptr<RE2> expect, CompilePattern("tcp.expect", config.expect()));
  return std::make_unique<TcpProbe>(config, std::move(expect), loop, resolver);
}

}  // namespace salve

#include "probes/conversation.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "probes/network_errors.h"
#include "probes/numeric_address.h"
#include "probes/quiet_close.h"
#include "probes/socket_address.h"

namespace salve {
namespace {

constexpr size_t kChunkBytes = 16 * 1024;
// How long the peer has to close after our farewell, and how much it may still say.
constexpr absl::Duration kPartingTime = absl::Milliseconds(500);
constexpr size_t kPartingBytesMax = 64 * 1024;
// Between two tries of a Unix socket whose queue is full: the kernel does not tell when it no
// longer is.
constexpr absl::Duration kQueueRetry = absl::Milliseconds(20);

template <typename T>
void MoveTo(std::vector<T>& to, std::vector<T>& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

class Conversation final : public Probe {
 public:
  Conversation(ConversationOptions options, EventLoop& loop, Resolver& resolver)
      : options_(std::move(options)),
        is_unix_(!options_.host.empty() && options_.host[0] == '/'),
        loop_(loop),
        resolver_(resolver) {
    // A path stands as the one address of its own.
    if (is_unix_ || IsNumericAddress(options_.host)) fixed_.push_back(options_.host);
    if (options_.tls.has_value()) tls_client_.emplace(*options_.tls);
  }

  ~Conversation() override { CloseAll(); }

  void Start(Instant deadline, ObservationDone done) override {
    start_ = loop_.Now();
    deadline_ = deadline;
    done_ = std::move(done);
    connected_at_ = tls_began_at_ = handshaken_at_ = start_;
    step_ = Step();
    sent_ = 0;
    days_left_.reset();
    judged_ = Observation();
    remote_address_.clear();
    auto dialogue = options_.make_dialogue();
    if (!dialogue.ok()) {
      Finish(Rejected(std::string(dialogue.status().message())));
      return;
    }
    dialogue_ = *std::move(dialogue);
    if (fixed_.empty()) {
      Resolve();
    } else {
      ConnectTo(fixed_);
    }
  }

 private:
  void Resolve() {
    SetTimer(deadline_, [this] { TimeOut("resolving " + options_.host); });
    resolving_ = resolver_.Resolve(
        options_.host, [this](const absl::StatusOr<std::vector<std::string>>& addresses) {
          resolving_ = ResolveId::kNone;
          if (addresses.ok()) {
            ConnectTo(*addresses);
          } else {
            Finish(ResolveError(addresses.status(), loop_.Now() - start_));
          }
        });
  }

  // --- Connecting: one address after another, until one connects.

  void ConnectTo(std::vector<std::string> addresses) {
    addresses_ = std::move(addresses);
    next_address_ = 0;
    ConnectToNext();
  }

  void ConnectToNext() {
    const std::string& text = addresses_[next_address_++];
    remote_address_ = is_unix_ ? text : HostAndPort(text, options_.port);
    if (options_.needs_secrecy && !options_.tls.has_value() && !is_unix_ && !IsLoopback(text)) {
      Finish(Rejected(absl::StrCat("no password is sent to ", remote_address_, " without TLS")));
      return;
    }
    const SocketAddress address = is_unix_ ? UnixAddress(text) : IpAddress(text, options_.port);
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
    } else if (errno == EAGAIN && is_unix_) {
      AwaitQueue();
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

  void AwaitQueue() {
    CloseSocket();
    SetTimer(std::min(deadline_, loop_.Now() + kQueueRetry), [this] {
      if (loop_.Now() >= deadline_) {
        TimeOut("connecting");
      } else {
        ConnectTo(fixed_);
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
    connected_at_ = tls_began_at_ = handshaken_at_ = loop_.Now();
    if (options_.tls_from_start) {
      StartTls();
    } else {
      Take(dialogue_->Begin());
    }
  }

  // --- TLS.

  void StartTls() {
    CHECK(tls_client_.has_value());
    auto session = tls_client_->NewSession(fd_);
    if (!session.ok()) {
      Finish(Rejected(std::string(session.status().message())));
      return;
    }
    tls_ = *std::move(session);
    // The last words of the handshake and the first ones within it go one after another: the kernel
    // would hold these back until the peer has acknowledged those, for 40 ms.
    const int at_once = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    tls_began_at_ = handshaken_at_ = loop_.Now();
    SetTimer(deadline_, [this] { TimeOut("negotiating TLS"); });
    Handshake();
  }

  void Handshake() {
    ERR_clear_error();
    const int result = SSL_connect(tls_.get());
    if (result != 1) {
      if (!AwaitTls(result, [this] { Handshake(); })) Finish(TlsFailure());
      return;
    }
    handshaken_at_ = loop_.Now();
    loop_.CancelTimer(std::exchange(timer_, TimerId::kNone));
    if (Observation fault = JudgeTls(); fault.outcome != Outcome::kSucceeded) {
      Finish(std::move(fault));
    } else {
      Take(options_.tls_from_start ? dialogue_->Begin() : dialogue_->OnTls());
    }
  }

  Observation JudgeTls() {
    if (options_.judge_tls != nullptr) {
      judged_ = options_.judge_tls(tls_.get());
      Observation verdict;
      verdict.outcome = judged_.outcome;
      verdict.error = judged_.error;
      return verdict;
    }
    days_left_ = CertificateDaysLeft(tls_.get(), loop_.clock().WallNow());
    if (!days_left_.has_value() || !EndsTooSoon(*days_left_, options_.min_days_left)) return {};
    return Failed(EndsTooSoonText(*days_left_, options_.min_days_left));
  }

  // --- The dialogue.

  void Take(Step step) {
    step_ = std::move(step);
    sent_ = 0;
    const bool must_wait = !step_.send.empty() || step_.next == Step::Next::kListen;
    if (must_wait && timer_ == TimerId::kNone) {
      SetTimer(deadline_, [this] { OutOfTime(); });
    }
    Send();
  }

  void Send() {
    while (sent_ < step_.send.size()) {
      const ssize_t n = WriteSome(step_.send.data() + sent_, step_.send.size() - sent_);
      if (n > 0) {
        sent_ += static_cast<size_t>(n);
      } else {
        if (!AwaitIo(n, kWritable, [this] { Send(); })) Broken();
        return;
      }
    }
    switch (step_.next) {
      case Step::Next::kListen:
        // By way of the loop: who sends without an end must not hold it. What OpenSSL has read
        // already is no more than a record, and the descriptor does not tell of it.
        if (tls_ != nullptr && SSL_pending(tls_.get()) > 0) {
          Receive();
        } else {
          Await(kReadable, [this](int) { Receive(); });
        }
        return;
      case Step::Next::kStartTls:
        StartTls();
        return;
      case Step::Next::kDone:
        RefuseSuccessWithoutTls();
        Part();
        return;
    }
  }

  // Whatever a peer says to a dialogue: where TLS is asked for nothing passes without.
  void RefuseSuccessWithoutTls() {
    if (!options_.tls.has_value() || tls_ != nullptr) return;
    if (step_.seen.outcome == Outcome::kSucceeded) step_.seen = Failed("TLS has not begun");
  }

  void Receive() {
    char chunk[kChunkBytes];
    const ssize_t n = ReadSome(chunk, sizeof chunk);
    if (n > 0) {
      Take(dialogue_->OnBytes(absl::string_view(chunk, static_cast<size_t>(n))));
    } else if (n == 0) {
      Step last = dialogue_->OnEnd();
      CHECK(last.next == Step::Next::kDone);
      Take(std::move(last));
    } else if (!AwaitIo(n, kReadable, [this] { Receive(); })) {
      Broken();
    }
  }

  void Broken() {
    Observation failure = IoFailure();
    std::optional<Observation> so_far = SoFar();
    Finish(so_far.has_value() ? *std::move(so_far) : std::move(failure));
  }

  void OutOfTime() {
    if (std::optional<Observation> so_far = SoFar(); so_far.has_value()) {
      Finish(*std::move(so_far));
    } else {
      TimeOut(sent_ < step_.send.size() ? absl::string_view("sending") : dialogue_->phase());
    }
  }

  // Of a dialogue that is done nothing is asked.
  std::optional<Observation> SoFar() const {
    return step_.next == Step::Next::kListen ? dialogue_->SoFar() : std::nullopt;
  }

  // The look is decided; what remains is a matter of manners.
  void Part() {
    const Instant now = loop_.Now();
    const std::string& farewell = step_.farewell;
    if ((farewell.empty() && !step_.half_close) || now >= deadline_) {
      Finish(std::move(step_.seen));
      return;
    }
    finished_at_ = now;
    if (!farewell.empty() &&
        WriteSome(farewell.data(), farewell.size()) != static_cast<ssize_t>(farewell.size())) {
      Finish(std::move(step_.seen));
      return;
    }
    if (step_.half_close) {
      ERR_clear_error();
      if (tls_ != nullptr) SSL_shutdown(tls_.get());
      shutdown(fd_, SHUT_WR);
    }
    parting_bytes_ = 0;
    SetTimer(std::min(deadline_, now + kPartingTime), [this] { Finish(std::move(step_.seen)); });
    AwaitEnd();
  }

  void AwaitEnd() {
    Await(kReadable, [this](int) {
      char chunk[kChunkBytes];
      const ssize_t n = ReadSome(chunk, sizeof chunk);
      parting_bytes_ += static_cast<size_t>(std::max<ssize_t>(n, 0));
      if (n == 0 || parting_bytes_ > kPartingBytesMax) {
        Finish(std::move(step_.seen));
      } else if (n < 0 && !AwaitIo(n, kReadable, [this] { AwaitEnd(); })) {
        Finish(std::move(step_.seen));
      }
    });
  }

  // --- The socket.

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

  Observation TlsFailure() const {
    return Failed(absl::StrCat("TLS with ", remote_address_, ": ", TlsErrorText(tls_.get())));
  }

  Observation IoFailure() const {
    const int error = errno;
    return tls_ != nullptr ? TlsFailure() : SocketError(error, "connection to " + remote_address_);
  }

  void Await(int events, FdCallback ready) {
    on_ready_ = std::make_shared<FdCallback>(std::move(ready));
    // The same watch goes on; only what follows is another.
    if (watch_ != WatchId::kNone && watched_events_ == events) return;
    loop_.UnwatchFd(watch_);
    watched_events_ = events;
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

  // --- The end.

  void TimeOut(absl::string_view phase) { Finish(TimedOutWhile(loop_.Now() - start_, phase)); }

  // Nothing of this object is touched after it: `done` may destroy it.
  void Finish(Observation own) {
    CloseAll();
    dialogue_.reset();
    Observation observation;
    observation.outcome = own.outcome;
    observation.error = std::move(own.error);
    auto& values = observation.values;
    values = std::move(judged_.values);
    const Instant end = finished_at_.value_or(loop_.Now());
    finished_at_.reset();
    values.push_back({"latency_ms", absl::ToDoubleMilliseconds(end - start_), "ms"});
    if (days_left_.has_value()) values.push_back({"tls_days_left", *days_left_, "days"});
    MoveTo(values, own.values);
    auto& attributes = observation.attributes;
    if (!remote_address_.empty()) attributes.emplace_back("remote_address", remote_address_);
    AddTime("connect_ms", connected_at_ - start_, attributes);
    AddTime("tls_ms", handshaken_at_ - tls_began_at_, attributes);
    MoveTo(attributes, judged_.attributes);
    MoveTo(attributes, own.attributes);
    std::exchange(done_, nullptr)(std::move(observation));
  }

  static void AddTime(const char* name, absl::Duration duration,
                      std::vector<std::pair<std::string, std::string>>& attributes) {
    if (duration <= absl::ZeroDuration()) return;
    attributes.emplace_back(name, absl::StrFormat("%.3f", absl::ToDoubleMilliseconds(duration)));
  }

  const ConversationOptions options_;
  const bool is_unix_;
  EventLoop& loop_;
  Resolver& resolver_;
  std::vector<std::string> fixed_;  // The host, when it is no name.
  std::optional<TlsClient> tls_client_;

  // Of the running look.
  Instant start_, deadline_, connected_at_, tls_began_at_, handshaken_at_;
  std::optional<Instant> finished_at_;  // Before the farewell.
  ObservationDone done_;
  std::unique_ptr<Dialogue> dialogue_;
  ResolveId resolving_ = ResolveId::kNone;
  std::vector<std::string> addresses_;
  size_t next_address_ = 0;
  std::string remote_address_;
  int fd_ = -1;
  TlsSession tls_;
  int last_tls_result_ = 0;
  std::optional<double> days_left_;
  Observation judged_;
  Step step_;
  size_t sent_ = 0;
  size_t parting_bytes_ = 0;
  TimerId timer_ = TimerId::kNone;
  WatchId watch_ = WatchId::kNone;
  int watched_events_ = 0;
  std::shared_ptr<FdCallback> on_ready_;
};

}  // namespace

std::unique_ptr<Probe> NewConversation(ConversationOptions options, EventLoop& loop,
                                       Resolver& resolver) {
  return std::make_unique<Conversation>(std::move(options), loop, resolver);
}

}  // namespace salve

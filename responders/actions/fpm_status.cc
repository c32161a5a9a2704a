#include "responders/actions/fpm_status.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/host.h"
#include "responders/actions/fastcgi.h"

namespace salve {
namespace {

constexpr absl::Duration kTryAgain = absl::Milliseconds(50);

absl::StatusOr<FpmAddress> UnixAddress(absl::string_view path) {
  FpmAddress made;
  auto& address = reinterpret_cast<sockaddr_un&>(made.address);
  if (path.empty() || path[0] != '/' || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is no full path of at most ",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(), path.size());
  made.size = sizeof(address);
  return made;
}

absl::StatusOr<FpmAddress> TcpAddress(absl::string_view text) {
  FpmAddress made;
  auto& v4 = reinterpret_cast<sockaddr_in&>(made.address);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(made.address);
  const size_t colon = text.rfind(':');
  int port = 0;
  std::string host(text.substr(0, colon));
  if (colon != absl::string_view::npos && absl::SimpleAtoi(text.substr(colon + 1), &port) &&
      port >= 1 && port <= 65535) {
    if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
      v4.sin_family = AF_INET;
      v4.sin_port = htons(static_cast<uint16_t>(port));
      made.size = sizeof(v4);
      return made;
    }
    if (host.size() > 2 && host.front() == '[' && host.back() == ']' &&
        inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6.sin6_addr) == 1) {
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(static_cast<uint16_t>(port));
      made.size = sizeof(v6);
      return made;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no ADDRESS:PORT"));
}

}  // namespace

absl::StatusOr<FpmAddress> ParseFpmAddress(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "unix:")) return UnixAddress(text);
  if (absl::ConsumePrefix(&text, "tcp:")) return TcpAddress(text);
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' begins neither with unix: nor with tcp:"));
}

void FpmStatus::Ask(const FpmAddress& address, const std::string& path, Instant deadline,
                    Done done) {
  address_ = address;
  done_ = std::move(done);
  to_send_ = FastCgiGet(path);
  received_.clear();
  deadline_ = loop_.CallAt(deadline, [this] {
    Finish(absl::DeadlineExceededError("the status page did not answer in time"));
  });
  retry_ = loop_.CallAt(loop_.Now(), [this] { Connect(); });
}

void FpmStatus::Connect() {
  socket_.reset(socket(address_.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_.is_open()) return Finish(ErrnoStatus(errno, "socket"));
  const auto* address = reinterpret_cast<const sockaddr*>(&address_.address);
  if (connect(socket_.get(), address, address_.size) != 0 && errno != EINPROGRESS) {
    // The queue of a Unix socket is full: there is no way to await its turn but to come again.
    if (errno == EAGAIN) {
      retry_ = loop_.CallAfter(kTryAgain, [this] { Connect(); });
      return;
    }
    return Finish(absl::UnavailableError(ErrnoStatus(errno, "connect").message()));
  }
  watch_ =
      loop_.WatchFd(socket_.get(), kReadable | kWritable, [this](int events) { Ready(events); });
  if (watch_ == WatchId::kNone) Finish(absl::UnavailableError("no descriptor can be watched"));
}

void FpmStatus::Ready(int events) {
  if ((events & kWritable) != 0 && !to_send_.empty()) return Send();
  if ((events & kReadable) != 0) Read();
}

void FpmStatus::Send() {
  const ssize_t sent = send(socket_.get(), to_send_.data(), to_send_.size(), MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (sent < 0) return Finish(absl::UnavailableError(ErrnoStatus(errno, "send").message()));
  to_send_.erase(0, static_cast<size_t>(sent));
  if (!to_send_.empty()) return;
  // A socket that is always writable would call for ever.
  loop_.UnwatchFd(watch_);
  watch_ = loop_.WatchFd(socket_.get(), kReadable, [this](int events) { Ready(events); });
  if (watch_ == WatchId::kNone) Finish(absl::UnavailableError("no descriptor can be watched"));
}

void FpmStatus::Read() {
  char buffer[16 * 1024];
  const ssize_t n = recv(socket_.get(), buffer, sizeof(buffer), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) return Finish(absl::UnavailableError(ErrnoStatus(errno, "recv").message()));
  if (n == 0) return Finish(absl::UnavailableError("the connection was closed without an answer"));
  received_.append(buffer, static_cast<size_t>(n));
  absl::StatusOr<FastCgiAnswer> answer = ReadFastCgiAnswer(received_);
  if (!answer.ok()) return Finish(answer.status());
  if (!answer->is_complete) return;
  if (answer->status / 100 != 2) {
    return Finish(absl::UnavailableError(
        absl::StrCat("the answer is no status page: status ", answer->status)));
  }
  Finish(std::move(answer->body));
}

void FpmStatus::Finish(absl::StatusOr<std::string> page) {
  Close();
  Done done = std::exchange(done_, nullptr);
  done(std::move(page));
}

void FpmStatus::Close() {
  loop_.CancelTimer(retry_);
  loop_.CancelTimer(deadline_);
  loop_.UnwatchFd(std::exchange(watch_, WatchId::kNone));
  socket_.reset();
}

std::string FpmStatusText(absl::string_view page) {
  std::vector<std::string> told;
  for (absl::string_view line : absl::StrSplit(page, '\n')) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    int number;
    for (const char* name : {"listen queue", "idle processes", "active processes"}) {
      if (field.first == name && absl::SimpleAtoi(field.second, &number)) {
        told.push_back(absl::StrCat(name, " ", number));
      }
    }
    if (told.size() >= 3) break;
  }
  return told.empty() ? "answered" : absl::StrJoin(told, ", ");
}

}  // namespace salve

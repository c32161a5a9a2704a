#include "agent/tcp_acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/listening_socket.h"

namespace salve {
namespace {

constexpr int kBacklog = 128;
constexpr int kPauseMs = 100;  // When no descriptor is left.

std::optional<uint64_t> InodeOf(int fd) {
  struct stat file = {};
  if (fstat(fd, &file) != 0 || !S_ISSOCK(file.st_mode)) return std::nullopt;
  return file.st_ino;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TcpAcceptor>> TcpAcceptor::Listen(const ListenAddress& address,
                                                                 int connections_max) {
  absl::StatusOr<UniqueFd> listener = ListenAt(address, kBacklog);
  UniqueFd stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (listener.ok() && !stop.is_open()) listener = absl::UnavailableError(strerror(errno));
  if (!listener.ok()) {
    return absl::UnavailableError(absl::StrCat("cannot listen at ", address.address, " port ",
                                               address.port, ": ", listener.status().message()));
  }
  const int port = PortOf(listener->get());
  return std::unique_ptr<TcpAcceptor>(
      new TcpAcceptor(*std::move(listener), std::move(stop), port, connections_max));
}

TcpAcceptor::TcpAcceptor(UniqueFd listener, UniqueFd stop, int port, int connections_max)
    : listener_(std::move(listener)),
      stop_(std::move(stop)),
      port_(port),
      connections_max_(static_cast<size_t>(connections_max)) {}

TcpAcceptor::~TcpAcceptor() { Stop(); }

void TcpAcceptor::Start(std::function<void(int fd)> take) {
  thread_ = std::thread([this, take = std::move(take)] { Run(take); });
}

void TcpAcceptor::Stop() {
  eventfd_write(stop_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

void TcpAcceptor::Run(const std::function<void(int fd)>& take) {
  pollfd fds[2] = {{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
  while (true) {
    poll(fds, 2, -1);
    if (fds[0].revents != 0) return;
    if (fds[1].revents != 0 && !Accept(take)) poll(fds, 1, kPauseMs);
  }
}

bool TcpAcceptor::Accept(const std::function<void(int fd)>& take) {
  UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection.is_open()) return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
  const int on = 1;
  setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  {
    MutexLock lock(&mu_);
    if (open_.size() >= connections_max_) ForgetClosed();
    if (open_.size() >= connections_max_) return true;
    open_[connection.get()] = InodeOf(connection.get()).value_or(0);
  }
  take(connection.release());
  return true;
}

void TcpAcceptor::ForgetClosed() {
  std::erase_if(open_, [](const auto& entry) { return InodeOf(entry.first) != entry.second; });
}

int TcpAcceptor::connections() {
  MutexLock lock(&mu_);
  ForgetClosed();
  return static_cast<int>(open_.size());
}

}  // namespace salve

#include "agent/tcp_acceptor.h"

#include <arpa/inet.h>
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

namespace salve {
namespace {

constexpr int kBacklog = 128;
constexpr int kPauseMs = 100;  // When no descriptor is left.

std::optional<uint64_t> InodeOf(int fd) {
  struct stat file = {};
  if (fstat(fd, &file) != 0 || !S_ISSOCK(file.st_mode)) return std::nullopt;
  return file.st_ino;
}

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

SocketAddress AddressOf(const ListenAddress& address) {
  SocketAddress result;
  if (address.is_ipv6) {
    auto* six = reinterpret_cast<sockaddr_in6*>(&result.storage);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(address.port);
    inet_pton(AF_INET6, address.address.c_str(), &six->sin6_addr);
    result.size = sizeof(*six);
  } else {
    auto* four = reinterpret_cast<sockaddr_in*>(&result.storage);
    four->sin_family = AF_INET;
    four->sin_port = htons(address.port);
    inet_pton(AF_INET, address.address.c_str(), &four->sin_addr);
    result.size = sizeof(*four);
  }
  return result;
}

int PortOf(int fd) {
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                           : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TcpAcceptor>> TcpAcceptor::Listen(const ListenAddress& address,
                                                                 int connections_max) {
  const SocketAddress where = AddressOf(address);
  const int on = 1;
  UniqueFd listener(socket(where.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  UniqueFd stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!listener.is_open() || !stop.is_open() ||
      setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(listener.get(), reinterpret_cast<const sockaddr*>(&where.storage), where.size) != 0 ||
      listen(listener.get(), kBacklog) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen at ", address.address, " port ",
                                               address.port, ": ", strerror(errno)));
  }
  const int port = PortOf(listener.get());
  return std::unique_ptr<TcpAcceptor>(
      new TcpAcceptor(std::move(listener), std::move(stop), port, connections_max));
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

#include "probes/ares_channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/time.h>

#include <utility>

#include "probes/network_errors.h"
#include "probes/quiet_close.h"

namespace salve {
namespace {

constexpr size_t kServersMax = 16;
constexpr uint16_t kDnsPort = 53;
// c-ares reads datagrams until there are no more: who sends without an end must not hold the loop.
constexpr int kReceivesPerTurn = 64;

}  // namespace

AresChannel::AresChannel(EventLoop& loop, Options options)
    : loop_(loop), options_(std::move(options)) {}

AresChannel::~AresChannel() { Close(); }

bool AresChannel::Open() {
  ares_options ares = {};
  int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS;
  char lookups[] = "fb";  // /etc/hosts, then DNS.
  ares.lookups = lookups;
  ares.timeout = static_cast<int>(absl::ToInt64Milliseconds(options_.server_timeout));
  ares.tries = options_.tries;
  if (options_.tcp) ares.flags |= ARES_FLAG_USEVC;
  if (options_.hands_out_failures) ares.flags |= ARES_FLAG_NOCHECKRESP | ARES_FLAG_IGNTC;
  if (ares.flags != 0) mask |= ARES_OPT_FLAGS;
  ares.sock_state_cb_data = this;
  ares.sock_state_cb = [](void* self, ares_socket_t fd, int read, int write) {
    static_cast<AresChannel*>(self)->SocketWants(fd, read != 0, write != 0);
  };
  if (ares_init_options(&channel_, &ares, mask) != ARES_SUCCESS) {
    channel_ = nullptr;
    return false;
  }
  SetSocketFunctions();
  if (!options_.servers.empty() &&
      ares_set_servers_ports_csv(channel_, options_.servers.c_str()) != ARES_SUCCESS) {
    Close();
    return false;
  }
  return true;
}

void AresChannel::Close() {
  if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
  for (auto& [fd, watch] : watches_) loop_.UnwatchFd(watch);
  watches_.clear();
  loop_.CancelTimer(std::exchange(timer_, TimerId::kNone));
}

// c-ares' own would do, but that they tell nobody why they failed, leave ports of ours in
// TIME_WAIT, and read without an end.
void AresChannel::SetSocketFunctions() {
  static const ares_socket_functions kFunctions = {
      .asocket = [](int domain, int type, int protocol, void* self) -> ares_socket_t {
        const int fd = socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
        return static_cast<int>(static_cast<AresChannel*>(self)->Noted(fd));
      },
      .aclose =
          [](ares_socket_t fd, void*) {
            CloseQuietly(fd);
            return 0;
          },
      .aconnect =
          [](ares_socket_t fd, const sockaddr* address, ares_socklen_t size, void* self) {
            return static_cast<int>(
                static_cast<AresChannel*>(self)->Noted(connect(fd, address, size)));
          },
      .arecvfrom = [](ares_socket_t fd, void* bytes, size_t size, int flags, sockaddr* from,
                      ares_socklen_t* from_size, void* self) -> ares_ssize_t {
        return static_cast<AresChannel*>(self)->Receive(fd, bytes, size, flags, from, from_size);
      },
      .asendv = [](ares_socket_t fd, const iovec* parts, int count, void* self) -> ares_ssize_t {
        return static_cast<AresChannel*>(self)->Send(fd, parts, count);
      },
  };
  ares_set_socket_functions(channel_, &kFunctions, this);
}

ssize_t AresChannel::Noted(ssize_t result) {
  if (result < 0 && errno != EAGAIN && errno != EINPROGRESS) {
    ++socket_errors_;
    last_socket_error_ = errno;
  }
  return result;
}

ssize_t AresChannel::Receive(int fd, void* bytes, size_t size, int flags, sockaddr* from,
                             socklen_t* from_size) {
  if (--receives_left_ < 0) {
    errno = EAGAIN;  // The loop says at once that there is more.
    return -1;
  }
  return Noted(recvfrom(fd, bytes, size, flags, from, from_size));
}

// A refusal that was meant for the question before is told to the next one to be sent, which then
// ends while the other waits for ever: so that one is sent once more.
ssize_t AresChannel::Send(int fd, const iovec* parts, int count) {
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<size_t>(count);
  ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  if (sent < 0 && errno == ECONNREFUSED) {
    sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EPIPE) errno = ECONNREFUSED;  // Of TCP: it was meant for this one.
  }
  return Noted(sent);
}

void AresChannel::SocketWants(int fd, bool read, bool write) {
  if (auto it = watches_.find(fd); it != watches_.end()) {
    loop_.UnwatchFd(it->second);
    watches_.erase(it);
  }
  if (!read && !write) return;
  const int events = (read ? kReadable : 0) | (write ? kWritable : 0);
  // When it cannot be watched, the query ends by its own time-out.
  watches_[fd] = loop_.WatchFd(fd, events, [this, fd](int ready) {
    Process((ready & kReadable) != 0 ? fd : ARES_SOCKET_BAD,
            (ready & kWritable) != 0 ? fd : ARES_SOCKET_BAD);
  });
}

void AresChannel::Process(int read_fd, int write_fd) {
  if (channel_ == nullptr) return;
  receives_left_ = kReceivesPerTurn;
  ares_process_fd(channel_, read_fd, write_fd);
  ArmTimer();
}

void AresChannel::ArmTimer() {
  loop_.CancelTimer(std::exchange(timer_, TimerId::kNone));
  timeval left;
  if (channel_ == nullptr || ares_timeout(channel_, nullptr, &left) == nullptr) return;
  timer_ = loop_.CallAfter(absl::DurationFromTimeval(left), [this] {
    timer_ = TimerId::kNone;
    Process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  });
}

std::vector<std::string> SystemNameServers() {
  std::vector<std::string> servers;
  ares_channel channel = nullptr;
  if (ares_init(&channel) != ARES_SUCCESS) return servers;
  ares_addr_port_node* first = nullptr;
  if (ares_get_servers_ports(channel, &first) == ARES_SUCCESS) {
    for (const ares_addr_port_node* node = first; node != nullptr; node = node->next) {
      char text[INET6_ADDRSTRLEN];
      if (servers.size() == kServersMax) break;
      if (inet_ntop(node->family, &node->addr, text, sizeof text) == nullptr) continue;
      servers.push_back(HostAndPort(text, node->udp_port == 0 ? kDnsPort : node->udp_port));
    }
    ares_free_data(first);
  }
  ares_destroy(channel);
  return servers;
}

}  // namespace salve

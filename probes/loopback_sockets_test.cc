#include "probes/loopback_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

namespace salve {
namespace {

sockaddr_storage AddressOf(const std::string& text) {
  sockaddr_storage address = {};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
  } else if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
  }
  return address;
}

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) != -1; }

int Option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(getsockopt(fd, level, name, &value, &size), 0);
  return value;
}

class LoopbackSocketsTest : public ::testing::Test {
 protected:
  LoopbackSocketsTest() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_ = AddressOf("127.0.0.1");
    socklen_t size = sizeof(sockaddr_in);
    EXPECT_EQ(bind(listener_.get(), address(), size), 0);
    EXPECT_EQ(listen(listener_.get(), 64), 0);
    EXPECT_EQ(getsockname(listener_.get(), address(), &size), 0);
  }

  static int New() { return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }
  // The other end of `fd`, once that is connected.
  UniqueFd Connect(int fd) {
    connect(fd, address(), sizeof(sockaddr_in));
    return UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  sockaddr* address() { return reinterpret_cast<sockaddr*>(&address_); }
  static void WaitFor(int fd, int16_t events) {
    pollfd waiting = {.fd = fd, .events = events, .revents = 0};
    EXPECT_EQ(poll(&waiting, 1, 10'000), 1);
  }

  UniqueFd listener_;
  sockaddr_storage address_;
  LoopbackSockets sockets_;
};

TEST_F(LoopbackSocketsTest, ServesThisMachineAlone) {
  for (const char* good : {"127.0.0.1", "127.255.0.9", "::1"}) {
    const sockaddr_storage a = AddressOf(good);
    EXPECT_TRUE(LoopbackSockets::Serve(reinterpret_cast<const sockaddr&>(a))) << good;
  }
  for (const char* bad : {"126.255.255.255", "128.0.0.1", "1.0.0.127", "10.0.0.1", "0.0.0.0",
                          "::", "::2", "fe80::1", "100::1", "::ffff:127.0.0.1", "a name"}) {
    const sockaddr_storage a = AddressOf(bad);
    EXPECT_FALSE(LoopbackSockets::Serve(reinterpret_cast<const sockaddr&>(a))) << bad;
  }
}

TEST_F(LoopbackSocketsTest, GivesBackWhatIsLikeANewSocket) {
  const int fd = New();
  UniqueFd peer = Connect(fd);
  peer.reset();  // Also one that the peer has closed.
  WaitFor(fd, POLLIN);
  sockets_.Give(fd, AF_INET);
  EXPECT_EQ(sockets_.Take(AF_INET6), -1);
  ASSERT_EQ(sockets_.Take(AF_INET), fd);
  EXPECT_EQ(sockets_.Take(AF_INET), -1);

  peer = Connect(fd);
  const UniqueFd fresh(New());
  const UniqueFd fresh_peer = Connect(fresh.get());
  WaitFor(fd, POLLOUT);
  EXPECT_EQ(Option(fd, SOL_SOCKET, SO_ERROR), 0);
  for (const auto& [level, name] : std::vector<std::pair<int, int>>{{SOL_SOCKET, SO_KEEPALIVE},
                                                                    {SOL_SOCKET, SO_LINGER},
                                                                    {IPPROTO_TCP, TCP_NODELAY},
                                                                    {IPPROTO_TCP, TCP_QUICKACK},
                                                                    {IPPROTO_TCP, TCP_MAXSEG}}) {
    EXPECT_EQ(Option(fd, level, name), Option(fresh.get(), level, name)) << name;
  }
  EXPECT_EQ(fcntl(fd, F_GETFL), fcntl(fresh.get(), F_GETFL));
  EXPECT_EQ(fcntl(fd, F_GETFD), fcntl(fresh.get(), F_GETFD));

  EXPECT_EQ(send(fd, "ping", 4, 0), 4);
  char bytes[8];
  EXPECT_EQ(recv(peer.get(), bytes, sizeof bytes, 0), 4);
  EXPECT_EQ(send(peer.get(), "pong!", 5, 0), 5);
  peer.reset();
  WaitFor(fd, POLLRDHUP);
  EXPECT_EQ(recv(fd, bytes, sizeof bytes, 0), 5);
  EXPECT_EQ(recv(fd, bytes, sizeof bytes, 0), 0);
  close(fd);
}

TEST_F(LoopbackSocketsTest, ClosesWhatCannotBeUsedAgain) {
  const int unread = New();
  const UniqueFd writer = Connect(unread);
  EXPECT_EQ(send(writer.get(), "x", 1, 0), 1);
  WaitFor(unread, POLLIN);
  sockets_.Give(unread, AF_INET);
  EXPECT_FALSE(IsOpen(unread));

  // With an end that has been read, after which the reset hides behind it.
  const int broken = New();
  UniqueFd resetter = Connect(broken);
  EXPECT_EQ(shutdown(resetter.get(), SHUT_WR), 0);
  WaitFor(broken, POLLIN);
  const linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(resetter.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  resetter.reset();
  WaitFor(broken, 0);
  sockets_.Give(broken, AF_INET);
  EXPECT_FALSE(IsOpen(broken));

  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  close(pipe_fds[1]);
  sockets_.Give(pipe_fds[0], AF_INET);  // No socket at all.
  EXPECT_FALSE(IsOpen(pipe_fds[0]));
  EXPECT_EQ(sockets_.Take(AF_INET), -1);
}

TEST_F(LoopbackSocketsTest, KeepsNoMoreThanItsBoundAndClosesThemAtItsEnd) {
  std::vector<int> fds;
  std::vector<UniqueFd> peers;
  {
    LoopbackSockets sockets;
    for (size_t i = 0; i <= LoopbackSockets::kKeptMax; ++i) {
      fds.push_back(New());
      peers.push_back(Connect(fds.back()));
    }
    for (const int fd : fds) sockets.Give(fd, AF_INET);
    for (size_t i = 0; i < fds.size(); ++i) {
      EXPECT_EQ(IsOpen(fds[i]), i < LoopbackSockets::kKeptMax) << i;
    }
  }
  for (const int fd : fds) EXPECT_FALSE(IsOpen(fd));
}

}  // namespace
}  // namespace salve

#include "agent/tcp_acceptor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr int kWaitMs = 10'000;

UniqueFd ConnectTo(int port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

// Whether the other side closes, and soon.
bool IsClosed(const UniqueFd& fd) {
  pollfd wait = {fd.get(), POLLIN, 0};
  char byte;
  return poll(&wait, 1, kWaitMs) == 1 && recv(fd.get(), &byte, 1, 0) <= 0;
}

class TcpAcceptorTest : public testing::Test {
 protected:
  void Start(int connections_max) {
    acceptor_ = TcpAcceptor::Listen({.address = "127.0.0.1"}, connections_max).value();
    acceptor_->Start([this](int fd) {
      MutexLock lock(&mu_);
      taken_.emplace_back(fd);
      changed_.SignalAll();
    });
  }
  bool AwaitTaken(size_t count) {
    MutexLock lock(&mu_);
    for (int i = 0; i < 1000 && taken_.size() < count; ++i) {
      changed_.WaitFor(&mu_, absl::Milliseconds(10));
    }
    return taken_.size() == count;
  }
  void CloseTaken(size_t index) {
    MutexLock lock(&mu_);
    taken_[index].reset();
  }

  Mutex mu_;
  CondVar changed_;
  std::vector<UniqueFd> taken_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<TcpAcceptor> acceptor_;
};

TEST_F(TcpAcceptorTest, GivesOutConnectionsUpToTheBoundAndClosesTheNext) {
  Start(2);
  const UniqueFd first = ConnectTo(acceptor_->port());
  const UniqueFd second = ConnectTo(acceptor_->port());
  ASSERT_TRUE(AwaitTaken(2));
  EXPECT_EQ(acceptor_->connections(), 2);

  const UniqueFd third = ConnectTo(acceptor_->port());
  EXPECT_TRUE(IsClosed(third));
  EXPECT_TRUE(AwaitTaken(2));
}

TEST_F(TcpAcceptorTest, AClosedConnectionMakesRoom) {
  Start(1);
  const UniqueFd first = ConnectTo(acceptor_->port());
  ASSERT_TRUE(AwaitTaken(1));
  CloseTaken(0);
  EXPECT_EQ(acceptor_->connections(), 0);

  const UniqueFd second = ConnectTo(acceptor_->port());
  EXPECT_TRUE(AwaitTaken(2));
  EXPECT_EQ(acceptor_->connections(), 1);
}

TEST_F(TcpAcceptorTest, ADescriptorThatIsAnotherFileNowIsNoConnection) {
  Start(1);
  const UniqueFd first = ConnectTo(acceptor_->port());
  ASSERT_TRUE(AwaitTaken(1));
  {
    MutexLock lock(&mu_);
    ASSERT_GE(dup2(STDIN_FILENO, taken_[0].get()), 0);
  }
  EXPECT_EQ(acceptor_->connections(), 0);
}

TEST_F(TcpAcceptorTest, NothingIsTakenAfterStop) {
  Start(2);
  acceptor_->Stop();
  const UniqueFd late = ConnectTo(acceptor_->port());  // It waits in the kernel.
  EXPECT_TRUE(AwaitTaken(0));
  acceptor_.reset();
  EXPECT_TRUE(IsClosed(late));
}

TEST_F(TcpAcceptorTest, AnAddressThatIsTakenIsAnError) {
  Start(1);
  const auto second = TcpAcceptor::Listen(
      {.address = "127.0.0.1", .port = static_cast<uint16_t>(acceptor_->port())}, 1);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(TcpAcceptor::Listen({.address = "192.0.2.1"}, 1).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(TcpAcceptorTest, ListensAtIpv6) {
  const auto six = TcpAcceptor::Listen({.address = "::1", .is_ipv6 = true}, 1);
  if (!six.ok()) GTEST_SKIP() << "no IPv6 here: " << six.status();
  EXPECT_GT((*six)->port(), 0);
}

}  // namespace
}  // namespace salve

#include "probes/ares_channel.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/event_loop.h"
#include "base/uv_loop.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

using Datagrams = std::vector<std::string>;

// A loop that counts how often a descriptor was ready.
class CountingLoop final : public EventLoop {
 public:
  const Clock& clock() const override { return loop_.clock(); }
  TimerId CallAt(Instant when, Task task) override { return loop_.CallAt(when, std::move(task)); }
  void CancelTimer(TimerId id) override { loop_.CancelTimer(id); }
  WatchId WatchFd(int fd, int events, FdCallback ready) override {
    return loop_.WatchFd(fd, events, [this, ready = std::move(ready)](int got) mutable {
      ++turns_;
      ready(got);
    });
  }
  void UnwatchFd(WatchId id) override { loop_.UnwatchFd(id); }
  void Post(Task task) override { loop_.Post(std::move(task)); }

  void Run() { loop_.Run(); }
  void Stop() { loop_.Stop(); }
  int turns() const { return turns_; }

 private:
  UvLoop loop_;
  int turns_ = 0;
};

class AresChannelTest : public ::testing::Test {
 protected:
  struct Ended {
    int status;
    int bytes;
  };

  void Query(AresChannel& channel) {
    ended_.reset();
    ares_query(
        channel.get(), "x.example", 1, 1,
        [](void* self, int status, int, unsigned char*, int bytes) {
          auto* test = static_cast<AresChannelTest*>(self);
          test->ended_ = Ended{status, bytes};
          test->loop_.Stop();
        },
        this);
    channel.Begun();
  }

  CountingLoop loop_;
  std::optional<Ended> ended_;
};

TEST_F(AresChannelTest, ServersThatAreNoneDoNotOpen) {
  AresChannel channel(loop_, {.servers = "nonsense"});
  EXPECT_FALSE(channel.Open());
  EXPECT_EQ(channel.get(), nullptr);
  channel.Begun();
  channel.Close();
}

TEST_F(AresChannelTest, TheEndOfAChannelEndsItsQueries) {
  TestUdpServer silent([](const std::string&) { return Datagrams{}; });
  AresChannel channel(loop_, {.servers = silent.address()});
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(channel.Open());
    Query(channel);
    EXPECT_FALSE(ended_.has_value());
    channel.Close();
    ASSERT_TRUE(ended_.has_value());
    EXPECT_EQ(ended_->status, ARES_EDESTRUCTION);
  }
}

TEST_F(AresChannelTest, TellsWhyASocketFailed) {
  AresChannel channel(loop_, {.servers = absl::StrCat("127.0.0.1:", RefusingPort()), .tries = 1});
  ASSERT_TRUE(channel.Open());
  Query(channel);
  loop_.Run();  // Also when it has ended: a Stop that is left over would end the next one.
  EXPECT_EQ(ended_->status, ARES_ECONNREFUSED);
  EXPECT_GT(channel.socket_errors(), 0u);
  EXPECT_EQ(channel.last_socket_error(), ECONNREFUSED);
}

// The answer SERVFAIL to a question.
std::string Failure(std::string question) {
  question[2] = static_cast<char>(0x81);
  question[3] = static_cast<char>(0x82);
  return question;
}

TEST_F(AresChannelTest, HandsOutAFailureWhenAskedTo) {
  TestUdpServer fails([](const std::string& question) { return Datagrams{Failure(question)}; });
  for (const bool hands_out : {false, true}) {
    AresChannel channel(loop_,
                        {.servers = fails.address(), .tries = 1, .hands_out_failures = hands_out});
    ASSERT_TRUE(channel.Open());
    Query(channel);
    loop_.Run();
    EXPECT_EQ(ended_->status, hands_out ? ARES_ESERVFAIL : ARES_ECONNREFUSED);
    EXPECT_EQ(ended_->bytes > 0, hands_out);
    EXPECT_EQ(channel.socket_errors(), 0u);
  }
}

// Waits until the server, which answers one after another, has sent all before this.
void AwaitTurn(const TestUdpServer& server) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(server.port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(sendto(fd, "?", 1, 0, reinterpret_cast<sockaddr*>(&address), sizeof address), 1);
  char byte;
  ASSERT_EQ(recv(fd, &byte, 1, 0), 1);
  close(fd);
}

TEST_F(AresChannelTest, AFloodDoesNotHoldTheLoop) {
  constexpr int kDatagrams = 200;
  TestUdpServer floods([](const std::string& question) {
    if (question == "?") return Datagrams{"!"};
    std::string wrong_id = Failure(question);
    wrong_id[0] = static_cast<char>(wrong_id[0] + 1);
    Datagrams datagrams(kDatagrams, wrong_id);
    datagrams.push_back(Failure(question));
    return datagrams;
  });
  AresChannel channel(loop_, {.servers = floods.address(), .hands_out_failures = true});
  ASSERT_TRUE(channel.Open());
  Query(channel);
  AwaitTurn(floods);
  loop_.Run();
  EXPECT_EQ(ended_->status, ARES_ESERVFAIL);
  EXPECT_GE(loop_.turns(), 4) << "64 are read in a turn";
}

TEST(SystemNameServersTest, HaveAPort) {
  for (const std::string& server : SystemNameServers()) {
    EXPECT_TRUE(absl::EndsWith(server, ":53")) << server;
  }
}

}  // namespace
}  // namespace salve

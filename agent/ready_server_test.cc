// The server on a real loop, with clients on loopback: those of load balancers, and hostile ones.
#include "agent/ready_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/uv_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A loop whose timers run when the test says so: no test waits for five seconds.
class HandLoop final : public EventLoop {
 public:
  explicit HandLoop(EventLoop& real) : real_(real) {}
  const Clock& clock() const override { return real_.clock(); }
  TimerId CallAt(Instant, Task task) override {
    timers_.emplace_back(TimerId{++last_}, std::move(task));
    return TimerId{last_};
  }
  void CancelTimer(TimerId id) override {
    std::erase_if(timers_, [id](const auto& timer) { return timer.first == id; });
  }
  WatchId WatchFd(int fd, int events, FdCallback ready) override {
    return real_.WatchFd(fd, events, std::move(ready));
  }
  void UnwatchFd(WatchId id) override { real_.UnwatchFd(id); }
  void Post(Task task) override { real_.Post(std::move(task)); }

  size_t timers() const { return timers_.size(); }
  void RunFirstTimer() {
    Task task = std::move(timers_.front().second);
    timers_.erase(timers_.begin());
    task();
  }

 private:
  EventLoop& real_;
  uint64_t last_ = 0;
  std::vector<std::pair<TimerId, Task>> timers_;
};

class ReadyServerTest : public ::testing::Test {
 protected:
  ReadyServerTest() {
    Add("web", 0);
    Add("db", 0);
    server_ = std::make_unique<ReadyServer>(
        ReadyServer::Parts{hand_, [this] { return list_; },
                           [this](const std::string& message, bool is_error) {
                             said_.push_back(absl::StrCat(is_error ? "error: " : "", message));
                           }});
    server_->Configure(ListenAddress{.address = "127.0.0.1"});
  }
  void Add(const std::string& name, int votes) {
    v1::ComponentStatus& component = *list_.add_components();
    component.set_name(name);
    SetVotes(list_.components_size() - 1, votes);
  }
  void SetVotes(int index, int votes) {
    v1::ComponentStatus& component = *list_.mutable_components(index);
    component.clear_votes();
    for (int i = 0; i < votes; ++i) component.add_votes();
    component.set_online(votes == 0);
  }
  void Turn() {
    loop_.CallAfter(absl::Milliseconds(1), [this] { loop_.Stop(); });
    loop_.Run();
  }
  UniqueFd Connect() {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(server_->port()));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  static void Say(const UniqueFd& fd, const std::string& text) {
    EXPECT_EQ(send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // All that arrives until the server ends the connection.
  std::string Rest(const UniqueFd& fd) {
    std::string all;
    char buffer[4096];
    for (int i = 0; i < 2000; ++i) {
      const ssize_t n = recv(fd.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
      if (n == 0) return all;
      if (n > 0) all.append(buffer, static_cast<size_t>(n));
      if (n < 0 && errno != EAGAIN) return all + "<reset>";
      Turn();
    }
    return all + "<open>";
  }
  std::string Ask(const std::string& path, const std::string& method = "GET") {
    const UniqueFd fd = Connect();
    Say(fd, absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: lb\r\n\r\n"));
    return Rest(fd);
  }
  bool IsOpen(const UniqueFd& fd) {
    char byte;
    return recv(fd.get(), &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }

  UvLoop loop_;
  HandLoop hand_{loop_};
  v1::ListComponentsResponse list_;
  std::vector<std::string> said_;
  std::unique_ptr<ReadyServer> server_;
};

TEST_F(ReadyServerTest, TellsOneComponent) {
  SetVotes(1, 2);
  EXPECT_THAT(Ask("/ready/web"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(Ask("/ready/web"), HasSubstr("\r\n\r\nonline\n"));
  EXPECT_THAT(Ask("/ready/db"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(Ask("/ready/db"), HasSubstr("\r\n\r\noffline, 2 votes\n"));
  SetVotes(1, 1);
  EXPECT_THAT(Ask("/ready/db"), HasSubstr("offline, 1 vote\n"));
  EXPECT_THAT(Ask("/ready/other"), StartsWith("HTTP/1.1 404 "));
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_EQ(hand_.timers(), 0u);
}

TEST_F(ReadyServerTest, TellsAllTogether) {
  EXPECT_THAT(Ask("/ready"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Ask("/ready/"), StartsWith("HTTP/1.1 200 "));
  SetVotes(0, 1);
  EXPECT_THAT(Ask("/ready"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(Ask("/ready"), HasSubstr("offline: web\n"));
  list_.Clear();
  EXPECT_THAT(Ask("/ready"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(ReadyServerTest, NothingIsInServiceWhileTheAgentStops) {
  server_->Drain();
  EXPECT_THAT(Ask("/ready/web"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(Ask("/ready"), HasSubstr("the agent is stopping"));
  EXPECT_THAT(Ask("/ready/other"), StartsWith("HTTP/1.1 404 "));
}

TEST_F(ReadyServerTest, AnswersHeadWithoutABodyAndOtherThingsWithErrors) {
  const std::string head = Ask("/ready/web", "HEAD");
  EXPECT_THAT(head, HasSubstr("Content-Length: 7\r\n"));
  EXPECT_EQ(head.substr(head.size() - 4), "\r\n\r\n");
  EXPECT_THAT(Ask("/ready/web", "POST"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(Ask("/"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Ask("/readyweb"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Ask("web"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(ReadyServerTest, AClientThatSaysNothingIsDroppedAfterItsTime) {
  const UniqueFd silent = Connect();
  while (server_->connections() == 0) Turn();
  ASSERT_EQ(hand_.timers(), 1u);
  EXPECT_TRUE(IsOpen(silent));
  hand_.RunFirstTimer();
  EXPECT_EQ(Rest(silent), "");
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(ReadyServerTest, AByteAtATimeGetsNoMoreTime) {
  const UniqueFd slow = Connect();
  for (const char c : std::string("GET /ready HTTP")) {
    Say(slow, std::string(1, c));
    Turn();
  }
  ASSERT_EQ(hand_.timers(), 1u);  // Still the first one.
  hand_.RunFirstTimer();
  EXPECT_FALSE(IsOpen(slow));
}

TEST_F(ReadyServerTest, HeadersWithoutAnEndAreRefusedAtTheirBound) {
  const UniqueFd endless = Connect();
  Say(endless, "GET /ready HTTP/1.1\r\n");
  for (int i = 0; i < 40; ++i) Say(endless, std::string(98, 'x') + "\r\n");
  Turn();
  EXPECT_EQ(server_->connections(), 1u);
  Say(endless, std::string(300, 'x'));
  EXPECT_THAT(Rest(endless), StartsWith("HTTP/1.1 431 "));
}

TEST_F(ReadyServerTest, AClientThatGoesIsForgotten) {
  {
    const UniqueFd gone = Connect();
    while (server_->connections() == 0) Turn();
  }
  for (int i = 0; i < 2000 && server_->connections() > 0; ++i) Turn();
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_EQ(hand_.timers(), 0u);
}

TEST_F(ReadyServerTest, ACrowdThatSaysNothingKeepsNobodyOut) {
  std::vector<UniqueFd> crowd;
  for (size_t i = 0; i < ReadyServer::kConnectionsMax; ++i) {
    crowd.push_back(Connect());
    while (server_->connections() < i + 1) Turn();
  }
  EXPECT_TRUE(IsOpen(crowd[0]));
  EXPECT_THAT(Ask("/ready/web"), StartsWith("HTTP/1.1 200 "));
  EXPECT_FALSE(IsOpen(crowd[0]));  // The oldest gave way.
  EXPECT_TRUE(IsOpen(crowd[1]));
  EXPECT_LE(server_->connections(), ReadyServer::kConnectionsMax);
}

TEST_F(ReadyServerTest, ManyRequestsOfOneConnectionGetOneAnswer) {
  const UniqueFd eager = Connect();
  std::string all;
  for (int i = 0; i < 50; ++i) all += "GET /ready/web HTTP/1.1\r\n\r\n";
  Say(eager, all);
  const std::string answer = Rest(eager);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(answer.find("HTTP/1.1", 1), std::string::npos);
}

TEST_F(ReadyServerTest, AnAddressThatIsTakenIsTriedAgainAndTold) {
  const ListenAddress taken{.address = "127.0.0.1", .port = static_cast<uint16_t>(server_->port())};
  HandLoop hand(loop_);
  std::vector<std::string> said;
  ReadyServer second({hand, [this] { return list_; },
                      [&](const std::string& message, bool) { said.push_back(message); }});
  second.Configure(taken);
  EXPECT_THAT(second.trouble(),
              HasSubstr(absl::StrCat("ready_listen: cannot listen at 127.0.0.1:", taken.port)));
  ASSERT_EQ(hand.timers(), 1u);
  hand.RunFirstTimer();
  EXPECT_EQ(said.size(), 1u);  // Told once.
  server_->Configure(std::nullopt);
  EXPECT_EQ(server_->port(), 0);
  hand.RunFirstTimer();
  EXPECT_EQ(second.trouble(), "");
  EXPECT_NE(second.port(), 0);
}

TEST_F(ReadyServerTest, IsNowhereOnceItIsConfiguredAway) {
  const UniqueFd open = Connect();
  while (server_->connections() == 0) Turn();
  server_->Configure(std::nullopt);
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_EQ(Rest(open), "");
}

}  // namespace
}  // namespace salve

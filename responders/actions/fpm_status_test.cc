#include "responders/actions/fpm_status.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "base/uv_loop.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr absl::string_view kPage(
    "\x01\x06\0\x01\0\x20\0\0"
    "A: b\r\n\r\nlisten queue:         3\n",
    8 + 32);
constexpr absl::string_view kEnd("\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0", 16);

// A server on the test's own loop, which answers whatever comes with `answer`.
class FpmStatusTest : public ::testing::Test {
 protected:
  FpmStatusTest() {
    unlink(path_.c_str());
    address_ = *ParseFpmAddress("unix:" + path_);
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    EXPECT_EQ(
        bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address_.address), address_.size),
        0);
    EXPECT_EQ(listen(listener_.get(), 0), 0);
  }
  ~FpmStatusTest() override {
    Close();
    unlink(path_.c_str());
  }
  void Serve() {
    listen_watch_ = loop_.WatchFd(listener_.get(), kReadable, [this](int) {
      connection_.reset(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      watch_ = loop_.WatchFd(connection_.get(), kReadable, [this](int) {
        char buffer[4096];
        const ssize_t n = recv(connection_.get(), buffer, sizeof(buffer), 0);
        if (n > 0) request_.append(buffer, static_cast<size_t>(n));
        if (n > 0) (void)!send(connection_.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL);
        if (n > 0 && !hangs_up_) return;
        loop_.UnwatchFd(watch_);
        connection_.reset();
      });
    });
  }
  void Close() {
    loop_.UnwatchFd(watch_);
    loop_.UnwatchFd(listen_watch_);
    listener_.reset();
    connection_.reset();
  }
  absl::StatusOr<std::string> Ask(absl::Duration timeout = absl::Seconds(20)) {
    std::optional<absl::StatusOr<std::string>> page;
    FpmStatus status(loop_);
    status.Ask(address_, "/status", loop_.Now() + timeout, [&](absl::StatusOr<std::string> answer) {
      EXPECT_FALSE(page.has_value());
      page = std::move(answer);
      loop_.Stop();
    });
    EXPECT_FALSE(page.has_value());
    loop_.Run();
    return page.value_or(absl::UnknownError("no answer"));
  }
  std::string ErrorOf(absl::string_view answer) {
    answer_ = std::string(answer);
    return std::string(Ask().status().message());
  }

  const std::string path_ = absl::StrCat("/tmp/fpm-status-", getpid(), ".sock");
  UvLoop loop_;
  FpmAddress address_;
  UniqueFd listener_, connection_;
  WatchId listen_watch_ = WatchId::kNone, watch_ = WatchId::kNone;
  std::string answer_ = absl::StrCat(kPage, kEnd);
  std::string request_;
  bool hangs_up_ = false;
};

TEST_F(FpmStatusTest, GetsThePage) {
  Serve();
  const auto page = Ask();
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(*page, "listen queue:         3\n");
  EXPECT_NE(request_.find("SCRIPT_NAME/status"), std::string::npos);
}

TEST_F(FpmStatusTest, GivesUpAtTheDeadlineWhenNobodyAccepts) {
  EXPECT_EQ(Ask(absl::Milliseconds(50)).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(FpmStatusTest, GivesUpAtTheDeadlineWhenTheAnswerDoesNotEnd) {
  Serve();
  answer_ = std::string(kPage);
  EXPECT_EQ(Ask(absl::Milliseconds(50)).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(FpmStatusTest, TriesAgainWhileTheQueueIsFull) {
  UniqueFd waiting(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto* address = reinterpret_cast<const sockaddr*>(&address_.address);
  ASSERT_EQ(connect(waiting.get(), address, address_.size), 0);
  UniqueFd too_many(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  ASSERT_NE(connect(too_many.get(), address, address_.size), 0);
  EXPECT_EQ(Ask(absl::Milliseconds(120)).status().code(), absl::StatusCode::kDeadlineExceeded);
  loop_.CallAfter(absl::Milliseconds(60), [&] {
    UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    Serve();
  });
  EXPECT_TRUE(Ask().ok());
}

TEST_F(FpmStatusTest, SaysWhatIsNoPage) {
  Serve();
  EXPECT_EQ(ErrorOf("HTTP/1.1 400 Bad"), "the answer is no FastCGI");
  EXPECT_EQ(
      ErrorOf(absl::StrCat(absl::string_view("\x01\x06\0\x01\0\x0d\0\0Status: 404\n\n", 21), kEnd)),
      "the answer is no status page: status 404");
  hangs_up_ = true;
  EXPECT_EQ(ErrorOf(kPage), "the connection was closed without an answer");
}

TEST_F(FpmStatusTest, SaysThatNobodyListens) {
  Close();
  EXPECT_EQ(Ask().status().code(), absl::StatusCode::kUnavailable);
  unlink(path_.c_str());
  EXPECT_EQ(Ask().status().code(), absl::StatusCode::kUnavailable);
  address_ = *ParseFpmAddress("tcp:127.0.0.1:1");
  EXPECT_EQ(Ask().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(FpmStatusTest, IsSilentAfterItWasDestroyed) {
  {
    FpmStatus status(loop_);
    status.Ask(address_, "/status", loop_.Now() + absl::Milliseconds(20),
               [](absl::StatusOr<std::string>) { FAIL(); });
  }
  loop_.CallAfter(absl::Milliseconds(40), [this] { loop_.Stop(); });
  loop_.Run();
}

TEST(ParseFpmAddressTest, KnowsTheForms) {
  const auto v4 = ParseFpmAddress("tcp:127.0.0.1:9000");
  ASSERT_TRUE(v4.ok());
  EXPECT_EQ(reinterpret_cast<const sockaddr_in&>(v4->address).sin_port, htons(9000));
  EXPECT_EQ(ParseFpmAddress("tcp:[::1]:65535")->address.ss_family, AF_INET6);
  EXPECT_TRUE(ParseFpmAddress("unix:/run/php/fpm.sock").ok());
  EXPECT_TRUE(ParseFpmAddress("unix:/" + std::string(106, 'a')).ok());
}

TEST(ParseFpmAddressTest, RefusesTheRest) {
  for (const std::string text : {"", "/run/php/fpm.sock", "unix:", "unix:run/fpm.sock", "tcp:9000",
                                 "tcp:localhost:9000", "tcp:127.0.0.1:0", "tcp:127.0.0.1:65536",
                                 "tcp:127.0.0.1", "tcp:[]:9000", "tcp:[::1:9000", "tcp:::1:9000"}) {
    EXPECT_EQ(ParseFpmAddress(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_FALSE(ParseFpmAddress("unix:/" + std::string(107, 'a')).ok());
}

TEST(FpmStatusTextTest, TakesTheNumbersThatMatter) {
  EXPECT_EQ(
      FpmStatusText("pool:                 www\nlisten queue:         2\nmax listen queue: 9\n"
                    "idle processes:       7\nactive processes:     1\ntotal processes: 8\n"),
      "listen queue 2, idle processes 7, active processes 1");
  EXPECT_EQ(FpmStatusText("listen queue: many\n"), "answered");
  EXPECT_EQ(FpmStatusText(""), "answered");
}

}  // namespace
}  // namespace salve

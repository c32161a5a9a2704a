#include "probes/http_probe.h"

#include <gtest/gtest.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "base/uv_loop.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

// Which socket of this process is the client of a connection: its inode, which no other gets
// after it.
ino_t ClientSocket(const TestConnection& c) {
  const auto ends = [](int fd, auto local, auto remote) {
    sockaddr_in a = {}, b = {};
    socklen_t size = sizeof a;
    local(fd, reinterpret_cast<sockaddr*>(&a), &size);
    remote(fd, reinterpret_cast<sockaddr*>(&b), &size);
    return std::pair(a.sin_port, b.sin_port);
  };
  const auto wanted = ends(c.fd(), getpeername, getsockname);
  for (int fd = 0; fd < 1000; ++fd) {
    struct stat status;
    if (ends(fd, getsockname, getpeername) == wanted && fstat(fd, &status) == 0) {
      return status.st_ino;
    }
  }
  ADD_FAILURE() << "the client is none of this process";
  return 0;
}

size_t DescriptorsOfThisProcess() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

class HttpProbeTest : public ::testing::Test {
 protected:
  HttpProbeTest() { signal(SIGPIPE, SIG_IGN); }

  Observation Look(absl::Duration timeout = absl::Seconds(20)) {
    auto probe = NewHttpProbe(config_, loop_, http_);
    EXPECT_TRUE(probe.ok()) << probe.status();
    if (!probe.ok()) return {};
    return LookWith(**probe, timeout);
  }
  Observation LookWith(Probe& probe, absl::Duration timeout = absl::Seconds(20)) {
    std::optional<Observation> seen;
    probe.Start(loop_.Now() + timeout, [&](Observation o) {
      seen = std::move(o);
      loop_.Stop();
    });
    loop_.Run();
    return *seen;
  }
  static std::string Attribute(const Observation& seen, const std::string& name) {
    for (const auto& [key, value] : seen.attributes) {
      if (key == name) return value;
    }
    return "";
  }
  static double Value(const Observation& seen, const std::string& name) {
    for (const ProbeValue& value : seen.values) {
      if (value.name == name) return value.number;
    }
    return -1;
  }

  UvLoop loop_;
  TestNameServer names_;
  Resolver resolver_{
      loop_, {.servers = names_.address(), .server_timeout = absl::Milliseconds(50), .tries = 1}};
  HttpClient http_{loop_, resolver_};
  config::HttpProbe config_;
};

TEST_F(HttpProbeTest, PassesOnStatus200AndSaysWhatItSaw) {
  TestServer server(AlwaysAnswer("200 OK", "hello"));
  config_.set_url(server.url());
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_EQ(Attribute(seen, "http_status"), "200");
  EXPECT_EQ(Attribute(seen, "remote_address"), absl::StrCat("127.0.0.1:", server.port()));
  EXPECT_NE(Attribute(seen, "connect_ms"), "");
  EXPECT_NE(Attribute(seen, "first_byte_ms"), "");
  EXPECT_GT(Value(seen, "latency_ms"), 0);
  EXPECT_EQ(Value(seen, "body_bytes"), 5);
  EXPECT_EQ(Value(seen, "tls_days_left"), -1);
}

TEST_F(HttpProbeTest, SendsWhatItIsToldAndNothingOfTheEnvironment) {
  setenv("http_proxy", "http://127.0.0.1:1/", 1);
  std::string request;
  TestServer server([&](TestConnection& c) {
    request = c.ReadRequest();
    c.Answer("200 OK", "");
  });
  config_.set_url(server.url("/status?full"));
  config_.set_method("POST");
  config_.set_body("ping");
  auto* header = config_.add_header();
  header->set_name("X-Who");
  header->set_value("salve");
  EXPECT_EQ(Look().error, "");
  unsetenv("http_proxy");
  EXPECT_TRUE(absl::StartsWith(request, "POST /status?full HTTP/1.1\r\n")) << request;
  EXPECT_TRUE(absl::StrContains(request, "\r\nX-Who: salve\r\n")) << request;
  EXPECT_TRUE(absl::StrContains(request, "\r\nConnection: close\r\n")) << request;
  EXPECT_TRUE(absl::EndsWith(request, "\r\n\r\nping")) << request;
}

TEST_F(HttpProbeTest, AHandleThatSentABodyForgetsIt) {
  std::string request;
  TestServer server([&](TestConnection& c) {
    request = c.ReadRequest();
    c.Answer("200 OK", "");
  });
  config_.set_url(server.url());
  config_.set_method("PUT");
  config_.set_body("ping");
  Look();
  config_.clear_body();
  for (const char* method : {"HEAD", "GET", "DELETE"}) {
    config_.set_method(method);
    EXPECT_EQ(Look().error, "") << method;
    EXPECT_TRUE(absl::StartsWith(request, absl::StrCat(method, " / "))) << request;
    EXPECT_FALSE(absl::StrContains(request, "Content-")) << request;
  }
}

TEST_F(HttpProbeTest, FailsOnAStatusThatIsNotExpected) {
  TestServer server(AlwaysAnswer("503 Service Unavailable", "busy"));
  config_.set_url(server.url());
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "status 503, expected 2xx");
  EXPECT_EQ(Attribute(seen, "http_status"), "503");
}

TEST_F(HttpProbeTest, ExpectsSingleStatusesClassesAndRanges) {
  TestServer server(AlwaysAnswer("404 Not Found", ""));
  config_.set_url(server.url());
  for (const char* good : {"404", "4xx", "400-404", "404-499"}) {
    config_.clear_expected_status();
    config_.add_expected_status(good);
    EXPECT_EQ(Look().outcome, Outcome::kSucceeded) << good;
  }
  for (const char* bad : {"403", "405", "5xx", "400-403", "405-499"}) {
    config_.clear_expected_status();
    config_.add_expected_status(bad);
    EXPECT_EQ(Look().error, absl::StrCat("status 404, expected ", bad));
  }
  config_.add_expected_status("404");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(HttpProbeTest, MatchesTheBody) {
  TestServer server(AlwaysAnswer("200 OK", "status: degraded"));
  config_.set_url(server.url());
  config_.set_body_match("status: \\w+");
  EXPECT_EQ(Look().error, "");
  config_.set_body_match("status: ok");
  EXPECT_EQ(Look().error, "the body (16 bytes read) does not match 'status: ok'");
  config_.clear_body_match();
  config_.set_body_not_match("degraded");
  EXPECT_EQ(Look().error, "the body matches 'degraded'");
  config_.set_body_not_match("dead");
  EXPECT_EQ(Look().error, "");
}

TEST_F(HttpProbeTest, MatchesHeaders) {
  TestServer server(AlwaysAnswer("200 OK", "", "X-Role: replica\r\nX-Role: primary\r\n"));
  config_.set_url(server.url());
  auto* match = config_.add_header_match();
  match->set_name("x-role");
  match->set_pattern("^primary$");
  EXPECT_EQ(Look().error, "");
  match->set_pattern("arbiter");
  EXPECT_EQ(Look().error, "header x-role: 'replica' does not match 'arbiter'");
  match->set_name("X-Other");
  EXPECT_EQ(Look().error, "no header X-Other");
}

TEST_F(HttpProbeTest, ReadsNoMoreThanItsBoundOfAHundredMegabytes) {
  TestServer server([](TestConnection& c) {
    c.ReadRequest();
    c.Send("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n");
    const std::string megabyte(1 << 20, 'x');
    for (int i = 0; i < 100 && c.Send(megabyte); ++i) {
    }
  });
  config_.set_url(server.url());
  config_.set_body_match("^x+$");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_EQ(Value(seen, "body_bytes"), 1 << 20);
}

TEST_F(HttpProbeTest, EndsAtTheBoundAlsoWhenTheServerThenHangs) {
  TestServer server([](TestConnection& c) {
    c.ReadRequest();
    c.Send("HTTP/1.1 200 OK\r\n\r\n0123456789");
    c.Hang();
  });
  config_.set_url(server.url());
  config_.set_body_bytes_max(10);
  EXPECT_EQ(Look().error, "");
}

TEST_F(HttpProbeTest, RefusesHeadersOfMoreThan64KiB) {
  TestServer server([](TestConnection& c) {
    c.ReadRequest();
    c.Send("HTTP/1.1 200 OK\r\n");
    while (c.Send("X-Endless: again\r\n")) {
    }
  });
  config_.set_url(server.url());
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "the headers are larger than 64 KiB");
}

TEST_F(HttpProbeTest, RefusesOneEndlessHeaderLine) {
  TestServer server([](TestConnection& c) {
    c.ReadRequest();
    c.Send("HTTP/1.1 200 OK\r\nX-Endless: ");
    while (c.Send(std::string(4096, 'x'))) {
    }
  });
  config_.set_url(server.url());
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "a header is too large");
}

TEST_F(HttpProbeTest, RefusesEndlessPreliminaryAnswers) {
  TestServer server([](TestConnection& c) {
    c.ReadRequest();
    while (c.Send("HTTP/1.1 100 Continue\r\n\r\n")) {
    }
  });
  config_.set_url(server.url());
  EXPECT_EQ(Look().error, "the headers are larger than 64 KiB");
}

TEST_F(HttpProbeTest, ARedirectIsTheAnswerUnlessToldToFollow) {
  TestServer server(AlwaysAnswer("302 Found", "", "Location: /next\r\n"));
  config_.set_url(server.url());
  EXPECT_EQ(Look().error, "status 302, expected 2xx");
}

TEST_F(HttpProbeTest, FollowsRedirectsToOtherServersWithoutTellingSecrets) {
  std::string request;
  TestServer target([&](TestConnection& c) {
    request = c.ReadRequest();
    c.Answer("200 OK", "");
  });
  TestServer server(
      AlwaysAnswer("302 Found", "", absl::StrCat("Location: ", target.url("/b"), "\r\n")));
  config_.set_url(server.url("/a"));
  config_.set_max_redirects(1);
  config_.set_method("POST");
  config_.set_body("secret");
  auto* header = config_.add_header();
  header->set_name("Authorization");
  header->set_value("Bearer secret");
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(Attribute(seen, "redirects"), "1");
  EXPECT_TRUE(absl::StartsWith(request, "GET /b HTTP/1.1\r\n")) << request;
  EXPECT_FALSE(absl::StrContains(request, "secret")) << request;
}

TEST_F(HttpProbeTest, ResolvesTheNamesOfRedirectsAnew) {
  TestServer target(AlwaysAnswer("200 OK", ""));
  TestServer server(AlwaysAnswer(
      "302 Found", "", absl::StrCat("Location: http://there.example:", target.port(), "/\r\n")));
  names_.Set("here.example", {"127.0.0.1"});
  names_.Set("there.example", {"127.0.0.1"});
  config_.set_url(absl::StrCat("http://here.example:", server.port(), "/a"));
  config_.set_max_redirects(1);
  EXPECT_EQ(Look().error, "");
  EXPECT_EQ(names_.questions("there.example"), 1);
}

TEST_F(HttpProbeTest, ARedirectLoopEnds) {
  TestServer server(AlwaysAnswer("301 Moved", "", "Location: /again\r\n"));
  config_.set_url(server.url());
  config_.set_max_redirects(20);
  EXPECT_EQ(Look().error, "more than 20 redirects");
  EXPECT_EQ(server.connections(), 21);
}

TEST_F(HttpProbeTest, ARedirectToAnotherSchemeFails) {
  TestServer server(AlwaysAnswer("301 Moved", "", "Location: file:///etc/passwd\r\n"));
  config_.set_url(server.url());
  config_.set_max_redirects(1);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::StartsWith(seen.error, "bad redirect: ")) << seen.error;
}

TEST_F(HttpProbeTest, AResetARefusalAndSilenceAreFailures) {
  config_.set_url(absl::StrCat("http://127.0.0.1:", RefusingPort()));
  const Observation refused = Look();
  EXPECT_EQ(refused.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::EndsWith(refused.error, ": Connection refused")) << refused.error;

  TestServer resets([](TestConnection& c) {
    const linger reset = {1, 0};
    setsockopt(c.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  });
  config_.set_url(resets.url());
  EXPECT_EQ(Look().outcome, Outcome::kFailed);

  TestServer closes([](TestConnection& c) { c.ReadRequest(); });
  config_.set_url(closes.url());
  EXPECT_EQ(Look().error,
            absl::StrCat("127.0.0.1:", closes.port(), " closed the connection without an answer"));
}

TEST_F(HttpProbeTest, WhatIsNoHttpIsAFailure) {
  TestServer server([](TestConnection& c) { c.Send("SSH-2.0-OpenSSH\r\n"); });
  config_.set_url(server.url());
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
}

TEST_F(HttpProbeTest, TimesOutInEachPhaseAndNamesIt) {
  const FullListener full;
  config_.set_url(absl::StrCat("http://127.0.0.1:", full.port()));
  Observation seen = Look(absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while connecting")) << seen.error;

  TestServer hangs([](TestConnection& c) { c.Hang(); });
  config_.set_url(hangs.url());
  seen = Look(absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while waiting for the answer")) << seen.error;

  config_.set_url(absl::StrCat("https://127.0.0.1:", hangs.port()));
  seen = Look(absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while negotiating TLS")) << seen.error;

  TestServer trickles([](TestConnection& c) {
    c.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    while (c.Send("x") && c.Pause(absl::Milliseconds(10))) {
    }
  });
  config_.set_url(trickles.url());
  seen = Look(absl::Milliseconds(100));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while reading the answer")) << seen.error;
}

TEST_F(HttpProbeTest, ANameServerThatNeverAnswersTimesOutAndHoldsNobodyElse) {
  names_.SetMode(TestNameServer::Mode::kSilent);
  TestServer server(AlwaysAnswer("200 OK", ""));
  config::HttpProbe stuck_config;
  stuck_config.set_url("http://web.example/");
  Resolver patient(loop_, {.servers = names_.address(), .server_timeout = absl::Hours(1)});
  HttpClient http(loop_, patient);
  auto stuck = NewHttpProbe(stuck_config, loop_, http);
  ASSERT_TRUE(stuck.ok());
  Observation stuck_seen;
  (*stuck)->Start(loop_.Now() + absl::Milliseconds(200), [&](Observation o) {
    stuck_seen = std::move(o);
    loop_.Stop();
  });
  config_.set_url(server.url());
  EXPECT_EQ(Look().error, "");
  EXPECT_EQ(stuck_seen.error, "");
  loop_.Run();
  EXPECT_EQ(stuck_seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(stuck_seen.error, "while resolving web.example")) << stuck_seen.error;
}

TEST_F(HttpProbeTest, ANameThatDoesNotExistIsAFailure) {
  config_.set_url("http://no.example/");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "name 'no.example' does not exist");
}

TEST_F(HttpProbeTest, NoDescriptorLeftIsRejected) {
  TestServer server(AlwaysAnswer("200 OK", ""));
  config_.set_url(server.url());
  config_.set_method("PUT");
  config_.set_body("x");  // A look without one may find a socket that is kept.
  ASSERT_EQ(Look().error, "");
  rlimit old_limit, none = {};
  getrlimit(RLIMIT_NOFILE, &old_limit);
  none.rlim_max = old_limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &none);
  const Observation seen = Look();
  setrlimit(RLIMIT_NOFILE, &old_limit);
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "cannot open a socket: Too many open files");
}

TEST_F(HttpProbeTest, GoesThroughAProxyWhenToldTo) {
  std::string request;
  TestServer proxy([&](TestConnection& c) {
    request = c.ReadRequest();
    c.Answer("200 OK", "");
  });
  names_.Set("proxy.example", {"127.0.0.1"});
  config_.set_url("http://behind.example/x");
  config_.set_proxy(absl::StrCat("http://proxy.example:", proxy.port()));
  EXPECT_EQ(Look().error, "");
  EXPECT_TRUE(absl::StartsWith(request, "GET http://behind.example/x HTTP/1.1\r\n")) << request;
  EXPECT_EQ(names_.questions("behind.example"), 0);
}

TEST_F(HttpProbeTest, LeavesNoTimeWaitOnItsSide) {
  TestServer server([](TestConnection& c) {
    c.ReadRequest();
    c.Answer("200 OK", "");
    c.Hang();  // Does not close first, whatever it was asked to.
  });
  config_.set_url(server.url());
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Look().error, "");
  EXPECT_EQ(TimeWaitsTo(server.port()), 0);
}

TEST_F(HttpProbeTest, LooksAtThisMachineUseOneSocket) {
  std::vector<ino_t> clients;
  const auto answer = [&](TestConnection& c) {
    clients.push_back(ClientSocket(c));
    EXPECT_TRUE(absl::StartsWith(c.ReadRequest(), "GET "));
    c.Answer("200 OK", "hello");
  };
  TestServer closes(answer);
  TestServer hangs([&](TestConnection& c) {
    answer(c);
    c.Hang();
  });
  TestServer redirects([&](TestConnection& c) {
    clients.push_back(ClientSocket(c));
    c.ReadRequest();
    c.Answer("302 Found", "", absl::StrCat("Location: ", closes.url(), "\r\n"));
  });
  config_.set_max_redirects(1);
  for (TestServer* server : {&closes, &hangs, &redirects, &closes}) {
    config_.set_url(server->url());
    const Observation seen = Look();
    EXPECT_EQ(seen.error, "");
    EXPECT_EQ(Value(seen, "body_bytes"), 5);
    EXPECT_EQ(TimeWaitsTo(server->port()), 0);
  }
  ASSERT_EQ(clients.size(), 5);
  for (const ino_t client : clients) EXPECT_EQ(client, clients[0]);
}

TEST_F(HttpProbeTest, ASocketOfALookWithoutAWholeAnswerIsNotUsedAgain) {
  std::vector<ino_t> clients;
  std::string answer;
  TestServer server([&](TestConnection& c) {
    clients.push_back(ClientSocket(c));
    c.ReadRequest();
    c.Send(answer);
    if (absl::EndsWith(answer, "hangs")) c.Hang();
  });
  config_.set_url(server.url());
  config_.set_body_bytes_max(10);
  for (const char* bad : {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut off", "no HTTP",
                          "HTTP/1.1 200 OK\r\n\r\nmore than ten bytes", "",
                          "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhangs"}) {
    clients.clear();
    answer = bad;
    Look(absl::EndsWith(answer, "hangs") ? absl::Milliseconds(50) : absl::Seconds(20));
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for (int i = 0; i < 2; ++i) EXPECT_EQ(Look().error, "") << bad;
    ASSERT_EQ(clients.size(), 3) << bad;
    EXPECT_NE(clients[0], clients[1]) << bad;
    EXPECT_EQ(clients[1], clients[2]) << bad;
  }
}

// Of an address that refuses, curl closes the socket without a word.
TEST_F(HttpProbeTest, ASocketThatWasRefusedIsNotUsedAgain) {
  std::vector<ino_t> clients;
  TestServer server([&](TestConnection& c) {
    clients.push_back(ClientSocket(c));
    c.ReadRequest();
    c.Answer("200 OK", "");
  });
  names_.Set("two.example", {"127.0.0.2", "127.0.0.1"});
  for (const char* host : {"127.0.0.1", "two.example", "127.0.0.1"}) {
    config_.set_url(absl::StrCat("http://", host, ":", server.port(), "/"));
    EXPECT_EQ(Look().error, "");
  }
  ASSERT_EQ(clients.size(), 3);
  EXPECT_NE(clients[0], clients[1]);
  EXPECT_EQ(clients[1], clients[2]);
}

// The hang-up of a socket that is disconnected would, without end.
TEST_F(HttpProbeTest, ASocketThatIsKeptDoesNotWakeTheLoop) {
  ino_t client = 0;
  TestServer server([&](TestConnection& c) {
    client = ClientSocket(c);
    c.ReadRequest();
    c.Answer("200 OK", "");
  });
  config_.set_url(server.url());
  EXPECT_EQ(Look().error, "");
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
    std::ifstream info(entry.path());
    for (std::string line; std::getline(info, line);) {
      if (!absl::StartsWith(line, "tfd:")) continue;  // What an epoll watches.
      const std::vector<std::string> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
      std::error_code error;
      const auto watched = std::filesystem::read_symlink("/proc/self/fd/" + fields[1], error);
      EXPECT_NE(watched.string(), absl::StrCat("socket:[", client, "]"));
    }
  }
}

TEST_F(HttpProbeTest, LooksWithABodyOrThroughAProxyHaveASocketEach) {
  std::vector<ino_t> clients;
  TestServer server([&](TestConnection& c) {
    clients.push_back(ClientSocket(c));
    c.ReadRequest();
    c.Answer("200 OK", "");
  });
  config_.set_url(server.url());
  EXPECT_EQ(Look().error, "");
  config_.set_method("PUT");
  config_.set_body("ping");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Look().error, "");
  config_.clear_body();
  config_.set_proxy(server.url());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Look().error, "");
  EXPECT_EQ(std::set<ino_t>(clients.begin(), clients.end()).size(), 5);
}

// Its end of the connection breaks once we have all of the answer, and not before.
TEST_F(HttpProbeTest, AServerThatClosesOneSideHasSentItsWholeAnswer) {
  const std::string body(300'000, 'x');
  std::string request;
  bool has_sent = false;
  absl::Notification gone;
  TestServer server([&](TestConnection& c) {
    has_sent = c.Send("HTTP/1.1 200 OK\r\n\r\n") && c.Send(body) && shutdown(c.fd(), SHUT_WR) == 0;
    request = c.ReadRequest();
    c.Hang();
    gone.Notify();
  });
  config_.set_url(server.url());
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(Value(seen, "body_bytes"), body.size());
  ASSERT_TRUE(gone.WaitForNotificationWithTimeout(absl::Seconds(10)));
  EXPECT_TRUE(has_sent);
  EXPECT_TRUE(absl::StartsWith(request, "GET / ")) << request;
}

TEST_F(HttpProbeTest, LeavesNoDescriptorBehind) {
  const size_t before = DescriptorsOfThisProcess();
  {
    int asked = 0;
    TestServer server([&](TestConnection& c) {
      c.ReadRequest();
      c.Answer("200 OK", "hello");
    });
    HttpClient http(loop_, resolver_);
    config_.set_url(server.url());
    std::vector<std::unique_ptr<Probe>> probes;
    ObservationDone done = [&](const Observation& seen) {
      EXPECT_EQ(seen.error, "");
      // The first ends a half of the others, some of which have their answer by now.
      if (++asked == 1) probes.resize(10);
      if (asked == 10) loop_.Stop();
    };
    for (int i = 0; i < 20; ++i) {
      config_.set_body_bytes_max(i % 2 == 0 ? 3 : 100);  // A half of them is cut off.
      probes.push_back(*NewHttpProbe(config_, loop_, http));
      probes.back()->Start(loop_.Now() + absl::Seconds(20),
                           [&](const Observation& seen) { done(seen); });
    }
    loop_.Run();
  }
  EXPECT_EQ(DescriptorsOfThisProcess(), before);
}

// On this machine a connection stands at once: no turn of the loop is waited for.
TEST_F(HttpProbeTest, AsksThisMachineInsideStart) {
  absl::Notification asked;
  TestServer server([&](TestConnection& c) {
    c.ReadRequest();
    asked.Notify();
  });
  config_.set_url(server.url());
  auto probe = NewHttpProbe(config_, loop_, http_);
  ASSERT_TRUE(probe.ok());
  (*probe)->Start(loop_.Now() + absl::Seconds(20), [](Observation) {});
  EXPECT_TRUE(asked.WaitForNotificationWithTimeout(absl::Seconds(10)));
}

// It acknowledges the handshake too, with a new socket and with one that is used again.
TEST_F(HttpProbeTest, TheRequestToThisMachineIsOneSegment) {
  std::vector<uint32_t> segments;
  TestServer server([&](TestConnection& c) {
    c.ReadRequest();
    tcp_info info = {};
    socklen_t size = sizeof info;
    getsockopt(c.fd(), IPPROTO_TCP, TCP_INFO, &info, &size);
    segments.push_back(info.tcpi_segs_in);
    c.Answer("200 OK", "");
  });
  config_.set_url(server.url());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Look().error, "");
  EXPECT_EQ(segments, (std::vector<uint32_t>{2, 2}));  // With the one that asks for a connection.
}

TEST_F(HttpProbeTest, TellsWhatFailedAtOnceAfterStart) {
  config_.set_url(absl::StrCat("http://127.0.0.1:", RefusingPort()));
  auto probe = NewHttpProbe(config_, loop_, http_);
  ASSERT_TRUE(probe.ok());
  bool started = false;
  int refused = 0;
  ObservationDone done = [&](const Observation& seen) {
    EXPECT_TRUE(started);
    EXPECT_EQ(seen.outcome, Outcome::kFailed);
    if (++refused == 2) {
      loop_.Stop();
      return;
    }
    started = false;
    (*probe)->Start(loop_.Now() + absl::Seconds(20),
                    [&](const Observation& again) { done(again); });
    started = true;
  };
  (*probe)->Start(loop_.Now() + absl::Seconds(20), [&](const Observation& seen) { done(seen); });
  started = true;
  loop_.Run();
  EXPECT_EQ(refused, 2);
}

TEST_F(HttpProbeTest, LooksThatFailAtOnceDoNotHoldTheLoop) {
  config_.set_url(absl::StrCat("http://127.0.0.1:", RefusingPort()));
  auto probe = NewHttpProbe(config_, loop_, http_);
  ASSERT_TRUE(probe.ok());
  int refused = 0;
  ObservationDone again = [&](const Observation&) {
    if (++refused == 1000) return;
    (*probe)->Start(loop_.Now() + absl::Seconds(20), [&](const Observation& o) { again(o); });
  };
  again({});
  loop_.CallAfter(absl::ZeroDuration(), [&] { loop_.Stop(); });
  loop_.Run();
  EXPECT_LT(refused, 10);
}

TEST_F(HttpProbeTest, ALookMayEndAnotherThatHasEndedWithIt) {
  config_.set_url(absl::StrCat("http://127.0.0.1:", RefusingPort()));
  auto first = NewHttpProbe(config_, loop_, http_);
  auto second = NewHttpProbe(config_, loop_, http_);
  ASSERT_TRUE(first.ok() && second.ok());
  int told = 0;
  const auto start = [&](Probe& probe, std::unique_ptr<Probe>& other) {
    probe.Start(loop_.Now() + absl::Seconds(20), [&](const Observation&) {
      ++told;
      other.reset();
      loop_.Stop();
    });
  };
  start(**first, *second);
  start(**second, *first);
  loop_.Run();
  EXPECT_EQ(told, 1);
}

TEST_F(HttpProbeTest, DestructionAfterARefusalIsSilent) {
  config_.set_url(absl::StrCat("http://127.0.0.1:", RefusingPort()));
  auto probe = NewHttpProbe(config_, loop_, http_);
  ASSERT_TRUE(probe.ok());
  (*probe)->Start(loop_.Now() + absl::Seconds(20), [](Observation) { FAIL(); });
  probe->reset();
  loop_.CallAfter(absl::Milliseconds(1), [&] { loop_.Stop(); });
  loop_.Run();
}

TEST_F(HttpProbeTest, DestructionDuringALookIsSilent) {
  TestServer hangs([](TestConnection& c) { c.Hang(); });
  config_.set_url(hangs.url());
  auto probe = NewHttpProbe(config_, loop_, http_);
  ASSERT_TRUE(probe.ok());
  (*probe)->Start(loop_.Now() + absl::Milliseconds(20), [](Observation) { FAIL(); });
  probe->reset();
  EXPECT_EQ(Look(absl::Milliseconds(50)).outcome, Outcome::kTimedOut);
}

class HttpsProbeTest : public HttpProbeTest {
 protected:
  const TestCertificate certificate_{"web.example", absl::Hours(24 * 30)};
  TestServer server_{AlwaysAnswer("200 OK", "hello"), certificate_.certificate_file,
                     certificate_.key_file};
};

TEST_F(HttpsProbeTest, ChecksTheChainAndSaysTheDaysLeft) {
  config_.set_url(server_.url());
  config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  EXPECT_NEAR(Value(seen, "tls_days_left"), 30, 0.01);
  EXPECT_NE(Attribute(seen, "tls_ms"), "");
}

TEST_F(HttpsProbeTest, LooksHaveASocketEach) {
  std::vector<ino_t> clients;
  TestServer server(
      [&](TestConnection& c) {
        clients.push_back(ClientSocket(c));
        c.ReadRequest();
        c.Answer("200 OK", "");
        c.Hang();  // No close_notify, which would lie there unread.
      },
      certificate_.certificate_file, certificate_.key_file);
  config_.set_url(server.url());
  config_.mutable_tls()->set_verify(false);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Look().error, "");
  ASSERT_EQ(clients.size(), 2);
  EXPECT_NE(clients[0], clients[1]);
}

TEST_F(HttpsProbeTest, FailsOnACertificateThatNobodyVouchesFor) {
  config_.set_url(server_.url());
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::StrContains(seen.error, "certificate")) << seen.error;
  config_.mutable_tls()->set_verify(false);
  EXPECT_EQ(Look().error, "");
}

// With 10,000 bits one handshake held the loop for half a second.
TEST_F(HttpsProbeTest, AHugeDhGroupDoesNotHoldTheLoop) {
  const TestCertificate rsa("rsa.example", absl::Hours(24), TestCertificate::Key::kRsa);
  TestServer server(AlwaysAnswer("200 OK", ""), rsa.certificate_file, rsa.key_file);
  config_.set_url(server.url());
  config_.mutable_tls()->set_verify(false);
  server.OnlyDh("ffdhe4096");
  EXPECT_EQ(Look().error, "");
  server.OnlyDh("ffdhe6144");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::StrContains(seen.error, "group has more than 4096 bits")) << seen.error;
}

TEST_F(HttpsProbeTest, ChecksTheName) {
  names_.Set("web.example", {"127.0.0.1"});
  names_.Set("other.example", {"127.0.0.1"});
  config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  config_.set_url(absl::StrCat("https://web.example:", server_.port()));
  EXPECT_EQ(Look().error, "");
  config_.set_url(absl::StrCat("https://other.example:", server_.port()));
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
  config_.mutable_tls()->set_server_name("web.example");
  EXPECT_EQ(Look().error, "");
}

TEST_F(HttpsProbeTest, ChecksAnotherNameThanTheAddressAndKeepsTheHostHeader) {
  std::string request;
  TestServer server(
      [&](TestConnection& c) {
        request = c.ReadRequest();
        c.Answer("200 OK", "");
      },
      certificate_.certificate_file, certificate_.key_file);
  config_.set_url(server.url());
  config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  config_.mutable_tls()->set_server_name("web.example");
  EXPECT_EQ(Look().error, "");
  EXPECT_TRUE(
      absl::StrContains(request, absl::StrCat("\r\nHost: 127.0.0.1:", server.port(), "\r\n")))
      << request;
  EXPECT_FALSE(absl::StrContains(request, "Host: web.example")) << request;
}

// It failed although nobody had asked for days.
TEST_F(HttpsProbeTest, ACertificateThatHasEndedPassesWithoutVerification) {
  const TestCertificate ended("ended.example", -absl::Hours(24));
  TestServer server(AlwaysAnswer("200 OK", "hello"), ended.certificate_file, ended.key_file);
  config_.set_url(server.url());
  config_.mutable_tls()->set_verify(false);
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  EXPECT_NEAR(Value(seen, "tls_days_left"), -1, 0.01);
  config_.mutable_tls()->set_min_days_left(1);
  EXPECT_EQ(Look().error, "the certificate ended 1.0 days ago");
}

TEST_F(HttpsProbeTest, FailsWhenTheCertificateEndsTooSoon) {
  config_.set_url(server_.url());
  config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  config_.mutable_tls()->set_min_days_left(29);
  EXPECT_EQ(Look().error, "");
  config_.mutable_tls()->set_min_days_left(31);
  EXPECT_EQ(Look().error, "the certificate ends in 30.0 days, expected at least 31");
}

TEST_F(HttpsProbeTest, FailsWhenTheCertificateHasEnded) {
  const TestCertificate ended("ended.example", -absl::Hours(1));
  TestServer server(AlwaysAnswer("200 OK", ""), ended.certificate_file, ended.key_file);
  config_.set_url(server.url());
  config_.mutable_tls()->set_ca_file(ended.certificate_file);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::StrContains(seen.error, "expired")) << seen.error;
}

TEST_F(HttpsProbeTest, ABadCaFileIsRejected) {
  config_.set_url(server_.url());
  config_.mutable_tls()->set_ca_file("/does/not/exist");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "cannot use the CA file '/does/not/exist'");
}

class CheckHttpProbeTest : public ::testing::Test {
 protected:
  static std::string Check(const std::function<void(config::HttpProbe&)>& change) {
    config::HttpProbe config;
    config.set_url("http://web/");
    change(config);
    return std::string(CheckHttpProbe(config).message());
  }
};

TEST_F(CheckHttpProbeTest, NamesTheFieldThatCannotWork) {
  EXPECT_EQ(Check([](auto&) {}), "");
  EXPECT_EQ(Check([](auto& c) { c.clear_url(); }), "http.url: missing");
  EXPECT_EQ(Check([](auto& c) { c.set_url("ftp://web/"); }),
            "http.url: 'ftp://web/' is neither http:// nor https://");
  EXPECT_TRUE(absl::StartsWith(Check([](auto& c) { c.set_url("http://:x/"); }), "http.url: "));
  EXPECT_TRUE(absl::StartsWith(Check([](auto& c) { c.set_method("get"); }), "http.method: 'get'"));
  EXPECT_EQ(Check([](auto& c) { c.set_body("x"); }), "http.body: only POST and PUT send one");
  EXPECT_EQ(Check([](auto& c) { c.set_body_match("("); }), "http.body_match: missing ): (");
  EXPECT_EQ(Check([](auto& c) { c.add_header()->set_name("a b"); }),
            "http.header: 'a b' is no name of a header");
  EXPECT_EQ(Check([](auto& c) { c.set_proxy("http://proxy"); }), "http.proxy: its port is missing");
  EXPECT_EQ(Check([](auto& c) { c.mutable_tls()->set_server_name("1.2.3.4"); }),
            "http.tls.server_name: '1.2.3.4' is an address, not a name");
  for (const char* bad : {"", "20", "0xx", "6xx", "xxx", "299-200", "200-", "99", "600", "2-3-4"}) {
    EXPECT_TRUE(absl::StartsWith(Check([&](auto& c) { c.add_expected_status(bad); }),
                                 "http.expected_status: "))
        << bad;
  }
}

TEST_F(CheckHttpProbeTest, KeepsTheBounds) {
  EXPECT_EQ(Check([](auto& c) { c.set_max_redirects(20); }), "");
  EXPECT_EQ(Check([](auto& c) { c.set_max_redirects(21); }),
            "http.max_redirects: 21 is not in [0, 20]");
  EXPECT_EQ(Check([](auto& c) { c.set_body_bytes_max(16 << 20); }), "");
  EXPECT_NE(Check([](auto& c) { c.set_body_bytes_max((16 << 20) + 1); }), "");
  const std::string most(64 * 1024, 'x');
  EXPECT_EQ(Check([&](auto& c) { c.set_method("PUT"), c.set_body(most); }), "");
  EXPECT_NE(Check([&](auto& c) { c.set_method("PUT"), c.set_body(most + "x"); }), "");
}

}  // namespace
}  // namespace salve

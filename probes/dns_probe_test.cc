#include "probes/dns_probe.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/uv_loop.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

using std::string_literals::operator""s;
using Datagrams = std::vector<std::string>;

// An answer to `question` with records of data of its own type; its length bytes are < 256.
std::string AnswerTo(const std::string& question, int rcode, const Datagrams& records = {},
                     bool cut = false) {
  std::string answer = question.substr(0, 2) + (cut ? "\x83"s : "\x81"s) +
                       static_cast<char>(0x80 | rcode) + "\0\1\0"s +
                       static_cast<char>(records.size()) + "\0\0\0\0"s + question.substr(12);
  const std::string type_and_class = question.substr(question.size() - 4);
  for (const std::string& data : records) {
    answer +=
        "\xc0\x0c"s + type_and_class + "\0\0\0\x3c\0"s + static_cast<char>(data.size()) + data;
  }
  return answer;
}

// With the length before it, as over TCP.
std::string Framed(const std::string& message) {
  return std::string{static_cast<char>(message.size() >> 8), static_cast<char>(message.size())} +
         message;
}

class DnsProbeTest : public ::testing::Test {
 protected:
  DnsProbeTest() {
    signal(SIGPIPE, SIG_IGN);
    config_.set_name("x.example");
  }

  Observation Look(absl::Duration timeout = absl::Seconds(20)) {
    auto probe = NewDnsProbe(config_, loop_, [this] { return system_servers_; });
    EXPECT_TRUE(probe.ok()) << probe.status();
    if (!probe.ok()) return {};
    std::optional<Observation> seen;
    (*probe)->Start(loop_.Now() + timeout, [&](Observation o) {
      seen = std::move(o);
      loop_.Stop();
    });
    loop_.Run();
    return *seen;
  }
  Observation LookAt(const TestUdpServer& server, absl::Duration timeout = absl::Seconds(20)) {
    config_.set_server(server.address());
    return Look(timeout);
  }
  static std::string Attribute(const Observation& seen, const std::string& name) {
    for (const auto& [key, value] : seen.attributes) {
      if (key == name) return value;
    }
    return "";
  }

  UvLoop loop_;
  std::vector<std::string> system_servers_;
  config::DnsProbe config_;
  TestUdpServer answers_{[](const std::string& q) {
    return Datagrams{AnswerTo(q, 0, {"\xc0\0\2\1"s, "\xc0\0\2\2"s})};
  }};
  TestUdpServer unknown_{[](const std::string& q) { return Datagrams{AnswerTo(q, 3)}; }};
  TestUdpServer fails_{[](const std::string& q) { return Datagrams{AnswerTo(q, 2)}; }};
  TestUdpServer silent_{[](const std::string&) { return Datagrams{}; }};
};

TEST_F(DnsProbeTest, PassesWithARecord) {
  const Observation seen = LookAt(answers_);
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  ASSERT_EQ(seen.values.size(), 2u);
  EXPECT_EQ(seen.values[0].name, "latency_ms");
  EXPECT_EQ(seen.values[1].name, "records");
  EXPECT_EQ(seen.values[1].number, 2);
  EXPECT_EQ(Attribute(seen, "server"), answers_.address());
  EXPECT_EQ(Attribute(seen, "answer"), "192.0.2.1, 192.0.2.2");
  EXPECT_EQ(Attribute(seen, "rcode"), "NOERROR");
}

TEST_F(DnsProbeTest, MatchesOneOfTheRecords) {
  config_.set_expect("^192\\.0\\.2\\.2$");
  EXPECT_EQ(LookAt(answers_).error, "");
  config_.set_expect("^192\\.0\\.2\\.3$");
  const Observation seen = LookAt(answers_);
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error,
            "no A record of x.example matches '^192\\.0\\.2\\.3$': 192.0.2.1, 192.0.2.2");
}

TEST_F(DnsProbeTest, AsksForTheTypeAndTheNameOfAnAddress) {
  // 1.2.0.192.in-addr.arpa, PTR, IN.
  const std::string asked = "\x01\x31\x01\x32\x01\x30\x03\x31\x39\x32\7in-addr\4arpa\0\0\x0c\0\1"s;
  TestUdpServer server([&](const std::string& question) {
    return question.substr(12) == asked ? Datagrams{AnswerTo(question, 0, {"\4host\0"s})}
                                        : Datagrams{AnswerTo(question, 3)};
  });
  config_.set_name("192.0.2.1");
  config_.set_type(config::DnsProbe::PTR);
  config_.set_expect("^host$");
  EXPECT_EQ(LookAt(server).error, "");
}

TEST_F(DnsProbeTest, CutsALongAnswer) {
  TestUdpServer server([](const std::string& question) {
    return Datagrams{
        AnswerTo(question, 0, {"\xc8" + std::string(200, 'x'), "\x64" + std::string(100, 'y')})};
  });
  config_.set_type(config::DnsProbe::TXT);
  EXPECT_EQ(Attribute(LookAt(server), "answer"),
            std::string(200, 'x') + ", " + std::string(54, 'y'));
}

TEST_F(DnsProbeTest, ANameThatDoesNotExistIsAFailure) {
  const Observation seen = LookAt(unknown_);
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "NXDOMAIN for x.example");
  EXPECT_EQ(Attribute(seen, "rcode"), "NXDOMAIN");
}

TEST_F(DnsProbeTest, ANameThatMustNotExist) {
  config_.set_expect_nxdomain(true);
  EXPECT_EQ(LookAt(unknown_).error, "");
  Observation seen = LookAt(answers_);
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "x.example exists: 192.0.2.1, 192.0.2.2");
  TestUdpServer empty([](const std::string& q) { return Datagrams{AnswerTo(q, 0)}; });
  EXPECT_EQ(LookAt(empty).error, "x.example exists: without A record");
  seen = LookAt(fails_);
  EXPECT_EQ(seen.outcome, Outcome::kFailed) << "a server that fails knows nothing of the name";
}

TEST_F(DnsProbeTest, ANameWithoutSuchRecordsIsAFailure) {
  TestUdpServer empty([](const std::string& q) { return Datagrams{AnswerTo(q, 0)}; });
  const Observation seen = LookAt(empty);
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "no A record for x.example");
}

TEST_F(DnsProbeTest, NamesWhatTheServerSays) {
  const Observation seen = LookAt(fails_);
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "SERVFAIL for x.example");
  TestUdpServer refuses([](const std::string& q) { return Datagrams{AnswerTo(q, 5)}; });
  EXPECT_EQ(LookAt(refuses).error, "REFUSED for x.example");
}

TEST_F(DnsProbeTest, ASilentServerTimesOut) {
  const Observation seen = LookAt(silent_, absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::StartsWith(seen.error, "timed out after ")) << seen.error;
  EXPECT_TRUE(absl::EndsWith(seen.error, "waiting for the answer of " + silent_.address()))
      << seen.error;
  EXPECT_GT(silent_.datagrams(), 1) << "a lost datagram is sent again";
}

TEST_F(DnsProbeTest, NobodyThereIsAFailure) {
  config_.set_server(absl::StrCat("127.0.0.1:", RefusingPort()));
  for (const bool tcp : {false, true}) {
    config_.set_tcp(tcp);
    const Observation seen = Look();
    EXPECT_EQ(seen.outcome, Outcome::kFailed);
    EXPECT_EQ(seen.error, absl::StrCat("cannot ask ", config_.server(), ": Connection refused"));
  }
}

TEST_F(DnsProbeTest, NoDescriptorLeftIsRejected) {
  config_.set_server(silent_.address());
  // The channel needs none until it opens its socket, but c-ares reads files before that.
  rlimit old_limit, none = {};
  getrlimit(RLIMIT_NOFILE, &old_limit);
  none.rlim_max = old_limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &none);
  const Observation seen = Look();
  setrlimit(RLIMIT_NOFILE, &old_limit);
  EXPECT_EQ(seen.outcome, Outcome::kRejected) << seen.error;
}

TEST_F(DnsProbeTest, AsksTheNextServerWhenOneCannotSay) {
  const std::string refusing = absl::StrCat("127.0.0.1:", RefusingPort());
  for (const std::string& first : {fails_.address(), silent_.address(), refusing}) {
    system_servers_ = {first, answers_.address()};
    const Observation seen = Look(absl::Milliseconds(400));
    EXPECT_EQ(seen.error, "") << first;
    EXPECT_EQ(Attribute(seen, "server"), answers_.address());
  }
  system_servers_ = {unknown_.address(), answers_.address()};
  EXPECT_EQ(Look().error, "NXDOMAIN for x.example") << "that is an answer";
}

TEST_F(DnsProbeTest, TellsOfTheLastServerOnly) {
  system_servers_ = {fails_.address(), silent_.address()};
  const Observation seen = Look(absl::Milliseconds(100));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_EQ(Attribute(seen, "server"), silent_.address());
  EXPECT_EQ(Attribute(seen, "rcode"), "");
}

TEST_F(DnsProbeTest, NoServerAtAllIsRejected) {
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "this machine has no name server");
}

// --- By TCP.

class TcpDnsProbeTest : public DnsProbeTest {
 protected:
  // A UDP server at the port of a TCP server.
  void Serve(TestServer::Handler tcp, TestUdpServer::Handler udp) {
    while (udp_ == nullptr) {
      tcp_ = std::make_unique<TestServer>(tcp);
      udp_ = TestUdpServer::At(tcp_->port(), udp);
    }
    config_.set_server(udp_->address());
  }
  static TestServer::Handler Answering(const std::string& address) {
    return [address](TestConnection& c) {
      char bytes[512];
      const ssize_t n = recv(c.fd(), bytes, sizeof bytes, 0);
      if (n < 2) return;
      const std::string question(bytes + 2, static_cast<size_t>(n - 2));
      c.Send(Framed(AnswerTo(question, 0, {address})));
      c.Hang();
    };
  }

  std::unique_ptr<TestServer> tcp_;
  std::unique_ptr<TestUdpServer> udp_;
};

TEST_F(TcpDnsProbeTest, AsksByTcpWhenTheAnswerIsCut) {
  Serve(Answering("\xc0\0\2\7"s), [](const std::string& question) {
    return Datagrams{AnswerTo(question, 0, {"\xc0\0\2\1"s}, /*cut=*/true)};
  });
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(Attribute(seen, "answer"), "192.0.2.7");
  EXPECT_EQ(TimeWaitsTo(tcp_->port()), 0);
}

TEST_F(TcpDnsProbeTest, AsksByTcpAloneWhenToldTo) {
  Serve(Answering("\xc0\0\2\7"s), [](const std::string& question) {
    return Datagrams{AnswerTo(question, 0, {"\xc0\0\2\1"s})};
  });
  config_.set_tcp(true);
  EXPECT_EQ(Attribute(Look(), "answer"), "192.0.2.7");
  EXPECT_EQ(udp_->datagrams(), 0);
}

TEST_F(TcpDnsProbeTest, AServerThatHangsTimesOut) {
  Serve([](TestConnection& c) { c.Hang(); }, [](const std::string&) { return Datagrams{}; });
  config_.set_tcp(true);
  EXPECT_EQ(Look(absl::Milliseconds(50)).outcome, Outcome::kTimedOut);
}

// It was given a seventh of the time, as the first of three tries over UDP is.
TEST_F(TcpDnsProbeTest, ASlowServerHasAllTheTimeThereIs) {
  for (const bool tcp : {true, false}) {
    Serve([](TestConnection& c) { c.Hang(); },
          [](const std::string& question) {
            return Datagrams{AnswerTo(question, 0, {"\xc0\0\2\1"s}, /*cut=*/true)};
          });
    config_.set_tcp(tcp);
    const Observation seen = Look(absl::Milliseconds(70));
    EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
    EXPECT_GE(seen.values[0].number, 60) << seen.error;
    udp_ = nullptr;
  }
}

TEST_F(TcpDnsProbeTest, AServerThatSendsNonsenseIsBounded) {
  Serve(
      [](TestConnection& c) {
        while (c.Send(std::string(4096, '\xff'))) {
        }
      },
      [](const std::string&) { return Datagrams{}; });
  config_.set_tcp(true);
  EXPECT_NE(Look(absl::Milliseconds(100)).outcome, Outcome::kSucceeded);
}

// --- Liars.

TEST_F(DnsProbeTest, IgnoresWhatWasNotAskedFor) {
  TestUdpServer liar([](const std::string& question) {
    std::string wrong_id = AnswerTo(question, 3);
    wrong_id[0] = static_cast<char>(wrong_id[0] + 1);
    std::string wrong_name = AnswerTo(question, 3);
    wrong_name[13] = 'y';
    return Datagrams{wrong_id, wrong_name, "x", AnswerTo(question, 0, {"\xc0\0\2\1"s})};
  });
  EXPECT_EQ(LookAt(liar).error, "");
}

TEST_F(DnsProbeTest, OnlyLiesTimeOut) {
  TestUdpServer liar([](const std::string& question) {
    std::string wrong_id = AnswerTo(question, 0, {"\xc0\0\2\1"s});
    wrong_id[1] = static_cast<char>(wrong_id[1] + 1);
    return Datagrams(100, wrong_id);
  });
  EXPECT_EQ(LookAt(liar, absl::Milliseconds(50)).outcome, Outcome::kTimedOut);
}

TEST_F(DnsProbeTest, AnAnswerThatCannotBeReadIsAFailure) {
  TestUdpServer liar(
      [](const std::string& question) { return Datagrams{AnswerTo(question, 0, {"\1\1\1"s})}; });
  Observation seen = LookAt(liar);
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, absl::StrCat("the answer of ", liar.address(),
                                     " cannot be read: a record has the wrong length"));

  TestUdpServer echo([](const std::string& question) { return Datagrams{question}; });
  seen = LookAt(echo);
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error,
            absl::StrCat("the answer of ", echo.address(), " cannot be read: it is a question"));
}

TEST_F(DnsProbeTest, EmptyDatagramsAreNoAnswer) {
  TestUdpServer empty([](const std::string&) { return Datagrams{""}; });
  const Observation seen = LookAt(empty, absl::Milliseconds(100));
  EXPECT_NE(seen.outcome, Outcome::kSucceeded);
  EXPECT_NE(seen.outcome, Outcome::kRejected) << seen.error;
}

TEST_F(DnsProbeTest, DestructionDuringALookIsSilent) {
  config_.set_server(silent_.address());
  auto probe = NewDnsProbe(config_, loop_);
  ASSERT_TRUE(probe.ok());
  (*probe)->Start(loop_.Now() + absl::Milliseconds(20), [](Observation) { FAIL(); });
  probe->reset();
  EXPECT_EQ(LookAt(silent_, absl::Milliseconds(50)).outcome, Outcome::kTimedOut);
}

// --- The configuration.

std::string ErrorOf(const std::string& name, const std::string& server = "",
                    config::DnsProbe::Type type = config::DnsProbe::A) {
  config::DnsProbe config;
  config.set_name(name);
  config.set_server(server);
  config.set_type(type);
  return std::string(CheckDnsProbe(config).message());
}

TEST(CheckDnsProbeTest, NamesANameThatIsNone) {
  EXPECT_EQ(ErrorOf(""), "dns.name: missing");
  EXPECT_EQ(ErrorOf("192.0.2.1"), "dns.name: '192.0.2.1' is an address: only PTR has those");
  EXPECT_EQ(ErrorOf("192.0.2.1", "", config::DnsProbe::PTR), "");
  EXPECT_EQ(ErrorOf("fe80::1", "", config::DnsProbe::PTR), "");
  EXPECT_NE(ErrorOf("fe80::1%lo", "", config::DnsProbe::PTR), "");
  for (const char* good :
       {".", "x", "x.example.", "_sip._tcp.example", "0/26.2.0.192.in-addr.arpa"}) {
    EXPECT_EQ(ErrorOf(good), "");
  }
  for (const char* bad : {"..", ".x", "x..y", "x y", "x\\.y", "*.example"}) {
    EXPECT_TRUE(absl::StrContains(ErrorOf(bad), "is no name")) << bad;
  }
  const std::string label(63, 'a');
  EXPECT_EQ(ErrorOf(label), "");
  EXPECT_NE(ErrorOf(label + "a"), "");
  const std::string most = label + "." + label + "." + label + "." + std::string(61, 'b');
  EXPECT_EQ(ErrorOf(most), "");
  EXPECT_EQ(ErrorOf(most + "b"), "dns.name: 254 bytes are more than 253");
}

TEST(CheckDnsProbeTest, NamesAServerThatIsNone) {
  for (const char* good : {"192.0.2.1", "192.0.2.1:5353", "::1", "[::1]", "[2001:db8::1]:65535"}) {
    EXPECT_EQ(ErrorOf("x.example", good), "") << good;
  }
  for (const char* bad :
       {"ns.example", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "[::1]:", "[::1", "[::1]x",
        "[192.0.2.1]:53", "192.0.2.1:53,192.0.2.2:53", "fe80::1%lo"}) {
    EXPECT_EQ(ErrorOf("x.example", bad),
              absl::StrCat("dns.server: '", bad,
                           "' is not like \"192.0.2.1\", \"192.0.2.1:53\" or "
                           "\"[2001:db8::1]:53\""));
  }
}

TEST(CheckDnsProbeTest, NamesOtherFields) {
  EXPECT_EQ(ErrorOf("x", "", static_cast<config::DnsProbe::Type>(99)), "dns.type: 99 is no type");
  config::DnsProbe config;
  config.set_name("x.example");
  config.set_expect("(");
  EXPECT_EQ(CheckDnsProbe(config).message(), "dns.expect: missing ): (");
  config.set_expect("x");
  config.set_expect_nxdomain(true);
  EXPECT_EQ(CheckDnsProbe(config).message(), "dns.expect: does not go with expect_nxdomain");
}

// An address of IPv6 is told to c-ares in its own way.
TEST(Ipv6DnsProbeTest, IsAskedAtItsPort) {
  UvLoop loop;
  config::DnsProbe config;
  config.set_name("x.example");
  config.set_server(absl::StrCat("[::1]:", RefusingPort()));
  auto probe = NewDnsProbe(config, loop);
  ASSERT_TRUE(probe.ok());
  Observation seen;
  (*probe)->Start(loop.Now() + absl::Seconds(20), [&](Observation o) {
    seen = std::move(o);
    loop.Stop();
  });
  loop.Run();
  EXPECT_TRUE(absl::StartsWith(seen.error, "cannot ask " + config.server())) << seen.error;
}

}  // namespace
}  // namespace salve

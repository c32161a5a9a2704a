#include "probes/tcp_probe.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/uv_loop.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

class TcpProbeTest : public ::testing::Test {
 protected:
  TcpProbeTest() { signal(SIGPIPE, SIG_IGN); }

  Observation Look(absl::Duration timeout = absl::Seconds(20)) {
    auto probe = NewTcpProbe(config_, loop_, resolver_);
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
  static std::string Attribute(const Observation& seen, const std::string& name) {
    for (const auto& [key, value] : seen.attributes) {
      if (key == name) return value;
    }
    return "";
  }

  UvLoop loop_;
  TestNameServer names_;
  Resolver resolver_{
      loop_, {.servers = names_.address(), .server_timeout = absl::Milliseconds(50), .tries = 1}};
  config::TcpProbe config_;
};

TEST_F(TcpProbeTest, PassesWhenTheConnectionOpens) {
  TestServer server([](TestConnection& c) { c.Hang(); });
  config_.set_port(server.port());
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_EQ(Attribute(seen, "remote_address"), absl::StrCat("127.0.0.1:", server.port()));
  ASSERT_EQ(seen.values.size(), 1u);
  EXPECT_EQ(seen.values[0].name, "latency_ms");
  EXPECT_EQ(TimeWaitsTo(server.port()), 0);
}

TEST_F(TcpProbeTest, SendsAndMatchesTheAnswer) {
  TestServer server([](TestConnection& c) {
    c.Send(c.ReadRequest() == "PING\r\n\r\n" ? "+PO" : "-ERR");
    c.Pause(absl::Milliseconds(5));
    c.Send("NG\r\n");
    c.Hang();
  });
  config_.set_port(server.port());
  config_.set_send("PING\r\n\r\n");
  config_.set_expect("^\\+PONG");
  EXPECT_EQ(Look().error, "");
}

TEST_F(TcpProbeTest, SendsManyBytesToASlowReader) {
  const std::string most = std::string(64 * 1024 - 4, 'x') + "\r\n\r\n";
  TestServer server([&](TestConnection& c) {
    c.Pause(absl::Milliseconds(5));
    c.Send(c.ReadRequest() == most ? "all" : "some");
  });
  config_.set_port(server.port());
  config_.set_send(most);
  config_.set_expect("all");
  EXPECT_EQ(Look().error, "");
}

TEST_F(TcpProbeTest, FailsWhenTheAnswerEndsWithoutAMatch) {
  TestServer server([](TestConnection& c) { c.Send("-ERR"); });
  config_.set_port(server.port());
  config_.set_expect("PONG");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "the answer (4 bytes) does not match 'PONG'");
}

TEST_F(TcpProbeTest, LooksNoFurtherThan64KiB) {
  TestServer server([](TestConnection& c) {
    while (c.Send(std::string(4096, 'x'))) {
    }
  });
  config_.set_port(server.port());
  config_.set_expect("y");
  EXPECT_EQ(Look().error, "the answer (65536 bytes) does not match 'y'");
}

TEST_F(TcpProbeTest, ARefusalIsAFailure) {
  config_.set_port(RefusingPort());
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error,
            absl::StrCat("cannot connect to 127.0.0.1:", config_.port(), ": Connection refused"));
}

TEST_F(TcpProbeTest, AResetIsAFailure) {
  TestServer server([](TestConnection& c) {
    const linger reset = {1, 0};
    setsockopt(c.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  });
  config_.set_port(server.port());
  config_.set_expect("x");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::EndsWith(seen.error, "Connection reset by peer")) << seen.error;
}

TEST_F(TcpProbeTest, TimesOutInEachPhaseAndNamesIt) {
  const FullListener full;
  config_.set_port(full.port());
  Observation seen = Look(absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while connecting")) << seen.error;

  TestServer hangs([](TestConnection& c) { c.Hang(); });
  config_.set_port(hangs.port());
  config_.set_expect("x");
  seen = Look(absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while waiting for the answer")) << seen.error;

  config_.mutable_tls();
  seen = Look(absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while negotiating TLS")) << seen.error;

  names_.SetMode(TestNameServer::Mode::kSilent);
  config_.set_host("web.example");
  seen = Look(absl::Milliseconds(20));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while resolving web.example")) << seen.error;
}

TEST_F(TcpProbeTest, TriesTheNextAddressWhenOneRefuses) {
  TestServer server([](TestConnection& c) { c.Hang(); });
  config_.set_port(server.port());
  names_.Set("one.example", {"127.0.0.2", "127.0.0.1"});  // Nobody listens on 127.0.0.2.
  names_.Set("two.example", {"127.0.0.1", "127.0.0.2"});
  for (const char* name : {"one.example", "two.example"}) {
    config_.set_host(name);
    EXPECT_EQ(Look().error, "") << name;
  }
}

TEST_F(TcpProbeTest, ANameThatDoesNotExistIsAFailure) {
  config_.set_host("no.example");
  config_.set_port(80);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "name 'no.example' does not exist");
}

TEST_F(TcpProbeTest, ANameServerThatIsNotThereIsRejected) {
  Resolver nobody(loop_, {.servers = absl::StrCat("127.0.0.1:", RefusingPort()), .tries = 1});
  config_.set_host("web.example");
  config_.set_port(80);
  auto probe = NewTcpProbe(config_, loop_, nobody);
  ASSERT_TRUE(probe.ok());
  Observation seen;
  (*probe)->Start(loop_.Now() + absl::Seconds(20), [&](Observation o) {
    seen = std::move(o);
    loop_.Stop();
  });
  loop_.Run();
  EXPECT_EQ(seen.outcome, Outcome::kRejected) << seen.error;
}

TEST_F(TcpProbeTest, NoDescriptorLeftIsRejected) {
  config_.set_port(RefusingPort());
  rlimit old_limit, none = {};
  getrlimit(RLIMIT_NOFILE, &old_limit);
  none.rlim_max = old_limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &none);
  const Observation seen = Look();
  setrlimit(RLIMIT_NOFILE, &old_limit);
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "cannot open a socket: Too many open files");
}

TEST_F(TcpProbeTest, DestructionDuringALookIsSilent) {
  TestServer hangs([](TestConnection& c) { c.Hang(); });
  config_.set_port(hangs.port());
  config_.set_expect("x");
  auto probe = NewTcpProbe(config_, loop_, resolver_);
  ASSERT_TRUE(probe.ok());
  (*probe)->Start(loop_.Now() + absl::Milliseconds(20), [](Observation) { FAIL(); });
  probe->reset();
  EXPECT_EQ(Look(absl::Milliseconds(50)).outcome, Outcome::kTimedOut);
}

class TlsTcpProbeTest : public TcpProbeTest {
 protected:
  TlsTcpProbeTest() {
    config_.set_port(server_.port());
    config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  }
  const TestCertificate certificate_{"web.example", absl::Hours(24 * 30)};
  TestServer server_{[](TestConnection& c) {
                       c.Send(std::string(20000, 'x'));
                       c.Send("ready");
                       c.Hang();
                     },
                     certificate_.certificate_file, certificate_.key_file};
};

TEST_F(TlsTcpProbeTest, ChecksTheChainAndTheAddressAndTalks) {
  config_.set_expect("ready");
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.values.size(), 2u);
  EXPECT_EQ(seen.values[1].name, "tls_days_left");
  EXPECT_NEAR(seen.values[1].number, 30, 0.01);
  EXPECT_NE(Attribute(seen, "tls_ms"), "");
}

TEST_F(TlsTcpProbeTest, FailsOnACertificateThatNobodyVouchesFor) {
  config_.mutable_tls()->clear_ca_file();
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::EndsWith(seen.error, "certificate: self-signed certificate")) << seen.error;
  config_.mutable_tls()->set_verify(false);
  EXPECT_EQ(Look().error, "");
}

TEST_F(TlsTcpProbeTest, ChecksTheName) {
  config_.mutable_tls()->set_server_name("web.example");
  EXPECT_EQ(Look().error, "");
  config_.mutable_tls()->set_server_name("other.example");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::EndsWith(seen.error, "certificate: hostname mismatch")) << seen.error;
}

TEST_F(TlsTcpProbeTest, FailsWhenTheCertificateEndsTooSoon) {
  config_.mutable_tls()->set_min_days_left(29);
  EXPECT_EQ(Look().error, "");
  config_.mutable_tls()->set_min_days_left(31);
  EXPECT_EQ(Look().error, "the certificate ends in 30.0 days, expected at least 31");
}

// It failed although nobody had asked for days.
TEST_F(TlsTcpProbeTest, ACertificateThatHasEndedPassesWithoutVerification) {
  const TestCertificate ended("ended.example", -absl::Hours(24));
  TestServer server([](TestConnection& c) { c.Hang(); }, ended.certificate_file, ended.key_file);
  config_.set_port(server.port());
  config_.mutable_tls()->set_verify(false);
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.values.size(), 2u);
  EXPECT_NEAR(seen.values[1].number, -1, 0.01);
  config_.mutable_tls()->set_min_days_left(1);
  EXPECT_EQ(Look().error, "the certificate ended 1.0 days ago");
  config_.mutable_tls()->set_verify(true);
  config_.mutable_tls()->set_ca_file(ended.certificate_file);
  config_.mutable_tls()->clear_min_days_left();
  EXPECT_TRUE(absl::EndsWith(Look().error, "certificate: certificate has expired"));
}

TEST_F(TlsTcpProbeTest, ABadCaFileIsRejected) {
  config_.mutable_tls()->set_ca_file("/does/not/exist");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "cannot use the CA file '/does/not/exist'");
}

TEST_F(TlsTcpProbeTest, AServerWithoutTlsIsAFailure) {
  TestServer plain([](TestConnection& c) { c.Send("220 smtp.example ESMTP\r\n"); });
  config_.set_port(plain.port());
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
}

TEST(CheckTcpProbeTest, NamesTheFieldThatCannotWork) {
  config::TcpProbe config;
  EXPECT_EQ(CheckTcpProbe(config).message(), "tcp.port: 0 is not in [1, 65535]");
  config.set_port(65535);
  EXPECT_TRUE(CheckTcpProbe(config).ok());
  config.set_port(65536);
  EXPECT_EQ(CheckTcpProbe(config).message(), "tcp.port: 65536 is not in [1, 65535]");
  config.set_port(1);
  config.set_expect("(");
  EXPECT_EQ(CheckTcpProbe(config).message(), "tcp.expect: missing ): (");
  config.clear_expect();
  config.set_send(std::string(64 * 1024, 'x'));
  EXPECT_TRUE(CheckTcpProbe(config).ok());
  config.set_send(std::string(64 * 1024 + 1, 'x'));
  EXPECT_EQ(CheckTcpProbe(config).message(), "tcp.send: 65537 bytes are more than 65536");
  config.set_host("/run/x");
  EXPECT_EQ(CheckTcpProbe(config).message(), "tcp.host: '/run/x' is a path");
}

}  // namespace
}  // namespace salve

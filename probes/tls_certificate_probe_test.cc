#include "probes/tls_certificate_probe.h"

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/blocking_calls.h"
#include "base/uv_loop.h"
#include "probes/test_dialogue.h"
#include "probes/test_script_server.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

class TlsCertificateProbeTest : public ::testing::Test {
 protected:
  TlsCertificateProbeTest() {
    signal(SIGPIPE, SIG_IGN);
    config_.set_ca_file(certificate_.certificate_file);
  }

  Observation LookAt(const ScriptServer& server, absl::Duration timeout = absl::Seconds(20)) {
    config_.set_port(static_cast<uint32_t>(server.port()));
    return Look(timeout);
  }
  Observation Look(absl::Duration timeout = absl::Seconds(20)) {
    auto probe = NewTlsCertificateProbe(config_, loop_, resolver_, blocking_);
    EXPECT_TRUE(probe.ok()) << probe.status();
    if (!probe.ok()) return {};
    std::optional<Observation> seen;
    (*probe)->Start(loop_.Now() + timeout, [&](Observation o) {
      seen = std::move(o);
      loop_.Stop();
    });
    loop_.Run();
    return *std::move(seen);
  }
  ScriptServer::Options Certified() const { return Certified(certificate_); }
  static ScriptServer::Options Certified(const TestCertificate& certificate) {
    ScriptServer::Options options;
    options.certificate_file = certificate.certificate_file;
    options.key_file = certificate.key_file;
    return options;
  }

  const TestCertificate certificate_{"tls_certificate.example", absl::Hours(24 * 30)};
  UvLoop loop_;
  Resolver resolver_{loop_};
  BlockingCalls blocking_{loop_};
  config::TlsCertificateProbe config_;
};

TEST_F(TlsCertificateProbeTest, PassesAndSaysWhatItSaw) {
  ScriptServer server({StartsTls(), Hangs()}, Certified());
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.values.size(), 3u);
  EXPECT_EQ(seen.values[0].name, "days_left");
  EXPECT_NEAR(seen.values[0].number, 30, 0.01);
  EXPECT_EQ(ValueOf(seen, "chain_length"), 1);
  EXPECT_GE(ValueOf(seen, "latency_ms"), 0);
  EXPECT_EQ(AttributeOf(seen, "subject"), "CN=tls_certificate.example");
  EXPECT_EQ(AttributeOf(seen, "issuer"), "CN=tls_certificate.example");
  EXPECT_EQ(AttributeOf(seen, "names"), "tls_certificate.example, 127.0.0.1");
  EXPECT_EQ(AttributeOf(seen, "tls_version"), "TLSv1.3");
  EXPECT_EQ(AttributeOf(seen, "not_after").size(), 20u);
  EXPECT_EQ(AttributeOf(seen, "remote_address"), absl::StrCat("127.0.0.1:", server.port()));
}

TEST_F(TlsCertificateProbeTest, TheDaysLeftHaveTwoSides) {
  ScriptServer server({StartsTls(), Hangs()}, Certified());
  config_.set_min_days_left(29);
  EXPECT_EQ(LookAt(server).error, "");
  config_.set_min_days_left(31);
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "the certificate ends in 30.0 days, expected at least 31");
  EXPECT_NEAR(ValueOf(seen, "days_left"), 30, 0.01) << "also when it fails";
}

TEST_F(TlsCertificateProbeTest, FourteenDaysAreTheDefault) {
  const TestCertificate soon("soon.example", absl::Hours(24 * 13));
  ScriptServer server({StartsTls(), Hangs()}, Certified(soon));
  config_.set_ca_file(soon.certificate_file);
  EXPECT_EQ(LookAt(server).error, "the certificate ends in 13.0 days, expected at least 14");
}

// It meant the default of 14.
TEST_F(TlsCertificateProbeTest, NoDaysLeftMeansThatItMustNotHaveEnded) {
  const TestCertificate soon("brief.example", absl::Hours(24 * 13));
  ScriptServer server({StartsTls(), Hangs()}, Certified(soon));
  config_.set_ca_file(soon.certificate_file);
  config_.set_min_days_left(0);
  EXPECT_EQ(LookAt(server).error, "");
  const TestCertificate ended("over.example", -absl::Hours(24));
  ScriptServer late({StartsTls(), Hangs()}, Certified(ended));
  config_.set_ca_file(ended.certificate_file);
  EXPECT_EQ(LookAt(late).error, "the certificate ended 1.0 days ago");
}

TEST_F(TlsCertificateProbeTest, APostgresErrorInThePlaceOfTlsIsAFailure) {
  ScriptServer server({Hears(std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8)),
                       Says(std::string("E\0\0\0\x0c"
                                        "C28000\0\0",
                                        13)),
                       Hangs()});
  config_.set_start_tls(config::TlsCertificateProbe::POSTGRES);
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "28000:");
}

TEST_F(TlsCertificateProbeTest, TheFinalDotOfANameIsNoPartOfIt) {
  ScriptServer server({StartsTls(), Hangs()}, Certified());
  config_.set_server_name("tls_certificate.example.");
  EXPECT_EQ(LookAt(server).error, "");
}

TEST_F(TlsCertificateProbeTest, SaysWhichOfAllIsWrong) {
  ScriptServer server({StartsTls(), Hangs()}, Certified());
  config_.set_server_name("other.example");
  const std::string name =
      "the certificate is for 'tls_certificate.example, 127.0.0.1', not for 'other.example'";
  EXPECT_EQ(LookAt(server).error, name);
  config_.clear_ca_file();
  const std::string chain = "no known authority vouches for it: self-signed certificate";
  EXPECT_EQ(LookAt(server).error, absl::StrCat(name, "; ", chain));
  config_.set_verify_name(false);
  EXPECT_EQ(LookAt(server).error, chain);
  config_.set_verify_chain(false);
  EXPECT_EQ(LookAt(server).error, "");
  config_.set_verify_name(true);
  EXPECT_EQ(LookAt(server).error, name);
}

TEST_F(TlsCertificateProbeTest, ACertificateThatHasEndedIsOneFaultNotTwo) {
  const TestCertificate ended("ended.example", -absl::Hours(48));
  ScriptServer server({StartsTls(), Hangs()}, Certified(ended));
  config_.set_ca_file(ended.certificate_file);
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.error, "the certificate ended 2.0 days ago");
  EXPECT_NEAR(ValueOf(seen, "days_left"), -2, 0.01);
}

TEST_F(TlsCertificateProbeTest, SpeaksWhatComesBeforeTls) {
  using Config = config::TlsCertificateProbe;
  const std::pair<Config::StartTls, Script> modes[] = {
      {Config::SMTP,
       {Says("220 mx\r\n"), Hears("EHLO localhost\r\n"), Says("250-mx\r\n250 STARTTLS\r\n"),
        Hears("STARTTLS\r\n"), Says("220 go\r\n"), StartsTls(), Hears("QUIT\r\n")}},
      {Config::IMAP,
       {Says("* OK x\r\n"), Hears("a1 STARTTLS\r\n"), Says("a1 OK\r\n"), StartsTls(),
        Hears("z LOGOUT\r\n")}},
      {Config::POP3,
       {Says("+OK\r\n"), Hears("STLS\r\n"), Says("+OK\r\n"), StartsTls(), Hears("QUIT\r\n")}},
      {Config::POSTGRES,
       {Hears(std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8)), Says("S"), StartsTls(), Hangs()}},
  };
  for (const auto& [mode, script] : modes) {
    ScriptServer server(script, Certified());
    config_.set_start_tls(mode);
    const Observation seen = LookAt(server);
    EXPECT_EQ(seen.error, "") << mode;
    EXPECT_EQ(server.fault(), "") << mode;
    EXPECT_NEAR(ValueOf(seen, "days_left"), 30, 0.01) << mode;
  }
}

TEST_F(TlsCertificateProbeTest, AServerThatHangsTimesOutAndThePhaseIsNamed) {
  ScriptServer server({Hangs()});
  Observation seen = LookAt(server, absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while negotiating TLS")) << seen.error;
  config_.set_start_tls(config::TlsCertificateProbe::POP3);
  seen = LookAt(server, absl::Milliseconds(50));
  EXPECT_TRUE(absl::EndsWith(seen.error, "while waiting for the greeting")) << seen.error;
}

TEST_F(TlsCertificateProbeTest, ABadCaFileIsRejected) {
  ScriptServer server({StartsTls(), Hangs()}, Certified());
  config_.set_ca_file("/does/not/exist");
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "cannot use the CA file '/does/not/exist'");
}

TEST_F(TlsCertificateProbeTest, LooksAtAFile) {
  config_.set_file(certificate_.certificate_file);
  Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.values.size(), 2u);
  EXPECT_EQ(seen.values[0].name, "days_left");
  EXPECT_NEAR(seen.values[0].number, 30, 0.01);
  EXPECT_EQ(AttributeOf(seen, "subject"), "CN=tls_certificate.example");
  config_.set_server_name("other.example");
  EXPECT_TRUE(absl::EndsWith(Look().error, "not for 'other.example'"));
  config_.clear_server_name();
  config_.clear_ca_file();
  EXPECT_EQ(Look().error, "no known authority vouches for it: self-signed certificate");
  config_.set_verify_chain(false);
  config_.set_min_days_left(31);
  EXPECT_EQ(Look().error, "the certificate ends in 30.0 days, expected at least 31");
}

TEST_F(TlsCertificateProbeTest, AFileWithoutACertificateIsAFailureAndAMissingOneIsRejected) {
  config_.set_file("/does/not/exist");
  Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "cannot read /does/not/exist: No such file or directory");
  config_.set_file(certificate_.key_file);
  seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, absl::StrCat(certificate_.key_file, ": there is no certificate in it"));
  const std::string broken = ::testing::TempDir() + "/broken.pem";
  std::ofstream(broken) << "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  config_.set_file(broken);
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
}

// As one on the disk of a machine that does not answer: it would have held the loop.
TEST_F(TlsCertificateProbeTest, AFileThatHangsDoesNotHoldTheLoop) {
  config_.set_file(certificate_.certificate_file);
  std::promise<void> release;
  blocking_.Run(
      "read " + config_.file(), loop_.Now() + absl::Milliseconds(10),
      [released = release.get_future().share()]() -> absl::StatusOr<std::string> {
        released.wait();
        return std::string();
      },
      [](const absl::StatusOr<std::string>&) {});
  const Observation seen = Look(absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::StrContains(seen.error, "read " + config_.file())) << seen.error;
  release.set_value();
}

TEST_F(TlsCertificateProbeTest, DestructionWhileTheFileIsReadIsSilent) {
  config_.set_file(certificate_.certificate_file);
  auto probe = NewTlsCertificateProbe(config_, loop_, resolver_, blocking_);
  ASSERT_TRUE(probe.ok());
  (*probe)->Start(loop_.Now() + absl::Seconds(20), [](Observation) { FAIL(); });
  probe->reset();
  EXPECT_EQ(Look().error, "") << "the next one of the file is not disturbed";
}

TEST(CheckTlsCertificateProbeTest, NamesTheFieldThatCannotWork) {
  config::TlsCertificateProbe config;
  EXPECT_TRUE(CheckTlsCertificateProbe(config).ok());
  config.set_min_days_left(3650);
  config.set_port(65535);
  EXPECT_TRUE(CheckTlsCertificateProbe(config).ok());
  config.set_file("/etc/cert.pem");
  EXPECT_EQ(CheckTlsCertificateProbe(config).message(),
            "tls_certificate.file: host, port and start_tls are of a connection, not of a file");
  config.set_file("cert.pem");
  EXPECT_EQ(CheckTlsCertificateProbe(config).message(),
            "tls_certificate.file: 'cert.pem' is no path from / on");
  config.clear_file();
  config.set_start_tls(static_cast<config::TlsCertificateProbe::StartTls>(9));
  EXPECT_EQ(CheckTlsCertificateProbe(config).message(), "tls_certificate.start_tls: 9 is unknown");
  config.set_min_days_left(3651);
  EXPECT_EQ(CheckTlsCertificateProbe(config).message(),
            "tls_certificate.min_days_left: 3651 is not in [0, 3650]");
  config.set_port(65536);
  EXPECT_EQ(CheckTlsCertificateProbe(config).message(),
            "tls_certificate.port: 65536 is not in [0, 65535]");
  config.set_host("/run/x");
  EXPECT_EQ(CheckTlsCertificateProbe(config).message(), "tls_certificate.host: '/run/x' is a path");
}

}  // namespace
}  // namespace salve

#include "probes/pop3_probe.h"

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/uv_loop.h"
#include "probes/test_dialogue.h"
#include "probes/test_script_server.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

class Pop3ProbeTest : public ::testing::Test {
 protected:
  Pop3ProbeTest() {
    signal(SIGPIPE, SIG_IGN);
    std::ofstream(password_file_) << "hunter2\n";
  }

  Observation LookAt(const ScriptServer& server, absl::Duration timeout = absl::Seconds(20)) {
    config_.set_port(static_cast<uint32_t>(server.port()));
    return Look(timeout);
  }
  Observation Look(absl::Duration timeout = absl::Seconds(20)) {
    auto probe = NewPop3Probe(config_, loop_, resolver_);
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
  ScriptServer::Options Certified() const {
    ScriptServer::Options options;
    options.certificate_file = certificate_.certificate_file;
    options.key_file = certificate_.key_file;
    return options;
  }

  const std::string password_file_ = ::testing::TempDir() + "/pop3_password";
  const TestCertificate certificate_{"pop3.example", absl::Hours(24 * 30)};
  UvLoop loop_;
  Resolver resolver_{loop_};
  config::Pop3Probe config_;
};

TEST_F(Pop3ProbeTest, LogsInWithinTlsAndCounts) {
  ScriptServer server({StartsTls(), Says("+OK ready\r\n"), Hears("USER ann\r\n"), Says("+OK\r\n"),
                       Hears("PASS hunter2\r\n"), Says("+OK\r\n"), Hears("STAT\r\n"),
                       Says("+OK 2 640\r\n"), Hears("QUIT\r\n"), Says("+OK\r\n")},
                      Certified());
  config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  config_.set_user("ann");
  config_.set_password_file(password_file_);
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(server.fault(), "");
  EXPECT_EQ(ValueOf(seen, "messages"), 2);
  EXPECT_EQ(ValueOf(seen, "mailbox_bytes"), 640);
  EXPECT_NEAR(ValueOf(seen, "tls_days_left"), 30, 0.01);
}

TEST_F(Pop3ProbeTest, StartsTls) {
  ScriptServer server(
      {Says("+OK ready\r\n"), Hears("STLS\r\n"), Says("+OK\r\n"), StartsTls(), Hears("QUIT\r\n")},
      Certified());
  config_.set_start_tls(true);
  config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  EXPECT_EQ(LookAt(server).error, "");
  EXPECT_EQ(server.fault(), "");
}

TEST_F(Pop3ProbeTest, AServerThatHangsTimesOut) {
  ScriptServer server({Says("+OK"), Hangs()});
  const Observation seen = LookAt(server, absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while waiting for the greeting")) << seen.error;
}

TEST(CheckPop3ProbeTest, NamesTheFieldThatCannotWork) {
  config::Pop3Probe config;
  EXPECT_TRUE(CheckPop3Probe(config).ok());
  config.set_banner_match("(");
  EXPECT_EQ(CheckPop3Probe(config).message(), "pop3.banner_match: missing ): (");
  config.set_user("ann\r\nDELE 1");
  EXPECT_EQ(CheckPop3Probe(config).message(),
            "pop3.user: a control character (CR, LF, NUL …) can't stand in it");
  config.set_user("ann");
  EXPECT_EQ(CheckPop3Probe(config).message(),
            "pop3.password_file: user and password_file are needed both or not at all");
}

}  // namespace
}  // namespace salve

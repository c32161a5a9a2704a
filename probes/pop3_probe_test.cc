#include "probes/pop3_probe.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "probes/test_conversation_probe.h"
#include "probes/test_dialogue.h"
#include "probes/test_script_server.h"

namespace salve {
namespace {

using Pop3ProbeTest = ConversationProbeTest<config::Pop3Probe, NewPop3Probe>;

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

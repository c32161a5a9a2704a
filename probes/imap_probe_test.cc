#include "probes/imap_probe.h"

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

using ImapProbeTest = ConversationProbeTest<config::ImapProbe, NewImapProbe>;

TEST_F(ImapProbeTest, LogsInAndCounts) {
  ScriptServer server({Says("* OK ready\r\n"), Hears("a1 LOGIN \"ann\" \"hunter2\"\r\n"),
                       Says("a1 OK in\r\n"), Hears("a2 EXAMINE \"INBOX\"\r\n"),
                       Says("* 4 EXISTS\r\na2 OK [READ-ONLY]\r\n"), Hears("z LOGOUT\r\n"),
                       Says("* BYE\r\nz OK\r\n")});
  config_.set_user("ann");
  config_.set_password_file(password_file_);
  config_.set_mailbox("INBOX");
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(server.fault(), "");
  EXPECT_EQ(ValueOf(seen, "messages"), 4);
  EXPECT_EQ(AttributeOf(seen, "banner"), "ready");
}

TEST_F(ImapProbeTest, StartsTls) {
  ScriptServer server({Says("* OK ready\r\n"), Hears("a1 STARTTLS\r\n"), Says("a1 OK go\r\n"),
                       StartsTls(), Hears("a2 NOOP\r\n"), Says("a2 OK\r\n"), Hears("z LOGOUT\r\n")},
                      Certified());
  config_.set_start_tls(true);
  config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(server.fault(), "");
  EXPECT_NEAR(ValueOf(seen, "tls_days_left"), 30, 0.01);
  config_.mutable_tls()->clear_ca_file();
  EXPECT_TRUE(absl::EndsWith(LookAt(server).error, "certificate: self-signed certificate"));
}

TEST_F(ImapProbeTest, WordsBeforeTlsAreNotTakenForThoseWithin) {
  ScriptServer server({Says("* OK ready\r\n"), Hears("a1 STARTTLS\r\n"),
                       Says("a1 OK go\r\na2 OK injected\r\n"), Hangs()});
  config_.set_start_tls(true);
  EXPECT_EQ(LookAt(server).error, "the server said more before TLS than it was asked");
}

TEST_F(ImapProbeTest, AServerThatHangsTimesOut) {
  ScriptServer server({Says("* OK ready\r\n"), Hears("a1 NOOP\r\n"), Hangs()});
  const Observation seen = LookAt(server, absl::Milliseconds(300));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while waiting for the answer to NOOP")) << seen.error;
}

TEST(CheckImapProbeTest, NamesTheFieldThatCannotWork) {
  config::ImapProbe config;
  EXPECT_TRUE(CheckImapProbe(config).ok());
  config.set_mailbox("INBOX");
  EXPECT_EQ(CheckImapProbe(config).message(), "imap.mailbox: needs user");
  config.set_user("ann");
  config.set_password_file("/p");
  EXPECT_TRUE(CheckImapProbe(config).ok());
  config.set_mailbox("Entwürfe");
  EXPECT_EQ(CheckImapProbe(config).message(),
            "imap.mailbox: what is not ASCII is written in modified UTF-7, as on the wire");
  config.set_mailbox("INBOX\r\na9 DELETE INBOX");
  EXPECT_EQ(CheckImapProbe(config).message(),
            "imap.mailbox: a control character (CR, LF, NUL …) can't stand in it");
  config.clear_mailbox();
  config.set_banner_match("(");
  EXPECT_EQ(CheckImapProbe(config).message(), "imap.banner_match: missing ): (");
  config.clear_user();
  EXPECT_EQ(CheckImapProbe(config).message(),
            "imap.user: user and password_file are needed both or not at all");
}

}  // namespace
}  // namespace salve

#include "probes/smtp_probe.h"

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

using SmtpProbeTest = ConversationProbeTest<config::SmtpProbe, NewSmtpProbe>;

TEST_F(SmtpProbeTest, TalksAndLeavesPolitely) {
  ScriptServer server({Says("220 mx.example ESMTP\r\n"), Hears("EHLO probe.example\r\n"),
                       Says("250 mx.example\r\n"), Hears("MAIL FROM:<a@example.org>\r\n"),
                       Says("250 Ok\r\n"), Hears("RCPT TO:<b@example.org>\r\n"), Says("250 Ok\r\n"),
                       Hears("RSET\r\n"), Says("250 Ok\r\n"), Hears("QUIT\r\n"),
                       Says("221 Bye\r\n")});
  config_.set_hello_name("probe.example");
  config_.set_mail_from("a@example.org");
  config_.set_rcpt_to("b@example.org");
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(server.fault(), "");
  EXPECT_EQ(AttributeOf(seen, "banner"), "mx.example ESMTP");
  EXPECT_EQ(AttributeOf(seen, "remote_address"), absl::StrCat("127.0.0.1:", server.port()));
  EXPECT_GE(ValueOf(seen, "latency_ms"), 0);
}

TEST_F(SmtpProbeTest, LogsInAfterStartTls) {
  ScriptServer server({Says("220 mx\r\n"), Hears("EHLO localhost\r\n"), Says("250 STARTTLS\r\n"),
                       Hears(""), Hangs()},
                      Certified());
  ScriptServer whole(
      {Says("220 mx\r\n"), Hears("EHLO localhost\r\n"), Says("250-mx\r\n250 STARTTLS\r\n"),
       Hears("STARTTLS\r\n"), Says("220 go\r\n"), StartsTls(), Hears("EHLO localhost\r\n"),
       Says("250-mx\r\n250 AUTH PLAIN\r\n"), Hears("AUTH PLAIN AGFubgBodW50ZXIy\r\n"),
       Says("235 in\r\n"), Hears("QUIT\r\n")},
      Certified());
  config_.set_start_tls(true);
  config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  config_.set_user("ann");
  config_.set_password_file(password_file_);
  const Observation seen = LookAt(whole);
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(whole.fault(), "");
  EXPECT_NEAR(ValueOf(seen, "tls_days_left"), 30, 0.01);
  // The first line of EHLO's answer is a name, not an offer.
  EXPECT_EQ(LookAt(server).error, "the server does not offer STARTTLS");
}

TEST_F(SmtpProbeTest, TlsFromTheStart) {
  ScriptServer server({StartsTls(), Says("220 mx\r\n"), Hears("EHLO localhost\r\n"),
                       Says("250 mx\r\n"), Hears("QUIT\r\n")},
                      Certified());
  config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  EXPECT_EQ(LookAt(server).error, "");
  config_.mutable_tls()->set_min_days_left(31);
  EXPECT_EQ(LookAt(server).error, "the certificate ends in 30.0 days, expected at least 31");
}

TEST_F(SmtpProbeTest, AMissingPasswordFileIsRejected) {
  ScriptServer server({Says("220 mx\r\n"), Hangs()});
  config_.set_user("ann");
  config_.set_password_file("/does/not/exist");
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "cannot read the password file /does/not/exist: No such file or directory");
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(SmtpProbeTest, AGreetingWithoutEndIsAFailure) {
  ScriptServer line({SaysForEver(std::string(65536, 'x'))});
  EXPECT_EQ(LookAt(line).error, "a line of more than 8 KiB while waiting for the greeting");
  ScriptServer lines({SaysForEver("220-mx\r\n")});
  EXPECT_EQ(LookAt(lines).error, "more than 64 KiB came while waiting for the greeting");
}

TEST_F(SmtpProbeTest, AServerThatIsSlowTimesOutAndThePhaseIsNamed) {
  ScriptServer server({Says("2"), Hangs()});
  Observation seen = LookAt(server, absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while waiting for the greeting")) << seen.error;
  ScriptServer later({Says("220 mx\r\n"), Hears("EHLO localhost\r\n"), Says("250-"), Hangs()});
  seen = LookAt(later, absl::Milliseconds(300));
  EXPECT_TRUE(absl::EndsWith(seen.error, "while waiting for the answer to EHLO")) << seen.error;
}

TEST_F(SmtpProbeTest, DestructionDuringALookIsSilent) {
  ScriptServer server({Hangs()});
  config_.set_port(static_cast<uint32_t>(server.port()));
  auto probe = NewSmtpProbe(config_, loop_, resolver_);
  ASSERT_TRUE(probe.ok());
  (*probe)->Start(loop_.Now() + absl::Milliseconds(20), [](Observation) { FAIL(); });
  probe->reset();
  EXPECT_EQ(Look(absl::Milliseconds(50)).outcome, Outcome::kTimedOut);
}

TEST(CheckSmtpProbeTest, NamesTheFieldThatCannotWork) {
  config::SmtpProbe config;
  EXPECT_TRUE(CheckSmtpProbe(config).ok());
  config.set_rcpt_to("b@example.org");
  EXPECT_EQ(CheckSmtpProbe(config).message(), "smtp.rcpt_to: needs mail_from");
  config.set_mail_from("a b@example.org");
  EXPECT_EQ(CheckSmtpProbe(config).message(),
            "smtp.mail_from: 'a b@example.org' has a space, < or >, or what is not ASCII");
  config.set_mail_from("a@example.org> SIZE=1");
  EXPECT_FALSE(CheckSmtpProbe(config).ok());
  config.set_mail_from("a@example.org\r\nDATA");
  EXPECT_EQ(CheckSmtpProbe(config).message(),
            "smtp.mail_from: a control character (CR, LF, NUL …) can't stand in it");
  config.set_mail_from("a@example.org");
  EXPECT_TRUE(CheckSmtpProbe(config).ok());
  config.set_rcpt_to("b\n");
  EXPECT_FALSE(CheckSmtpProbe(config).ok());
  config.clear_rcpt_to();
  config.set_hello_name("a b");
  EXPECT_EQ(CheckSmtpProbe(config).message(),
            "smtp.hello_name: 'a b' has a space, < or >, or what is not ASCII");
  config.clear_hello_name();
  config.set_banner_match("(");
  EXPECT_EQ(CheckSmtpProbe(config).message(), "smtp.banner_match: missing ): (");
  config.set_user("ann");
  EXPECT_EQ(CheckSmtpProbe(config).message(),
            "smtp.password_file: user and password_file are needed both or not at all");
}

}  // namespace
}  // namespace salve

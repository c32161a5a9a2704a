#include "probes/mail_dialogue.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "probes/test_dialogue.h"

namespace salve {
namespace {

constexpr const char* kSmtpGreeting = "220 mx.example ESMTP Postfix\r\n";
constexpr const char* kHello = "250-mx.example\r\n250-STARTTLS\r\n250 AUTH LOGIN PLAIN\r\n";

MailDialogueOptions WithLogin() {
  MailDialogueOptions options;
  options.user = "ann";
  options.password = "hunter2";
  return options;
}

// --- SMTP

TEST(SmtpDialogueTest, PassesOnAGreetingAndEhlo) {
  const Told told = Tell(NewSmtpDialogue({}), {kSmtpGreeting, kHello});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "EHLO localhost\r\n");
  EXPECT_EQ(told.farewell, "QUIT\r\n");
  EXPECT_EQ(AttributeOf(told.seen, "banner"), "mx.example ESMTP Postfix");
}

TEST(SmtpDialogueTest, AsksWithTheNameAndForTheEnvelopeAndTakesItBack) {
  MailDialogueOptions options;
  options.hello_name = "probe.example";
  options.mail_from = "a@example.org";
  options.rcpt_to = "b@example.org";
  const Told told = Tell(NewSmtpDialogue(options), {kSmtpGreeting, "250 mx\r\n", "250 2.1.0 Ok\r\n",
                                                    "250 Ok\r\n", "250 Ok\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(
      told.said,
      "EHLO probe.example\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nRSET\r\n");
}

TEST(SmtpDialogueTest, ASenderAloneWillDo) {
  MailDialogueOptions options;
  options.mail_from = "a@example.org";
  const Told told =
      Tell(NewSmtpDialogue(options), {kSmtpGreeting, kHello, "250 Ok\r\n", "250 Ok\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "EHLO localhost\r\nMAIL FROM:<a@example.org>\r\nRSET\r\n");
}

TEST(SmtpDialogueTest, AsksAgainWithinTls) {
  MailDialogueOptions options = WithLogin();
  options.start_tls = true;
  const Told told = Tell(NewSmtpDialogue(options), {kSmtpGreeting, "250-mx\r\n250 STARTTLS\r\n",
                                                    "220 go\r\n", kHello, "235 2.7.0 in\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said,
            "EHLO localhost\r\nSTARTTLS\r\n<TLS>EHLO localhost\r\n"
            "AUTH PLAIN AGFubgBodW50ZXIy\r\n");
}

TEST(SmtpDialogueTest, WhatWasOfferedBeforeTlsIsForgotten) {
  MailDialogueOptions options = WithLogin();
  options.start_tls = true;
  const Told told =
      Tell(NewSmtpDialogue(options), {kSmtpGreeting, kHello, "220 go\r\n", "250 mx\r\n"});
  EXPECT_EQ(told.seen.error, "the server does not offer AUTH PLAIN");
}

TEST(SmtpDialogueTest, OnlyTlsEndsThere) {
  MailDialogueOptions options;
  options.start_tls = options.only_tls = true;
  const Told told = Tell(NewSmtpDialogue(options), {kSmtpGreeting, kHello, "220 go\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "EHLO localhost\r\nSTARTTLS\r\n<TLS>");
}

TEST(SmtpDialogueTest, ARefusalIsTheServersWords) {
  MailDialogueOptions envelope = WithLogin();
  envelope.mail_from = "a@example.org";
  envelope.rcpt_to = "b@example.org";
  const auto error = [&](const std::vector<std::string>& words) {
    return Tell(NewSmtpDialogue(envelope), words).seen.error;
  };
  EXPECT_EQ(error({"554-no\r\n554 service\r\n"}), "the greeting was answered by '554-no'");
  EXPECT_EQ(error({"421 too busy\r\n"}), "the greeting was answered by '421 too busy'");
  EXPECT_EQ(error({kSmtpGreeting, "502 what?\r\n"}), "EHLO was answered by '502 what?'");
  EXPECT_EQ(error({kSmtpGreeting, kHello, "535 5.7.8 no\r\n"}),
            "AUTH PLAIN was answered by '535 5.7.8 no'");
  EXPECT_EQ(error({kSmtpGreeting, kHello, "235 in\r\n", "452 4.3.1 full\r\n"}),
            "MAIL FROM was answered by '452 4.3.1 full'");
  EXPECT_EQ(error({kSmtpGreeting, kHello, "235 in\r\n", "250 Ok\r\n", "550 5.1.1 unknown\r\n"}),
            "RCPT TO was answered by '550 5.1.1 unknown'");
  EXPECT_EQ(
      error({kSmtpGreeting, kHello, "235 in\r\n", "250 Ok\r\n", "251 there\r\n", "500 x\r\n"}),
      "RSET was answered by '500 x'");
}

TEST(SmtpDialogueTest, WithoutStartTlsNothingGoesOn) {
  MailDialogueOptions options = WithLogin();
  options.start_tls = true;
  Told told = Tell(NewSmtpDialogue(options), {kSmtpGreeting, "250-mx\r\n250 AUTH PLAIN\r\n"});
  EXPECT_EQ(told.seen.error, "the server does not offer STARTTLS");
  EXPECT_EQ(told.said, "EHLO localhost\r\n");
  told = Tell(NewSmtpDialogue(options), {kSmtpGreeting, kHello, "454 not now\r\n"});
  EXPECT_EQ(told.seen.error, "STARTTLS was answered by '454 not now'");
}

TEST(SmtpDialogueTest, NoPasswordIsRepeated) {
  for (const char* echo : {"535 no 'hunter2'\r\n", "535 no AGFubgBodW50ZXIy\r\n"}) {
    const Told told = Tell(NewSmtpDialogue(WithLogin()), {kSmtpGreeting, kHello, echo});
    EXPECT_EQ(told.seen.error.find("hunter2"), std::string::npos) << told.seen.error;
    EXPECT_EQ(told.seen.error.find("AGFub"), std::string::npos) << told.seen.error;
    EXPECT_NE(told.seen.error.find("***"), std::string::npos) << told.seen.error;
  }
}

TEST(SmtpDialogueTest, WhatIsNoReplyIsAFailure) {
  for (const char* line : {"SSH-2.0-OpenSSH\r\n", "\r\n", "22\r\n", "220x\r\n", "120 x\r\n",
                           "600 x\r\n", "2a0 x\r\n"}) {
    const Told told = Tell(NewSmtpDialogue({}), {line});
    EXPECT_EQ(told.seen.error.find("no answer of an SMTP server: '"), 0u) << told.seen.error;
  }
  EXPECT_EQ(Tell(NewSmtpDialogue({}), {"220-a\r\n250 b\r\n"}).seen.error,
            "no answer of an SMTP server: '250 b'");
  EXPECT_EQ(Tell(NewSmtpDialogue({}), {"220\r\n", "250\r\n"}).seen.error, "");
}

TEST(SmtpDialogueTest, TheBannerMustMatch) {
  const RE2 pattern("Postfix$");
  MailDialogueOptions options;
  options.banner_match = &pattern;
  EXPECT_EQ(Tell(NewSmtpDialogue(options), {kSmtpGreeting, kHello}).seen.error, "");
  EXPECT_EQ(Tell(NewSmtpDialogue(options), {"220-mx\r\n220 Postfix\r\n", kHello}).seen.error, "");
  EXPECT_EQ(Tell(NewSmtpDialogue(options), {"220 Exim\r\n"}).seen.error,
            "the greeting 'Exim' does not match 'Postfix$'");
}

TEST(SmtpDialogueTest, NamesThePhaseInWhichTheServerWentAway) {
  MailDialogueOptions options = WithLogin();
  options.start_tls = true;
  options.mail_from = options.rcpt_to = "a@b";
  const std::vector<std::string> words = {kSmtpGreeting, kHello,       "220 go\r\n", kHello,
                                          "235 in\r\n",  "250 Ok\r\n", "250 Ok\r\n"};
  const char* phases[] = {"waiting for the greeting",
                          "waiting for the answer to EHLO",
                          "waiting for the answer to STARTTLS",
                          "waiting for the answer to EHLO",
                          "logging in",
                          "waiting for the answer to MAIL FROM",
                          "waiting for the answer to RCPT TO",
                          "waiting for the answer to RSET"};
  for (size_t i = 0; i <= words.size(); ++i) {
    const Told told = Tell(NewSmtpDialogue(options), {words.begin(), words.begin() + i});
    EXPECT_EQ(told.seen.error, absl::StrCat("the server closed the connection while ", phases[i]));
  }
}

// --- IMAP

constexpr const char* kImapGreeting = "* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n";

TEST(ImapDialogueTest, PassesOnAGreetingAndNoop) {
  const Told told = Tell(NewImapDialogue({}), {kImapGreeting, "* 1 EXPUNGE\r\n", "a1 OK done\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "a1 NOOP\r\n");
  EXPECT_EQ(told.farewell, "z LOGOUT\r\n");
  EXPECT_EQ(AttributeOf(told.seen, "banner"), "[CAPABILITY IMAP4rev1] Dovecot ready.");
  EXPECT_EQ(ValueOf(told.seen, "messages"), -1);
}

TEST(ImapDialogueTest, LogsInAndCountsTheMails) {
  MailDialogueOptions options = WithLogin();
  options.password = "a\"b\\c";
  options.mailbox = "INBOX/Some where";
  const Told told = Tell(
      NewImapDialogue(options),
      {kImapGreeting, "* CAPABILITY x\r\na1 OK in\r\n",
       "* FLAGS ()\r\n* 17 EXISTS\r\n* 3 RECENT\r\n* OK [UIDNEXT 4]\r\n", "a2 OK [READ-ONLY]\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "a1 LOGIN \"ann\" \"a\\\"b\\\\c\"\r\na2 EXAMINE \"INBOX/Some where\"\r\n");
  EXPECT_EQ(ValueOf(told.seen, "messages"), 17);
}

TEST(ImapDialogueTest, WhatIsNotAsciiGoesAsALiteral) {
  MailDialogueOptions options = WithLogin();
  options.user = "änn";
  options.password = "é";
  Told told = Tell(NewImapDialogue(options),
                   {kImapGreeting, "+ go on\r\n", "+\r\n", "a1 OK in\r\n", "a2 OK\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "a1 LOGIN {4}\r\nänn {2}\r\né\r\na2 NOOP\r\n");
  told = Tell(NewImapDialogue(options), {kImapGreeting, "+\r\n", "+\r\n", "+\r\n"});
  EXPECT_EQ(told.seen.error, "no answer of an IMAP server: '+'");
  told = Tell(NewImapDialogue(options), {kImapGreeting, "a1 BAD literal\r\n"});
  EXPECT_EQ(told.seen.error, "LOGIN was answered by 'BAD literal'");
}

TEST(ImapDialogueTest, LogsInWithinTls) {
  MailDialogueOptions options = WithLogin();
  options.start_tls = true;
  Told told = Tell(NewImapDialogue(options), {"* OK [CAPABILITY LOGINDISABLED] x\r\n",
                                              "a1 OK go\r\n", "a2 OK in\r\n", "a3 OK\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "a1 STARTTLS\r\n<TLS>a2 LOGIN \"ann\" \"hunter2\"\r\na3 NOOP\r\n");
  options.only_tls = true;
  told = Tell(NewImapDialogue(options), {kImapGreeting, "a1 OK go\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "a1 STARTTLS\r\n<TLS>");
}

TEST(ImapDialogueTest, WhereNoLoginIsTakenNoneIsTried) {
  const Told told =
      Tell(NewImapDialogue(WithLogin()), {"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] x\r\n"});
  EXPECT_EQ(told.seen.error, "the server takes no login without TLS (LOGINDISABLED)");
  EXPECT_EQ(told.said, "");
}

TEST(ImapDialogueTest, WhoIsInNeedNotLogIn) {
  MailDialogueOptions options = WithLogin();
  options.mailbox = "INBOX";
  Told told = Tell(NewImapDialogue(options), {"* PREAUTH hello\r\n", "* 0 EXISTS\r\na1 OK\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "a1 EXAMINE \"INBOX\"\r\n");
  EXPECT_EQ(ValueOf(told.seen, "messages"), 0);
  options.start_tls = true;
  told = Tell(NewImapDialogue(options), {"* PREAUTH hello\r\n"});
  EXPECT_EQ(told.seen.error, "the server lets in before TLS (PREAUTH)");
}

TEST(ImapDialogueTest, ARefusalIsTheServersWords) {
  MailDialogueOptions options = WithLogin();
  options.mailbox = "INBOX";
  const auto error = [&](const std::vector<std::string>& words) {
    return Tell(NewImapDialogue(options), words).seen.error;
  };
  EXPECT_EQ(error({"* BYE overloaded\r\n"}), "the greeting is 'BYE overloaded'");
  EXPECT_EQ(error({"220 smtp\r\n"}), "no answer of an IMAP server: '220 smtp'");
  EXPECT_EQ(error({kImapGreeting, "a1 NO [AUTH] not hunter2\r\n"}),
            "LOGIN was answered by 'NO [AUTH] not ***'");
  EXPECT_EQ(error({kImapGreeting, "* BYE down\r\n"}),
            "the server said 'BYE down' while logging in");
  EXPECT_EQ(error({kImapGreeting, "a1 OK\r\n", "a2 NO no such mailbox\r\n"}),
            "EXAMINE was answered by 'NO no such mailbox'");
  EXPECT_EQ(error({kImapGreeting, "a1 OK\r\n", "a9 OK\r\n"}),
            "no answer of an IMAP server: 'a9 OK'");
  MailDialogueOptions tls;
  tls.start_tls = true;
  EXPECT_EQ(Tell(NewImapDialogue(tls), {kImapGreeting, "a1 BAD what\r\n"}).seen.error,
            "STARTTLS was answered by 'BAD what'");
  EXPECT_EQ(Tell(NewImapDialogue({}), {kImapGreeting, "a1 BAD what\r\n"}).seen.error,
            "NOOP was answered by 'BAD what'");
}

TEST(ImapDialogueTest, TheBannerMustMatch) {
  const RE2 pattern("Cyrus");
  MailDialogueOptions options;
  options.banner_match = &pattern;
  EXPECT_EQ(Tell(NewImapDialogue(options), {"* OK Dovecot\r\n"}).seen.error,
            "the greeting 'Dovecot' does not match 'Cyrus'");
}

TEST(ImapDialogueTest, NamesThePhase) {
  MailDialogueOptions options = WithLogin();
  options.start_tls = true;
  options.mailbox = "INBOX";
  EXPECT_EQ(Tell(NewImapDialogue(options), {}).phase, "waiting for the greeting");
  EXPECT_EQ(Tell(NewImapDialogue(options), {kImapGreeting}).phase,
            "waiting for the answer to STARTTLS");
  EXPECT_EQ(Tell(NewImapDialogue(options), {kImapGreeting, "a1 OK\r\n"}).phase, "logging in");
  EXPECT_EQ(Tell(NewImapDialogue(options), {kImapGreeting, "a1 OK\r\n", "a2 OK\r\n"}).phase,
            "opening the mailbox");
  EXPECT_EQ(Tell(NewImapDialogue({}), {kImapGreeting}).phase, "waiting for the answer to NOOP");
}

// --- POP3

TEST(Pop3DialogueTest, PassesOnAGreeting) {
  const Told told = Tell(NewPop3Dialogue({}), {"+OK Dovecot ready.\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "");
  EXPECT_EQ(told.farewell, "QUIT\r\n");
  EXPECT_EQ(AttributeOf(told.seen, "banner"), "Dovecot ready.");
  EXPECT_EQ(Tell(NewPop3Dialogue({}), {"+OK\r\n"}).seen.error, "");
}

TEST(Pop3DialogueTest, LogsInAndCountsTheMails) {
  const Told told =
      Tell(NewPop3Dialogue(WithLogin()), {"+OK x\r\n", "+OK\r\n", "+OK in\r\n", "+OK 3 12000\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "USER ann\r\nPASS hunter2\r\nSTAT\r\n");
  EXPECT_EQ(ValueOf(told.seen, "messages"), 3);
  EXPECT_EQ(ValueOf(told.seen, "mailbox_bytes"), 12000);
}

TEST(Pop3DialogueTest, LogsInWithinTls) {
  MailDialogueOptions options = WithLogin();
  options.start_tls = true;
  Told told = Tell(NewPop3Dialogue(options),
                   {"+OK x\r\n", "+OK go\r\n", "+OK\r\n", "+OK in\r\n", "+OK 0 0\r\n"});
  EXPECT_EQ(told.seen.error, "");
  EXPECT_EQ(told.said, "STLS\r\n<TLS>USER ann\r\nPASS hunter2\r\nSTAT\r\n");
  options.only_tls = true;
  told = Tell(NewPop3Dialogue(options), {"+OK x\r\n", "+OK go\r\n"});
  EXPECT_EQ(told.seen.error, "");
}

TEST(Pop3DialogueTest, ARefusalIsTheServersWords) {
  const auto error = [&](const std::vector<std::string>& words) {
    return Tell(NewPop3Dialogue(WithLogin()), words).seen.error;
  };
  EXPECT_EQ(error({"-ERR busy\r\n"}), "the greeting was answered by '-ERR busy'");
  EXPECT_EQ(error({"+OK x\r\n", "-ERR who\r\n"}), "USER was answered by '-ERR who'");
  EXPECT_EQ(error({"+OK x\r\n", "+OK\r\n", "-ERR [AUTH] not hunter2\r\n"}),
            "PASS was answered by '-ERR [AUTH] not ***'");
  EXPECT_EQ(error({"+OK x\r\n", "+OK\r\n", "+OK\r\n", "-ERR locked\r\n"}),
            "STAT was answered by '-ERR locked'");
  for (const char* bad : {"+OK\r\n", "+OK 3\r\n", "+OK x 3\r\n", "+OK 3 -1\r\n"}) {
    EXPECT_EQ(error({"+OK x\r\n", "+OK\r\n", "+OK\r\n", bad}).find("STAT was answered by"), 0u);
  }
  EXPECT_EQ(error({"+OKAY\r\n"}), "no answer of a POP3 server: '+OKAY'");
  MailDialogueOptions tls;
  tls.start_tls = true;
  EXPECT_EQ(Tell(NewPop3Dialogue(tls), {"+OK\r\n", "-ERR what\r\n"}).seen.error,
            "STLS was answered by '-ERR what'");
}

TEST(Pop3DialogueTest, TheBannerMustMatch) {
  const RE2 pattern("Dovecot");
  MailDialogueOptions options;
  options.banner_match = &pattern;
  EXPECT_EQ(Tell(NewPop3Dialogue(options), {"+OK qpopper\r\n"}).seen.error,
            "the greeting 'qpopper' does not match 'Dovecot'");
}

TEST(Pop3DialogueTest, NamesThePhase) {
  MailDialogueOptions options = WithLogin();
  EXPECT_EQ(Tell(NewPop3Dialogue(options), {}).phase, "waiting for the greeting");
  EXPECT_EQ(Tell(NewPop3Dialogue(options), {"+OK\r\n"}).phase, "logging in");
  EXPECT_EQ(Tell(NewPop3Dialogue(options), {"+OK\r\n", "+OK\r\n"}).phase, "logging in");
  EXPECT_EQ(Tell(NewPop3Dialogue(options), {"+OK\r\n", "+OK\r\n", "+OK\r\n"}).phase,
            "waiting for the answer to STAT");
  options.start_tls = true;
  EXPECT_EQ(Tell(NewPop3Dialogue(options), {"+OK\r\n"}).phase, "waiting for the answer to STLS");
}

}  // namespace
}  // namespace salve

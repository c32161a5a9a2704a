#include "responders/escalation/render.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

Letter TheLetter() {
  Letter letter;
  letter.id = "00aa";
  letter.notice.subject = "Web/Down is UNHEALTHY";
  letter.notice.message = "3 failures";
  letter.notice.health_set = "Web";
  letter.notice.monitor = "Down";
  letter.notice.state = "UNHEALTHY";
  letter.notice.error = "connection refused";
  letter.notice.incident_id = "11bb";
  letter.notice.server = "web-1";
  letter.notice.time = absl::FromUnixSeconds(1'800'000'000);
  return letter;
}

config::Smtp TheRelay() {
  config::Smtp smtp;
  smtp.set_from("salve@web-1");
  smtp.add_to("ops@example.com");
  smtp.add_to("boss@example.com");
  return smtp;
}

absl::string_view HeadOf(absl::string_view mail) { return mail.substr(0, mail.find("\r\n\r\n")); }

TEST(RenderMailTest, IsAWholeMail) {
  const std::string mail = RenderMail(TheRelay(), TheLetter());
  EXPECT_EQ(HeadOf(mail),
            "From: <salve@web-1>\r\n"
            "To: <ops@example.com>,\r\n <boss@example.com>\r\n"
            "Subject: [web-1] Web/Down is UNHEALTHY\r\n"
            "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
            "Message-ID: <00aa@web-1>\r\n"
            "References: <11bb@web-1>\r\n"
            "Auto-Submitted: auto-generated\r\n"
            "MIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: quoted-printable");
  EXPECT_TRUE(absl::StrContains(mail, "\r\nerror:     connection refused\r\n"));
  EXPECT_TRUE(absl::StrContains(mail, "salvectl explain 11bb\r\n"));
}

TEST(RenderMailTest, ALineBreakInASubjectMakesNoHeader) {
  Letter letter = TheLetter();
  letter.notice.subject = "x\r\nBcc: <evil@example.com>\r\n\r\nbody\n\0y";
  const std::string mail = RenderMail(TheRelay(), letter);
  EXPECT_TRUE(absl::StrContains(mail, "Subject: [web-1] x  Bcc: <evil@example.com>    body"));
  for (absl::string_view line : absl::StrSplit(HeadOf(mail), "\r\n")) {
    EXPECT_FALSE(absl::StartsWith(line, "Bcc"));
  }
}

TEST(RenderMailTest, ASubjectBeyondAsciiIsEncodedInWholeCharacters) {
  Letter letter = TheLetter();
  for (int i = 0; i < 30; ++i) letter.notice.subject += "ü€";
  const std::string mail = RenderMail(TheRelay(), letter);
  std::string decoded;
  for (absl::string_view line : absl::StrSplit(HeadOf(mail), "\r\n")) {
    EXPECT_LE(line.size(), 85u);
    const size_t begin = line.find("=?UTF-8?B?");
    if (begin == absl::string_view::npos) continue;
    std::string word;
    ASSERT_TRUE(absl::Base64Unescape(line.substr(begin + 10, line.size() - begin - 12), &word));
    EXPECT_NE(static_cast<unsigned char>(word[0]) & 0xC0, 0x80);
    decoded += word;
  }
  EXPECT_EQ(decoded, "[web-1] " + letter.notice.subject);
}

TEST(RenderMailTest, WhatLooksEncodedIsEncoded) {
  Letter letter = TheLetter();
  letter.notice.subject = "=?UTF-8?B?ZXZpbA==?=";
  EXPECT_FALSE(absl::StrContains(RenderMail(TheRelay(), letter), "?ZXZpbA==?="));
}

TEST(RenderMailTest, NoLineOfTheBodyIsTooLongAndAllComeThrough) {
  Letter letter = TheLetter();
  letter.notice.error = std::string(5000, '=') + " ü \t";
  config::Smtp smtp = TheRelay();
  smtp.set_body("{error}\n.\nend ");
  const std::string mail = RenderMail(smtp, letter);
  for (absl::string_view line : absl::StrSplit(mail, "\r\n")) EXPECT_LE(line.size(), 76u);
  EXPECT_TRUE(absl::StrContains(mail, "=3D=3D"));
  EXPECT_TRUE(absl::StrContains(mail, "=C3=BC =09\r\n.\r\nend=20\r\n"));
}

TEST(RenderMailTest, TakesTheTemplatesOfTheRelay) {
  config::Smtp smtp = TheRelay();
  smtp.set_subject("{kind}: {monitor} {{");
  smtp.set_body("{time} {group}|");
  const std::string mail = RenderMail(smtp, TheLetter());
  EXPECT_TRUE(absl::StrContains(mail, "Subject: escalation: Down {\r\n"));
  EXPECT_TRUE(absl::StrContains(mail, "\r\n\r\n2027-01-15T08:00:00+00:00 |\r\n"));
}

TEST(RenderBodyTest, IsAnObjectOfAllThereIs) {
  EXPECT_EQ(
      RenderBody({}, TheLetter()),
      R"({"kind": "escalation", "subject": "Web/Down is UNHEALTHY", "message": "3 failures", )"
      R"("server": "web-1", "group": "", "health_set": "Web", "monitor": "Down", )"
      R"("state": "UNHEALTHY", "error": "connection refused", "incident": "11bb", )"
      R"("time": "2027-01-15T08:00:00+00:00"})");
}

TEST(RenderBodyTest, ValuesStayWithinTheirQuotes) {
  Letter letter = TheLetter();
  letter.notice.error = "\", \"evil\": \"\\\n\t\x01\x7f\xff ü";
  config::Webhook webhook;
  webhook.set_body(R"({{"e": "{error}"})");
  EXPECT_EQ(RenderBody(webhook, letter), R"({"e": "\", \"evil\": \"\\\n\u0009\u0001\u007f? ü"})");
}

}  // namespace
}  // namespace salve

#include "probes/conversation_fields.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

class ConversationFieldsTest : public ::testing::Test {
 protected:
  ConversationFields Fields() const { return FieldsOf("imap", config_, 143, 993); }
  std::string Refusal() const { return std::string(CheckConversationFields(Fields()).message()); }
  config::ImapProbe config_;
};

TEST_F(ConversationFieldsTest, ThePortGoesByTheTls) {
  ConversationOptions options = OptionsOf(Fields());
  EXPECT_EQ(options.host, "127.0.0.1");
  EXPECT_EQ(options.port, 143);
  EXPECT_FALSE(options.tls.has_value());
  EXPECT_FALSE(options.tls_from_start);
  config_.set_start_tls(true);
  options = OptionsOf(Fields());
  EXPECT_EQ(options.port, 143);
  ASSERT_TRUE(options.tls.has_value());
  EXPECT_TRUE(options.tls->verify);
  EXPECT_FALSE(options.tls_from_start);
  config_.set_start_tls(false);
  config_.set_host("mail.example");
  config_.mutable_tls()->set_min_days_left(7);
  options = OptionsOf(Fields());
  EXPECT_EQ(options.port, 993);
  EXPECT_TRUE(options.tls_from_start);
  EXPECT_EQ(options.tls->server_name, "mail.example");
  EXPECT_EQ(options.min_days_left, 7u);
  EXPECT_FALSE(options.needs_secrecy);
  config_.set_port(1993);
  config_.set_password_file("/p");
  options = OptionsOf(Fields());
  EXPECT_EQ(options.port, 1993);
  EXPECT_TRUE(options.needs_secrecy);
}

TEST_F(ConversationFieldsTest, AControlCharacterIsRefused) {
  for (const char c : {'\r', '\n', '\0', '\x1b', '\x7f'}) {
    config_.set_user(std::string("ann") + c);
    EXPECT_EQ(Refusal(), "imap.user: a control character (CR, LF, NUL …) can't stand in it");
  }
  config_.set_user("änn o'hara");
  EXPECT_EQ(Refusal(), "");
  config_.set_host("a\nb");
  EXPECT_EQ(Refusal(), "imap.host: a control character (CR, LF, NUL …) can't stand in it");
}

TEST_F(ConversationFieldsTest, LengthsAreBounded) {
  config_.set_user(std::string(255, 'u'));
  config_.set_host(std::string(253, 'h'));
  config_.set_port(65535);
  EXPECT_EQ(Refusal(), "");
  config_.set_user(std::string(256, 'u'));
  EXPECT_EQ(Refusal(), "imap.user: 256 bytes are more than 255");
  config_.set_port(65536);
  EXPECT_EQ(Refusal(), "imap.port: 65536 is not in [0, 65535]");
  config_.set_host(std::string(254, 'h'));
  EXPECT_EQ(Refusal(), "imap.host: 254 bytes are more than 253");
}

TEST_F(ConversationFieldsTest, AUnixSocketHasNoPortAndNoNameOfItsOwn) {
  config_.set_host("/" + std::string(106, 's'));
  EXPECT_EQ(Refusal(), "");
  config_.set_host("/" + std::string(107, 's'));
  EXPECT_EQ(Refusal(), "imap.host: 108 bytes are more than 107");
  config_.set_host("/run/imap");
  config_.set_port(1);
  EXPECT_EQ(Refusal(), "imap.port: a Unix socket has none");
  config_.clear_port();
  config_.set_start_tls(true);
  const std::string wants_name =
      "imap.tls.server_name: needed: a Unix socket has no name to be checked";
  EXPECT_EQ(Refusal(), wants_name);
  config_.mutable_tls();
  EXPECT_EQ(Refusal(), wants_name);
  config_.mutable_tls()->set_server_name("mail.example");
  EXPECT_EQ(Refusal(), "");
}

TEST_F(ConversationFieldsTest, APasswordNeedsTlsBeyondThisMachine) {
  config_.set_password_file("/p");
  for (const char* host : {"", "127.0.0.1", "::1", "/run/imap", "mail.example"}) {
    config_.set_host(host);
    EXPECT_EQ(Refusal(), "") << host;
  }
  config_.set_host("192.0.2.1");
  EXPECT_EQ(Refusal(), "imap.password_file: no password is sent to 192.0.2.1 without TLS");
  config_.set_start_tls(true);
  EXPECT_EQ(Refusal(), "");
  config_.set_start_tls(false);
  config_.mutable_tls();
  EXPECT_EQ(Refusal(), "");
  config_.set_password_file("p");
  EXPECT_EQ(Refusal(), "imap.password_file: 'p' is no path from / on");
}

TEST_F(ConversationFieldsTest, UserAndPasswordAreNeededBothOrNotAtAll) {
  EXPECT_TRUE(CheckBothOrNone(Fields()).ok());
  config_.set_user("ann");
  EXPECT_EQ(CheckBothOrNone(Fields()).message(),
            "imap.password_file: user and password_file are needed both or not at all");
  config_.set_password_file("/p");
  EXPECT_TRUE(CheckBothOrNone(Fields()).ok());
  config_.clear_user();
  EXPECT_EQ(CheckBothOrNone(Fields()).message(),
            "imap.user: user and password_file are needed both or not at all");
}

TEST_F(ConversationFieldsTest, TheTlsIsChecked) {
  config_.mutable_tls()->set_min_days_left(3651);
  EXPECT_EQ(Refusal(), "imap.tls.min_days_left: 3651 is not in [0, 3650]");
}

std::string Written(const std::string& text) {
  const std::string path = ::testing::TempDir() + "/password";
  std::ofstream(path) << text;
  return path;
}

TEST(ReadPasswordTest, TakesTheFirstLine) {
  EXPECT_EQ(*ReadPassword(Written("hunter2")), "hunter2");
  EXPECT_EQ(*ReadPassword(Written(" hunter 2 \r\nmore\n")), " hunter 2 ");
  EXPECT_EQ(*ReadPassword(""), "");
  EXPECT_EQ(ReadPassword(Written(std::string(1024, 'x') + "\n"))->size(), 1024u);
  EXPECT_EQ(ReadPassword(Written(std::string(1024, 'x') + "\r\n"))->size(), 1024u);
}

TEST(ReadPasswordTest, SaysWhyThereIsNone) {
  EXPECT_EQ(ReadPassword("/does/not/exist").status().message(),
            "cannot read the password file /does/not/exist: No such file or directory");
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("\r\nx"), std::string("a\tb"),
        std::string("a\0b", 3), std::string(1025, 'x')}) {
    const std::string path = Written(text);
    EXPECT_EQ(ReadPassword(path).status().message(),
              absl::StrCat("the first line of the password file ", path,
                           " is empty, has a control character or more than 1 KiB"));
  }
}

}  // namespace
}  // namespace salve

#include "config/redact.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "config/config.pb.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string Shown(const std::string& text) {
  config::Probe probe;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &probe)) << text;
  return RedactedText(probe);
}

// --- Every string of the language.

// Sets each string in `message`, and one of each message inside it, to `value`.
void FillStrings(Message& message, const std::string& value, int depth = 0) {
  const auto* reflection = message.GetReflection();
  const Descriptor* type = message.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      if (field->is_repeated()) {
        reflection->AddString(&message, field, value);
      } else {
        reflection->SetString(&message, field, value);
      }
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && depth < 8) {
      Message* inner = field->is_repeated() ? reflection->AddMessage(&message, field)
                                            : reflection->MutableMessage(&message, field);
      FillStrings(*inner, value, depth + 1);
    }
  }
}

// The members of a oneof drive each other out: each is filled in a message of its own.
void ForEachMessageType(const Descriptor* type, std::set<const Descriptor*>& seen) {
  if (!seen.insert(type).second) return;
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->message_type() != nullptr) {
      ForEachMessageType(type->field(i)->message_type(), seen);
    }
  }
}

std::set<const Descriptor*> AllMessages() {
  std::set<const Descriptor*> all;
  ForEachMessageType(config::Agent::descriptor(), all);
  ForEachMessageType(config::HealthSetFile::descriptor(), all);
  return all;
}

std::string ShownFilled(const Descriptor* type, const std::string& value) {
  std::unique_ptr<Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  FillStrings(*message, value);
  return RedactedText(*message);
}

TEST(RedactTest, NoStringOfTheLanguageShowsThePasswordOfAUrl) {
  ASSERT_GT(AllMessages().size(), 30u);
  for (const Descriptor* type : AllMessages()) {
    const std::string shown = ShownFilled(type, "https://ann:hunter2@host.example/path");
    EXPECT_EQ(shown.find("hunter2"), std::string::npos) << type->full_name() << ": " << shown;
  }
}

TEST(RedactTest, NoStringOfTheLanguageShowsANamedSecret) {
  for (const Descriptor* type : AllMessages()) {
    for (const char* text : {"https://host/?api_key=hunter2&a=1", "--password=hunter2",
                             "Authorization: Bearer hunter2", "PGPASSWORD=hunter2"}) {
      const std::string shown = ShownFilled(type, text);
      EXPECT_EQ(shown.find("hunter2"), std::string::npos) << type->full_name() << ": " << shown;
    }
  }
}

// A new field with such a name must be taken up in redact.cc, or here as one that holds none.
TEST(RedactTest, EveryFieldThatSoundsLikeASecretIsHiddenWholeOrKnownToHoldNone) {
  const std::set<std::string> hold_none = {
      "salve.config.EtcdCoordinator.key_file",
      "salve.config.EtcdCoordinator.password_file",
      "salve.config.Remote.key_file",
      "salve.config.Smtp.password_file",
      "salve.config.Forward.key_file",
      "salve.config.Webhook.bearer_token_file",
      "salve.config.Smtp.body",
      "salve.config.SmtpProbe.password_file",
      "salve.config.ImapProbe.password_file",
      "salve.config.Pop3Probe.password_file",
      "salve.config.SqlPingProbe.password_file",
  };
  for (const Descriptor* type : AllMessages()) {
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) continue;
      const std::string name = field->name();
      bool sounds = name == "send" || name == "body";
      for (const char* word : {"secret", "token", "passw", "key", "credential", "environment"}) {
        sounds |= absl::StrContains(name, word);
      }
      if (!sounds || hold_none.contains(field->full_name())) continue;
      const std::string shown = ShownFilled(type, "hunter2");
      EXPECT_FALSE(absl::StrContains(shown, absl::StrCat(name, ": \"hunter2\"")))
          << field->full_name();
    }
  }
}

// --- One by one.

TEST(RedactTest, AHeaderIsShownOnlyIfItIsKnownToBeHarmless) {
  EXPECT_EQ(Shown("http { header { name: 'Authorization' value: 'Bearer x' }"
                  "       header { name: 'X-Whatever' value: 'x' }"
                  "       header { name: 'ACCEPT' value: 'text/html' } }"),
            "http { header { name: \"Authorization\" value: \"***\" } "
            "header { name: \"X-Whatever\" value: \"***\" } "
            "header { name: \"ACCEPT\" value: \"text/html\" } }");
}

TEST(RedactTest, OfAnEnvironmentTheNamesAreShown) {
  EXPECT_EQ(Shown("exec { command: 'a' environment: 'PGPASSWORD=x=y' environment: 'LANG=C' }"),
            "exec { command: \"a\" environment: \"PGPASSWORD=***\" environment: \"LANG=***\" }");
}

TEST(RedactTest, WhatAProbeSendsIsNotShown) {
  EXPECT_EQ(Shown("tcp { port: 6379 send: 'AUTH hunter2' expect: 'OK' }"),
            "tcp { port: 6379 send: \"***\" expect: \"OK\" }");
  EXPECT_EQ(Shown("http { body: '{\"pin\":1}' }"), "http { body: \"***\" }");
}

TEST(RedactTest, AnArgumentBehindAPasswordOptionIsNotShown) {
  EXPECT_EQ(Shown("exec { command: ['check', '--password', 'hunter2', '-w', '5', '--token-file',"
                  "                 '/etc/t'] }"),
            "exec { command: \"check\" command: \"--password\" command: \"***\" command: \"-w\" "
            "command: \"5\" command: \"--token-file\" command: \"/etc/t\" }");
}

TEST(RedactTest, OfAWebhookOnlyTheHostIsShown) {
  config::Webhook webhook;
  webhook.set_url("https://hooks.example.org/services/T0/B0/x");
  EXPECT_EQ(RedactedText(webhook), "url: \"https://hooks.example.org/***\"");
  webhook.set_url("nonsense");
  EXPECT_EQ(RedactedText(webhook), "url: \"***\"");
}

TEST(RedactTest, TheMessageItselfIsLeftAlone) {
  config::Probe probe;
  probe.mutable_tcp()->set_send("AUTH x");
  RedactedText(probe);
  EXPECT_EQ(probe.tcp().send(), "AUTH x");
}

TEST(RedactTextTest, TakesOutUserAndPasswordOfAnUrl) {
  EXPECT_EQ(RedactText("http://ann:pw@host:80/a"), "http://***@host:80/a");
  EXPECT_EQ(RedactText("'amqp://pw@host', 'http://b:c@d'"), "'amqp://***@host', 'http://***@d'");
  EXPECT_EQ(RedactText("http://ann:p@w@host/"), "http://***@host/");
  EXPECT_EQ(RedactText("http://ann:p/w@host/"), "http://***@host/");
}

TEST(RedactTextTest, LeavesAUrlWithoutThemAlone) {
  for (const char* url : {"http://host:8080/path?mail=ann@example.org", "https://host/@ann",
                          "http://[::1]:80/", "ann@example.org", "://"}) {
    EXPECT_EQ(RedactText(url), url);
  }
}

TEST(RedactTextTest, TakesOutWhatIsNamedASecret) {
  EXPECT_EQ(RedactText("/a?user=ann&token=x&n=1"), "/a?user=ann&token=***&n=1");
  EXPECT_EQ(RedactText("--db-Password=x --n=1 MY_API_KEY='x y'"),
            "--db-Password=*** --n=1 MY_API_KEY=***");
  EXPECT_EQ(RedactText("x-auth-token: x\nHost: y"), "x-auth-token: ***\nHost: y");
}

TEST(RedactTextTest, APathOfASecretIsNoSecret) {
  for (const char* text : {"--password-file=/etc/pw", "token_path=/x", "credential:smtp"}) {
    EXPECT_EQ(RedactText(text), text);
  }
}

TEST(RedactTextTest, IsQuickOnALongTextThatNearlyMatches) {
  const std::string text(1 << 16, 'a');
  EXPECT_EQ(RedactText(text), text);
  EXPECT_EQ(RedactText("://" + text), "://" + text);
}

}  // namespace
}  // namespace salve

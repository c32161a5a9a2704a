#include <filesystem>

#include "absl/strings/str_cat.h"
#include "cli/salvectl_fixture.h"
#include "gmock/gmock.h"

namespace salve {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::QueueMessage Dead(const std::string& dmid, const std::string& former_queue) {
  v1::QueueMessage message = FromText<v1::QueueMessage>(R"(
      mid: "web-1-0193-1f" type: "AF" queue: "dead" state: "waiting" origin_server: "web-1"
      destination: "ops" subject: "Web/NginxDown is UNHEALTHY" attempts: 10 deliveries: 10
      created { seconds: 1795254990 }
      reason: "refused by the peer: 550" moved_at { seconds: 1795255008 })");
  message.set_dmid(dmid);
  message.set_former_queue(former_queue);
  return message;
}

class DeadVerbTest : public SalvectlTest {
 protected:
  void Answer(const v1::QueueMessage& message) {
    v1::GetMessageResponse response;
    *response.mutable_message() = message;
    agent_.get_message.Say(response);
  }
};

TEST_F(DeadVerbTest, ListSaysWhereTheyWereAndWhyTheyDied) {
  v1::ListMessagesResponse list;
  *list.add_messages() = Dead("D-1", "remote/ops");
  *list.add_messages() = Dead("D-2", "local/nginx.service");
  list.set_total(7);
  agent_.list_messages.Say(list);

  EXPECT_EQ(Run({"dead", "list", "-n", "2"}).out,
            "#  DMID  TYPE  FORMER QUEUE         DIED        REASON                    SUBJECT\n"
            "1  D-1   AF    remote/ops           3m 12s ago  refused by the peer: 550  "
            "Web/NginxDown is UNHEALTHY\n"
            "2  D-2   AF    local/nginx.service  3m 12s ago  refused by the peer: 550  "
            "Web/NginxDown is UNHEALTHY\n"
            "and at most 5 more (-n)\n");
  EXPECT_EQ(agent_.list_messages.asked().queue(), "dead");
  EXPECT_EQ(agent_.list_messages.asked().limit(), 2);
}

TEST_F(DeadVerbTest, ListOfAFormerQueueLooksThroughAllPages) {
  v1::ListMessagesResponse first;
  *first.add_messages() = Dead("D-1", "remote/ops");
  *first.add_messages() = Dead("D-2", "remote/mail");
  first.set_total(3);
  v1::ListMessagesResponse second;
  *second.add_messages() = Dead("D-3", "remote/mail");
  second.set_total(3);
  agent_.list_messages.SayInTurn({first, second});

  const std::string out = Run({"dead", "list", "remote/mail"}).out;

  EXPECT_THAT(out, HasSubstr("\n2  D-2 "));
  EXPECT_THAT(out, HasSubstr("\n3  D-3 "));
  EXPECT_THAT(out, Not(HasSubstr("D-1")));
  EXPECT_EQ(agent_.list_messages.asked().offset(), 2);
}

TEST_F(DeadVerbTest, ListTakesAPrefixOfQueues) {
  v1::ListMessagesResponse list;
  *list.add_messages() = Dead("D-1", "remote/ops");
  *list.add_messages() = Dead("D-2", "local/nginx.service");
  list.set_total(2);
  agent_.list_messages.Say(list);

  const std::string out = Run({"dead", "list", "local/*", "-o", "jsonl"}).out;

  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1) << out;
  EXPECT_THAT(out, HasSubstr("\"Dmid\":\"D-2\""));
}

TEST_F(DeadVerbTest, ListSaysThatThereAreNone) {
  EXPECT_EQ(Run({"dead", "list"}).out, "none\n");
  EXPECT_EQ(Run({"dead", "list", "--no-header"}).out, "");
}

TEST_F(DeadVerbTest, ShowEndsWithBodyAndAttributes) {
  v1::QueueMessage message = Dead("D-1", "remote/ops");
  message.set_body("Hello");
  Answer(message);

  EXPECT_EQ(Run({"dead", "show", "-i", "D-1"}).out,
            "web-1-0193-1f\n"
            "  subject       Web/NginxDown is UNHEALTHY\n"
            "  type          AF\n"
            "  queue         dead\n"
            "  destination   ops\n"
            "  origin        web-1\n"
            "  created       2026-11-21 09:56:30 (3m 30s ago)\n"
            "  attempts      10, 10 reached the peer\n"
            "  dmid          D-1\n"
            "  former queue  remote/ops\n"
            "  dead because  refused by the peer: 550\n"
            "  moved at      2026-11-21 09:56:48 (3m 12s ago)\n"
            "body, 5 bytes\n"
            "00000000  48 65 6c 6c 6f                                    |Hello|\n"
            "00000005\n");
  EXPECT_EQ(agent_.get_message.asked().id(), "D-1");
  EXPECT_TRUE(agent_.get_message.asked().with_body());
}

TEST_F(DeadVerbTest, ShowBoundsTheBody) {
  v1::QueueMessage message = Dead("D-1", "remote/ops");
  message.set_body("Hello");
  Answer(message);

  EXPECT_THAT(Run({"dead", "show", "-i", "D-1", "-o", "4"}).out,
              HasSubstr("body, 5 bytes\n"
                        "00000000  48 65 6c 6c                                       |Hell|\n"
                        "00000004\n"
                        "and 1 byte more\n"));
  EXPECT_THAT(Run({"dead", "show", "-i", "D-1", "-o", "5"}).out, Not(HasSubstr("more")));
  EXPECT_EQ(Run({"dead", "show", "-i", "D-1", "-o", "0"}).status, 2);
}

TEST_F(DeadVerbTest, ShowOfPropertiesDoesNotAskForTheBody) {
  Answer(Dead("D-1", "remote/ops"));

  EXPECT_THAT(Run({"dead", "show", "-i", "D-1", "-p"}).out, Not(HasSubstr("body")));
  EXPECT_FALSE(agent_.get_message.asked().with_body());
}

TEST_F(DeadVerbTest, ShowByPositionEndsWhereThereAreNoMore) {
  v1::GetMessageResponse response;
  *response.mutable_message() = Dead("D-3", "remote/ops");
  agent_.get_message.SayInTurn({response, response, absl::NotFoundError("only 4")});

  const std::string out = Run({"dead", "show", "-n", "3", "-e", "5", "-p"}).out;

  EXPECT_THAT(out, HasSubstr("ago)\n\nweb-1-0193-1f\n"));
  EXPECT_EQ(agent_.get_message.asked().queue(), "dead");
  EXPECT_EQ(agent_.get_message.asked().position(), 5);
  EXPECT_EQ(agent_.get_message.asked().id(), "");
}

TEST_F(DeadVerbTest, ShowOfAPositionThatIsNotThereIsNotFound) {
  agent_.get_message.Say(absl::NotFoundError("dead holds 4 messages"));
  EXPECT_EQ(Run({"dead", "show", "-n", "5"}).status, 4);
}

TEST_F(DeadVerbTest, ShowNeedsOneWayOfNaming) {
  EXPECT_EQ(Run({"dead", "show"}).err, "salvectl: dead show: say -i DMID, or -n SERIAL\n");
  EXPECT_EQ(Run({"dead", "show", "-i", "D-1", "-n", "1"}).status, 2);
  EXPECT_EQ(Run({"dead", "show", "-i", "D-1", "-e", "2"}).status, 2);
  EXPECT_EQ(Run({"dead", "show", "-n", "0"}).status, 2);
}

TEST_F(DeadVerbTest, CheckEndsByWhatThePeerSays) {
  const auto check = [this](const std::string& arrival) {
    v1::CheckDeadResponse response;
    response.set_arrival(arrival);
    response.set_detail("web-2 says so");
    agent_.check_dead.Say(response);
    return Run({"dead", "check", "D-1"});
  };
  EXPECT_EQ(check("not-arrived").status, 0);
  EXPECT_EQ(check("arrived-done").status, 8);
  EXPECT_EQ(check("arrived-queued").status, 8);
  EXPECT_EQ(check("arrived-dead").status, 8);
  EXPECT_EQ(check("unknown").status, 3);
  EXPECT_EQ(check("arrived-done").out, "D-1: arrived-done: web-2 says so\n");
  EXPECT_EQ(agent_.check_dead.asked().dmid(), "D-1");
}

TEST_F(DeadVerbTest, CheckAndReregisterEndWithElevenWithoutAnAnswer) {
  agent_.Hang();

  const Ended ended = Run({"dead", "check", "D-1", "--timeout", "50ms"});

  EXPECT_EQ(ended.status, 11);
  EXPECT_EQ(ended.err, "salvectl: dead check: no answer within 50ms\n");
  EXPECT_EQ(Run({"dead", "reregister", "D-1", "--timeout", "50ms"}).status, 11);
}

TEST_F(DeadVerbTest, ReregisterSaysTheNewMid) {
  agent_.reregister.Say(FromText<v1::ReregisterResponse>(
      R"(mid: "web-1-0194-2a" queue: "remote/ops" arrival: "not-arrived")"));

  EXPECT_EQ(Run({"dead", "reregister", "D-1"}).out, "D-1 is web-1-0194-2a in remote/ops\n");
  EXPECT_EQ(agent_.reregister.asked().dmid(), "D-1");
  EXPECT_EQ(agent_.reregister.asked().user(), "ada");
  EXPECT_FALSE(agent_.reregister.asked().unchecked());
  Run({"dead", "reregister", "D-1", "--unchecked"});
  EXPECT_TRUE(agent_.reregister.asked().unchecked());
}

TEST_F(DeadVerbTest, ReregisterRefusesWhatHasArrivedOrIsUnknown) {
  agent_.reregister.Say(absl::AlreadyExistsError("D-1 has arrived: arrived-done"));
  EXPECT_EQ(Run({"dead", "reregister", "D-1"}).status, 8);

  agent_.reregister.Say(absl::FailedPreconditionError("unknown: say --unchecked"));
  EXPECT_EQ(Run({"dead", "reregister", "D-1"}).status, 3);
}

TEST_F(DeadVerbTest, ExportWritesItsFile) {
  agent_.export_message.Say(FromText<v1::ExportMessageResponse>(R"(internal_id: 12 parcel: "x")"));

  EXPECT_EQ(Run({"dead", "export", "D-1", "-d", agent_.dir()}).status, 0);
  EXPECT_TRUE(std::filesystem::exists(agent_.dir() + "/12.msg"));
  EXPECT_EQ(agent_.export_message.asked().id(), "D-1");
}

TEST_F(DeadVerbTest, RemoveNamesOne) {
  EXPECT_EQ(Run({"dead", "remove", "D-1", "--reason", "old"}).out, "removed D-1\n");
  EXPECT_EQ(agent_.control_message.asked().verb(), v1::ControlMessageRequest::REMOVE);
  EXPECT_EQ(agent_.control_message.asked().id(), "D-1");
  EXPECT_EQ(Run({"dead", "remove"}).status, 2);
}

}  // namespace
}  // namespace salve

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/salvectl_fixture.h"
#include "gmock/gmock.h"

namespace salve {
namespace {

using testing::HasSubstr;

v1::QueueMessage Letter() {
  return FromText<v1::QueueMessage>(R"(
      mid: "web-1-0193-1f" type: "AF" queue: "remote/ops" state: "waiting"
      origin_server: "web-1" origin_mid: "web-1-0193-1f" destination: "ops"
      subject: "Web/NginxDown is UNHEALTHY" priority: 1 correlation: "0193aa"
      created { seconds: 1795255008 } expires { seconds: 1795427808 }
      next_attempt { seconds: 1795255240 } attempts: 4 deliveries: 1
      last_error: "connect: Connection refused" internal_id: 4711)");
}

class QueueMessageVerbTest : public SalvectlTest {
 protected:
  std::string Path(const std::string& name) const { return agent_.dir() + "/" + name; }
};

TEST_F(QueueMessageVerbTest, ListShowsAgeAttemptsAndSubject) {
  v1::ListMessagesResponse list;
  *list.add_messages() = Letter();
  list.set_total(8);
  agent_.list_messages.Say(list);

  const Ended ended = Run({"queue", "message", "list", "remote/ops", "-n", "1", "--skip", "2"});

  EXPECT_EQ(ended.out,
            "MID            TYPE  QUEUE       STATE    AGE     ATTEMPTS  DEST  SUBJECT\n"
            "web-1-0193-1f  AF    remote/ops  waiting  3m 12s  4         ops   "
            "Web/NginxDown is UNHEALTHY\n"
            "and 5 more (-n, --skip)\n");
  const v1::ListMessagesRequest asked = agent_.list_messages.asked();
  EXPECT_EQ(asked.queue(), "remote/ops");
  EXPECT_EQ(asked.limit(), 1);
  EXPECT_EQ(asked.offset(), 2);
}

TEST_F(QueueMessageVerbTest, ListOfAllAsksForAHundred) {
  EXPECT_EQ(Run({"queue", "message", "list"}).out, "");
  EXPECT_EQ(agent_.list_messages.asked().limit(), 100);
  EXPECT_EQ(Run({"queue", "message", "list", "-n", "0"}).status, 2);
  EXPECT_EQ(Run({"queue", "message", "list", "-n", "1001"}).status, 2);
  EXPECT_EQ(Run({"queue", "message", "list", "--skip", "-1"}).status, 2);
}

TEST_F(QueueMessageVerbTest, ListInJsonlIsALineForEachMessage) {
  v1::ListMessagesResponse list;
  *list.add_messages() = Letter();
  *list.add_messages() = Letter();
  agent_.list_messages.Say(list);

  const std::string out = Run({"queue", "message", "list", "-o", "jsonl"}).out;

  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 2);
  EXPECT_EQ(out.find(R"({"Mid":"web-1-0193-1f","Type":"AF","Queue":"remote/ops")"), 0) << out;
}

TEST_F(QueueMessageVerbTest, ShowTellsAllOfIt) {
  v1::GetMessageResponse response;
  *response.mutable_message() = Letter();
  agent_.get_message.Say(response);

  EXPECT_EQ(Run({"queue", "message", "show", "web-1-0193-1f"}).out,
            "web-1-0193-1f\n"
            "  subject       Web/NginxDown is UNHEALTHY\n"
            "  type          AF\n"
            "  queue         remote/ops\n"
            "  state         waiting\n"
            "  destination   ops\n"
            "  incident      0193aa\n"
            "  origin        web-1\n"
            "  priority      1\n"
            "  created       2026-11-21 09:56:48 (3m 12s ago)\n"
            "  expires       2026-11-23 09:56:48 (in 1d 23h)\n"
            "  next attempt  2026-11-21 10:00:40 (in 40s)\n"
            "  attempts      4, 1 reached the peer\n"
            "  last error    connect: Connection refused\n"
            "  internal id   4711\n");
  EXPECT_EQ(agent_.get_message.asked().id(), "web-1-0193-1f");
  EXPECT_FALSE(agent_.get_message.asked().with_body());
}

TEST_F(QueueMessageVerbTest, ShowSaysWhenItWaitsForItsTurnAlone) {
  v1::GetMessageResponse response;
  *response.mutable_message() = Letter();
  response.mutable_message()->mutable_next_attempt()->set_seconds(1795255200);
  agent_.get_message.Say(response);
  EXPECT_THAT(Run({"queue", "message", "show", "x"}).out,
              HasSubstr("  next attempt  when its turn comes\n"));
}

TEST_F(QueueMessageVerbTest, ShowOfADeferredActionSaysWhoAndWhat) {
  agent_.get_message.Say(FromText<v1::GetMessageResponse>(R"(
      message {
        mid: "web-2-1" type: "UP" queue: "unreachable" state: "waiting"
        reason: "host-bound:web-1" origin_server: "web-1" origin_mid: "web-1-9"
        destination: "nginx.service" requester: "operator:ada" action: "RestartService"
        crash_count: 1
      })"));

  const std::string out = Run({"queue", "message", "show", "web-2-1"}).out;

  EXPECT_THAT(out, HasSubstr("  reason       host-bound:web-1\n"));
  EXPECT_THAT(out, HasSubstr("  requester    operator:ada\n  action       RestartService\n"));
  EXPECT_THAT(out, HasSubstr("  origin       web-1, there web-1-9\n"));
  EXPECT_THAT(out, HasSubstr("  crashes      1\n"));
}

TEST_F(QueueMessageVerbTest, ShowOfOneThatEndedSaysHow) {
  agent_.get_message.Say(FromText<v1::GetMessageResponse>(
      R"(message { mid: "m1" queue: "remote/ops" state: "removed" reason: "by ada: phone" })"));
  EXPECT_EQ(Run({"queue", "message", "show", "m1"}).out,
            "m1\n"
            "  queue   remote/ops\n"
            "  state   removed\n"
            "  reason  by ada: phone\n");
}

TEST_F(QueueMessageVerbTest, ShowPrintsTheWholeBodyWhenAskedTo) {
  v1::GetMessageResponse response;
  response.mutable_message()->set_body("To: ops\nDown\x1b");
  agent_.get_message.Say(response);

  const std::string out = Run({"queue", "message", "show", "x", "--body"}).out;

  EXPECT_THAT(out, HasSubstr("body, 13 bytes\n"
                             "00000000  54 6f 3a 20 6f 70 73 0a  44 6f 77 6e 1b           "
                             "|To: ops.Down.|\n"
                             "0000000d\n"));
  EXPECT_TRUE(agent_.get_message.asked().with_body());
}

TEST_F(QueueMessageVerbTest, ShowInJsonIsTheMessageItself) {
  v1::GetMessageResponse response;
  *response.mutable_message() = Letter();
  agent_.get_message.Say(response);
  EXPECT_EQ(
      Run({"queue", "message", "show", "x", "-o", "jsonl"}).out.find(R"({"Mid":"web-1-0193-1f",)"),
      0);
}

TEST_F(QueueMessageVerbTest, SuspendAndResumeSayWhatTheAgentNotes) {
  agent_.control_message.SayInTurn(
      {FromText<v1::ControlMessageResponse>(
           R"(note: "is being delivered: suspended only if this attempt fails")"),
       v1::ControlMessageResponse()});

  EXPECT_EQ(Run({"queue", "message", "suspend", "m1", "--reason", "why"}).out,
            "m1: is being delivered: suspended only if this attempt fails\n");
  EXPECT_EQ(agent_.control_message.asked().verb(), v1::ControlMessageRequest::SUSPEND);
  EXPECT_EQ(agent_.control_message.asked().reason(), "why");
  EXPECT_EQ(agent_.control_message.asked().user(), "ada");
  EXPECT_EQ(Run({"queue", "message", "resume", "m1"}).out, "resumed m1\n");
  EXPECT_EQ(agent_.control_message.asked().verb(), v1::ControlMessageRequest::RESUME);
}

TEST_F(QueueMessageVerbTest, RemoveTellsNobodyUnlessAskedTo) {
  EXPECT_EQ(Run({"queue", "message", "remove", "m1"}).out, "removed m1\n");
  EXPECT_EQ(agent_.control_message.asked().verb(), v1::ControlMessageRequest::REMOVE);
  EXPECT_FALSE(agent_.control_message.asked().notify());

  Run({"queue", "message", "remove", "m1", "--notify"});
  EXPECT_TRUE(agent_.control_message.asked().notify());
  Run({"queue", "message", "remove", "m1", "--no-notify"});
  EXPECT_FALSE(agent_.control_message.asked().notify());
  EXPECT_EQ(Run({"queue", "message", "remove", "m1", "--notify", "--no-notify"}).status, 2);
  EXPECT_EQ(Run({"queue", "message", "remove"}).status, 2);
}

TEST_F(QueueMessageVerbTest, ExportWritesAFileForItsOwnerAlone) {
  agent_.export_message.Say(
      FromText<v1::ExportMessageResponse>(R"(internal_id: 4711 parcel: "a\000b")"));

  const Ended ended = Run({"queue", "message", "export", "m1", "-d", agent_.dir()});

  EXPECT_EQ(ended.out, "m1 is in " + Path("4711.msg") + "\n");
  std::ostringstream content;
  content << std::ifstream(Path("4711.msg")).rdbuf();
  EXPECT_EQ(content.str(), std::string("a\0b", 3));
  struct stat info;
  ASSERT_EQ(stat(Path("4711.msg").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(agent_.export_message.asked().user(), "ada");
}

TEST_F(QueueMessageVerbTest, ExportNeverWritesOverAFile) {
  agent_.export_message.Say(
      FromText<v1::ExportMessageResponse>(R"(internal_id: 4711 parcel: "second")"));
  std::ofstream(Path("4711.msg")) << "first";

  const Ended ended = Run({"queue", "message", "export", "m1", "-d", agent_.dir()});

  EXPECT_EQ(ended.status, 3);
  EXPECT_THAT(ended.err, HasSubstr("4711.msg is there already and is never written over"));
  EXPECT_EQ(std::filesystem::file_size(Path("4711.msg")), 5u);
}

TEST_F(QueueMessageVerbTest, ExportOfAMessageThatIsNotSuspendedWritesNothing) {
  agent_.export_message.Say(absl::FailedPreconditionError("m1 is waiting: suspend it first"));

  EXPECT_EQ(Run({"queue", "message", "export", "m1", "-d", agent_.dir()}).status, 3);
  EXPECT_FALSE(std::filesystem::exists(Path("0.msg")));
}

TEST_F(QueueMessageVerbTest, ImportHandsOverTheFile) {
  std::ofstream(Path("4711.msg")) << "parcel";
  agent_.import_message.Say(
      FromText<v1::ImportMessageResponse>(R"(mid: "web-1-0193-1f" queue: "remote/ops")"));

  EXPECT_EQ(Run({"queue", "message", "import", Path("4711.msg")}).out,
            "web-1-0193-1f is in remote/ops\n");
  EXPECT_EQ(agent_.import_message.asked().parcel(), "parcel");
}

TEST_F(QueueMessageVerbTest, ImportOfWhatIsHereEndsWithEight) {
  std::ofstream(Path("4711.msg")) << "parcel";
  agent_.import_message.Say(absl::AlreadyExistsError("web-1-0193-1f is in remote/ops"));
  EXPECT_EQ(Run({"queue", "message", "import", Path("4711.msg")}).status, 8);
}

TEST_F(QueueMessageVerbTest, ImportDoesNotAskWithoutAFile) {
  EXPECT_EQ(Run({"queue", "message", "import", Path("none.msg")}).status, 4);
  std::ofstream(Path("empty.msg")).flush();
  EXPECT_EQ(Run({"queue", "message", "import", Path("empty.msg")}).status, 2);
  EXPECT_EQ(agent_.import_message.asked().user(), "");
}

TEST_F(QueueMessageVerbTest, ErrorsNameTheWholeVerb) {
  agent_.get_message.Say(absl::NotFoundError("there is no message 'x'"));

  const Ended ended = Run({"queue", "message", "show", "x"});

  EXPECT_EQ(ended.status, 4);
  EXPECT_EQ(ended.err, "salvectl: queue message show: there is no message 'x'\n");
}

TEST_F(QueueMessageVerbTest, ADamagedDatabaseEndsWithNine) {
  agent_.list_messages.Say(absl::DataLossError("row 7: its check sum is wrong"));
  EXPECT_EQ(Run({"queue", "message", "list"}).status, 9);
}

}  // namespace
}  // namespace salve

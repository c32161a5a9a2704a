#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "channels/describe.h"
#include "channels/event_json.h"
#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

v1::Event RestartRefused() {
  return FromText<v1::Event>(R"(
      record_id: 12 time { seconds: 1795255197 nanos: 944837700 } channel: RecoveryActionLogs
      event_id: 2051 level: Warning server: "web-1" incident_id: "0193" health_set: "Web"
      name: "NginxRestart"
      recovery_action_log { action_id: "RestartService" resource_name: "nginx.service" })");
}

v1::Event AgentStarted() {
  return FromText<v1::Event>(R"(
      record_id: 13 time { seconds: 1795255198 } channel: Agent event_id: 1 level: Information
      name: "salved" agent { message: "started" })");
}

class EventsVerbTest : public SalvectlTest {
 protected:
  EventsVerbTest() {
    world_.watch_interrupt = [this] { return interrupt_; };
  }
  ~EventsVerbTest() override { close(interrupt_); }

  const int interrupt_ = eventfd(0, EFD_CLOEXEC);
};

TEST_F(EventsVerbTest, ShowsEachEventOnOneLine) {
  v1::QueryEventsResponse response;
  *response.add_events() = RestartRefused();
  *response.add_events() = AgentStarted();
  agent_.query_events.Say(response);

  EXPECT_EQ(
      Run({"events"}).out,
      "TIME                     LEVEL        CHANNEL             ID    ITEM              "
      "MESSAGE\n"
      "2026-11-21 09:59:57.944  Warning      RecoveryActionLogs  2051  Web/NginxRestart  " +
          Describe(RestartRefused(), absl::UTCTimeZone()) +
          "\n"
          "2026-11-21 09:59:58.000  Information  Agent               1     salved            " +
          Describe(AgentStarted(), absl::UTCTimeZone()) + "\n");
}

TEST_F(EventsVerbTest, JsonlIsOneFlatObjectALine) {
  v1::QueryEventsResponse response;
  *response.add_events() = RestartRefused();
  *response.add_events() = AgentStarted();
  agent_.query_events.Say(response);

  const std::string out = Run({"events", "-o", "jsonl"}).out;

  EXPECT_EQ(out, EventToJson(RestartRefused()) + "\n" + EventToJson(AgentStarted()) + "\n");
  EXPECT_NE(out.find(R"("ActionId":"RestartService")"), std::string::npos);
}

TEST_F(EventsVerbTest, JsonIsOneValueWithAllOfThem) {
  v1::QueryEventsResponse response;
  *response.add_events() = RestartRefused();
  *response.add_events() = AgentStarted();
  agent_.query_events.SayInTurn({response, v1::QueryEventsResponse()});

  EXPECT_EQ(Run({"events", "-o", "json"}).out, "{\n \"Events\": [\n  " +
                                                   EventToJson(RestartRefused()) + ",\n  " +
                                                   EventToJson(AgentStarted()) + "\n ]\n}\n");
  EXPECT_EQ(Run({"events", "-o", "json"}).out, "{\n \"Events\": []\n}\n");
}

TEST_F(EventsVerbTest, AsksForWhatWasSaid) {
  const Ended ended = Run({"events",
                           "--channel",
                           "recoveryactionlogs",
                           "--channel",
                           "Agent",
                           "--since",
                           "2026-11-21 09:00",
                           "--until",
                           "10m",
                           "--event-id",
                           "2050",
                           "--event-id",
                           "2051",
                           "--set",
                           "Web",
                           "--name",
                           "NginxRestart",
                           "--incident",
                           "0193",
                           "-n",
                           "5"});

  EXPECT_EQ(ended.err, "");
  const v1::QueryEventsRequest asked = agent_.query_events.asked();
  ASSERT_EQ(asked.channel_size(), 2);
  EXPECT_EQ(asked.channel(0), v1::RecoveryActionLogs);
  EXPECT_EQ(asked.channel(1), v1::Agent);
  EXPECT_EQ(asked.since().seconds(), 1795255200 - 3600);
  EXPECT_EQ(asked.until().seconds(), 1795255200 - 600);
  ASSERT_EQ(asked.event_id_size(), 2);
  EXPECT_EQ(asked.event_id(1), 2051);
  EXPECT_EQ(asked.health_set(), "Web");
  EXPECT_EQ(asked.name(), "NginxRestart");
  EXPECT_EQ(asked.incident_id(), "0193");
  EXPECT_EQ(asked.limit(), 5);
}

TEST_F(EventsVerbTest, AsksForTheNewestHundredByDefault) {
  Run({"events"});

  EXPECT_EQ(agent_.query_events.asked().limit(), 100);
  EXPECT_FALSE(agent_.query_events.asked().has_since());
}

TEST_F(EventsVerbTest, TakesOneToTenThousand) {
  EXPECT_EQ(Run({"events", "-n", "0"}).status, 2);
  EXPECT_EQ(Run({"events", "-n", "1"}).status, 0);
  EXPECT_EQ(Run({"events", "-n10000"}).status, 0);
  EXPECT_EQ(Run({"events", "-n", "10001"}).status, 2);
}

TEST_F(EventsVerbTest, NamesTheNearestChannel) {
  const Ended ended = Run({"events", "--channel", "ProbeResults"});

  EXPECT_EQ(ended.status, 2);
  EXPECT_NE(ended.err.find("'ProbeResults' is unknown (did you mean 'ProbeResult'"),
            std::string::npos)
      << ended.err;
}

TEST_F(EventsVerbTest, TheEndMayNotBeBeforeTheBeginning) {
  EXPECT_EQ(Run({"events", "--since", "10m", "--until", "10m"}).status, 0);
  const Ended ended = Run({"events", "--since", "10m", "--until", "11m"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(ended.err, "salvectl: events: --until is before --since\n");
}

TEST_F(EventsVerbTest, FollowPrintsEachUntilTheInterruptAndEndsWithZero) {
  FakeTail tail;
  tail.events = {RestartRefused(), AgentStarted()};
  agent_.tail_events.Say(tail);
  // The person presses Ctrl-C when the second line is out.
  class Watching : public std::stringbuf {
   public:
    explicit Watching(int interrupt) : interrupt_(interrupt) {}
    int sync() override {
      const std::string text = str();
      if (std::count(text.begin(), text.end(), '\n') == 2) eventfd_write(interrupt_, 1);
      return 0;
    }

   private:
    const int interrupt_;
  } watching(interrupt_);
  std::ostream out(&watching);
  std::ostringstream err;

  const int status = RunSalvectl({"events", "-f", "-o", "jsonl", "--set", "Web"}, out, err, world_);

  EXPECT_EQ(status, 0);
  EXPECT_EQ(watching.str(),
            EventToJson(RestartRefused()) + "\n" + EventToJson(AgentStarted()) + "\n");
  EXPECT_EQ(err.str(), "");
  EXPECT_EQ(agent_.tail_events.asked().health_set(), "Web");
}

TEST_F(EventsVerbTest, FollowAlignsItsTableFromTheFirstLineOn) {
  FakeTail tail;
  tail.events = {RestartRefused()};
  tail.ends = true;
  agent_.tail_events.Say(tail);

  const Ended ended = Run({"events", "--follow"});

  EXPECT_EQ(ended.out.find("TIME                     LEVEL        CHANNEL                ID    "),
            0)
      << ended.out;
}

TEST_F(EventsVerbTest, FollowEndsWithSevenWhenTheAgentEnds) {
  FakeTail tail;
  tail.ends = true;
  agent_.tail_events.Say(tail);

  const Ended ended = Run({"events", "--follow"});

  EXPECT_EQ(ended.status, 7);
  EXPECT_EQ(ended.err, "salvectl: agent: it ended the stream\n");
}

TEST_F(EventsVerbTest, FollowHasNoEndAndNoJsonValue) {
  EXPECT_EQ(Run({"events", "--follow", "--until", "10m"}).err,
            "salvectl: events: --follow has no end: leave out --until\n");
  EXPECT_EQ(Run({"events", "--follow", "-o", "json"}).err,
            "salvectl: events: this prints as it goes: use -o table or jsonl\n");
}

TEST_F(EventsVerbTest, FromAsksForWhatAnotherServerSent) {
  Run({"events", "--from", "web-7"});
  EXPECT_EQ(agent_.query_events.asked().origin_server(), "web-7");
  Run({"events"});
  EXPECT_EQ(agent_.query_events.asked().origin_server(), "");
}

}  // namespace
}  // namespace salve

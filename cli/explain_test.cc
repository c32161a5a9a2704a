#include "channels/event_json.h"
#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

class ExplainVerbTest : public SalvectlTest {
 protected:
  ExplainVerbTest() { agent_.explain.Say(Story()); }

  static v1::ExplainResponse Story() {
    return FromText<v1::ExplainResponse>(R"(
        incident_id: "0193" is_open: true
        events { record_id: 12 channel: Agent agent { message: "started" } }
        lines: "10:00:00 probe Web/NginxPing failed: \"Events\":[]"
        lines: "10:00:01 NginxDown HEALTHY -> DEGRADED"
        next: "NginxRestart may run again at 10:56:48")");
  }
};

TEST_F(ExplainVerbTest, TellsTheStoryAndWhatComesNext) {
  const Ended ended = Run({"explain", "--last"});

  EXPECT_EQ(ended.out,
            "Incident 0193, open\n"
            "10:00:00 probe Web/NginxPing failed: \"Events\":[]\n"
            "10:00:01 NginxDown HEALTHY -> DEGRADED\n"
            "\n"
            "What comes next:\n"
            "  NginxRestart may run again at 10:56:48\n");
  EXPECT_EQ(ended.status, 0);
}

TEST_F(ExplainVerbTest, SaysWhenNothingComesNext) {
  v1::ExplainResponse story = Story();
  story.set_is_open(false);
  story.clear_next();
  agent_.explain.Say(story);

  const std::string out = Run({"explain"}).out;

  EXPECT_EQ(out.find("Incident 0193, closed\n"), 0);
  EXPECT_NE(out.find("\nWhat comes next:\n  nothing\n"), std::string::npos);
}

TEST_F(ExplainVerbTest, TakesAnIncidentAMonitorOrTheLast) {
  Run({"explain", "0193"});
  EXPECT_EQ(agent_.explain.asked().incident_id(), "0193");
  Run({"explain", "Web/NginxDown/a"});
  EXPECT_EQ(agent_.explain.asked().incident_id(), "");
  EXPECT_EQ(agent_.explain.asked().health_set(), "Web");
  EXPECT_EQ(agent_.explain.asked().monitor(), "NginxDown/a");
  Run({"explain"});
  EXPECT_EQ(agent_.explain.asked().health_set(), "");
  EXPECT_EQ(Run({"explain", "0193", "--last"}).err,
            "salvectl: explain: say either which incident, or --last\n");
}

TEST_F(ExplainVerbTest, JsonHasTheEventsAsTheChannelsWriteThem) {
  EXPECT_EQ(Run({"explain", "-o", "jsonl"}).out,
            R"({"IncidentId":"0193","Events":[)" + EventToJson(Story().events(0)) +
                R"(],"Lines":["10:00:00 probe Web/NginxPing failed: \"Events\":[]",)"
                R"("10:00:01 NginxDown HEALTHY -\u003e DEGRADED"],)"
                R"("Next":["NginxRestart may run again at 10:56:48"],"IsOpen":true})"
                "\n");
}

TEST_F(ExplainVerbTest, AnUnknownIncidentIsNotFound) {
  agent_.explain.Say(absl::NotFoundError("there is no incident '99'"));

  EXPECT_EQ(Run({"explain", "99"}).status, 4);
}

}  // namespace
}  // namespace salve

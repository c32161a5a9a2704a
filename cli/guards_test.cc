// salvectl maintenance and salvectl actions.
#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

class MaintenanceVerbTest : public SalvectlTest {};
class ActionsVerbTest : public SalvectlTest {};

TEST_F(MaintenanceVerbTest, StartSaysForHowLongOfWhatWhyAndWho) {
  EXPECT_EQ(
      Run({"maintenance", "start", "--for", "1h30m", "--reason", "disks", "--set", "Db"}).status,
      0);

  const v1::MaintenanceRequest asked = agent_.maintenance.asked();
  EXPECT_EQ(asked.verb(), v1::MaintenanceRequest::START);
  EXPECT_EQ(asked.duration_seconds(), 5400);
  EXPECT_EQ(asked.health_set(), "Db");
  EXPECT_EQ(asked.reason(), "disks");
  EXPECT_EQ(asked.user(), "ada");
}

TEST_F(MaintenanceVerbTest, StartNeedsALengthAndAReason) {
  EXPECT_EQ(Run({"maintenance", "start", "--reason", "disks"}).status, 2);
  EXPECT_EQ(Run({"maintenance", "start", "--for", "2h"}).status, 2);
  EXPECT_EQ(Run({"maintenance", "start", "--for", "soon", "--reason", "disks"}).status, 2);
}

TEST_F(MaintenanceVerbTest, StatusShowsEachWindow) {
  agent_.maintenance.Say(FromText<v1::MaintenanceResponse>(R"(
      windows { who: "ada" reason: "kernel" since { seconds: 1795255190 }
                until { seconds: 1795262400 } }
      windows { health_set: "Db" who: "bob" since { seconds: 1795255190 }
                until { seconds: 1795258800 } })"));

  const std::string out = Run({"maintenance", "status"}).out;
  EXPECT_NE(out.find("HEALTH SET  BY   SINCE    UNTIL"), std::string::npos) << out;
  EXPECT_NE(out.find("all         ada  10s ago"), std::string::npos) << out;
  EXPECT_NE(out.find("kernel"), std::string::npos) << out;
  EXPECT_NE(out.find("Db          bob  10s ago"), std::string::npos) << out;
  EXPECT_EQ(agent_.maintenance.asked().verb(), v1::MaintenanceRequest::STATUS);
}

TEST_F(MaintenanceVerbTest, EndPassesOnThatThereIsNone) {
  agent_.maintenance.Say(absl::NotFoundError("there is no maintenance of Db"));

  EXPECT_EQ(Run({"maintenance", "end", "--set", "Db"}).status, 4);
  EXPECT_EQ(agent_.maintenance.asked().verb(), v1::MaintenanceRequest::END);
  EXPECT_EQ(agent_.maintenance.asked().health_set(), "Db");
}

TEST_F(ActionsVerbTest, PauseSaysForHowLongOfWhatWhyAndWho) {
  EXPECT_EQ(Run({"actions", "pause", "--for", "30m", "--reason", "storm", "--group"}).status, 0);

  const v1::PauseRequest asked = agent_.pause.asked();
  EXPECT_EQ(asked.verb(), v1::PauseRequest::PAUSE);
  EXPECT_EQ(asked.duration_seconds(), 1800);
  EXPECT_TRUE(asked.group());
  EXPECT_EQ(asked.reason(), "storm");
  EXPECT_EQ(asked.user(), "ada");
}

// Zero would be without an end.
TEST_F(ActionsVerbTest, PauseForLessThanASecondIsRefused) {
  EXPECT_EQ(Run({"actions", "pause", "--for", "0s"}).status, 2);
  EXPECT_EQ(Run({"actions", "pause", "--for", "999ms"}).status, 2);
  EXPECT_EQ(Run({"actions", "pause", "--for", "1s"}).status, 0);
  EXPECT_EQ(agent_.pause.asked().duration_seconds(), 1);
  EXPECT_EQ(Run({"actions", "pause"}).status, 0);
  EXPECT_EQ(agent_.pause.asked().duration_seconds(), 0);
}

TEST_F(ActionsVerbTest, StatusSaysSoWhenNothingIsPaused) {
  EXPECT_EQ(Run({"actions", "status"}).out, "actions are not paused\n");
  EXPECT_EQ(agent_.pause.asked().verb(), v1::PauseRequest::STATUS);
}

TEST_F(ActionsVerbTest, ResumeThatIsNotEnoughSaysWhatElsePauses) {
  agent_.pause.Say(FromText<v1::PauseResponse>(R"(
      paused: true
      pauses { scope: "file" who: "/etc/salve/actions.paused" reason: "storm"
               since { seconds: 1795255190 } }
      pauses { scope: "group" who: "bob" since { seconds: 1795255190 } })"));

  const Ended ended = Run({"actions", "resume"});

  EXPECT_EQ(ended.status, 3);
  EXPECT_NE(ended.out.find("file    /etc/salve/actions.paused  10s ago  -      storm"),
            std::string::npos)
      << ended.out;
  EXPECT_NE(ended.err.find("remove the file /etc/salve/actions.paused; salvectl actions resume "
                           "--group"),
            std::string::npos)
      << ended.err;
}

TEST_F(ActionsVerbTest, WithoutAGroupTheGroupsSwitchIsAPrecondition) {
  agent_.pause.Say(absl::FailedPreconditionError("this server is in no group"));

  EXPECT_EQ(Run({"actions", "pause", "--group"}).status, 3);
}

}  // namespace
}  // namespace salve

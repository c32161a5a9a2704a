#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

class GroupVerbTest : public SalvectlTest {};

TEST_F(GroupVerbTest, ListShowsEachServer) {
  agent_.list_servers.Say(FromText<v1::ListServersResponse>(R"(
      group: "web-eu"
      servers {
        name: "web-1" alive: true counted: true protocol_version: 1 agent_version: "0.1.0"
        machine_id: "3f" last_seen { seconds: 1795255190 }
      }
      servers { name: "web-2" protocol_version: 2 agent_version: "0.2.0" machine_id: "40" })"));

  EXPECT_EQ(Run({"group", "list"}).out,
            "SERVER  ALIVE  COUNTED  LAST SEEN  PROTOCOL  AGENT  MACHINE\n"
            "web-1   yes    yes      10s ago    1         0.1.0  3f\n"
            "web-2   no     no       -          2         0.2.0  40\n");
}

TEST_F(GroupVerbTest, ListInJsonHasTheServers) {
  agent_.list_servers.Say(FromText<v1::ListServersResponse>("servers { name: 'web-1' }"));

  EXPECT_NE(Run({"group", "list", "-o", "jsonl"}).out.find("\"Name\":\"web-1\""),
            std::string::npos);
}

TEST_F(GroupVerbTest, ForgetNamesTheServerAndThePerson) {
  const Ended ended = Run({"group", "forget", "web-7"});

  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.out, "");
  EXPECT_EQ(agent_.forget_server.asked().name(), "web-7");
  EXPECT_EQ(agent_.forget_server.asked().user(), "ada");
}

TEST_F(GroupVerbTest, ForgetPassesOnWhyNot) {
  agent_.forget_server.SayInTurn({absl::FailedPreconditionError("web-7 is alive"),
                                  absl::NotFoundError("no server 'web-8'"),
                                  absl::UnavailableError("the coordinator does not answer")});

  EXPECT_EQ(Run({"group", "forget", "web-7"}).status, 3);
  EXPECT_EQ(Run({"group", "forget", "web-8"}).status, 4);
  EXPECT_EQ(Run({"group", "forget", "web-9"}).status, 7);
  EXPECT_EQ(Run({"group", "forget"}).status, 2);
}

}  // namespace
}  // namespace salve

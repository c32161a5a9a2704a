#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

class ClusterVerbTest : public SalvectlTest {
 protected:
  void SetUp() override {
    agent_.get_cluster.Say(FromText<v1::GetClusterResponse>(R"(
        server: "web-1" group: "web" mode: "REMOTELY" configured_mode: "LOCALLY" source: "etcd"
        acceptors { server: "web-2" address: "web-2:7443" state: "in use" waiting: 3 }
        acceptors { server: "web-3" address: "web-3:7443" state: "not reached: refused" })"));
  }
};

TEST_F(ClusterVerbTest, ListShowsThisServersPartAndTheAcceptors) {
  EXPECT_EQ(Run({"cluster", "list"}).out,
            "  server          web-1\n"
            "  group           web\n"
            "  mode            REMOTELY (configured: LOCALLY)\n"
            "  acceptors from  etcd\n"
            "SERVER  ADDRESS     STATE                 WAITING\n"
            "web-2   web-2:7443  in use                3\n"
            "web-3   web-3:7443  not reached: refused  0\n");
  EXPECT_EQ(agent_.get_cluster.asked().test(), "");
}

TEST_F(ClusterVerbTest, ListShowsWhereItAccepts) {
  agent_.get_cluster.Say(FromText<v1::GetClusterResponse>(R"(
      server: "web-1" mode: "LOCALLY_FOR_OTHERS" configured_mode: "LOCALLY_FOR_OTHERS"
      source: "none" address: "web-1:7443")"));
  EXPECT_EQ(Run({"cluster", "list"}).out,
            "  server          web-1\n"
            "  mode            LOCALLY_FOR_OTHERS\n"
            "  accepts at      web-1:7443\n"
            "  acceptors from  none\n");
}

TEST_F(ClusterVerbTest, AcceptorsShowsThem) {
  EXPECT_EQ(Run({"cluster", "acceptors", "--no-header"}).out,
            "web-2  web-2:7443  in use                3\n"
            "web-3  web-3:7443  not reached: refused  0\n");
}

TEST_F(ClusterVerbTest, JsonHasTheAgentsNames) {
  EXPECT_NE(Run({"cluster", "list", "-o", "jsonl"}).out.find("\"ConfiguredMode\":\"LOCALLY\""),
            std::string::npos);
  EXPECT_EQ(Run({"cluster", "acceptors", "-o", "jsonl"}).out.find("{\"Server\":\"web-2\""), 0u);
  EXPECT_EQ(Run({"cluster", "mode", "-o", "jsonl"}).out, "{\"Mode\":\"REMOTELY\"}\n");
}

TEST_F(ClusterVerbTest, ModeShowsTheOneInForce) {
  EXPECT_EQ(Run({"cluster", "mode"}).out, "REMOTELY\n");
}

TEST_F(ClusterVerbTest, ModeChangesItWithWhoAndWhy) {
  agent_.set_cluster_mode.Say(FromText<v1::SetModeResponse>("mode: 'REMOTELY'"));
  const Ended ended = Run({"cluster", "mode", "remotely", "--reason", "relay cut off"});
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.out, "REMOTELY\n");
  EXPECT_EQ(agent_.set_cluster_mode.asked().mode(), "REMOTELY");
  EXPECT_EQ(agent_.set_cluster_mode.asked().reason(), "relay cut off");
  EXPECT_EQ(agent_.set_cluster_mode.asked().user(), "ada");
}

TEST_F(ClusterVerbTest, ModeDefaultIsTheConfiguredOne) {
  EXPECT_EQ(Run({"cluster", "mode", "default", "--reason", "mended"}).status, 0);
  EXPECT_EQ(agent_.set_cluster_mode.asked().mode(), "");
  EXPECT_EQ(agent_.set_cluster_mode.asked().reason(), "mended");
}

TEST_F(ClusterVerbTest, ModeRefusesWhatItDoesNotKnow) {
  EXPECT_EQ(Run({"cluster", "mode", "REMOTE", "--reason", "x"}).status, 2);
  EXPECT_EQ(Run({"cluster", "mode", "REMOTELY"}).status, 2);
  EXPECT_EQ(Run({"cluster", "mode", "--reason", "x"}).status, 2);
}

TEST_F(ClusterVerbTest, TestAsksEachAndFailsWhenOneIsNotUsable) {
  const Ended ended = Run({"cluster", "test"});
  EXPECT_EQ(ended.status, 1);
  EXPECT_NE(ended.out.find("not reached: refused"), std::string::npos);
  EXPECT_EQ(agent_.get_cluster.asked().test(), "*");
}

TEST_F(ClusterVerbTest, TestOfOneSaysNothingOfTheOthers) {
  agent_.get_cluster.Say(FromText<v1::GetClusterResponse>(R"(
      acceptors { server: "web-2" address: "web-2:7443" state: "would take one" waiting: 3 }
      acceptors { server: "web-3" address: "web-3:7443" state: "not reached" })"));
  const Ended ended = Run({"cluster", "test", "web-2", "--no-header"});
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.out, "web-2  web-2:7443  would take one  3\n");
  EXPECT_EQ(agent_.get_cluster.asked().test(), "web-2");
  EXPECT_EQ(Run({"cluster", "test", "web-3"}).status, 1);
}

TEST_F(ClusterVerbTest, TestOfWhatIsNoAcceptorIsNotFound) {
  agent_.get_cluster.Say(absl::NotFoundError("no acceptor 'web-9'"));
  EXPECT_EQ(Run({"cluster", "test", "web-9"}).status, 4);
}

TEST_F(ClusterVerbTest, TestWithoutAnyAcceptorFails) {
  agent_.get_cluster.Say(FromText<v1::GetClusterResponse>("source: 'none'"));
  const Ended ended = Run({"cluster", "test"});
  EXPECT_EQ(ended.status, 1);
  EXPECT_EQ(ended.out, "no server accepts for others (acceptors from: none)\n");
}

TEST_F(ClusterVerbTest, WhyNotIsPassedOn) {
  agent_.get_cluster.Say(absl::UnavailableError("the queue can't be read"));
  EXPECT_EQ(Run({"cluster", "list"}).status, 7);
  EXPECT_EQ(Run({"cluster", "test"}).status, 7);
  agent_.set_cluster_mode.Say(absl::FailedPreconditionError("no acceptor"));
  EXPECT_EQ(Run({"cluster", "mode", "REMOTELY", "--reason", "x"}).status, 3);
}

}  // namespace
}  // namespace salve

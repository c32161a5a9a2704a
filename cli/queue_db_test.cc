#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/salvectl_fixture.h"
#include "gmock/gmock.h"
#include "queue/message_store.h"

namespace salve {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// web-1's queue, and web-2, on which salvectl runs.
class QueueDbVerbTest : public SalvectlTest {
 protected:
  QueueDbVerbTest() : root_(absl::StrCat(testing::TempDir(), "/queue-db-", getpid())) {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/web-1");
    std::filesystem::create_directories(root_ + "/web-2");
    world_.state_dir = root_ + "/web-2";
    world_.read_configuration = [](const std::string&) -> absl::StatusOr<Configuration> {
      Configuration configuration;
      configuration.agent.server = "web-2";
      configuration.agent.group = "web";
      configuration.agent.config.add_destination()->set_name("ops");
      return configuration;
    };
  }
  ~QueueDbVerbTest() override { std::filesystem::remove_all(root_); }

  std::unique_ptr<MessageStore> Open(const std::string& server) {
    auto store = MessageStore::Open({.path = root_ + "/" + server + "/queue.db",
                                     .server = server,
                                     .group = "web",
                                     .now = clock_.WallNow()});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  void Put(MessageStore& store, int count) {
    for (int i = 0; i < count; ++i) {
      queue::Message message;
      message.set_mid(store.NewMid(clock_.WallNow()));
      message.set_origin_server("web-1");
      message.set_origin_mid(message.mid());
      message.set_type(queue::AF);
      message.set_destination("ops");
      message.set_expires_ns(absl::ToUnixNanos(clock_.WallNow() + absl::Hours(48)));
      Changes changes;
      changes.puts.push_back({message, "remote/ops", false, clock_.WallNow()});
      EXPECT_TRUE(store.Apply(changes).ok());
    }
  }
  void Make(const std::string& server, int messages, bool clean = true) {
    auto store = Open(server);
    Put(*store, messages);
    if (!clean) return;
    EXPECT_TRUE(store->Close().ok());
  }
  Ended RunDb(std::vector<std::string> args) {
    args.insert(args.begin(), {"queue", "db"});
    return Run(args);
  }
  Ended PackWeb1() { return RunDb({"pack", root_ + "/pack", "--state-dir", root_ + "/web-1"}); }

  const std::string root_;
};

TEST_F(QueueDbVerbTest, InfoSaysWhatItIs) {
  Make("web-2", 2);
  const Ended ended = RunDb({"info"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("Clean"));
  EXPECT_THAT(ended.out, HasSubstr("web-2"));
  EXPECT_THAT(ended.out, HasSubstr("remote/ops  2"));
  EXPECT_THAT(RunDb({"info", "-o", "json"}).out, HasSubstr("\"State\": \"Clean\""));
}

TEST_F(QueueDbVerbTest, WithoutADatabaseIsNotFound) {
  EXPECT_EQ(RunDb({"info"}).status, 4);
  EXPECT_EQ(RunDb({"verify"}).status, 4);
  EXPECT_EQ(RunDb({"pack", root_ + "/pack"}).status, 4);
  EXPECT_EQ(RunDb({"reset"}).status, 4);
}

TEST_F(QueueDbVerbTest, EveryToolRefusesWhileTheAgentRuns) {
  Make("web-2", 1);
  const int lock = open((world_.state_dir + "/salved.lock").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  const std::string file = world_.state_dir + "/queue.db";
  const std::string pack = root_ + "/pack";
  std::filesystem::create_directories(pack);
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"info"},
                                             {"verify"},
                                             {"pack", pack},
                                             {"defrag", file},
                                             {"repair", file, "--accept-loss"},
                                             {"adopt", pack},
                                             {"reset"}}) {
    const Ended ended = RunDb(args);
    EXPECT_EQ(ended.status, 3) << args[0] << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("salved runs")) << args[0];
  }
  close(lock);
}

TEST_F(QueueDbVerbTest, AQueueMovesToAnotherServer) {
  Make("web-1", 3, /*clean=*/false);
  EXPECT_EQ(PackWeb1().status, 0);
  EXPECT_EQ(RunDb({"adopt", root_ + "/pack"}).status, 3);  // Dirty.
  EXPECT_THAT(RunDb({"recover", root_ + "/pack"}).out, HasSubstr("is Clean now"));
  EXPECT_THAT(RunDb({"recover", root_ + "/pack"}).out, HasSubstr("Clean already"));
  EXPECT_EQ(RunDb({"defrag", root_ + "/pack"}).status, 0);
  EXPECT_EQ(RunDb({"verify", root_ + "/pack"}).status, 0);
  const Ended adopted = RunDb({"adopt", root_ + "/pack"});
  EXPECT_EQ(adopted.status, 0) << adopted.err;
  EXPECT_THAT(adopted.out, StartsWith("the queue of web-1 is adopted: 3 messages, 0 of them"));
  EXPECT_THAT(RunDb({"adopt", root_ + "/pack"}).out, HasSubstr("adopted already"));
  EXPECT_THAT(RunDb({"verify"}).out, HasSubstr("remote/ops  3"));
}

TEST_F(QueueDbVerbTest, AdoptSaysEachUnfinishedPointOnALine) {
  Make("web-1", 1);
  Make("web-2", 1);
  ASSERT_EQ(PackWeb1().status, 0);
  const Ended ended = RunDb({"adopt", root_ + "/pack"});
  EXPECT_EQ(ended.status, 3);
  EXPECT_THAT(ended.err, HasSubstr("salvectl: queue db adopt: new work is not stopped"));
  EXPECT_THAT(ended.err, HasSubstr("salvectl: queue db adopt: 1 messages wait"));
}

TEST_F(QueueDbVerbTest, AnotherGroupIsAMismatch) {
  Make("web-1", 1);
  ASSERT_EQ(PackWeb1().status, 0);
  world_.read_configuration = [](const std::string&) -> absl::StatusOr<Configuration> {
    Configuration configuration;
    configuration.agent.server = "web-2";
    return configuration;
  };
  const Ended ended = RunDb({"adopt", root_ + "/pack"});
  EXPECT_EQ(ended.status, 10);
  EXPECT_THAT(ended.err, HasSubstr("--allow-other-group"));
  EXPECT_EQ(RunDb({"adopt", root_ + "/pack", "--extend", "1m"}).status, 2);
  EXPECT_EQ(RunDb({"adopt", root_ + "/pack", "--allow-other-group"}).status, 0);
}

TEST_F(QueueDbVerbTest, DamageIsNineWithEveryFault) {
  Make("web-1", 1, /*clean=*/false);
  ASSERT_EQ(PackWeb1().status, 0);
  std::filesystem::remove(root_ + "/pack/queue.db-wal");
  const Ended ended = RunDb({"verify", root_ + "/pack"});
  EXPECT_EQ(ended.status, 9);
  EXPECT_THAT(ended.out, HasSubstr("Damaged"));
  EXPECT_THAT(ended.err, HasSubstr("its log is missing"));
  EXPECT_THAT(ended.err, HasSubstr("the manifest has it"));
  EXPECT_EQ(RunDb({"recover", root_ + "/pack"}).status, 9);
  EXPECT_EQ(RunDb({"adopt", root_ + "/pack"}).status, 9);
  EXPECT_EQ(RunDb({"defrag", root_ + "/pack"}).status, 9);
}

TEST_F(QueueDbVerbTest, RepairNeedsTheWordAndSaysWhatIsLost) {
  Make("web-1", 3, /*clean=*/false);
  const std::string file = root_ + "/web-1/queue.db";
  std::filesystem::remove(file + "-wal");
  EXPECT_EQ(RunDb({"repair", file}).status, 12);
  const Ended ended = RunDb({"repair", file, "--accept-loss"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("steps are missing"));
  EXPECT_THAT(ended.out, HasSubstr("queue.db.damaged-20261121T100000Z"));
  EXPECT_EQ(RunDb({"repair", file, "--accept-loss"}).status, 3);  // Whole.
}

TEST_F(QueueDbVerbTest, ResetNeedsTheExactNumber) {
  Make("web-2", 2);
  const Ended ended = RunDb({"reset"});
  EXPECT_EQ(ended.status, 12);
  EXPECT_THAT(ended.err, HasSubstr("--discard 2"));
  EXPECT_EQ(RunDb({"reset", "--discard", "1"}).status, 12);
  EXPECT_EQ(RunDb({"reset", "--discard", "-2"}).status, 2);
  EXPECT_EQ(RunDb({"reset", "--discard", "2"}).status, 0);
  EXPECT_EQ(RunDb({"reset"}).status, 3);  // The old one of this second is kept already.
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(RunDb({"reset"}).status, 0);
}

TEST_F(QueueDbVerbTest, PrepareShowsItsPointsAndIsThreeUntilAllHold) {
  agent_.prepare_queue.Say(FromText<v1::PrepareResponse>(R"(
      preparing: true
      points { name: "new work stopped" ready: true state: "nothing is accepted" }
      points { name: "deliveries drained" state: "2 messages wait" })"));
  const Ended ended = RunDb({"prepare", "--begin", "--reason", "move"});
  EXPECT_EQ(ended.status, 3);
  EXPECT_EQ(ended.out,
            "POINT               READY  STATE\n"
            "new work stopped    yes    nothing is accepted\n"
            "deliveries drained  no     2 messages wait\n"
            "not ready yet\n");
  EXPECT_EQ(agent_.prepare_queue.asked().verb(), v1::PrepareRequest::BEGIN);
  EXPECT_EQ(agent_.prepare_queue.asked().reason(), "move");
  EXPECT_EQ(agent_.prepare_queue.asked().user(), "ada");
}

TEST_F(QueueDbVerbTest, PrepareIsDoneWhenAllHoldOrItIsCancelled) {
  agent_.prepare_queue.Say(FromText<v1::PrepareResponse>("preparing: true ready: true"));
  EXPECT_EQ(RunDb({"prepare"}).status, 0);
  agent_.prepare_queue.Say(FromText<v1::PrepareResponse>("preparing: false"));
  EXPECT_EQ(RunDb({"prepare", "--cancel"}).status, 0);
  EXPECT_EQ(agent_.prepare_queue.asked().verb(), v1::PrepareRequest::CANCEL);
  EXPECT_EQ(RunDb({"prepare", "--begin", "--cancel"}).status, 2);
}

}  // namespace
}  // namespace salve

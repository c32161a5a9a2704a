#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "cli/salvectl_fixture.h"
#include "gmock/gmock.h"
#include "queue/crash_set.h"
#include "queue/message_store.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class RecoverTest : public SalvectlTest {
 protected:
  RecoverTest() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    state_dir_ = absl::StrCat(testing::TempDir(), "/", test->name());
    fs::remove_all(state_dir_);
    fs::create_directories(state_dir_);
    world_.state_dir = state_dir_;
    world_.config_dir = "/etc/salve";
    world_.salved = "/usr/sbin/salved";
    world_.is_root = true;
    world_.read_configuration = [this](const std::string&) -> absl::StatusOr<Configuration> {
      return configuration_;
    };
    world_.run_program =
        [this](const std::vector<std::string>& argv) -> absl::StatusOr<ProgramEnd> {
      calls_.push_back(argv);
      if (program_) program_(argv.back());
      return end_;
    };
    Configuration configuration;
    configuration.agent.config.add_destination()->set_name("ops");
    HealthSetDefinition& set = configuration.health_sets.emplace_back();
    set.name = "Web";
    ResponderDefinition& responder = set.responders.emplace_back();
    responder.health_set = "Web";
    responder.name = "Restart";
    configuration_ = configuration;
    MakeSet();
  }

  queue::Message NewMessage(const std::string& mid, queue::Type type) {
    queue::Message message;
    message.set_mid(mid);
    message.set_origin_server("web1");
    message.set_origin_mid(mid);
    message.set_type(type);
    message.set_expires_ns(absl::ToUnixNanos(now() + absl::Hours(48)));
    return message;
  }
  absl::Time now() const { return clock_.WallNow(); }

  // An agent died with an action, a letter under way, one that waited, and a deferred action.
  void MakeSet() {
    auto store =
        MessageStore::Open({.path = state_dir_ + "/queue.db", .server = "web1", .now = now()});
    ASSERT_TRUE(store.ok()) << store.status();
    Changes changes;
    changes.now = now();
    queue::Message letter = NewMessage("web1-a-1", queue::AF);
    letter.set_destination("ops");
    letter.set_subject("nginx is down");
    letter.mutable_letter()->set_health_set("Web");
    changes.puts.push_back({letter, "remote/ops"});
    letter.set_mid("web1-a-2");
    letter.set_origin_mid("web1-a-2");
    letter.set_destination("boss");
    changes.puts.push_back({letter, "remote/boss"});
    queue::Message up = NewMessage("web1-a-3", queue::UP);
    up.set_subject("RestartService nginx.service");
    up.mutable_deferred()->set_action("RestartService");
    up.mutable_deferred()->set_resource("nginx.service");
    up.mutable_deferred()->set_requester("ada");
    changes.puts.push_back({up, "local/nginx.service"});
    const auto sequences = (*store)->Apply(changes);
    ASSERT_TRUE(sequences.ok()) << sequences.status();
    Changes then;
    then.now = now();
    then.updates.push_back({.sequence = sequences->front(), .delivering = true});
    ASSERT_TRUE((*store)->Apply(then).ok());
    Attempt attempt;
    attempt.id = "0193a5b2c3d40000";
    attempt.resource = "nginx.service";
    attempt.requester = "Restart";
    attempt.health_set = "Web";
    attempt.server = "web1";
    const auto finding = SecureCrash({.state_dir = state_dir_,
                                      .server = "web1",
                                      .boot_id = "1f2e3d4c-0",
                                      .recovery = config::Queue::HOLD,
                                      .now = now()},
                                     {&attempt});
    ASSERT_TRUE(finding.ok()) << finding.status();
    set_dir_ = absl::StrCat(state_dir_, "/crash/", finding->set);
    ASSERT_TRUE((*store)->Close().ok());
  }
  // What salved would have done.
  void Become(const std::string& id, EntryState state, const std::string& detail) {
    ASSERT_TRUE((*CrashSet::Open(set_dir_))->SetState(id, state, detail, now()).ok());
  }
  Ended RunHere(std::vector<std::string> args) {
    args.insert(args.begin(), "recover");
    args.insert(args.end(), {"-d", set_dir_});
    return Run(args);
  }

  std::string state_dir_;
  std::string set_dir_;
  absl::StatusOr<Configuration> configuration_ = absl::UnknownError("not set");
  ProgramEnd end_;
  std::function<void(const std::string& last_word)> program_;
  std::vector<std::vector<std::string>> calls_;
};

TEST_F(RecoverTest, ListsTheSet) {
  const Ended ended = RunHere({"-l"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(ended.out,
            "STATE      HOST  KEY  TYPE   OWNER        DEST           MSGID             SUBJECT\n"
            "ERR-NOREC  web1  1    RA     Web/Restart  nginx.service  0193a5b2c3d40000  "
            "RestartService\n"
            "ERR-NOREC  web1  2    AF     Web          ops            web1-a-1          nginx is "
            "down\n"
            "ACT-NOEXE  web1  3    ?????  ?????        boss           web1-a-2          nginx is "
            "down\n"
            "ACT-NOEXE  web1  4    UP     ada          nginx.service  web1-a-3          "
            "RestartService nginx.service\n");
}

TEST_F(RecoverTest, WithoutAnOptionItLists) {
  EXPECT_EQ(RunHere({}).out, RunHere({"-l"}).out);
  EXPECT_THAT(calls_, IsEmpty());
}

TEST_F(RecoverTest, ListsAsJson) {
  const Ended ended = RunHere({"-o", "jsonl"});
  EXPECT_THAT(ended.out, HasSubstr("{\"State\":\"ERR-NOREC\",\"Host\":\"web1\",\"Key\":"));
  EXPECT_THAT(ended.out, HasSubstr("\"MsgId\":\"web1-a-3\""));
}

TEST_F(RecoverTest, ABugWhatAPersonHadSuspendedWasListedLikeTheRest) {
  auto store = MessageStore::Open({.path = set_dir_ + "/queue.db", .server = "web1", .now = now()});
  ASSERT_TRUE(store.ok()) << store.status();
  Changes changes;
  changes.now = now();
  changes.updates.push_back({.sequence = (*store)->Find("web1-a-3")->sequence, .suspended = true});
  changes.suspend_queues.emplace_back("remote/boss", true);
  ASSERT_TRUE((*store)->Apply(changes).ok());
  ASSERT_TRUE((*store)->Close().ok());
  const std::string listed = RunHere({"-l"}).out;
  EXPECT_THAT(listed, HasSubstr("web1-a-1          nginx is down\n"));
  EXPECT_THAT(listed, HasSubstr("web1-a-2          (suspended) nginx is down\n"));
  EXPECT_THAT(listed, HasSubstr("web1-a-3          (suspended) RestartService nginx.service\n"));
  EXPECT_THAT(RunHere({"-o", "jsonl"}).out, HasSubstr("\"Suspended\":true"));
  Become("web1-a-3", EntryState::kActExec, "resumed since");
  EXPECT_THAT(RunHere({"-l"}).out, HasSubstr("web1-a-3          RestartService nginx.service\n"));
}

TEST_F(RecoverTest, TheDefaultIsTheCurrentFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(set_dir_);
  const Ended ended = Run({"recover"});
  fs::current_path(before);
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("web1-a-3"));
}

TEST_F(RecoverTest, AConfigurationThatCannotBeReadIsSaidAndItGoesOn) {
  configuration_ = absl::InvalidArgumentError("web.textproto:1:1: what\nmore");
  const Ended ended = RunHere({});
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.err,
            "salvectl: recover: Definition(/etc/salve) not readable: web.textproto:1:1: what\n");
  EXPECT_THAT(ended.out, HasSubstr("ERR-NOREC  web1  1    ?????  ?????"));
  EXPECT_THAT(ended.out, HasSubstr("4    UP     ada"));  // Needs no definition.
}

TEST_F(RecoverTest, OnlyRootMay) {
  world_.is_root = false;
  const Ended ended = RunHere({});
  EXPECT_EQ(ended.status, 5);
  EXPECT_THAT(ended.err, HasSubstr("only root"));
}

TEST_F(RecoverTest, NotWhileSalvedRuns) {
  const UniqueFd lock(open((state_dir_ + "/salved.lock").c_str(), O_RDWR | O_CREAT, 0600));
  ASSERT_EQ(flock(lock.get(), LOCK_EX), 0);
  for (const char* option : {"-l", "-e", "-r"}) {
    const Ended ended = RunHere({option});
    EXPECT_EQ(ended.status, 3);
    EXPECT_EQ(ended.err, "salvectl: recover: Service of salved is active\n");
  }
  EXPECT_THAT(calls_, IsEmpty());
}

TEST_F(RecoverTest, NeverOnTheLiveFolder) {
  const Ended ended = Run({"recover", "-l", "-d", state_dir_});
  EXPECT_EQ(ended.status, 3);
  EXPECT_THAT(ended.err, HasSubstr("is the live folder of salved"));
}

TEST_F(RecoverTest, NeverOnTheLiveFolderThroughALink) {
  const std::string link = set_dir_ + "-link";
  fs::create_directory_symlink(state_dir_, link);
  EXPECT_THAT(Run({"recover", "-d", link}).err, HasSubstr("is the live folder of salved"));
}

TEST_F(RecoverTest, NeverOnTheLiveQueueThroughALink) {
  fs::remove(set_dir_ + "/queue.db");
  fs::create_symlink(state_dir_ + "/queue.db", set_dir_ + "/queue.db");
  EXPECT_THAT(RunHere({}).err, HasSubstr("is the live folder of salved"));
}

TEST_F(RecoverTest, NeverOnTheLiveFolderThroughABindMount) {
  const std::string mounted = state_dir_ + "-mounted";
  fs::create_directories(mounted);
  if (unshare(CLONE_NEWNS) != 0 || mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount(state_dir_.c_str(), mounted.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    GTEST_SKIP() << "no mounts may be made here";
  }
  EXPECT_THAT(Run({"recover", "-d", mounted}).err, HasSubstr("is the live folder of salved"));
  umount(mounted.c_str());
}

TEST_F(RecoverTest, APathOf240BytesIsLookedForAndNoneOf241) {
  const std::string longest = "/" + std::string(239, 'x');
  const Ended looked = Run({"recover", "-d", longest});
  EXPECT_EQ(looked.status, 4);
  EXPECT_EQ(looked.err, "salvectl: recover: File(" + longest + ") not found.\n");
  const Ended refused = Run({"recover", "-d", longest + "x"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.err, HasSubstr("241 bytes"));
}

TEST_F(RecoverTest, AFolderThatIsNoSetNamesTheFile) {
  fs::create_directories(state_dir_ + "/other");
  const Ended ended = Run({"recover", "-d", state_dir_ + "/other"});
  EXPECT_EQ(ended.status, 4);
  EXPECT_EQ(ended.err,
            "salvectl: recover: File(" + state_dir_ + "/other/set.textproto) not found.\n");
}

TEST_F(RecoverTest, AWrongCallSaysTheSyntax) {
  const std::string syntax = "Syntax: salvectl recover [-l] [-e [-t AR|AF|UP]] [-r] [-d DIR]\n";
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"recover", "-x"},
                                             {"recover", "-t", "UP"},
                                             {"recover", "-e", "-t", "RA"},
                                             {"recover", "-d", "relative"},
                                             {"recover", "-d"}}) {
    const Ended ended = Run(args);
    EXPECT_EQ(ended.status, 2) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr(syntax));
  }
}

TEST_F(RecoverTest, ExecutesBySalvedAndShowsWhatBecameOfIt) {
  program_ = [this](const std::string&) {
    Become("web1-a-2", EntryState::kActNoExe, "Trigger(boss) not found");
    Become("web1-a-3", EntryState::kActExec, "");
  };
  end_.exit_code = 1;
  const Ended ended = RunHere({"-e"});
  EXPECT_THAT(calls_, ElementsAre(std::vector<std::string>{
                          "/usr/sbin/salved", "--recover-set", set_dir_, "--config-dir",
                          "/etc/salve", "--state-dir", state_dir_, "--execute"}));
  EXPECT_EQ(ended.status, 1);
  EXPECT_THAT(ended.out, HasSubstr("ACT-EXEC   web1  4    UP"));
  EXPECT_THAT(ended.out, Not(HasSubstr("web1-a-1")));
  EXPECT_EQ(ended.err, "salvectl: recover: web1-a-2: Trigger(boss) not found\n");
}

TEST_F(RecoverTest, ExecutesOnlyOneType) {
  program_ = [this](const std::string&) { Become("web1-a-3", EntryState::kActExec, ""); };
  const Ended ended = RunHere({"-e", "-t", "up"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_THAT(calls_.at(0), testing::Contains("UP"));
  EXPECT_THAT(ended.out, Not(HasSubstr("web1-a-2")));
}

TEST_F(RecoverTest, AlwaysListsThenExecutesThenRecovers) {
  program_ = [this](const std::string& last) {
    if (last == "--recover") {
      Become("0193a5b2c3d40000", EntryState::kErrRecov, "closed as crashed");
      Become("web1-a-1", EntryState::kErrRecov, "");
    } else {
      Become("web1-a-2", EntryState::kActExec, "");
      Become("web1-a-3", EntryState::kActExec, "");
    }
  };
  const Ended ended = RunHere({"-r", "-e", "-l"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  ASSERT_EQ(calls_.size(), 2u);
  EXPECT_EQ(calls_[0].back(), "--execute");
  EXPECT_EQ(calls_[1].back(), "--recover");
  const size_t listed = ended.out.find("ACT-NOEXE");
  const size_t executed = ended.out.find("ACT-EXEC");
  const size_t recovered = ended.out.find("ERR-RECOV");
  EXPECT_LT(listed, executed);
  EXPECT_LT(executed, recovered);
}

TEST_F(RecoverTest, WhatIsDoneIsNotDoneAgain) {
  Become("web1-a-2", EntryState::kActExec, "");
  Become("web1-a-3", EntryState::kActError, "");
  EXPECT_EQ(RunHere({"-e"}).status, 0);
  EXPECT_THAT(calls_, IsEmpty());
}

TEST_F(RecoverTest, ADefinitionThatSalvedCannotReadLeavesTheEntries) {
  end_ = {.exit_code = 2, .error_output = "the configuration is refused:\nweb.textproto:1:1: x\n"};
  const Ended ended = RunHere({"-e"});
  EXPECT_EQ(ended.status, 3);
  EXPECT_THAT(ended.err, HasSubstr("web.textproto:1:1: x"));
  EXPECT_THAT(ended.err, HasSubstr("Definition(/etc/salve) not readable: nothing was executed"));
  EXPECT_THAT(RunHere({}).out, HasSubstr("ACT-NOEXE  web1  4    UP"));
}

TEST_F(RecoverTest, ARunThatDiesShowsWhatItHadDone) {
  program_ = [this](const std::string&) { Become("web1-a-2", EntryState::kActExec, ""); };
  end_.exit_code = -9;
  const Ended ended = RunHere({"-e"});
  EXPECT_EQ(ended.status, 3);
  EXPECT_THAT(ended.out, HasSubstr("ACT-EXEC"));
  EXPECT_THAT(ended.err, HasSubstr("was ended by signal 9"));
}

}  // namespace
}  // namespace salve

#include "queue/crash_set.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/failing_disk.h"
#include "queue/message_store.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kBoot[] = "1f2e3d4c-aaaa-bbbb-cccc-000000000000";

class CrashSetTest : public testing::Test {
 protected:
  CrashSetTest() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    dir_ = absl::StrCat(testing::TempDir(), "/", test->name());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }

  queue::Message NewMessage(const std::string& mid, queue::Type type = queue::AF) {
    queue::Message message;
    message.set_mid(mid);
    message.set_origin_server("web1");
    message.set_origin_mid(mid);
    message.set_type(type);
    message.set_created_ns(absl::ToUnixNanos(now_));
    message.set_expires_ns(absl::ToUnixNanos(now_ + absl::Hours(48)));
    message.set_subject("about " + mid);
    if (type == queue::UP) {
      message.mutable_deferred()->set_action("RestartService");
      message.mutable_deferred()->set_resource("nginx.service");
    } else {
      message.set_destination("ops");
    }
    return message;
  }

  std::unique_ptr<MessageStore> OpenStore() {
    auto store = MessageStore::Open({.path = dir_ + "/queue.db", .server = "web1", .now = now_});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  // A queue with one that waits, one in flight and one in poison; the agent dies with it.
  void CrashWithQueue() {
    auto store = OpenStore();
    Changes changes;
    changes.now = now_;
    changes.puts.push_back({NewMessage("web1-a-1"), "remote/ops"});
    changes.puts.push_back({NewMessage("web1-a-2", queue::UP), "local/nginx.service"});
    changes.puts.push_back({NewMessage("web1-a-3"), "remote/ops"});
    const auto sequences = store->Apply(changes);
    ASSERT_TRUE(sequences.ok()) << sequences.status();
    Changes then;
    then.now = now_;
    then.updates.push_back({.sequence = sequences->at(0), .delivering = true});
    then.updates.push_back({.sequence = sequences->at(2), .queue = "poison", .suspended = true});
    ASSERT_TRUE(store->Apply(then).ok());
  }

  // The last that it did.
  void Change(const std::function<void(Changes&)>& fill) {
    Changes changes;
    changes.now = now_;
    fill(changes);
    const auto done = OpenStore()->Apply(changes);
    ASSERT_TRUE(done.ok()) << done.status();
  }

  Attempt NewAttempt(const std::string& id) {
    Attempt attempt;
    attempt.id = id;
    attempt.resource = "nginx.service";
    attempt.requester = "Restart";
    attempt.health_set = "Web";
    attempt.server = "web1";
    attempt.boot_id = kBoot;
    attempt.effect = "job=7";
    return attempt;
  }

  CrashSetOptions Options(config::Queue::Recovery recovery = config::Queue::HOLD) {
    return {.state_dir = dir_,
            .server = "web1",
            .boot_id = kBoot,
            .agent_version = "1.2.3",
            .recovery = recovery,
            .now = now_};
  }
  CrashFinding Secure(const CrashSetOptions& options) {
    std::vector<const Attempt*> unfinished;
    for (const Attempt& attempt : attempts_) unfinished.push_back(&attempt);
    auto finding = SecureCrash(options, unfinished);
    EXPECT_TRUE(finding.ok()) << finding.status();
    return finding.value_or(CrashFinding());
  }
  std::string PathOf(const std::string& set) { return absl::StrCat(dir_, "/crash/", set); }

  // "KEY STATE TYPE ID" of each entry.
  std::vector<std::string> Entries(const std::string& set) {
    std::vector<std::string> lines;
    auto opened = CrashSet::Open(PathOf(set));
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (!opened.ok()) return lines;
    const absl::Status read = (*opened)->ForEach([&lines](const CrashEntry& entry) {
      lines.push_back(absl::StrCat(entry.key, " ", EntryStateName(entry.state), " ", entry.type(),
                                   " ", entry.id));
      return true;
    });
    EXPECT_TRUE(read.ok()) << read;
    return lines;
  }
  std::vector<std::string> Sets() {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(dir_ + "/crash", error)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string dir_;
  absl::Time now_ = absl::FromUnixSeconds(1795255200);
  std::vector<Attempt> attempts_;
};

TEST_F(CrashSetTest, ACleanStartMakesNone) {
  ASSERT_TRUE(OpenStore()->Close().ok());
  const CrashFinding finding = Secure(Options());
  EXPECT_FALSE(finding.unclean);
  EXPECT_EQ(finding.set, "");
  EXPECT_THAT(Sets(), IsEmpty());
}

TEST_F(CrashSetTest, TheFirstStartOfAllMakesNone) { EXPECT_FALSE(Secure(Options()).unclean); }

TEST_F(CrashSetTest, AnUncleanStartKeepsWhatTheCrashMet) {
  CrashWithQueue();
  attempts_ = {NewAttempt("f00")};
  const CrashFinding finding = Secure(Options());
  EXPECT_TRUE(finding.unclean);
  EXPECT_EQ(finding.set, "web1-1f2e3d4c-20261121T100000Z");
  EXPECT_THAT(finding.warnings, IsEmpty());
  EXPECT_THAT(finding.held_attempts, ElementsAre("f00"));
  EXPECT_THAT(Entries(finding.set), ElementsAre("1 ERR-NOREC RA f00", "2 ERR-NOREC AF web1-a-1",
                                                "3 ACT-NOEXE UP web1-a-2"));
}

// HOLD leaves it in the queue, where a person finds it: it would be in two places.
TEST_F(CrashSetTest, ABugOneThatIsUnreachableWasInTheSetToo) {
  CrashWithQueue();
  queue::Message message = NewMessage("web1-a-4");
  message.set_unreachable_reason("no-destination:ops");
  Change([&](Changes& changes) { changes.puts.push_back({message, "unreachable"}); });
  const std::string set = Secure(Options()).set;
  EXPECT_THAT(Entries(set), ElementsAre("1 ERR-NOREC AF web1-a-1", "2 ACT-NOEXE UP web1-a-2"));
  auto opened = *CrashSet::Open(PathOf(set));
  ASSERT_TRUE(opened->SetStateOfInFlight(EntryState::kErrRecov, "", now_).ok());
  ASSERT_TRUE(opened->SetState("web1-a-2", EntryState::kActExec, "", now_).ok());
  EXPECT_FALSE(*opened->HasOpenEntry()) << "nobody can decide on it here";
}

TEST_F(CrashSetTest, ABugItDidNotSayWhatAPersonHadSuspended) {
  CrashWithQueue();
  Change([&](Changes& changes) {
    changes.puts.push_back({NewMessage("web1-a-4"), "remote/ops", /*suspended=*/true});
    changes.suspend_queues.emplace_back("local/nginx.service", true);
  });
  auto set = *CrashSet::Open(PathOf(Secure(Options()).set));
  const auto how = [&](const std::string& mid) {
    const auto entry = set->FindMessage(mid);
    EXPECT_TRUE(entry.ok()) << entry.status();
    return std::pair(entry->suspended, entry->queue_suspended);
  };
  EXPECT_EQ(how("web1-a-1"), std::pair(false, false));
  EXPECT_EQ(how("web1-a-2"), std::pair(false, true));
  EXPECT_EQ(how("web1-a-4"), std::pair(true, false));
}

TEST_F(CrashSetTest, MakingItChangesNothingInTheQueue) {
  CrashWithQueue();
  const auto stamp = [this](const char* name) {
    struct stat file;
    EXPECT_EQ(stat(absl::StrCat(dir_, "/", name).c_str(), &file), 0);
    return std::pair(file.st_mtim.tv_nsec, file.st_size);
  };
  const auto before = std::tuple(stamp("queue.db"), stamp("queue.db-wal"), stamp("queue.db.mark"));
  const CrashFinding finding = Secure(Options());
  Entries(finding.set);
  EXPECT_EQ(before, std::tuple(stamp("queue.db"), stamp("queue.db-wal"), stamp("queue.db.mark")));
}

TEST_F(CrashSetTest, AnAttemptInProgressAloneIsACrashToo) {
  attempts_ = {NewAttempt("f00")};
  const CrashFinding finding = Secure(Options());
  EXPECT_TRUE(finding.unclean);
  EXPECT_THAT(Entries(finding.set), ElementsAre("1 ERR-NOREC RA f00"));
}

TEST_F(CrashSetTest, ARebootUnderWayIsNoCrash) {
  attempts_ = {NewAttempt("f00")};
  attempts_[0].action = RecoveryAction::kRebootServer;
  EXPECT_FALSE(Secure(Options()).unclean);
}

// Or each start after it would be one after a crash.
TEST_F(CrashSetTest, AnAttemptHeldInASetIsNoNewCrash) {
  attempts_ = {NewAttempt("f00")};
  Secure(Options());
  now_ += absl::Minutes(1);
  const CrashFinding again = Secure(Options());
  EXPECT_FALSE(again.unclean);
  EXPECT_THAT(again.held_attempts, ElementsAre("f00"));
  EXPECT_EQ(Sets().size(), 1u);
}

TEST_F(CrashSetTest, ARecoveredAttemptIsHeldNoMore) {
  attempts_ = {NewAttempt("f00")};
  const std::string set = Secure(Options()).set;
  ASSERT_TRUE(
      (*CrashSet::Open(PathOf(set)))->SetState("f00", EntryState::kErrRecov, "closed", now_).ok());
  attempts_.clear();
  EXPECT_THAT(Secure(Options()).held_attempts, IsEmpty());
}

TEST_F(CrashSetTest, RevalidateHoldsNoAttempt) {
  attempts_ = {NewAttempt("f00")};
  const CrashFinding finding = Secure(Options(config::Queue::REVALIDATE));
  EXPECT_NE(finding.set, "");
  EXPECT_THAT(finding.held_attempts, IsEmpty());
}

TEST_F(CrashSetTest, WhatTheAgentSettledIsRecovered) {
  CrashWithQueue();
  attempts_ = {NewAttempt("f00")};
  const std::string set = Secure(Options(config::Queue::REVALIDATE)).set;
  ASSERT_TRUE(MarkInFlightRecovered(dir_, set).ok());
  EXPECT_THAT(Entries(set), ElementsAre("1 ERR-RECOV RA f00", "2 ERR-RECOV AF web1-a-1",
                                        "3 ACT-NOEXE UP web1-a-2"));
}

TEST_F(CrashSetTest, WithTheJournalOffNoneIsMadeAndThatIsSaid) {
  CrashWithQueue();
  CrashSetOptions options = Options();
  options.journal = false;
  const CrashFinding finding = Secure(options);
  EXPECT_TRUE(finding.unclean);
  EXPECT_EQ(finding.set, "");
  EXPECT_THAT(finding.warnings, ElementsAre(HasSubstr("recovery_journal is OFF")));
  EXPECT_THAT(Sets(), IsEmpty());
}

TEST_F(CrashSetTest, WithTheJournalOffItIsSaidAtACleanStartToo) {
  CrashSetOptions options = Options();
  options.journal = false;
  EXPECT_THAT(Secure(options).warnings, ElementsAre(HasSubstr("recovery_journal is OFF")));
}

TEST_F(CrashSetTest, OneThatCannotBeMadeIsSaidAndTheStartGoesOn) {
  CrashWithQueue();
  std::ofstream(dir_ + "/crash") << "a file in its place";
  const CrashFinding finding = Secure(Options());
  EXPECT_TRUE(finding.unclean);
  EXPECT_EQ(finding.set, "");
  EXPECT_THAT(finding.held_attempts, IsEmpty());
  EXPECT_THAT(finding.warnings, ElementsAre(HasSubstr("its crash set can't be made")));
}

TEST_F(CrashSetTest, StatesAreKept) {
  CrashWithQueue();
  const std::string set = Secure(Options()).set;
  for (const EntryState state : {EntryState::kActError, EntryState::kActExec}) {
    ASSERT_TRUE((*CrashSet::Open(PathOf(set)))->SetState("web1-a-2", state, "why", now_).ok());
  }
  EXPECT_THAT(Entries(set), ElementsAre("1 ERR-NOREC AF web1-a-1", "2 ACT-EXEC UP web1-a-2"));
  const auto entry = (*CrashSet::Open(PathOf(set)))->FindMessage("web1-a-2");
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->detail, "why");
}

TEST_F(CrashSetTest, ItIsOpenUntilTheLastOneOfEachKindIsDecided) {
  attempts_ = {NewAttempt("at-1"), NewAttempt("at-2")};
  CrashWithQueue();  // web1-a-1 was in flight, web1-a-2 waits.
  auto set = CrashSet::Open(PathOf(Secure(Options()).set));
  ASSERT_TRUE(set.ok()) << set.status();
  const auto say = [&](const std::string& id, EntryState state) {
    ASSERT_TRUE((*set)->SetState(id, state, "", now_).ok());
  };
  say("at-1", EntryState::kErrRecov);
  say("web1-a-1", EntryState::kErrRecov);
  say("web1-a-2", EntryState::kActExec);
  EXPECT_TRUE(*(*set)->HasOpenEntry());  // at-2
  say("at-2", EntryState::kErrNoRec);
  EXPECT_TRUE(*(*set)->HasOpenEntry());
  ASSERT_TRUE((*set)->SetStateOfInFlight(EntryState::kErrRecov, "", now_).ok());
  EXPECT_TRUE(*(*set)->HasOpenEntry());  // Its own state goes before that.
  say("at-2", EntryState::kErrRecov);
  EXPECT_FALSE(*(*set)->HasOpenEntry());
  say("web1-a-2", EntryState::kActNoExe);
  EXPECT_TRUE(*(*set)->HasOpenEntry());
  say("web1-a-2", EntryState::kActError);
  say("web1-a-1", EntryState::kErrNoRec);
  EXPECT_TRUE(*(*set)->HasOpenEntry());
}

TEST_F(CrashSetTest, AFileThatIsMissingIsNamed) {
  CrashWithQueue();
  const std::string set = PathOf(Secure(Options()).set);
  EXPECT_EQ(CrashSet::Open("/nonexistent").status().message(), "File(/nonexistent) not found.");
  for (const char* name : {"queue.db", "in_flight.textproto", "set.textproto"}) {
    fs::remove(absl::StrCat(set, "/", name));
    EXPECT_EQ(CrashSet::Open(set).status().message(),
              absl::StrCat("File(", set, "/", name, ") not found."));
  }
}

TEST_F(CrashSetTest, ADamagedFileIsSaid) {
  attempts_ = {NewAttempt("f00")};
  const std::string set = PathOf(Secure(Options()).set);
  std::ofstream(set + "/in_flight.textproto") << "action {";
  EXPECT_EQ(CrashSet::Open(set).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(CrashSetTest, TheOldestThatIsDecidedGoesWhenThereAreTooMany) {
  for (size_t i = 0; i < kCrashSetsMax; ++i) {
    attempts_ = {NewAttempt(absl::StrCat("f", i))};
    Secure(Options(i < 2 ? config::Queue::HOLD : config::Queue::REVALIDATE));
    now_ += absl::Minutes(1);
  }
  EXPECT_EQ(Sets().size(), kCrashSetsMax);
  const std::string oldest = Sets()[0];
  const std::string third = Sets()[2];
  attempts_ = {NewAttempt("new")};
  EXPECT_THAT(Secure(Options(config::Queue::REVALIDATE)).warnings, IsEmpty());
  EXPECT_EQ(Sets().size(), kCrashSetsMax);
  EXPECT_TRUE(fs::exists(PathOf(oldest)));  // HOLD, and open.
  EXPECT_FALSE(fs::exists(PathOf(third)));
}

TEST_F(CrashSetTest, NoneThatIsHeldAndOpenGoes) {
  for (size_t i = 0; i < kCrashSetsMax; ++i) {
    attempts_ = {NewAttempt(absl::StrCat("f", i))};
    EXPECT_THAT(Secure(Options()).warnings, IsEmpty());
    now_ += absl::Minutes(1);
  }
  attempts_ = {NewAttempt("new")};
  EXPECT_THAT(Secure(Options()).warnings, ElementsAre(HasSubstr("21 crash sets")));
  EXPECT_EQ(Sets().size(), kCrashSetsMax + 1);
}

TEST_F(CrashSetTest, TwoOfOneSecondHaveTwoNames) {
  attempts_ = {NewAttempt("f00")};
  const std::string first = Secure(Options(config::Queue::REVALIDATE)).set;
  attempts_ = {NewAttempt("f01")};
  EXPECT_EQ(Secure(Options(config::Queue::REVALIDATE)).set, first + "-2");
}

TEST_F(CrashSetTest, AServerIsNoPath) {
  attempts_ = {NewAttempt("f00")};
  CrashSetOptions options = Options();
  options.server = "../../etc/x y";
  EXPECT_THAT(Secure(options).set, testing::StartsWith("_._.._etc_x_y-1f2e3d4c-"));
}

TEST_F(CrashSetTest, ADiskWithoutRoomIsSaidAndTheStartGoesOn) {
  if (unshare(CLONE_NEWNS) != 0 || mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", dir_.c_str(), "tmpfs", 0, "size=20m") != 0) {
    GTEST_SKIP() << "no mounts may be made here";
  }
  attempts_ = {NewAttempt("f00")};
  std::ofstream(dir_ + "/filler") << std::string(5 << 20, 'x');
  const CrashFinding finding = Secure(Options());
  EXPECT_TRUE(finding.unclean);
  EXPECT_EQ(finding.set, "");
  EXPECT_THAT(finding.held_attempts, IsEmpty());
  EXPECT_THAT(finding.warnings, ElementsAre(HasSubstr("there is no room")));
  EXPECT_THAT(Sets(), IsEmpty());
  fs::remove(dir_ + "/filler");
  EXPECT_NE(Secure(Options()).set, "");
  EXPECT_THAT(HeldAttempts(dir_), ElementsAre("f00"));
  umount(dir_.c_str());
}

// The queue is as it was, and there is the set that was told of and no other, or none and a
// warning; the next start makes it.
TEST_F(CrashSetTest, AFailureOfAnyOfItsCallsIsSaidAndTheNextStartMakesIt) {
  CrashWithQueue();
  attempts_ = {NewAttempt("f00")};
  const auto files = [this] {
    std::vector<std::string> bytes;
    for (const char* name : {"/queue.db", "/queue.db-wal", "/queue.db.mark"}) {
      std::string& content = bytes.emplace_back(fs::file_size(dir_ + name), '\0');
      std::ifstream(dir_ + name, std::ios::binary)
          .read(content.data(), static_cast<std::streamsize>(content.size()));
    }
    return bytes;
  };
  const auto before = files();
  FailingDisk disk;
  int failures = 0;
  for (const int error : {ENOSPC, EIO}) {
    for (const int64_t count : {INT64_C(1), INT64_MAX}) {
      for (int64_t step = 0;; ++step) {
        SCOPED_TRACE(absl::StrCat("error ", error, " at ", step, ", ", count, " times"));
        fs::remove_all(dir_ + "/crash");
        disk.FailAfter(step, error, count);
        const CrashFinding finding = Secure(Options());
        disk.Heal();
        ++failures;
        EXPECT_TRUE(files() == before);
        EXPECT_TRUE(finding.unclean);
        if (finding.set != "") {
          EXPECT_EQ(Entries(finding.set).size(), 3u);
          EXPECT_THAT(finding.held_attempts, ElementsAre("f00"));
        } else {
          EXPECT_FALSE(finding.warnings.empty());
          EXPECT_THAT(finding.held_attempts, IsEmpty());
        }
        // One that is in its place when the disk can't even sync that can't be removed either.
        const bool for_good = error == EIO && count > 1;
        for (const std::string& set : Sets()) {
          EXPECT_TRUE(set == finding.set || absl::EndsWith(set, ".partial") || for_good) << set;
        }
        if (!disk.has_failed()) break;
        EXPECT_NE(Secure(Options()).set, "");
        ASSERT_EQ(Sets().size(), 1u) << testing::PrintToString(Sets());
        EXPECT_EQ(Entries(Sets()[0]).size(), 3u);
      }
    }
  }
  EXPECT_GT(failures, 50);
}

// Dies at each point while it makes the set; the next start leaves one whole set.
class KilledTest : public CrashSetTest, public testing::WithParamInterface<const char*> {};

TEST_P(KilledTest, ItIsMadeAnew) {
  CrashWithQueue();
  attempts_ = {NewAttempt("f00")};
  const pid_t child = fork();
  if (child == 0) {
    setenv("SALVE_FAULT", GetParam(), 1);
    Secure(Options());
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  now_ += absl::Seconds(5);
  const CrashFinding finding = Secure(Options());
  EXPECT_TRUE(finding.set != "" || !finding.held_attempts.empty());
  ASSERT_EQ(Sets().size(), 1u) << testing::PrintToString(Sets());
  EXPECT_FALSE(absl::EndsWith(Sets()[0], ".partial"));
  EXPECT_EQ(Entries(Sets()[0]).size(), 3u);
  EXPECT_THAT(finding.held_attempts, ElementsAre("f00"));
}

INSTANTIATE_TEST_SUITE_P(AtEachPoint, KilledTest,
                         testing::Values("queue.set.begun", "queue.set.copied:1",
                                         "queue.set.copied:2", "queue.set.copied:3",
                                         "queue.set.complete", "queue.set.renamed", "file.opened",
                                         "file.synced", "file.renamed", "file.renamed:2"));

TEST_F(CrashSetTest, ASetRunThatWasKilledGoesOn) {
  ASSERT_TRUE(OpenStore()->Close().ok());
  EXPECT_EQ(*BeginSetRun(dir_), false);
  CrashWithQueue();
  EXPECT_EQ(*BeginSetRun(dir_), true);
  ASSERT_TRUE(EndSetRun(dir_).ok());
  EXPECT_TRUE(EndSetRun(dir_).ok());
}

TEST_F(CrashSetTest, ASetRunDoesNotComeBeforeTheSetOfACrash) {
  CrashWithQueue();
  EXPECT_EQ(BeginSetRun(dir_).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(CrashSetTest, AStartOfTheAgentEndsAKilledSetRun) {
  ASSERT_TRUE(BeginSetRun(dir_).ok());
  CrashWithQueue();
  EXPECT_NE(Secure(Options()).set, "");
  EXPECT_EQ(BeginSetRun(dir_).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(CrashSetTest, DefinitionsAreMissingByName) {
  CrashDefinitions definitions;
  definitions.responders = {"Restart", "Web/Restart"};
  definitions.destinations = {"ops"};
  CrashEntry entry;
  entry.message = NewMessage("m");
  EXPECT_EQ(MissingDefinition(entry, definitions), "");
  entry.message.set_destination("gone");
  EXPECT_EQ(MissingDefinition(entry, definitions), "gone");
  entry.message = NewMessage("m", queue::UP);
  EXPECT_EQ(MissingDefinition(entry, definitions), "");
  entry.message.mutable_deferred()->set_responder("Web/Gone");
  EXPECT_EQ(MissingDefinition(entry, definitions), "Web/Gone");
  entry.action.emplace().set_requester("Restart");
  EXPECT_EQ(MissingDefinition(entry, definitions), "");
  entry.action->set_requester("Gone");
  EXPECT_EQ(MissingDefinition(entry, definitions), "Gone");
  entry.action->set_requester("operator:ada");
  EXPECT_EQ(MissingDefinition(entry, definitions), "");
  entry.action->set_requester("deferred:web1-a-2:ada");
  EXPECT_EQ(MissingDefinition(entry, definitions), "");
}

}  // namespace
}  // namespace salve

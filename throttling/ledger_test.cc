#include "throttling/ledger.h"

#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "throttling/ledger_fixture.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// What is said of the status's message.
std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST_F(LedgerTest, AnAttemptCountsFromTheCallOfBegin) {
  Open();
  const Attempt attempt =
      ledger_->NewAttempt(RecoveryAction::kResetPool, "Php/WWW", "R", absl::Minutes(2));
  ledger_->Begin(attempt, [](absl::Status) {});
  EXPECT_THAT(ledger_->History(RecoveryAction::kResetPool, "php/www").running(), SizeIs(1));
  EXPECT_THAT(ledger_->History(RecoveryAction::kRestartService, "php/www").running(), IsEmpty());
  EXPECT_EQ(ledger_->Find(attempt.id)->server, "web1");
}

TEST_F(LedgerTest, AnAnswerIsNeverGivenInsideTheCall) {
  Open();
  bool answered = false;
  ledger_->Begin(ledger_->NewAttempt(RecoveryAction::kResetPool, "a", "R", absl::Minutes(2)),
                 [&](absl::Status) { answered = true; });
  EXPECT_FALSE(answered);
  loop_->RunPending();
  EXPECT_TRUE(answered);
}

TEST_F(LedgerTest, AttemptsAreFoundByWhatTheirRequesterBeginsWith) {
  Open();
  std::vector<std::string> ids;
  for (const char* who : {"deferred:m1:ada", "deferred:m10:ada", "deferred:m1:bob", "Web/Fix"}) {
    const Attempt attempt =
        ledger_->NewAttempt(RecoveryAction::kResetPool, "a", who, absl::Minutes(2));
    EXPECT_TRUE(Run([&](LedgerDone done) { ledger_->Begin(attempt, std::move(done)); }).ok());
    ids.push_back(attempt.id);
  }
  for (int life = 0; life < 2; ++life) {
    std::vector<std::string> found;
    for (const Attempt* attempt : ledger_->OfRequester("deferred:m1:")) {
      found.push_back(attempt->id);
    }
    EXPECT_THAT(found, ElementsAre(ids[0], ids[2]));
    EXPECT_THAT(ledger_->OfRequester("deferred:m2:"), IsEmpty());
    Crash();
    Open();
  }
}

TEST_F(LedgerTest, EverythingIsFoundAgainAfterACrash) {
  Open();
  const std::string id = Begin("Nginx.Service");
  EXPECT_TRUE(
      Run([&](LedgerDone done) { ledger_->SetEffect(id, "pid=1 start=2", std::move(done)); }).ok());
  Pass(absl::Seconds(1));
  EXPECT_TRUE(Finish(id, AttemptResult::kTimedOut).ok());
  const Attempt before = *ledger_->Find(id);
  Crash();
  Open();
  const Attempt& after = *ledger_->Find(id);
  EXPECT_EQ(after.resource, "Nginx.Service");
  EXPECT_EQ(after.requester, "R");
  EXPECT_EQ(after.server, "web1");
  EXPECT_EQ(after.boot_id, "boot-0");
  EXPECT_EQ(after.end_boot_id, "boot-0");
  EXPECT_EQ(after.start_wall, before.start_wall);
  EXPECT_EQ(after.end_wall, before.start_wall + absl::Seconds(1));
  EXPECT_EQ(after.end, before.start + absl::Seconds(1));
  EXPECT_EQ(after.timeout, absl::Minutes(2));
  EXPECT_EQ(after.state, AttemptState::kFinished);
  EXPECT_EQ(after.result, AttemptResult::kTimedOut);
  EXPECT_EQ(after.effect, "pid=1 start=2");
  EXPECT_THAT(History("nginx.service").finished(), SizeIs(1));
}

TEST_F(LedgerTest, WhatWasLeftInProgressIsFoundAgain) {
  Open();
  BeginAndFinish();
  const std::string id = Begin("other");
  Crash();
  Open();
  ASSERT_THAT(ledger_->Unfinished(), SizeIs(1));
  EXPECT_EQ(ledger_->Unfinished()[0]->id, id);
}

TEST_F(LedgerTest, ACrashedAttemptEndsNow) {
  Open();
  const std::string id = Begin();
  Pass(absl::Minutes(2) - absl::Nanoseconds(1));
  EXPECT_TRUE(Finish(id, AttemptResult::kCrashed).ok());
  EXPECT_EQ(AgeOf(id), absl::ZeroDuration());
}

TEST_F(LedgerTest, ACrashedAttemptEndsAtItsDeadlineWhenThatIsOver) {
  Open();
  const std::string id = Begin();
  Pass(absl::Minutes(5));
  EXPECT_TRUE(Finish(id, AttemptResult::kCrashed).ok());
  EXPECT_EQ(AgeOf(id), absl::Minutes(3));
  const Attempt& attempt = *ledger_->Find(id);
  EXPECT_EQ(attempt.end_wall, attempt.deadline_wall());
}

TEST_F(LedgerTest, AnAttemptThatOutlivedItsBootEndsOnTheLineOfTheNext) {
  Open();
  const std::string id = Begin();
  Reboot(absl::Hours(1));
  Open();
  EXPECT_TRUE(Finish(id, AttemptResult::kCrashed).ok());
  // Off for an hour and up for the ten seconds of the fixture; two minutes were its timeout.
  EXPECT_EQ(AgeOf(id), absl::Hours(1) - absl::Minutes(2));
  Crash();
  Open();
  EXPECT_EQ(AgeOf(id), absl::Hours(1) - absl::Minutes(2));
}

TEST_F(LedgerTest, WhatIsNotInProgressCannotBeEnded) {
  Open();
  const std::string id = BeginAndFinish();
  EXPECT_EQ(Finish(id).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Finish("no such").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Run([&](LedgerDone done) { ledger_->SetEffect(id, "x", std::move(done)); }).code(),
            absl::StatusCode::kNotFound);
}

TEST_F(LedgerTest, ListsTheNewestOldestFirst) {
  Open();
  const std::string first = BeginAndFinish("a");
  Pass(absl::Minutes(1));
  const std::string second = BeginAndFinish("b");
  Pass(absl::Minutes(1));
  const std::string third = Begin("A");
  const auto ids = [](const std::vector<const Attempt*>& attempts) {
    std::vector<std::string> ids;
    for (const Attempt* attempt : attempts) ids.push_back(attempt->id);
    return ids;
  };
  const RecoveryAction restart = RecoveryAction::kRestartService,
                       reboot = RecoveryAction::kRebootServer;
  const absl::Time always = absl::InfinitePast();
  EXPECT_THAT(ids(ledger_->List(nullptr, "", always, 10)), ElementsAre(first, second, third));
  EXPECT_THAT(ids(ledger_->List(nullptr, "", always, 2)), ElementsAre(second, third));
  EXPECT_THAT(ids(ledger_->List(&restart, "a", always, 10)), ElementsAre(first, third));
  EXPECT_THAT(ledger_->List(&reboot, "", always, 10), IsEmpty());
  EXPECT_THAT(ids(ledger_->List(nullptr, "", ledger_->Find(second)->start_wall, 10)),
              ElementsAre(second, third));
  ASSERT_THAT(ledger_->Keys(), SizeIs(2));
  EXPECT_EQ(ledger_->Keys()[0].resource, "A");
}

// Time (throttling.md 7).

TEST_F(LedgerTest, ASteppedWallClockChangesNoAge) {
  Open();
  const std::string id = BeginAndFinish();
  loop_->simulated_clock().StepWall(absl::Hours(1'000));
  Pass(absl::Minutes(1));
  EXPECT_TRUE(Heartbeat().ok());
  EXPECT_EQ(AgeOf(id), absl::Minutes(1));
  loop_->simulated_clock().StepWall(-absl::Hours(2'000));
  Crash();
  Open();
  EXPECT_EQ(AgeOf(id), absl::Minutes(1));
}

TEST_F(LedgerTest, AcrossABootTimeSwitchedOffCountsWithASynchronisedClock) {
  Open();
  const std::string id = BeginAndFinish();
  Pass(absl::Minutes(1));
  EXPECT_TRUE(Heartbeat().ok());
  Reboot(absl::Hours(5));
  Open();
  EXPECT_EQ(AgeOf(id), absl::Hours(5) + absl::Minutes(1));
}

TEST_F(LedgerTest, AcrossABootOnlySeenUptimeCountsWithoutASynchronisedClock) {
  synchronised_ = false;
  Open();
  const std::string id = BeginAndFinish();
  Pass(absl::Minutes(1));
  EXPECT_TRUE(Heartbeat().ok());
  Pass(absl::Seconds(59));  // After the last heartbeat: not seen.
  Reboot(absl::Hours(5));
  synchronised_ = true;
  Open();
  EXPECT_EQ(AgeOf(id), absl::Minutes(1) + absl::Seconds(10));
}

TEST_F(LedgerTest, TheClockCountsOnceTheKernelSaysThatItIsSynchronised) {
  Open();
  const std::string id = BeginAndFinish();
  Reboot(absl::Hours(5), /*wall_error=*/-absl::Hours(300));  // A bad RTC.
  synchronised_ = false;
  Open();
  EXPECT_EQ(AgeOf(id), absl::Seconds(10));
  loop_->simulated_clock().StepWall(absl::Hours(300));
  synchronised_ = true;
  EXPECT_TRUE(Heartbeat().ok());
  EXPECT_EQ(AgeOf(id), absl::Hours(5));
  EXPECT_EQ(ledger_->Now() - History().finished()[0].t, absl::Hours(5));
}

TEST_F(LedgerTest, ABadRtcThatIsAheadShortensNothing) {
  Open();
  const std::string id = BeginAndFinish();
  Reboot(absl::Minutes(1), /*wall_error=*/absl::Hours(300));
  synchronised_ = false;
  Open();
  EXPECT_EQ(AgeOf(id), absl::Seconds(10));
}

TEST_F(LedgerTest, AnAttemptAfterTheLastHeartbeatIsNotAgedBeforeItsTime) {
  Open();
  Pass(absl::Seconds(50));
  const std::string id = BeginAndFinish();
  Reboot(absl::Hours(5));
  Open();
  EXPECT_EQ(AgeOf(id), absl::Hours(5));
}

TEST_F(LedgerTest, ARestoredSnapshotMakesNoAgeLarger) {
  Open();
  Pass(absl::Hours(1));
  const std::string id = BeginAndFinish();
  ledger_.reset();
  // The machine is back at a moment before the attempt, the disk is not.
  loop_ = std::make_unique<SimulatedLoop>(SimulatedClock(loop_->clock().WallNow()));
  synchronised_ = false;
  Open();
  EXPECT_EQ(AgeOf(id), absl::ZeroDuration());
  Pass(absl::Hours(2));
  EXPECT_EQ(AgeOf(id), absl::Hours(2));
}

TEST_F(LedgerTest, RetryTimesAreShownOnTheWallClockOfNow) {
  Open();
  Pass(absl::Hours(2));
  EXPECT_EQ(ledger_->WallOfOrigin() + ledger_->Now(), loop_->clock().WallNow());
}

// Retention.

TEST_F(LedgerTest, OldAttemptsAreDroppedButTheYoungestOfEachKeyIsKept) {
  Open();
  const std::string a1 = BeginAndFinish("a"), b1 = BeginAndFinish("b"), a2 = BeginAndFinish("a");
  Pass(absl::Hours(24 * 30));
  EXPECT_TRUE(Heartbeat().ok());
  EXPECT_NE(ledger_->Find(a1), nullptr);
  Pass(absl::Nanoseconds(1));
  EXPECT_TRUE(Heartbeat().ok());
  EXPECT_EQ(ledger_->Find(a1), nullptr);
  EXPECT_NE(ledger_->Find(a2), nullptr);
  EXPECT_NE(ledger_->Find(b1), nullptr);
  Crash();
  Open();
  EXPECT_EQ(ledger_->Find(a1), nullptr);
  EXPECT_THAT(History("a").finished(), SizeIs(1));
}

TEST_F(LedgerTest, AttemptsAreKeptAsLongAsTheLargestMinimum) {
  Open();
  ledger_->SetLargestMinimum(absl::Hours(24 * 60));
  const std::string first = BeginAndFinish();
  BeginAndFinish();
  Pass(absl::Hours(24 * 60));
  EXPECT_TRUE(Heartbeat().ok());
  EXPECT_NE(ledger_->Find(first), nullptr);
  Pass(absl::Nanoseconds(1));
  EXPECT_TRUE(Heartbeat().ok());
  EXPECT_EQ(ledger_->Find(first), nullptr);
}

// Loss and damage.

TEST_F(LedgerTest, AMissingLedgerBesideAnEventsDatabaseIsALoss) {
  events_db_exists_ = true;
  const absl::Status status = TryOpen();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(status), HasSubstr(path_));
  EXPECT_THAT(Message(status), HasSubstr("--accept-ledger-loss"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(LedgerTest, ALossIsAcceptedOnlyWhenAPersonSaysSo) {
  events_db_exists_ = true;
  accept_loss_ = true;
  Open();
  EXPECT_THAT(ledger_->LossAccepted(), HasSubstr("was lost"));
  EXPECT_TRUE(Finish(Begin()).ok());
}

TEST_F(LedgerTest, ASoundLedgerIsNotSetAside) {
  Open();
  const std::string id = BeginAndFinish();
  accept_loss_ = true;
  Open();
  EXPECT_THAT(ledger_->LossAccepted(), IsEmpty());
  EXPECT_NE(ledger_->Find(id), nullptr);
}

TEST_F(LedgerTest, AFileThatIsNoDatabaseIsRefusedAndLeftAsItIs) {
  std::ofstream(path_) << "this is no database, but long enough to have been one of some kind "
                          "before something else was written over its first hundred bytes";
  const absl::Status status = TryOpen();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(Message(status), HasSubstr("--accept-ledger-loss"));
  EXPECT_GT(std::filesystem::file_size(path_), 100u);
}

TEST_F(LedgerTest, ADamagedLedgerIsSetAsideWhenItsLossIsAccepted) {
  std::ofstream(path_) << std::string(8192, 'x');
  accept_loss_ = true;
  Open();
  EXPECT_THAT(ledger_->LossAccepted(), HasSubstr("set aside as " + path_ + ".damaged-"));
  BeginAndFinish();
}

TEST_F(LedgerTest, TheFolderMustBeThere) {
  path_ = folder_ + "/none/ledger.db";
  EXPECT_EQ(TryOpen().code(), absl::StatusCode::kNotFound) << TryOpen();
}

TEST_F(LedgerTest, ASecondAgentOnTheSameFileIsRefused) {
  Open();
  const std::unique_ptr<Ledger> first = std::move(ledger_);
  const absl::Status status = TryOpen();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(Message(status), HasSubstr("another process"));
}

// Writes that fail: a file may not grow beyond what it is, which is an I/O error to SQLite.
class ReadOnlyDisk {
 public:
  ReadOnlyDisk() {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit none = before_;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &none);
  }
  ~ReadOnlyDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

TEST_F(LedgerTest, AnAttemptThatCouldNotBeWrittenIsForgotten) {
  Open();
  const Attempt attempt =
      ledger_->NewAttempt(RecoveryAction::kRestartService, "a", "R", absl::Minutes(2));
  {
    ReadOnlyDisk disk;
    EXPECT_EQ(Run([&](LedgerDone done) { ledger_->Begin(attempt, std::move(done)); }).code(),
              absl::StatusCode::kUnavailable);
  }
  EXPECT_FALSE(ledger_->Health().ok());
  EXPECT_EQ(ledger_->Find(attempt.id), nullptr);
  EXPECT_TRUE(History("a").empty());
  BeginAndFinish("a");
  EXPECT_TRUE(ledger_->Health().ok());
}

TEST_F(LedgerTest, AnEndThatCouldNotBeWrittenIsWrittenAtTheNextHeartbeat) {
  Open();
  const std::string id = Begin();
  {
    ReadOnlyDisk disk;
    EXPECT_FALSE(Finish(id).ok());
    EXPECT_FALSE(Heartbeat().ok());
  }
  EXPECT_EQ(ledger_->Find(id)->state, AttemptState::kFinished);
  EXPECT_TRUE(Heartbeat().ok());
  Crash();
  Open();
  EXPECT_EQ(ledger_->Find(id)->state, AttemptState::kFinished);
}

TEST_F(LedgerTest, WorksTheSameOnAThreadOfItsOwn) {
  ThreadWorker worker;
  LedgerOptions options;
  options.path = path_;
  options.boot_id = "b";
  options.clock_is_synchronised = [] { return true; };
  auto ledger = *Ledger::Open(options, *loop_, worker);
  for (int i = 0; i < 20; ++i) {
    const Attempt attempt =
        ledger->NewAttempt(RecoveryAction::kRestartService, "a", "R", absl::Minutes(2));
    ledger->Begin(attempt, [](absl::Status) {});
    ledger->Finish(attempt.id, AttemptResult::kFailed, [](absl::Status) {});
  }
  ledger.reset();  // Waits for all of it.
  ledger = *Ledger::Open(options, *loop_, worker);
  EXPECT_THAT(ledger->Unfinished(), IsEmpty());
  EXPECT_THAT(ledger->History(RecoveryAction::kRestartService, "a").finished(), SizeIs(20));
}

}  // namespace
}  // namespace salve

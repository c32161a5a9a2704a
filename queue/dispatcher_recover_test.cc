#include <fstream>
#include <iterator>

#include "queue/dispatcher_fixture.h"

namespace salve {
namespace {

using Code = absl::StatusCode;
using Strings = std::vector<std::string>;

class RecoverTest : public DispatcherTest {
 protected:
  void SetUp() override {
    server_.Boot();
    for (const char* queue : {"remote/ops", "remote/hook"}) {
      server_.letters.Answer(queue, Kind::kDelivered, "", absl::Seconds(20));
    }
    server_.actions.Answer("local/nginx", Kind::kDelivered, "", absl::Hours(1));
  }
  // Of the one with the subject "damaged-row".
  void StopAndDamageRow() {
    ASSERT_TRUE(server_.StopAndClose().ok());
    const std::string file = server_.dir + "/queue.db";
    std::string bytes;
    {
      std::ifstream in(file, std::ios::binary);
      bytes.assign(std::istreambuf_iterator<char>(in), {});
    }
    const size_t at = bytes.find("damaged-row");
    ASSERT_NE(at, std::string::npos);
    bytes[at] = 'D';
    std::ofstream(file, std::ios::binary) << bytes;
  }
  void CrashAndBoot(const std::string& set = "") {
    server_.Crash();
    server_.Boot(set);
  }
};

TEST_F(RecoverTest, ALetterInFlightGoesAgainAndTheSecondCrashMakesItPoison) {
  const std::string mid = server_.Send("ops", "a");
  const std::string next = server_.Send("ops", "b");
  CrashAndBoot();
  EXPECT_EQ(server_.Where(mid), "remote/ops delivering");
  EXPECT_EQ(server_.Show(mid).crash_count(), 1);
  EXPECT_EQ(server_.Show(next).crash_count(), 0);
  EXPECT_EQ(server_.events.Of(40021).size(), 1u);
  CrashAndBoot();
  EXPECT_EQ(server_.Where(mid), "poison suspended");
  EXPECT_EQ(server_.dispatcher->poisoned(), 1);
  EXPECT_EQ(server_.Where(next), "remote/ops delivering");
}

TEST_F(RecoverTest, PoisonNeverExpiresAndLeavesByResumeOfOne) {
  const std::string mid = server_.Send("ops", "a");
  CrashAndBoot();
  CrashAndBoot();
  loop_.RunFor(absl::Hours(100));
  EXPECT_EQ(server_.Where(mid), "poison suspended");
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::RESUBMIT).ok());
  EXPECT_EQ(server_.Where(mid), "poison suspended");
  ASSERT_TRUE(server_.Control(v1::ControlMessageRequest::RESUME, mid).ok());
  EXPECT_EQ(server_.Where(mid), "remote/ops delivering");
  CrashAndBoot();
  EXPECT_EQ(server_.Where(mid), "poison suspended");
  ASSERT_TRUE(server_.Control(v1::ControlMessageRequest::RESUME, mid).ok());
  loop_.RunFor(absl::Minutes(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
}

TEST_F(RecoverTest, AnActionThatHadBegunNeverRunsAgain) {
  const std::string mid = server_.Defer("nginx", "Restart");
  server_.attempts[mid] = {.in_progress = true};
  CrashAndBoot();
  EXPECT_EQ(server_.Where(mid), "local/nginx failed");
  EXPECT_EQ(server_.Show(mid).reason(), "crashed");
  loop_.RunFor(absl::Hours(30));
  EXPECT_EQ(server_.actions.On("local/nginx").size(), 1u);
  EXPECT_EQ(server_.EndsOf(mid), std::vector<int>{40004});
}

TEST_F(RecoverTest, AnActionThatHadSucceededIsDone) {
  const std::string mid = server_.Defer("nginx", "Restart");
  server_.attempts[mid] = {.result = "Succeeded"};
  CrashAndBoot();
  EXPECT_EQ(server_.Where(mid), "local/nginx done");
}

// Re-registered it would have run twice.
TEST_F(RecoverTest, ABugAnActionUnderWayAtACleanStopExpiredAsIfItHadNeverRun) {
  server_.actions.Answer("local/nginx", Kind::kDelivered, "", absl::Hours(1));
  const std::string mid = server_.Defer("nginx", "Reboot");
  server_.attempts[mid] = {.in_progress = true};
  ASSERT_TRUE(server_.StopAndClose().ok());
  loop_.RunFor(absl::Hours(25));
  server_.Boot();
  loop_.RunFor(absl::Seconds(1));
  server_.attempts[mid] = {.result = "Succeeded"};
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(server_.Where(mid), "local/nginx done");
}

TEST_F(RecoverTest, AnActionThatHadNotBegunWaitsAgain) {
  const std::string mid = server_.Defer("nginx", "Restart");
  CrashAndBoot();
  EXPECT_EQ(server_.Where(mid), "local/nginx delivering");
  EXPECT_EQ(server_.Show(mid).crash_count(), 1);
}

TEST_F(RecoverTest, AnActionThatKilledTheAgentTwiceIsPoisonWithAllThatWaitOnIt) {
  const std::string bad = server_.Defer("nginx", "Restart");
  const std::string same = server_.Defer("nginx", "Restart");
  const std::string other = server_.Defer("nginx", "Reload");
  server_.attempts[bad] = {.crashed = true};
  server_.crashes = 2;
  CrashAndBoot();
  EXPECT_EQ(server_.Where(bad), "poison suspended");
  EXPECT_EQ(server_.Show(same).reason(), "its action killed the agent twice");
  EXPECT_EQ(server_.Where(other), "local/nginx delivering");
}

TEST_F(RecoverTest, ActionsOfAnAdoptedDatabaseNeverRunHereItsLettersGo) {
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  server_.actions.Answer("local/nginx", Kind::kWait, "throttled");
  const std::string action = server_.Defer("nginx", "Restart");
  const std::string letter = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(server_.StopAndClose().ok());
  QueueServer other(loop_, "web-2");
  for (const auto& file : std::filesystem::directory_iterator(server_.dir)) {
    std::filesystem::copy(file, other.dir + "/" + file.path().filename().string());
  }
  other.take_over = true;
  other.Boot();
  loop_.RunFor(absl::Hours(2));
  EXPECT_EQ(other.Where(action), "unreachable waiting");
  EXPECT_EQ(other.Show(action).reason(), "host-bound:web-1");
  EXPECT_TRUE(other.actions.attempts.empty());
  EXPECT_EQ(other.Where(letter), "remote/ops done");
}

TEST_F(RecoverTest, ACleanEndCountsNothing) {
  const std::string action = server_.Defer("nginx", "Restart");
  EXPECT_TRUE(server_.StopAndClose(absl::Seconds(1)).ok());
  server_.Boot();
  EXPECT_EQ(server_.Show(action).crash_count(), 0);
  EXPECT_EQ(server_.Where(action), "local/nginx delivering");
}

TEST_F(RecoverTest, ADigestInFlightGoesAgainAsItWasThenOneByOne) {
  for (int i = 0; i < 10; ++i) server_.Send("ops", absl::StrCat("m", i));
  loop_.RunFor(absl::Minutes(4));
  server_.Send("ops", "x");
  server_.Send("ops", "y");
  loop_.RunFor(absl::Minutes(1) + absl::Seconds(10));
  ASSERT_EQ(server_.letters.Subjects("remote/ops").back(), "x+y");
  CrashAndBoot();
  EXPECT_EQ(server_.letters.Subjects("remote/ops").back(), "x+y");
  CrashAndBoot();
  EXPECT_EQ(server_.letters.Subjects("remote/ops").back(), "x");
  EXPECT_EQ(server_.dispatcher->poisoned(), 0);
}

TEST_F(RecoverTest, HoldPutsWhatIsOnItsWayIntoTheSet) {
  server_.agent.config.mutable_queue()->set_recovery(config::Queue::HOLD);
  const std::string letter = server_.Send("ops", "a");
  const std::string waiting = server_.Send("ops", "b");
  const std::string action = server_.Defer("nginx", "Restart");
  const std::string lost = server_.Send("nobody", "c");
  CrashAndBoot("web-1-boot-1");
  for (const std::string& mid : {letter, waiting}) {
    EXPECT_EQ(server_.Where(mid), "remote/ops held-in-set");
    EXPECT_EQ(server_.Show(mid).reason(), "web-1-boot-1");
  }
  EXPECT_EQ(server_.Where(action), "local/nginx held-in-set");
  EXPECT_EQ(server_.Where(lost), "unreachable waiting");
  loop_.RunFor(absl::Hours(1));
  EXPECT_EQ(server_.letters.attempts.size(), 1u);
  EXPECT_EQ(server_.actions.attempts.size(), 1u);
}

TEST_F(RecoverTest, HoldWithoutASetSuspendsAndSaysSo) {
  server_.agent.config.mutable_queue()->set_recovery(config::Queue::HOLD);
  const std::string mid = server_.Send("ops", "a");
  CrashAndBoot("");
  EXPECT_EQ(server_.Where(mid), "remote/ops suspended");
  EXPECT_NE(server_.dispatcher->trouble().find("suspended"), std::string::npos);
  EXPECT_EQ(server_.events.Of(40017).size(), 1u);
  ASSERT_TRUE(server_.Control(v1::ControlMessageRequest::RESUME, mid).ok());
  loop_.RunFor(absl::Minutes(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
}

TEST_F(RecoverTest, AHoldThatWasCutOffEndsInItsOwnSetWhateverTheNextStartDoes) {
  server_.agent.config.mutable_queue()->set_recovery(config::Queue::HOLD);
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  std::string last;
  for (int i = 0; i < 3; ++i) last = server_.Send("ops", absl::StrCat("m", i));
  server_.Crash();
  ASSERT_TRUE(server_.Open("set-1").ok());
  EXPECT_EQ(server_.dispatcher->waiting(), 0);
  server_.Crash();  // Before any of them has left.
  server_.agent.config.mutable_queue()->set_recovery(config::Queue::REVALIDATE);
  server_.Boot("set-2");
  EXPECT_EQ(server_.Where(last), "remote/ops held-in-set");
  EXPECT_EQ(server_.Show(last).reason(), "set-1");
}

TEST_F(RecoverTest, WhatIsHeldIsSeenAndNoVerbOfQueuesTakesItOut) {
  server_.agent.config.mutable_queue()->set_recovery(config::Queue::HOLD);
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  server_.Crash();
  ASSERT_TRUE(server_.Open("set-1").ok());
  EXPECT_EQ(server_.Where(mid), "held/set-1/remote/ops waiting");
  using Verb = v1::ControlQueueRequest;
  for (const Verb::Verb verb : {Verb::SUSPEND, Verb::RESUME, Verb::RETRY, Verb::RESUBMIT}) {
    ASSERT_TRUE(server_.Control(verb).ok());
    EXPECT_EQ(server_.Where(mid), "held/set-1/remote/ops waiting");
  }
}

TEST_F(RecoverTest, ABugNobodyWasToldThatWhatIsHeldCanNotLeave) {
  server_.agent.config.mutable_queue()->set_recovery(config::Queue::HOLD);
  server_.Send("ops", "a");
  server_.Send("ops", "damaged-row");
  server_.Crash();
  ASSERT_TRUE(server_.Open("set-1").ok());
  StopAndDamageRow();
  server_.Boot();
  EXPECT_NE(server_.dispatcher->trouble().find("has held"), std::string::npos)
      << server_.dispatcher->trouble();
  EXPECT_EQ(server_.events.Of(40017).size(), 1u);
}

TEST_F(RecoverTest, ABugNobodyWasToldThatNothingCanExpire) {
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::SUSPEND, "remote/ops").ok());
  Submission brief = QueueServer::LetterTo("ops", "damaged-row");
  brief.expire = absl::Seconds(30);
  ASSERT_TRUE(server_.Accept(brief).ok());
  StopAndDamageRow();
  server_.Boot();
  loop_.RunFor(absl::Minutes(2));
  EXPECT_NE(server_.dispatcher->trouble().find("what has expired stays"), std::string::npos)
      << server_.dispatcher->trouble();
}

TEST_F(RecoverTest, ABugTheEndOfAnActionThatCrashedSaidInProgress) {
  const std::string mid = server_.Defer("nginx", "Restart");
  server_.attempts[mid] = {.in_progress = true, .result = "InProgress"};
  CrashAndBoot();
  EXPECT_EQ(server_.Where(mid), "local/nginx failed");
  EXPECT_EQ(server_.Show(mid).reason(), "crashed");
}

TEST_F(RecoverTest, TheEndOfAnActionNamesItsAttempt) {
  const std::string done = server_.Defer("nginx", "Restart");
  server_.attempts[done] = {.id = "attempt-1", .result = "Succeeded"};
  CrashAndBoot();
  ASSERT_EQ(server_.events.Of(40002).size(), 1u);
  EXPECT_EQ(server_.events.Of(40002)[0].queue().attempt_id(), "attempt-1");
  server_.actions.Answer("local/nginx",
                         DeliveryResult{.kind = Kind::kFailed, .attempt_id = "attempt-2"});
  server_.Defer("nginx", "Restart");
  loop_.RunFor(absl::Seconds(1));
  ASSERT_EQ(server_.events.Of(40004).size(), 1u);
  EXPECT_EQ(server_.events.Of(40004)[0].queue().attempt_id(), "attempt-2");
}

TEST_F(RecoverTest, HoldAfterACleanEndGoesOn) {
  server_.agent.config.mutable_queue()->set_recovery(config::Queue::HOLD);
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(server_.StopAndClose().ok());
  server_.letters.Answer("remote/ops", Kind::kDelivered);
  server_.Boot();
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
}

TEST_F(RecoverTest, AnEndWhoseEventMayBeLostIsToldAgainAndThenNoMore) {
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(21));
  ASSERT_EQ(server_.EndsOf(mid).size(), 1u);
  CrashAndBoot();
  EXPECT_EQ(server_.EndsOf(mid), (std::vector<int>{40002, 40002}));
  loop_.RunFor(absl::Minutes(2));
  CrashAndBoot();
  EXPECT_EQ(server_.EndsOf(mid).size(), 2u);
}

TEST_F(RecoverTest, AfterACleanEndAnEndIsToldAgainOnlyIfItsEventMayNotBeOnDisk) {
  const std::string first = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(server_.StopAndClose().ok());
  server_.Boot();
  EXPECT_EQ(server_.EndsOf(first), std::vector<int>{40002});
  const std::string second = server_.Send("ops", "b");
  loop_.RunFor(absl::Seconds(1));
  server_.events_on_disk = false;
  ASSERT_TRUE(server_.StopAndClose().ok());
  server_.Boot();
  EXPECT_EQ(server_.EndsOf(first), std::vector<int>{40002});
  EXPECT_EQ(server_.EndsOf(second), (std::vector<int>{40002, 40002}));
}

TEST_F(RecoverTest, ABugAnEndWasMarkedAsToldWhileItsEventWasNotOnDisk) {
  server_.events_on_disk = false;
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Minutes(5));
  CrashAndBoot();
  EXPECT_EQ(server_.EndsOf(mid), (std::vector<int>{40002, 40002}));
}

TEST_F(RecoverTest, AQueueWithNothingToTellAsksForNoSyncOfTheEvents) {
  server_.Send("ops", "a");
  loop_.RunFor(absl::Minutes(2));
  EXPECT_GT(server_.syncs, 0);
  server_.syncs = 0;
  loop_.RunFor(absl::Hours(1));
  EXPECT_EQ(server_.syncs, 0);
}

TEST_F(RecoverTest, ABugAnEndWasNeverToldAgainWhenTheClockWasSetBack) {
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(21));
  ASSERT_EQ(server_.EndsOf(mid).size(), 1u);
  server_.Crash();
  loop_.simulated_clock().StepWall(-absl::Minutes(2));
  server_.Boot();
  EXPECT_EQ(server_.EndsOf(mid), (std::vector<int>{40002, 40002}));
}

TEST_F(RecoverTest, ABugHoldForgotThatAPersonHadRemovedWhatWasInFlight) {
  server_.agent.config.mutable_queue()->set_recovery(config::Queue::HOLD);
  for (const char* set : {"set-1", ""}) {
    const std::string mid = server_.Send("ops", "a");
    ASSERT_EQ(server_.Where(mid), "remote/ops delivering");
    ASSERT_TRUE(server_.Control(v1::ControlMessageRequest::REMOVE, mid).ok());
    CrashAndBoot(set);
    loop_.RunFor(absl::Minutes(2));
    EXPECT_EQ(server_.Where(mid), "remote/ops removed") << set;
    EXPECT_EQ(server_.EndsOf(mid), std::vector<int>{40007}) << set;
  }
  EXPECT_EQ(server_.events.Of(40011).size() + server_.events.Of(40017).size(), 0u);
}

TEST_F(RecoverTest, ABugPoisonForgotThatAPersonHadRemovedTheActionInFlight) {
  const std::string bad = server_.Defer("nginx", "Restart");
  ASSERT_TRUE(server_.Control(v1::ControlMessageRequest::REMOVE, bad).ok());
  server_.crashes = 2;
  CrashAndBoot();
  EXPECT_EQ(server_.EndsOf(bad), std::vector<int>{40007});
}

TEST_F(RecoverTest, OneThatWasReRegisteredIsToldAgainWithItsNewMid) {
  server_.letters.Answer("remote/ops", Kind::kRefused, "550 no");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  v1::ReregisterRequest request;
  request.set_dmid(server_.Show(mid).dmid());
  request.set_unchecked(true);
  const auto answer = server_.Ask(&Dispatcher::Reregister, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  loop_.RunFor(absl::Seconds(1));
  CrashAndBoot();
  const std::vector<v1::Event> told = server_.events.Of(40013);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[1].queue().new_mid(), answer->mid());
}

TEST_F(RecoverTest, ARemovalThatWaitedForTheAttemptIsDoneAfterTheCrash) {
  const std::string mid = server_.Send("ops", "a");
  ASSERT_TRUE(server_.Control(v1::ControlMessageRequest::REMOVE, mid).ok());
  CrashAndBoot();
  EXPECT_EQ(server_.Where(mid), "remote/ops removed");
}

}  // namespace
}  // namespace salve

#include "throttling/etcd_coordinator.h"

#include <deque>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "throttling/fake_etcd.h"
#include "throttling/group_history.h"
#include "throttling/ledger_fixture.h"

namespace salve {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;
using testing::StartsWith;

constexpr RecoveryAction kRestart = RecoveryAction::kRestartService;
constexpr Limits kOncePerDay = {true, -1, -1, -1, -1, 1};
constexpr Limits kEveryHour = {true, -1, -1, -1, 60, -1};

class EtcdCoordinatorTest : public testing::Test {
 protected:
  // One server of the group, with all it needs; its ledger outlives a crash.
  struct Server {
    std::string name;
    std::unique_ptr<Ledger> ledger;
    std::unique_ptr<FakeEtcdClient> client;
    std::unique_ptr<Coordinator> coordinator;
    std::vector<std::string> said;
    std::vector<std::pair<RecoveryAction, std::string>> freed;
  };

  EtcdCoordinatorTest() : folder_(FreshFolder()) {}

  Server& Start(const std::string& name, const std::string& machine = "", bool settle = true) {
    Server& server = servers_[name];
    server.name = name;
    if (server.ledger == nullptr) {
      LedgerOptions options;
      options.path = absl::StrCat(folder_, "/", name, ".db");
      options.boot_id = "boot-of-" + name;
      options.server = name;
      options.clock_is_synchronised = [] { return true; };
      server.ledger = Ledger::Open(options, loop_, worker_).value();
    }
    server.client = std::make_unique<FakeEtcdClient>(loop_, etcd_);
    EtcdCoordinatorOptions options;
    options.group = "web";
    options.server = name;
    options.machine_id = machine.empty() ? "machine-of-" + name : machine;
    options.boot_id = "boot-of-" + name;
    options.agent_version = "1.0";
    options.say = [&server](const std::string& message, bool) { server.said.push_back(message); };
    server.coordinator =
        NewEtcdCoordinator(options, loop_, *server.client, *server.ledger, random_);
    server.coordinator->OnFreed(
        [&server](RecoveryAction action, const std::string& resource, absl::Duration) {
          server.freed.emplace_back(action, resource);
        });
    if (settle) loop_.RunFor(absl::Milliseconds(100));
    return server;
  }
  void Crash(Server& server) {
    server.coordinator.reset();
    server.client.reset();
  }

  struct Asked {
    Attempt attempt;
    std::optional<GroupVerdict> verdict;
  };
  // Asks without waiting; the verdict is there when it came.
  std::shared_ptr<Asked> Ask(Server& server, const Limits& limits, RecoveryAction action = kRestart,
                             const std::string& resource = "nginx.service") {
    auto asked = std::make_shared<Asked>();
    asked->attempt = server.ledger->NewAttempt(action, resource, "R", absl::Minutes(2));
    server.coordinator->Reserve({asked->attempt, limits},
                                [asked](GroupVerdict verdict) { asked->verdict = verdict; });
    EXPECT_FALSE(asked->verdict.has_value()) << "answered inside the call";
    return asked;
  }
  std::shared_ptr<Asked> Reserve(Server& server, const Limits& limits,
                                 RecoveryAction action = kRestart,
                                 const std::string& resource = "nginx.service") {
    auto asked = Ask(server, limits, action, resource);
    loop_.RunFor(absl::Milliseconds(2100));
    EXPECT_TRUE(asked->verdict.has_value());
    if (!asked->verdict.has_value()) asked->verdict.emplace();
    return asked;
  }
  void Begin(Server& server, const Attempt& attempt) {
    server.ledger->Begin(attempt, [](absl::Status) {});
    loop_.RunPending();
  }
  void End(Server& server, const Attempt& attempt) {
    server.ledger->Finish(attempt.id, AttemptResult::kSucceeded, [](absl::Status) {});
    loop_.RunPending();
    server.coordinator->Release(*server.ledger->Find(attempt.id));
    loop_.RunFor(absl::Milliseconds(10));
  }
  void RunOnce(Server& server, const Limits& limits) {
    const auto asked = Reserve(server, limits);
    ASSERT_TRUE(asked->verdict->passed);
    Begin(server, asked->attempt);
    End(server, asked->attempt);
  }
  std::vector<std::string> Keys(const std::string& below) const {
    std::vector<std::string> keys;
    for (const auto& [key, kv] : etcd_.kvs()) {
      if (absl::StartsWith(key, "/salve/groups/web/" + below)) keys.push_back(key);
    }
    return keys;
  }

  const std::string folder_;
  SimulatedLoop loop_;
  InlineWorker worker_;
  std::mt19937_64 engine_{7};
  RandomSource random_ = [this] { return engine_(); };
  FakeEtcd etcd_{loop_};
  std::map<std::string, Server> servers_;
};

TEST_F(EtcdCoordinatorTest, AServerRegistersAndIsCounted) {
  Start("a");
  Start("b");
  EXPECT_THAT(Keys("servers/"),
              ElementsAre("/salve/groups/web/servers/a", "/salve/groups/web/servers/b"));
  EXPECT_THAT(Keys("alive/"), SizeIs(2));
  loop_.RunFor(absl::Minutes(2));
  const auto asked = Reserve(servers_["a"], kOncePerDay);
  EXPECT_EQ(asked->verdict->servers_in_group, 2);
  EXPECT_EQ(asked->verdict->servers_in_compatible_version, 2);
}

TEST_F(EtcdCoordinatorTest, AServerThatLeavesIsNotAliveAtOnce) {
  Server& a = Start("a");
  Server& b = Start("b");
  ASSERT_TRUE(Reserve(a, kOncePerDay)->verdict->passed);
  bool left = false;
  a.coordinator->Leave([&] { left = true; });
  EXPECT_FALSE(left) << "told inside the call";
  loop_.RunFor(absl::Milliseconds(10));
  EXPECT_TRUE(left);
  EXPECT_THAT(Keys("alive/"), ElementsAre("/salve/groups/web/alive/b"));
  EXPECT_THAT(Keys("running/"), SizeIs(1));  // What may still run goes on being known.
  loop_.RunFor(absl::Minutes(1));
  EXPECT_THAT(Keys("alive/"), SizeIs(1));  // It does not register anew.
  const auto asked = Reserve(b, {true, -1, -1, -1, -1, 9});
  EXPECT_EQ(asked->verdict->servers_in_group, 2);
  EXPECT_EQ(asked->verdict->servers_in_compatible_version, 1);
}

TEST_F(EtcdCoordinatorTest, LeavingWaitsASecondForAnEtcdThatDoesNotAnswer) {
  Server& a = Start("a");
  etcd_.down = true;
  bool left = false;
  a.coordinator->Leave([&] { left = true; });
  loop_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(left);
}

TEST_F(EtcdCoordinatorTest, WhoIsNotRegisteredLeavesAtOnce) {
  etcd_.down = true;
  Server& a = Start("a", "", /*settle=*/false);
  bool left = false;
  a.coordinator->Leave([&] { left = true; });
  loop_.RunPending();
  EXPECT_TRUE(left);
  etcd_.down = false;
  loop_.RunFor(absl::Minutes(1));
  EXPECT_THAT(Keys("alive/"), IsEmpty());
}

TEST_F(EtcdCoordinatorTest, TheGroupsLimitHoldsForAllItsServers) {
  Server& a = Start("a");
  Server& b = Start("b");
  RunOnce(a, kOncePerDay);
  const auto refused = Reserve(b, kOncePerDay);
  EXPECT_FALSE(refused->verdict->passed);
  EXPECT_THAT(refused->verdict->failed, ElementsAre(Check::kGroupMaxInDay));
  EXPECT_THAT(refused->verdict->xml, HasSubstr("<MostRecentEntry Server=\"a\" Requester=\"R\""));
  EXPECT_THAT(refused->verdict->xml, HasSubstr("IsThrottlingInProgress=\"true\""));
  loop_.RunFor(absl::Hours(24));
  EXPECT_TRUE(Reserve(b, kOncePerDay)->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, AnotherKeyOrGroupLimitIsAnotherBudget) {
  Server& a = Start("a");
  RunOnce(a, kOncePerDay);
  EXPECT_FALSE(Reserve(a, kOncePerDay, kRestart, "NGINX.service")->verdict->passed);
  EXPECT_TRUE(Reserve(a, kOncePerDay, kRestart, "php.service")->verdict->passed);
  EXPECT_TRUE(Reserve(a, kOncePerDay, RecoveryAction::kResetPool)->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, AgesAreTakenTooYoungNeverTooOld) {
  Server& a = Start("a");
  RunOnce(a, kEveryHour);
  const Instant ended = loop_.Now();
  loop_.RunFor(absl::Minutes(60) - absl::Seconds(3));
  EXPECT_FALSE(Reserve(a, kEveryHour)->verdict->passed);
  loop_.RunFor(absl::Seconds(10));
  EXPECT_TRUE(Reserve(a, kEveryHour)->verdict->passed) << loop_.Now() - ended;
}

// etcd says its time to the second: one server read it when the second had just begun, the other
// when it was almost over.
TEST_F(EtcdCoordinatorTest, TwoServersThatReadTheTimeDifferentlyOpenNoWindowEarly) {
  loop_.RunFor(absl::Milliseconds(950));
  Server& a = Start("a", "", /*settle=*/false);
  loop_.RunFor(absl::Milliseconds(100));
  Server& b = Start("b", "", /*settle=*/false);
  loop_.RunFor(absl::Milliseconds(50));
  const auto first = Ask(a, kEveryHour);
  loop_.RunFor(absl::Milliseconds(20));
  ASSERT_TRUE(first->verdict->passed);
  Begin(a, first->attempt);
  End(a, first->attempt);
  loop_.RunFor(absl::Minutes(60) - absl::Milliseconds(310));
  const auto second = Ask(b, kEveryHour);
  loop_.RunFor(absl::Milliseconds(20));
  EXPECT_FALSE(second->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, AServersOwnWallClockOpensNoWindow) {
  Server& a = Start("a");
  RunOnce(a, kEveryHour);
  loop_.simulated_clock().StepWall(absl::Hours(25));
  etcd_.clock_offset = -absl::Hours(25);  // The coordinator's clock was not stepped.
  EXPECT_FALSE(Reserve(a, kEveryHour)->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, ARebootOfAnyServerCountsForAll) {
  Server& a = Start("a");
  Server& b = Start("b");
  const auto first = Reserve(a, kEveryHour, RecoveryAction::kRebootServer, "a");
  EXPECT_TRUE(first->verdict->passed);
  const auto second = Reserve(b, kEveryHour, RecoveryAction::kRebootServer, "b");
  EXPECT_THAT(second->verdict->failed, Contains(Check::kGroupRecoveryInProgress));
}

TEST_F(EtcdCoordinatorTest, WhileAnothersActionRunsNobodyActsAndItsEndIsTold) {
  Server& a = Start("a");
  Server& b = Start("b");
  const Limits limits = {true, -1, -1, -1, 0, 10};
  const auto first = Reserve(a, limits);
  Begin(a, first->attempt);
  const auto second = Reserve(b, limits);
  EXPECT_THAT(second->verdict->failed, ElementsAre(Check::kGroupRecoveryInProgress));
  EXPECT_GT(second->verdict->retry_spread, absl::ZeroDuration());
  EXPECT_THAT(b.freed, IsEmpty());
  End(a, first->attempt);
  EXPECT_THAT(b.freed, ElementsAre(Pair(kRestart, "nginx.service")));
  EXPECT_EQ(b.client->open_watches(), 0);
  EXPECT_TRUE(Reserve(b, limits)->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, WhileTheActionRunsARefusedOnePutsNothingDown) {
  Server& a = Start("a");
  Server& b = Start("b");
  const Limits limits = {true, -1, -1, -1, 0, 10};
  ASSERT_TRUE(Reserve(a, limits)->verdict->passed);
  const int writes = etcd_.transactions;
  EXPECT_FALSE(Reserve(b, limits)->verdict->passed);
  EXPECT_EQ(etcd_.transactions, writes);
}

TEST_F(EtcdCoordinatorTest, AMarkThatRefusesNobodyIsNotInTheWay) {
  Server& a = Start("a");
  const Limits limits = {true, -1, -1, -1, 0, 10};
  ASSERT_TRUE(Reserve(a, limits)->verdict->passed);
  EXPECT_TRUE(Reserve(a, limits)->verdict->passed);  // Only others' actions refuse.
  EXPECT_THAT(Keys("attempts/"), SizeIs(2));
  EXPECT_THAT(Keys("running/"), SizeIs(2));
}

// The second copy was answered: the action runs, nothing was put. The first one is still on its way
// and arrives when nothing runs any more.
TEST_F(EtcdCoordinatorTest, ACopyThatArrivesAfterARefusalCountsNothing) {
  Server& a = Start("a");
  Server& b = Start("b");
  const Limits two = {true, -1, -1, -1, -1, 2};
  const auto first = Reserve(a, two);
  Begin(a, first->attempt);
  b.client->late_requests = 1;
  const auto refused = Ask(b, two);
  loop_.RunFor(absl::Seconds(1));
  ASSERT_THAT(refused->verdict->failed, ElementsAre(Check::kGroupRecoveryInProgress));
  End(a, first->attempt);
  loop_.RunFor(absl::Seconds(5));
  EXPECT_THAT(Keys("running/"), IsEmpty());
  EXPECT_TRUE(Reserve(Start("c"), two)->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, AWatchThatBreaksIsAHintToAskAgain) {
  Server& a = Start("a");
  Server& b = Start("b");
  const Limits limits = {true, -1, -1, -1, 0, 10};
  Reserve(a, limits);
  Reserve(b, limits);
  b.client->BreakWatches();
  loop_.RunFor(absl::Seconds(6));
  EXPECT_THAT(b.freed, SizeIs(1));
}

TEST_F(EtcdCoordinatorTest, OfManyAtOnceExactlyTheLimitIsAllowedInTheEnd) {
  const Limits three = {true, -1, -1, -1, -1, 3};
  std::vector<Server*> all;
  for (int i = 0; i < 20; ++i) all.push_back(&Start(absl::StrCat("s", i)));
  std::set<Server*> allowed, refused_for_good;
  for (int round = 0; round < 10; ++round) {
    std::vector<std::pair<Server*, std::shared_ptr<Asked>>> asked;
    for (Server* server : all) {
      if (allowed.contains(server) || refused_for_good.contains(server)) continue;
      asked.emplace_back(server, Ask(*server, three));
    }
    loop_.RunFor(absl::Milliseconds(100));
    int allowed_now = 0;
    for (auto& [server, question] : asked) {
      ASSERT_TRUE(question->verdict.has_value());
      if (question->verdict->passed) {
        ++allowed_now;
        allowed.insert(server);
        Begin(*server, question->attempt);
        End(*server, question->attempt);
      } else if (question->verdict->failed[0] == Check::kGroupMaxInDay) {
        EXPECT_EQ(question->verdict->total_in_day, 3);
        refused_for_good.insert(server);
      } else {
        EXPECT_THAT(question->verdict->failed, ElementsAre(Check::kGroupRecoveryInProgress));
      }
    }
    EXPECT_LE(allowed_now, 1);  // One at a time.
  }
  EXPECT_THAT(allowed, SizeIs(3));
  EXPECT_THAT(refused_for_good, SizeIs(17));
  EXPECT_THAT(Keys("attempts/"), SizeIs(3));  // The refused ones are gone.
  EXPECT_THAT(Keys("running/"), IsEmpty());
}

TEST_F(EtcdCoordinatorTest, ALostAnswerIsAskedAgainAndCountsOnce) {
  Server& a = Start("a");
  a.client->lose_answers = 1;
  const auto asked = Reserve(a, kOncePerDay);
  EXPECT_TRUE(asked->verdict->passed);
  EXPECT_THAT(Keys("attempts/"), SizeIs(1));
  a.client->lose_answers = 1;  // A refusal whose answer was lost is the same refusal.
  EXPECT_THAT(Reserve(Start("b"), kOncePerDay)->verdict->failed, Contains(Check::kGroupMaxInDay));
}

// A second copy of an end must not move the revision at which others saw it.
TEST_F(EtcdCoordinatorTest, AnEndThatIsSentTwiceChangesNoVerdict) {
  Server& a = Start("a");
  Server& b = Start("b");
  Server& c = Start("c");
  const Limits limits = {true, -1, -1, -1, 0, 9};
  const auto first = Reserve(a, limits);
  Begin(a, first->attempt);
  a.client->lose_answers = 1;
  End(a, first->attempt);
  const auto second = Ask(b, limits);
  loop_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(second->verdict->passed);  // And it runs.
  loop_.RunFor(absl::Seconds(2));        // The end comes again.
  EXPECT_THAT(Reserve(c, limits)->verdict->failed, ElementsAre(Check::kGroupRecoveryInProgress));
}

TEST_F(EtcdCoordinatorTest, AReservationThatArrivesAfterItWasGivenUpCountsNothing) {
  Server& a = Start("a");
  a.client->late_requests = 1;
  const auto asked = Ask(a, kOncePerDay);
  loop_.RunFor(absl::Milliseconds(400));
  a.client->cut = true;
  loop_.RunFor(absl::Milliseconds(1700));
  EXPECT_THAT(asked->verdict->failed, ElementsAre(Check::kGroupUnavailable));
  a.client->cut = false;
  loop_.RunFor(absl::Seconds(30));
  EXPECT_THAT(Keys("running/"), IsEmpty());
  EXPECT_TRUE(Reserve(Start("b"), kOncePerDay)->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, WithoutEtcdItFailsClosedAndAsksLessAndLessOften) {
  Server& a = Start("a");
  etcd_.down = true;
  for (const int seconds : {10, 20, 40, 80, 160, 300, 300}) {
    const auto asked = Reserve(a, kOncePerDay);
    EXPECT_THAT(asked->verdict->failed, ElementsAre(Check::kGroupUnavailable));
    EXPECT_EQ(asked->verdict->retry_in, absl::Seconds(seconds));
    EXPECT_LE(asked->verdict->retry_spread,
              std::max(absl::Seconds(1), absl::Seconds(seconds) / 10));
  }
  EXPECT_THAT(a.said, Contains(HasSubstr("can't be asked")));
  etcd_.down = false;
  loop_.RunFor(absl::Minutes(1));
  EXPECT_TRUE(a.coordinator->Health().ok());
  EXPECT_TRUE(Reserve(a, kOncePerDay)->verdict->passed);
  EXPECT_THAT(a.said.back(), HasSubstr("can be asked again"));
}

TEST_F(EtcdCoordinatorTest, AnAnswerComesWithinTwoSecondsWhateverIsMissing) {
  etcd_.down = true;
  Server& a = Start("a", "", /*settle=*/false);
  const auto asked = Ask(a, kOncePerDay);
  loop_.RunFor(absl::Seconds(2));
  EXPECT_TRUE(asked->verdict.has_value());
}

TEST_F(EtcdCoordinatorTest, WithoutTheGroupsTimeNothingIsAllowed) {
  Server& a = Start("a");
  a.client->cut = true;
  loop_.RunFor(absl::Seconds(200));  // The reading grows old; then only its next one is missing.
  const auto asked = Ask(a, kOncePerDay);
  loop_.RunFor(absl::Seconds(2));
  EXPECT_THAT(asked->verdict->failed, ElementsAre(Check::kGroupUnavailable));
}

TEST_F(EtcdCoordinatorTest, ACrashAfterTheGrantLeavesItCountedAndItsSlotUntilDeadlineAndLease) {
  Server& a = Start("a");
  Server& b = Start("b");
  const Limits two = {true, -1, -1, -1, -1, 2};
  ASSERT_TRUE(Reserve(a, two)->verdict->passed);
  Crash(a);
  loop_.RunFor(absl::Seconds(100));  // Its lease has lapsed, its deadline is not over.
  EXPECT_THAT(Reserve(b, two)->verdict->failed, ElementsAre(Check::kGroupRecoveryInProgress));
  loop_.RunFor(absl::Seconds(30));
  EXPECT_TRUE(Reserve(b, two)->verdict->passed);
  loop_.RunFor(absl::Minutes(3));
  EXPECT_THAT(Reserve(Start("c"), two)->verdict->failed, Contains(Check::kGroupMaxInDay));
}

TEST_F(EtcdCoordinatorTest, WhatItsEarlierLifeLeftIsFreedWhenAnAgentComesBack) {
  Server& a = Start("a");
  Server& b = Start("b");
  const Limits two = {true, -1, -1, -1, -1, 2};
  ASSERT_TRUE(Reserve(a, two)->verdict->passed);  // Never reached the ledger.
  Crash(a);
  Start("a");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Keys("running/"), IsEmpty());
  const auto asked = Reserve(b, two);
  EXPECT_TRUE(asked->verdict->passed);
  EXPECT_EQ(asked->verdict->total_in_day, 1);  // It stays counted.
}

TEST_F(EtcdCoordinatorTest, ARefusedAttemptOfAnEarlierLifeNeverCounts) {
  Server& a = Start("a");
  const auto refused = Ask(a, {true, -1, -1, -1, -1, 0});
  while (!refused->verdict.has_value()) loop_.RunFor(absl::Milliseconds(1));
  Crash(a);
  EXPECT_THAT(Keys("running/"), SizeIs(1));
  Start("a");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Keys("running/"), IsEmpty());
  EXPECT_TRUE(Reserve(a, kOncePerDay)->verdict->passed);
}

// Found on a real etcd: the sweep at the start took a refused attempt, whose keys were not taken
// back yet, for one of an earlier life, and marked it as ended: from then on it counted.
TEST_F(EtcdCoordinatorTest, TheSweepLeavesWhatThisLifeHasAsked) {
  Server& a = Start("a", "", /*settle=*/false);
  a.client->retry_after = absl::Milliseconds(20);
  while (Keys("alive/").empty()) loop_.RunFor(absl::Milliseconds(1));
  const auto refused = Ask(a, {true, -1, -1, -1, -1, 0});
  a.client->lose_answers = 1;  // Of the sweep, which is sent again after the reservation.
  loop_.RunFor(absl::Milliseconds(10));
  EXPECT_FALSE(refused->verdict->passed);
  EXPECT_EQ(a.client->lose_answers, 0);
  loop_.RunFor(absl::Milliseconds(50));
  EXPECT_THAT(Keys("running/"), SizeIs(1));
  loop_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Keys("running/"), IsEmpty());
  EXPECT_THAT(Keys("attempts/"), IsEmpty());
  EXPECT_TRUE(Reserve(a, kOncePerDay)->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, AnEffectThatOutlivedTheAgentKeepsItsSlot) {
  Server& a = Start("a");
  const Limits two = {true, -1, -1, -1, -1, 2};
  const auto asked = Reserve(a, two);
  Begin(a, asked->attempt);
  Crash(a);
  Start("a");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(Reserve(Start("b"), two)->verdict->passed);
  End(servers_["a"], asked->attempt);
  EXPECT_TRUE(Reserve(servers_["b"], two)->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, WhatIsGivenUpAfterTheGrantStaysCounted) {
  Server& a = Start("a");
  const auto asked = Reserve(a, kOncePerDay);
  a.coordinator->Release(asked->attempt);
  loop_.RunFor(absl::Milliseconds(10));
  EXPECT_THAT(Keys("running/"), IsEmpty());
  EXPECT_THAT(Reserve(Start("b"), kOncePerDay)->verdict->failed,
              ElementsAre(Check::kGroupMaxInDay));
}

TEST_F(EtcdCoordinatorTest, AnEndThatEtcdDidNotHearIsToldWhenItIsBack) {
  Server& a = Start("a");
  const Limits two = {true, -1, -1, -1, -1, 2};
  const auto asked = Reserve(a, two);
  Begin(a, asked->attempt);
  etcd_.down = true;
  End(a, asked->attempt);
  loop_.RunFor(absl::Seconds(20));
  etcd_.down = false;
  loop_.RunFor(absl::Seconds(40));
  EXPECT_THAT(Keys("running/"), IsEmpty());
  EXPECT_TRUE(Reserve(Start("b"), two)->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, ACloneMayNotUseTheNameAndSaysSo) {
  Start("a");
  Server original = std::move(servers_["a"]);
  servers_.erase("a");
  Server& clone = servers_["clone"];
  clone.name = "a";
  LedgerOptions ledger;
  ledger.path = folder_ + "/clone.db";
  ledger.boot_id = "boot";
  ledger.server = "a";
  clone.ledger = Ledger::Open(ledger, loop_, worker_).value();
  clone.client = std::make_unique<FakeEtcdClient>(loop_, etcd_);
  EtcdCoordinatorOptions options;
  options.group = "web";
  options.server = "a";
  options.machine_id = "another-machine";
  options.boot_id = "boot";
  options.say = [&clone](const std::string& message, bool) { clone.said.push_back(message); };
  clone.coordinator = NewEtcdCoordinator(options, loop_, *clone.client, *clone.ledger, random_);
  loop_.RunFor(absl::Seconds(1));
  EXPECT_THAT(clone.said, Contains(HasSubstr("is used by another machine")));
  EXPECT_THAT(Reserve(clone, kOncePerDay)->verdict->failed, ElementsAre(Check::kGroupUnavailable));
  // The original keeps its rights; when it is gone the name is free.
  EXPECT_TRUE(Reserve(original, {true, -1, -1, -1, -1, 5})->verdict->passed);
  original.coordinator.reset();
  loop_.RunFor(absl::Minutes(5));
  EXPECT_TRUE(Reserve(clone, {true, -1, -1, -1, -1, 5})->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, ALeaseThatLapsedIsTakenAnewBeforeAnythingIsAllowed) {
  Server& a = Start("a");
  etcd_.RevokeAllLeases();
  EXPECT_THAT(Keys("alive/"), IsEmpty());
  const auto asked = Reserve(a, kOncePerDay);
  EXPECT_TRUE(asked->verdict->passed);
  EXPECT_THAT(Keys("alive/"), SizeIs(1));
}

TEST_F(EtcdCoordinatorTest, AServerUnseenForSevenDaysLeavesTheTotals) {
  Server& a = Start("a");
  Crash(Start("b"));
  loop_.RunFor(absl::Hours(24 * 7) - absl::Hours(1));
  EXPECT_EQ(Reserve(a, {true, -1, -1, -1, -1, 9})->verdict->servers_in_group, 2);
  loop_.RunFor(absl::Hours(2));
  const auto asked = Reserve(a, {true, -1, -1, -1, -1, 9});
  EXPECT_EQ(asked->verdict->servers_in_group, 1);
  EXPECT_EQ(asked->verdict->servers_in_compatible_version, 1);
}

TEST_F(EtcdCoordinatorTest, ServersAreListedAndADeadOneIsForgotten) {
  Server& a = Start("a");
  Crash(Start("bee"));
  loop_.RunFor(absl::Minutes(2));
  std::vector<GroupMember> members;
  a.coordinator->ListServers([&](auto got) { members = got.value(); });
  loop_.RunFor(absl::Seconds(1));
  ASSERT_THAT(members, SizeIs(2));
  EXPECT_TRUE(members[0].alive);
  EXPECT_EQ(members[0].agent_version, "1.0");
  EXPECT_FALSE(members[1].alive);
  const auto forget = [&](const std::string& name) {
    absl::Status status = absl::UnknownError("");
    a.coordinator->ForgetServer(name, [&](absl::Status got) { status = got; });
    loop_.RunFor(absl::Seconds(1));
    return status;
  };
  EXPECT_EQ(forget("a").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(forget("bea").message()), HasSubstr("did you mean 'bee'"));
  EXPECT_TRUE(forget("bee").ok());
  EXPECT_THAT(Keys("servers/"), ElementsAre("/salve/groups/web/servers/a"));
}

TEST_F(EtcdCoordinatorTest, WithoutGroupLimitsTheAttemptIsRecordedButNotAwaited) {
  Server& a = Start("a");
  etcd_.down = true;
  const auto asked = Ask(a, {true, 10, -1, -1, -1, -1});
  loop_.RunPending();
  EXPECT_TRUE(asked->verdict->passed);
  EXPECT_EQ(asked->verdict->xml, "<not configured>");
  Begin(a, asked->attempt);
  End(a, asked->attempt);
  etcd_.down = false;
  loop_.RunFor(absl::Minutes(1));
  EXPECT_THAT(Keys("attempts/"), SizeIs(1));
  EXPECT_THAT(Keys("running/"), IsEmpty());
  EXPECT_FALSE(Reserve(Start("b"), kOncePerDay)->verdict->passed);  // It counts for who asks.
  loop_.RunFor(absl::Hours(26));
  EXPECT_THAT(Keys("attempts/"), IsEmpty());
}

TEST_F(EtcdCoordinatorTest, TheYoungestAttemptIsKeptAlsoWhenNoLimitAskedAboutIt) {
  const Limits none = {true, -1, -1, -1, -1, -1};
  Server& a = Start("a");
  Server& b = Start("b");
  RunOnce(a, none);
  RunOnce(b, none);
  loop_.RunFor(absl::Hours(26));
  EXPECT_THAT(Keys("attempts/"), IsEmpty());
  EXPECT_THAT(Keys("youngest/"), SizeIs(1));
  const Limits two_days = {true, -1, -1, -1, 48 * 60, 1};
  const auto refused = Reserve(a, two_days);
  EXPECT_THAT(refused->verdict->failed, ElementsAre(Check::kGroupMinimumMinutes));
  ASSERT_TRUE(refused->verdict->most_recent.has_value());
  EXPECT_EQ(refused->verdict->most_recent->server, "b");
  EXPECT_EQ(refused->verdict->most_recent->state, AttemptState::kFinished);
  loop_.RunFor(absl::Hours(22));
  EXPECT_TRUE(Reserve(a, two_days)->verdict->passed);
}

TEST_F(EtcdCoordinatorTest, AnOlderAttemptThatIsToldLateIsNotTheYoungest) {
  const Limits none = {true, -1, -1, -1, -1, -1};
  Server& a = Start("a");
  Server& b = Start("b");
  a.client->cut = true;
  RunOnce(a, none);
  loop_.RunFor(absl::Minutes(10));
  RunOnce(b, none);
  a.client->cut = false;
  loop_.RunFor(absl::Minutes(5));
  EXPECT_THAT(Keys("attempts/"), SizeIs(2));
  loop_.RunFor(absl::Hours(26));
  const auto refused = Reserve(a, {true, -1, -1, -1, 48 * 60, -1});
  EXPECT_EQ(refused->verdict->most_recent->server, "b");
}

TEST_F(EtcdCoordinatorTest, TheYoungestsEndIsToldByTheNextLifeOfItsAgent) {
  Server& a = Start("a");
  const auto asked = Reserve(a, {true, -1, -1, -1, -1, -1});
  Begin(a, asked->attempt);
  Crash(a);
  Start("a");
  End(servers_["a"], asked->attempt);
  loop_.RunFor(absl::Hours(26));
  const auto refused = Reserve(Start("b"), {true, -1, -1, -1, 48 * 60, -1});
  EXPECT_EQ(refused->verdict->most_recent->state, AttemptState::kFinished);
}

TEST_F(EtcdCoordinatorTest, ADryCheckReservesNothingAndListsWhatCounts) {
  Server& a = Start("a");
  RunOnce(a, kOncePerDay);
  Server& b = Start("b");
  std::optional<GroupVerdict> verdict;
  b.coordinator->Check(
      {b.ledger->NewAttempt(kRestart, "nginx.service", "", absl::Minutes(2)), kOncePerDay},
      [&](GroupVerdict got) { verdict = got; });
  loop_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(verdict->passed);
  EXPECT_THAT(verdict->attempts, SizeIs(1));
  ASSERT_THAT(verdict->explained, SizeIs(1));
  EXPECT_EQ(verdict->explained[0].attempts[0].server, "a");
  EXPECT_THAT(verdict->xml, HasSubstr("IsThrottlingInProgress=\"false\""));
  EXPECT_THAT(Keys("attempts/"), SizeIs(1));
}

TEST_F(EtcdCoordinatorTest, OldAttemptsArePrunedTheYoungestIsKept) {
  Server& a = Start("a");
  const Limits limits = {true, -1, -1, -1, 0, 100};
  for (int i = 0; i < 3; ++i) RunOnce(a, limits);
  loop_.RunFor(absl::Hours(25));
  RunOnce(a, limits);
  loop_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Keys("attempts/"), SizeIs(1));
  loop_.RunFor(absl::Hours(1000));
  RunOnce(a, limits);  // Sees two: the one of before, and its own.
  EXPECT_THAT(Keys("attempts/"), SizeIs(1));
}

// Servers ask, act, crash and come back; answers, requests and whole networks are lost. What was
// done is written down by the "effects" alone, and never breaks a limit.
TEST_F(EtcdCoordinatorTest, NoFaultEverBreaksALimit) {
  constexpr int kMax = 4;
  constexpr int kMinutes = 30;
  const Limits limits = {true, -1, -1, -1, kMinutes, kMax};
  std::vector<std::pair<Instant, Instant>> effects;
  std::set<std::string> running;
  int refusals = 0, unavailable = 0, crashes = 0;
  for (int i = 0; i < 6; ++i) Start(absl::StrCat("s", i));
  const auto chance = [this](int in) { return engine_() % in == 0; };
  struct Going {
    std::shared_ptr<Asked> asked;
    Instant ends;
    bool acting = false;
    size_t effect = 0;
  };
  std::map<std::string, Going> going;
  const Instant begin = loop_.Now();
  while (loop_.Now() - begin < absl::Hours(24 * 12)) {
    loop_.RunFor(absl::Seconds(1 + engine_() % 240));
    if (chance(40)) etcd_.down = !etcd_.down;
    for (auto& [name, server] : servers_) {
      if (server.coordinator == nullptr) {
        if (chance(10)) Start(name, "", false);
        continue;
      }
      if (chance(30)) server.client->cut = !server.client->cut;
      if (chance(10)) server.client->lose_answers = 1;
      if (chance(10)) server.client->late_requests = 1;
      Going& going_on = going[name];
      if (chance(60)) {
        ++crashes;  // With it whatever it did: an effect ends at its deadline at the latest.
        Crash(server);
        if (going_on.acting) effects[going_on.effect].second = loop_.Now();
        going_on = Going();
        continue;
      }
      if (going_on.acting) {
        if (loop_.Now() < going_on.ends) continue;
        effects[going_on.effect].second = loop_.Now();
        End(server, going_on.asked->attempt);
        going_on = Going();
      } else if (going_on.asked == nullptr) {
        if (chance(3)) going_on.asked = Ask(server, limits);
      } else if (going_on.asked->verdict.has_value()) {
        const GroupVerdict& verdict = *going_on.asked->verdict;
        if (verdict.passed) {
          Begin(server, going_on.asked->attempt);
          going_on.acting = true;
          going_on.effect = effects.size();
          going_on.ends = loop_.Now() + absl::Seconds(engine_() % 110);
          effects.emplace_back(loop_.Now(), Instant::InfiniteFuture());
        } else {
          ++(verdict.failed[0] == Check::kGroupUnavailable ? unavailable : refusals);
          going_on = Going();
        }
      }
    }
  }
  EXPECT_GT(effects.size(), 10);  // It is no use when nothing is ever allowed.
  EXPECT_GT(refusals, 100);
  EXPECT_GT(unavailable, 100);
  EXPECT_GT(crashes, 100);
  std::sort(effects.begin(), effects.end());
  for (size_t i = 0; i < effects.size(); ++i) {
    if (i > 0) {
      // From the end of the one before, as the limit counts it, to the next reservation. The
      // effect begins up to one round of this test after its reservation.
      EXPECT_GE(effects[i].first - effects[i - 1].first, absl::Minutes(kMinutes) - absl::Seconds(1))
          << i;
    }
    if (i >= kMax) {
      EXPECT_GE(effects[i].first - effects[i - kMax].first, absl::Hours(24) - absl::Minutes(5))
          << i;
    }
  }
}

// -------------------------------------------------------------------------------------------------
// Health.

class EtcdHealthTest : public EtcdCoordinatorTest {
 protected:
  absl::StatusOr<GroupHealth> Say(Server& server, bool healthy) {
    auto answer = std::make_shared<std::optional<absl::StatusOr<GroupHealth>>>();
    server.coordinator->ReportHealth(
        healthy, [answer](absl::StatusOr<GroupHealth> health) { *answer = std::move(health); });
    EXPECT_FALSE(answer->has_value()) << "answered inside the call";
    loop_.RunFor(absl::Milliseconds(2100));
    EXPECT_TRUE(answer->has_value());
    return answer->value_or(absl::InternalError("no answer"));
  }
};

TEST_F(EtcdHealthTest, CountsTheOthersThatSaidSoAndNotTheAsker) {
  Server& one = Start("web-1");
  Server& two = Start("web-2");
  Start("web-3");  // Says nothing: it is not known to be healthy.
  EXPECT_EQ(Say(one, true)->healthy_others, 0);
  EXPECT_EQ(Say(two, true)->healthy_others, 1);
  EXPECT_EQ(Say(one, false)->healthy_others, 1);
  const GroupHealth seen = *Say(two, true);
  EXPECT_EQ(seen.healthy_others, 0);
  EXPECT_EQ(seen.servers, 3);
}

TEST_F(EtcdHealthTest, WhoDiesIsNotHealthyWhenItsLeaseHasLapsed) {
  Server& one = Start("web-1");
  Server& two = Start("web-2");
  ASSERT_TRUE(Say(two, true).ok());
  EXPECT_EQ(Say(one, false)->healthy_others, 1);
  Crash(two);
  loop_.RunFor(absl::Seconds(61));
  const GroupHealth seen = *Say(one, false);
  EXPECT_EQ(seen.healthy_others, 0);
  EXPECT_EQ(seen.servers, 2);  // It counts still.
}

TEST_F(EtcdHealthTest, IsSaidAgainWithANewRegistration) {
  Server& one = Start("web-1");
  Server& two = Start("web-2");
  ASSERT_TRUE(Say(two, true).ok());
  etcd_.RevokeAllLeases();
  loop_.RunFor(absl::Minutes(1));
  const absl::StatusOr<GroupHealth> seen = Say(one, false);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->healthy_others, 1);
}

TEST_F(EtcdHealthTest, WhatDidNotArriveIsSaidAgain) {
  Server& one = Start("web-1");
  Server& two = Start("web-2");
  ASSERT_TRUE(Say(two, true).ok());
  etcd_.down = true;
  EXPECT_FALSE(Say(two, false).ok());
  etcd_.down = false;
  loop_.RunFor(absl::Seconds(30));  // Less than its lease, more than its sign of life.
  EXPECT_EQ(Say(one, false)->healthy_others, 0);
}

TEST_F(EtcdHealthTest, WithoutEtcdThereIsNoAnswer) {
  etcd_.down = true;
  Server& one = Start("web-1");
  EXPECT_EQ(Say(one, true).status().code(), absl::StatusCode::kUnavailable);
  etcd_.down = false;
  loop_.RunFor(absl::Minutes(1));
  EXPECT_TRUE(Say(one, true).ok());
  etcd_.down = true;
  EXPECT_EQ(Say(one, true).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(EtcdHealthTest, WhoLeavesIsNoHealthyServerAnyMore) {
  Server& one = Start("web-1");
  Server& two = Start("web-2");
  ASSERT_TRUE(Say(one, true).ok());
  ASSERT_EQ(Say(two, true)->healthy_others, 1);
  one.coordinator->Leave([] {});
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Say(two, true)->healthy_others, 0);
}

TEST_F(EtcdHealthTest, AGroupWithoutServersIsAnErrorAndNoCount) {
  Server& one = Start("web-1");
  etcdserverpb::TxnRequest none;
  for (const std::string& key : Keys("servers/")) {
    none.add_success()->mutable_request_delete_range()->set_key(key);
  }
  etcd_.Apply(none);
  EXPECT_EQ(Say(one, true).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace salve

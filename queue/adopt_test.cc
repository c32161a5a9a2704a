#include "queue/adopt.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "queue/database_fixture.h"
#include "queue/defrag.h"
#include "queue/hold.h"
#include "queue/manifest.h"
#include "queue/pack.h"
#include "queue/queue_events.h"
#include "queue/reset.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

// web1 is lost and its queue packed; this is web2.
class AdoptTest : public AdopterTest {
 protected:
  // The pack is made of what is in `store`, of web1.
  void PackOf(std::unique_ptr<MessageStore> store) {
    Close(std::move(store));
    const auto manifest = Pack({state(), pack(), now_});
    ASSERT_TRUE(manifest.ok()) << manifest.status();
  }
  // One of web1's.
  queue::Message PutLetter(MessageStore& store) {
    queue::Message letter = NewMessage(store, queue::AF, "web1");
    Put(store, letter, "remote/ops");
    return letter;
  }
  std::unique_ptr<MessageStore> OpenHere() { return Open(other_state(), "web2"); }
  void Prepare(MessageStore& store) {
    Changes changes;
    changes.settings.emplace_back(kPreparingSetting, "ada");
    Apply(store, std::move(changes));
  }
  AdoptOptions OptionsFor(const std::string& folder) const {
    AdoptOptions options{.state_dir = other_state(), .folder = folder, .agent = agent_};
    options.now = now_;
    options.allow_other_role = allow_other_role_;
    options.allow_other_group = allow_other_group_;
    options.allow_adopted = allow_adopted_;
    options.extend = extend_;
    return options;
  }
  absl::StatusOr<queue::AdoptReport> DoAdopt() { return Adopt(OptionsFor(pack())); }
  // web1 as it stands, closed: a crash set of it, or an older image of its disk.
  std::string CopyOfState() {
    std::filesystem::copy(state(), root_ + "/copy");
    return root_ + "/copy";
  }
  // web2 adopts, and is made ready for another adoption.
  void AdoptAndPrepare(const std::string& folder) {
    const auto report = Adopt(OptionsFor(folder));
    ASSERT_TRUE(report.ok()) << report.status();
    auto here = OpenHere();
    Prepare(*here);
    Close(std::move(here));
    ASSERT_TRUE(FinishAdopt(other_state()).ok());
  }
  // It leaves, for a crash set, as in a start under HOLD.
  void HoldForSet(MessageStore& store) {
    const auto hold = HoldAll(store, "set-1", now_);
    ASSERT_TRUE(hold.ok()) << hold.status();
    Apply(store, hold->changes);
    const auto release = ReleaseHeld(store, now_);
    ASSERT_TRUE(release.ok()) << release.status();
    Apply(store, release->changes);
  }
  void EndAs(MessageStore& store, int64_t sequence, Final final, const std::string& reason) {
    Changes changes;
    changes.ends.push_back({sequence, final, reason, now_ + absl::Hours(48)});
    Apply(store, std::move(changes));
  }
  void ExpectRefused(absl::StatusCode code, const std::string& text) {
    const auto before = Snapshot(other_state());
    const absl::Status status = DoAdopt().status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(status.message(), HasSubstr(text));
    auto after = Snapshot(other_state());
    if (!before.contains("salved.lock")) after.erase("salved.lock");
    EXPECT_TRUE(after == before);
  }
  void ExpectWhole(const std::string& folder, int64_t messages) {
    const auto info = VerifyDatabase(folder);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->state(), "Clean") << info->DebugString();
    EXPECT_EQ(info->messages(), messages);
  }
  StoredMessage Find(MessageStore& store, const std::string& mid) {
    const auto found = store.Find(mid);
    EXPECT_TRUE(found.ok()) << mid << ": " << found.status();
    return found.value_or(StoredMessage());
  }

  bool allow_other_role_ = false;
  bool allow_other_group_ = false;
  bool allow_adopted_ = false;
  absl::Duration extend_ = absl::ZeroDuration();
};

TEST_F(AdoptTest, RoutesEveryTypeOfEveryQueueAnew) {
  auto store = Open(state());
  const auto letter = NewMessage(*store, queue::AF, "web1");
  const auto reply = NewMessage(*store, queue::AR, "web1");
  const auto action = NewMessage(*store, queue::UP, "web1");
  auto elsewhere = NewMessage(*store, queue::AF, "web1");
  elsewhere.set_destination("gone");
  auto for_here = NewMessage(*store, queue::AF, "web1");
  for_here.set_destination("collector");
  auto homeless = NewMessage(*store, queue::AF, "web1");
  homeless.set_unreachable_reason("no-destination:ops");
  auto home = NewMessage(*store, queue::UP, "web2");
  home.set_unreachable_reason("host-bound:web2");
  const auto received = NewMessage(*store, queue::AF, "web9");
  Put(*store, letter, "remote/ops");
  Put(*store, reply, "relay/web3", /*suspended=*/true);
  Put(*store, action, "local/nginx.service");
  Put(*store, elsewhere, "remote/gone");
  Put(*store, for_here, "remote/collector");
  Put(*store, homeless, "unreachable");
  Put(*store, home, "unreachable");
  Put(*store, received, "inbox");
  PackOf(std::move(store));
  agent_.config.mutable_queue()->set_accept_address("web2:7443");
  AddDestination("collector", "web2:7443");

  const auto report = DoAdopt();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->from(), "web1");
  EXPECT_EQ(report->messages(), 8);
  EXPECT_EQ(report->host_bound(), 1);
  ExpectWhole(other_state(), 8);
  auto here = OpenHere();
  EXPECT_THAT(Counts(*here), ElementsAre(Pair("inbox", 2), Pair("local/nginx.service", 1),
                                         Pair("remote/ops", 3), Pair("unreachable", 2)));
  EXPECT_EQ(Find(*here, action.mid()).message.unreachable_reason(), "host-bound:web1");
  EXPECT_EQ(Find(*here, elsewhere.mid()).message.unreachable_reason(), "no-destination:gone");
  EXPECT_EQ(Find(*here, for_here.mid()).queue, "inbox");
  EXPECT_EQ(Find(*here, homeless.mid()).message.unreachable_reason(), "");
  EXPECT_EQ(Find(*here, home.mid()).queue, "local/nginx.service");
  const StoredMessage suspended = Find(*here, reply.mid());
  EXPECT_TRUE(suspended.suspended);
  EXPECT_EQ(suspended.message.origin_server(), "web1");
  EXPECT_EQ(suspended.message.origin_mid(), reply.mid());
  EXPECT_NE(here->signature(), report->former_signature());
  EXPECT_EQ(here->signature(), report->signature());
  EXPECT_THAT(here->Setting(kAnnounceSetting), HasSubstr("the queue of web1"));
  EXPECT_THAT(here->Setting(kAdoptedSetting), HasSubstr(report->former_signature()));
}

TEST_F(AdoptTest, WhatWasInFlightWaitsAgainAndAnActionNeverRuns) {
  auto store = Open(state());
  const auto letter = NewMessage(*store, queue::AF, "web1");
  const auto action = NewMessage(*store, queue::UP, "web1");
  const auto own = NewMessage(*store, queue::UP, "web2");
  const auto removed = NewMessage(*store, queue::AF, "web1");
  Changes changes;
  for (const auto& [message, queue] :
       {std::pair(letter, "remote/ops"), std::pair(action, "local/a"), std::pair(own, "local/b"),
        std::pair(removed, "remote/x")}) {
    Changes::Update update;
    update.sequence = Put(*store, message, queue);
    update.delivering = true;
    if (message.mid() == removed.mid()) update.removing = true;
    changes.updates.push_back(update);
  }
  Apply(*store, std::move(changes));
  PackOf(std::move(store));

  const auto report = DoAdopt();
  ASSERT_TRUE(report.ok()) << report.status();
  ExpectWhole(other_state(), 2);
  auto here = OpenHere();
  EXPECT_TRUE(here->Delivering()->empty());
  EXPECT_EQ(Find(*here, letter.mid()).queue, "remote/ops");
  EXPECT_EQ(Find(*here, action.mid()).queue, "unreachable");
  const auto ended = here->FindEnded(own.mid());
  ASSERT_TRUE(ended.ok() && ended->has_value());
  EXPECT_EQ((*ended)->final, Final::kFailed);
  EXPECT_EQ((*here->FindEnded(removed.mid()))->final, Final::kRemoved);
  EXPECT_EQ(here->Untold(10)->size(), 2u);
}

TEST_F(AdoptTest, DeadAndPoisonStayWhatTheyAre) {
  auto store = Open(state());
  auto dead = NewMessage(*store, queue::AF, "web1");
  auto poison = NewMessage(*store, queue::UP, "web1");
  const int64_t dead_at = Put(*store, dead, "remote/ops");
  const int64_t poison_at = Put(*store, poison, "local/a");
  dead.mutable_dead()->set_dmid(store->NewDmid(now_));
  dead.mutable_dead()->set_former_queue("remote/ops");
  dead.mutable_dead()->set_reason("expired");
  dead.set_expires_ns(1);
  poison.set_poison_reason("killed the agent twice");
  poison.set_expires_ns(1);
  Changes changes;
  changes.updates.push_back({.sequence = dead_at, .message = dead, .queue = "dead"});
  changes.updates.push_back(
      {.sequence = poison_at, .message = poison, .queue = "poison", .suspended = true});
  Apply(*store, std::move(changes));
  PackOf(std::move(store));

  ASSERT_TRUE(DoAdopt().ok()) << DoAdopt().status();
  auto here = OpenHere();
  EXPECT_EQ(Find(*here, dead.dead().dmid()).queue, "dead");
  EXPECT_EQ(Find(*here, poison.mid()).queue, "poison");
  EXPECT_TRUE(Find(*here, poison.mid()).suspended);
}

TEST_F(AdoptTest, BothMemoriesAreKeptAndNothingIsTakenTwice) {
  auto store = Open(state());
  const auto done_there = NewMessage(*store, queue::AF, "web1");
  End(*store, Put(*store, done_there, "remote/ops"));
  const auto arrived = NewMessage(*store, queue::AF, "web1");  // Here; its answer was lost.
  Put(*store, arrived, "remote/ops");
  auto handed_over = NewMessage(*store, queue::AF, "web2");  // By this server, to web1.
  Put(*store, handed_over, "remote/ops");
  const auto fresh = PutLetter(*store);
  ASSERT_TRUE(store->MarkTold(1).ok());
  PackOf(std::move(store));
  auto here = OpenHere();
  End(*here, Put(*here, arrived, "remote/ops"));
  End(*here, Put(*here, handed_over, "relay/web1"));
  const auto done_here = NewMessage(*here, queue::AF, "web2");
  End(*here, Put(*here, done_here, "remote/ops"));
  Prepare(*here);
  Close(std::move(here));

  const auto report = DoAdopt();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->messages(), 2);
  EXPECT_EQ(report->known_already(), 1);
  EXPECT_EQ(report->ended(), 1);
  ExpectWhole(other_state(), 2);
  here = OpenHere();
  for (const auto& message : {done_there, arrived, done_here}) {
    EXPECT_TRUE((*here->FindEnded(message.mid())).has_value()) << message.mid();
    EXPECT_FALSE(here->Find(message.mid()).ok());
  }
  EXPECT_EQ(Find(*here, handed_over.mid()).queue, "remote/ops");
  EXPECT_FALSE((*here->FindEnded(handed_over.mid())).has_value());
  EXPECT_EQ(here->Setting(kPreparingSetting), "");
  EXPECT_EQ(here->Untold(10)->size(), 2u);  // Of this server's; web1 had told its own.
}

TEST_F(AdoptTest, WhatThisServerHasStays) {
  PackOf([&] {
    auto store = Open(state());
    PutLetters(*store, 2);
    return store;
  }());
  auto here = OpenHere();
  auto dead = NewMessage(*here, queue::AF, "web2");
  const int64_t at = Put(*here, dead, "remote/ops");
  dead.mutable_dead()->set_dmid(here->NewDmid(now_));
  dead.mutable_dead()->set_former_queue("remote/ops");
  dead.mutable_dead()->set_reason("refused");
  Changes changes;
  changes.updates.push_back({.sequence = at, .message = dead, .queue = "dead"});
  changes.suspend_queues.emplace_back("remote/ops", true);
  changes.settings.emplace_back("mode", "REMOTELY");
  Apply(*here, std::move(changes));
  Prepare(*here);
  const std::string old_mid = here->NewMid(now_);
  Close(std::move(here));

  ASSERT_TRUE(DoAdopt().ok()) << DoAdopt().status();
  here = OpenHere();
  EXPECT_EQ(Find(*here, dead.dead().dmid()).queue, "dead");
  EXPECT_EQ(here->Setting("mode"), "REMOTELY");
  EXPECT_THAT(Counts(*here), ElementsAre(Pair("dead", 1), Pair("remote/ops", 2)));
  EXPECT_TRUE(here->Queues()[0].suspended || here->Queues()[1].suspended);
  EXPECT_NE(here->NewMid(now_), old_mid);
}

TEST_F(AdoptTest, RefusesAnUnfinishedPreparationPointByPoint) {
  auto store = Open(state());
  PutLetters(*store, 1);
  PackOf(std::move(store));
  auto here = OpenHere();
  PutLetters(*here, 1, "web2");
  auto homeless = NewMessage(*here, queue::AF, "web2");
  homeless.set_unreachable_reason("no-destination:x");
  Put(*here, homeless, "unreachable");
  Close(std::move(here));
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "new work is not stopped");
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "1 messages wait to be delivered");
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "1 messages are unreachable");
}

TEST_F(AdoptTest, RefusesAServerThatWasNotStoppedCleanly) {
  auto store = Open(state());
  PutLetters(*store, 1);
  PackOf(std::move(store));
  OpenHere();  // Never closed.
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "is Dirty: start salved");
}

TEST_F(AdoptTest, RefusesADirtyPack) {
  PutLetters(*Open(state()), 1);
  ASSERT_TRUE(Pack({state(), pack(), now_}).ok());
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "queue db recover");
}

TEST_F(AdoptTest, RefusesADamagedPack) {
  auto store = Open(state());
  PutLetters(*store, 1);
  PackOf(std::move(store));
  Flip(FileIn(pack()), 5000);
  ExpectRefused(absl::StatusCode::kDataLoss, "SHA-256");
  std::filesystem::remove(pack() + "/" + kManifestFile);
  Flip(FileIn(pack()) + ".mark", 30);
  Flip(FileIn(pack()) + ".mark", 4096 + 30);
  ExpectRefused(absl::StatusCode::kDataLoss, "mark");
}

TEST_F(AdoptTest, RefusesAnotherGroupUnlessAllowed) {
  auto store = Open(state());
  PutLetters(*store, 1);
  PackOf(std::move(store));
  agent_.group = "mail";
  ExpectRefused(absl::StatusCode::kOutOfRange, "--allow-other-group");
  allow_other_group_ = true;
  EXPECT_TRUE(DoAdopt().ok());
}

TEST_F(AdoptTest, RefusesAnotherRoleUnlessAllowed) {
  auto store = Open(state(), "web1", "collector");
  PutLetters(*store, 1);
  PackOf(std::move(store));
  ExpectRefused(absl::StatusCode::kOutOfRange, "--allow-other-role");
  allow_other_role_ = true;
  EXPECT_TRUE(DoAdopt().ok());
}

TEST_F(AdoptTest, RefusesANewerVersion) {
  auto store = Open(state());
  PutLetters(*store, 1);
  Close(std::move(store));
  std::filesystem::copy(state(), pack());
  Flip(FileIn(pack()), 63);
  ExpectRefused(absl::StatusCode::kOutOfRange, "version");
}

TEST_F(AdoptTest, RefusesWhatWouldExpireAtOnceUnlessItIsGivenTime) {
  auto store = Open(state());
  auto message = NewMessage(*store, queue::AF, "web1");
  message.set_expires_ns(absl::ToUnixNanos(now_ + absl::Seconds(59)));
  Put(*store, message, "remote/ops");
  auto later = NewMessage(*store, queue::AF, "web1");
  later.set_expires_ns(absl::ToUnixNanos(now_ + absl::Seconds(61)));
  Put(*store, later, "remote/ops");
  PackOf(std::move(store));
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "1 messages would expire at once");
  extend_ = absl::Hours(2);
  ASSERT_TRUE(DoAdopt().ok());
  auto here = OpenHere();
  EXPECT_EQ(Find(*here, message.mid()).message.expires_ns(),
            absl::ToUnixNanos(now_ + absl::Hours(2)));
  EXPECT_EQ(Find(*here, later.mid()).message.expires_ns(), later.expires_ns());
}

TEST_F(AdoptTest, RefusesAFolderThatAnotherServerHasAdoptedUnlessAllowed) {
  auto store = Open(state());
  PutLetters(*store, 3);
  PackOf(std::move(store));
  ASSERT_TRUE(DoAdopt().ok());
  std::filesystem::remove_all(other_state());
  std::filesystem::create_directories(other_state());
  EXPECT_TRUE(DoAdopt().ok());  // The same one may, after whatever has become of it.
  std::filesystem::remove_all(other_state());
  std::filesystem::create_directories(other_state());
  agent_.server = "web3";
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "was adopted: by web2 ");
  allow_adopted_ = true;
  ASSERT_TRUE(DoAdopt().ok());
  allow_adopted_ = false;
  agent_.server = "web2";
  std::filesystem::remove_all(other_state());
  std::filesystem::create_directories(other_state());
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "by web3 ");
}

// As on a disk that can only be read.
TEST_F(AdoptTest, ABugAPackThatCanNotBeMarkedWasRefusedAlsoWhenAllowed) {
  auto store = Open(state());
  PutLetters(*store, 3);
  PackOf(std::move(store));
  std::filesystem::create_directories(pack() + "/adopted/in_the_way");
  EXPECT_FALSE(DoAdopt().ok());
  allow_adopted_ = true;
  EXPECT_TRUE(DoAdopt().ok());
}

TEST_F(AdoptTest, WhatWasLeavingForACrashSetWaitsForAPerson) {
  auto store = Open(state());
  const auto letter = PutLetter(*store);
  const auto hold = HoldAll(*store, "set-1", now_);
  ASSERT_TRUE(hold.ok() && store->Apply(hold->changes).ok());
  PackOf(std::move(store));
  ASSERT_TRUE(DoAdopt().ok());
  auto here = OpenHere();
  EXPECT_EQ(Find(*here, letter.mid()).queue, "remote/ops");
  EXPECT_TRUE(Find(*here, letter.mid()).suspended);
}

TEST_F(AdoptTest, RefusesWhileTheAgentRuns) {
  auto store = Open(state());
  PutLetters(*store, 1);
  PackOf(std::move(store));
  const int lock = open((other_state() + "/salved.lock").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "salved runs");
  close(lock);
}

TEST_F(AdoptTest, TheSamePackIsAdoptedOnce) {
  auto store = Open(state());
  PutLetters(*store, 2);
  PackOf(std::move(store));
  ASSERT_TRUE(DoAdopt().ok());
  const auto before = Snapshot(other_state());
  const auto again = DoAdopt();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->was_adopted());
  EXPECT_TRUE(Snapshot(other_state()) == before);
}

// A crash set of a server is a copy of its queue.db: of the same signature.
TEST_F(AdoptTest, ABugACrashSetOfAServerWhosePackWasAdoptedWasTakenForAdopted) {
  auto store = Open(state());
  const auto letter = PutLetter(*store);
  Close(std::move(store));
  const std::string set = CopyOfState();
  store = Open(state());
  HoldForSet(*store);
  PackOf(std::move(store));
  AdoptAndPrepare(pack());

  const auto report = Adopt(OptionsFor(set));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->was_adopted());
  EXPECT_EQ(report->messages(), 1);
  ExpectWhole(other_state(), 1);
  auto here = OpenHere();
  EXPECT_EQ(Find(*here, letter.mid()).queue, "remote/ops");
  EXPECT_FALSE((*here->FindEnded(letter.mid())).has_value());
}

TEST_F(AdoptTest, ABugTheDiskOfAServerOfWhichAnOlderImageWasAdoptedWasTakenForAdopted) {
  auto store = Open(state());
  const auto in_both = PutLetter(*store);
  Close(std::move(store));
  const std::string image = CopyOfState();
  store = Open(state());
  const auto later = PutLetter(*store);
  PackOf(std::move(store));
  ASSERT_TRUE(Adopt(OptionsFor(image)).ok());
  auto here = OpenHere();
  End(*here, Find(*here, in_both.mid()).sequence);
  Prepare(*here);
  Close(std::move(here));

  const auto report = DoAdopt();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->was_adopted());
  EXPECT_EQ(report->messages(), 1);
  EXPECT_EQ(report->known_already(), 1);
  EXPECT_EQ(Find(*OpenHere(), later.mid()).queue, "remote/ops");
}

// What `recover` and `defrag` do to a copy makes no other one of it.
TEST_F(AdoptTest, ACopyThatWasRecoveredAndDefragmentedIsAdoptedOnce) {
  PutLetters(*Open(state()), 2);
  ASSERT_TRUE(Pack({state(), pack(), now_}).ok());
  ASSERT_TRUE(RecoverFolder({.folder = pack(), .state_dir = state(), .now = now_}).ok());
  ASSERT_TRUE(DoAdopt().ok());
  std::filesystem::remove_all(pack());
  ASSERT_TRUE(Pack({state(), pack(), now_}).ok());
  ASSERT_TRUE(RecoverFolder({.folder = pack(), .state_dir = state(), .now = now_}).ok());
  ASSERT_TRUE(Defragment(pack()).ok());
  const auto again = DoAdopt();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->was_adopted());
}

TEST_F(AdoptTest, WhatAnEarlierVersionSaysOfAnAdoptionLosesNothing) {
  auto store = Open(state());
  const auto told = PutLetter(*store);
  PutLetters(*store, 1);
  const std::string signature = store->signature();
  PackOf(std::move(store));
  auto here = OpenHere();
  End(*here, Put(*here, told, "remote/ops"));
  Changes changes;
  changes.settings.emplace_back(kAdoptedSetting, signature + " web1 2026-11-21T10:00:00+00:00");
  Apply(*here, std::move(changes));
  Prepare(*here);
  Close(std::move(here));
  const auto report = DoAdopt();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->was_adopted());
  EXPECT_EQ(report->messages(), 1);
  EXPECT_EQ(report->known_already(), 1);
}

// It went back to web1 and to web3 from there, and was told of nowhere yet.
TEST_F(AdoptTest, ABugAMessageThatWasWithdrawnHereWasNotTakenFromAPack) {
  auto store = Open(state());
  const auto letter = NewMessage(*store, queue::AF, "web1");
  const auto told = NewMessage(*store, queue::AF, "web1");
  const auto unwanted = NewMessage(*store, queue::AF, "web1");
  Put(*store, letter, "remote/ops");
  Put(*store, unwanted, "remote/ops");
  End(*store, Put(*store, told, "remote/ops"));
  PackOf(std::move(store));
  auto here = OpenHere();
  const std::string withdrawn = absl::StrCat(kWithdrawnBy, "web1, where it has had its end");
  EndAs(*here, Put(*here, letter, "remote/ops"), Final::kRemoved, withdrawn);
  EndAs(*here, Put(*here, told, "remote/ops"), Final::kRemoved, withdrawn);
  EndAs(*here, Put(*here, unwanted, "remote/ops"), Final::kRemoved, "removed by ada");
  Prepare(*here);
  Close(std::move(here));

  const auto report = DoAdopt();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->messages(), 1);
  ExpectWhole(other_state(), 1);
  here = OpenHere();
  EXPECT_EQ(Find(*here, letter.mid()).queue, "remote/ops");
  EXPECT_FALSE((*here->FindEnded(letter.mid())).has_value());
  EXPECT_EQ((*here->FindEnded(told.mid()))->final, Final::kDone);
  EXPECT_EQ((*here->FindEnded(unwanted.mid()))->final, Final::kRemoved);
  EndAs(*here, Find(*here, letter.mid()).sequence, Final::kDone, "delivered");
}

TEST_F(AdoptTest, NamesTheFirstOfThoseThatWereKnownAlready) {
  auto store = Open(state());
  auto here = OpenHere();
  std::vector<std::string> mids;
  for (int i = 0; i < 21; ++i) {
    const auto letter = NewMessage(*store, queue::AF, "web1");
    Put(*store, letter, "remote/ops");
    End(*here, Put(*here, letter, "remote/ops"));
    mids.push_back(letter.mid());
  }
  PackOf(std::move(store));
  Prepare(*here);
  Close(std::move(here));
  const auto report = DoAdopt();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->known_already(), 21);
  const std::string news = OpenHere()->Setting(kAnnounceSetting);
  EXPECT_THAT(news, HasSubstr("21 were known already: " + mids[0]));
  EXPECT_THAT(news, HasSubstr(mids[19] + ", …"));
  EXPECT_THAT(news, Not(HasSubstr(mids[20])));
}

TEST_F(AdoptTest, ABugTwoServersThatAdoptedAtTheSameTimeBothDid) {
  auto store = Open(state());
  PutLetters(*store, 1);
  PackOf(std::move(store));
  std::ofstream(pack() + "/adopted") << "web3 2026-11-21T10:00:00+00:00\n";  // Since the check.
  const absl::Status late = MarkAdopted(OptionsFor(pack()));
  EXPECT_EQ(late.code(), absl::StatusCode::kFailedPrecondition) << late;
  EXPECT_THAT(late.message(), HasSubstr("was adopted: by web3 "));
  EXPECT_THAT(Snapshot(pack())["adopted"], HasSubstr("web3 "));
  std::ofstream(pack() + "/adopted") << "web2 2026-11-21T10:00:00+00:00\n";
  EXPECT_TRUE(MarkAdopted(OptionsFor(pack())).ok());
  allow_adopted_ = true;
  agent_.server = "web4";
  EXPECT_TRUE(MarkAdopted(OptionsFor(pack())).ok());
  EXPECT_THAT(Snapshot(pack())["adopted"], HasSubstr("web4 "));
}

TEST_F(AdoptTest, OfManyServersThatMarkAPackOneWins) {
  std::filesystem::create_directories(pack());
  std::vector<pid_t> servers;
  for (int i = 0; i < 8; ++i) {
    servers.push_back(fork());
    if (servers.back() != 0) continue;
    agent_.server = absl::StrCat("server", i);
    _exit(static_cast<int>(MarkAdopted(OptionsFor(pack())).code()));
  }
  std::map<int, int> exits;
  for (const pid_t server : servers) {
    int status = 0;
    waitpid(server, &status, 0);
    ++exits[WEXITSTATUS(status)];
  }
  const int refused = static_cast<int>(absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(exits, ElementsAre(Pair(0, 1), Pair(refused, 7)));
  EXPECT_EQ(Snapshot(pack()).size(), 1u);
}

TEST_F(AdoptTest, TheOldOneStaysUntilItIsFinished) {
  auto store = Open(state());
  PutLetters(*store, 2);
  PackOf(std::move(store));
  auto here = OpenHere();
  Prepare(*here);
  const std::string signature = here->signature();
  Close(std::move(here));
  const auto report = DoAdopt();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->kept_as(), FileIn(other_state()) + ".before-adopt");
  EXPECT_EQ(ReadDatabaseInfo(report->kept_as())->signature(), signature);
  ASSERT_TRUE(FinishAdopt(other_state()).ok());
  EXPECT_FALSE(FileExists(report->kept_as()));
  EXPECT_FALSE(FileExists(report->kept_as() + ".mark"));
  ASSERT_TRUE(FinishAdopt(other_state()).ok());
  ExpectWhole(other_state(), 2);
}

TEST_F(AdoptTest, KilledAnywhereTheOldOrTheNewOneIsWholeAndItRunsAgain) {
  auto store = Open(state());
  PutLetters(*store, 5);
  PackOf(std::move(store));
  for (const bool with_target : {true, false}) {
    std::filesystem::remove_all(other_state());
    std::filesystem::create_directories(other_state());
    if (with_target) {
      auto here = OpenHere();
      Prepare(*here);
      Close(std::move(here));
    }
    const auto prepared = Snapshot(other_state());
    for (const char* point :
         {"queue.db.adopt.begun", "queue.db.adopt.built", "queue.db.swap.kept",
          "queue.db.swap.marked", "queue.db.swap.renamed", "queue.db.swap.done"}) {
      SCOPED_TRACE(absl::StrCat(point, with_target));
      Restore(other_state(), prepared);
      ASSERT_TRUE(DiesAt(point, [&] { DoAdopt().IgnoreError(); }));
      if (FileExists(FileIn(other_state()))) {
        const auto info = VerifyDatabase(other_state());
        ASSERT_TRUE(info.ok()) << info.status();
        EXPECT_EQ(info->state(), "Clean") << info->DebugString();
        EXPECT_TRUE(info->messages() == 0 || info->messages() == 5);
        Close(OpenHere());  // Whichever it is, the agent can go on with it.
      }
      const auto again = DoAdopt();
      ASSERT_TRUE(again.ok()) << again.status();
      ExpectWhole(other_state(), 5);
      EXPECT_FALSE(FileExists(FileIn(other_state()) + ".adopting"));
    }
  }
}

TEST_F(AdoptTest, AFullDiskChangesNothingAndLeavesNothingBehind) {
  auto store = Open(state());
  PutLetters(*store, 200);
  PackOf(std::move(store));
  auto here = OpenHere();
  Prepare(*here);
  Close(std::move(here));
  Close(OpenHere());
  auto before = Snapshot(other_state());
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100 << 10, 100 << 10};  // Of a file.
    setrlimit(RLIMIT_FSIZE, &limit);
    _exit(DoAdopt().ok() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
  auto after = Snapshot(other_state());
  after.erase("salved.lock");
  EXPECT_TRUE(after == before);
  EXPECT_TRUE(DoAdopt().ok());
}

class ResetTest : public AdoptTest {
 protected:
  absl::StatusOr<queue::ResetReport> DoReset(int64_t discard) {
    return ResetDatabase({state(), discard, now_});
  }
};

TEST_F(ResetTest, GivesAnEmptyDatabaseANewSignature) {
  auto store = Open(state());
  const auto done = NewMessage(*store, queue::AF, "web1");
  End(*store, Put(*store, done, "remote/ops"));
  const std::string signature = store->signature();
  Close(std::move(store));
  const auto report = DoReset(0);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->former_signature(), signature);
  store = Open(state());
  EXPECT_EQ(store->signature(), report->signature());
  EXPECT_NE(store->signature(), signature);
  EXPECT_TRUE((*store->FindEnded(done.mid())).has_value());  // So that it is not taken twice.
}

TEST_F(ResetTest, NeedsTheExactNumberOfMessages) {
  auto store = Open(state());
  PutLetters(*store, 3);
  const auto mid = store->List("", 1)->front().message.mid();
  Close(std::move(store));
  const auto before = Snapshot(state());
  for (const int64_t discard : {0, 2, 4}) {
    const absl::Status status = DoReset(discard).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    EXPECT_THAT(status.message(), HasSubstr("--discard 3"));
  }
  const auto report = DoReset(3);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->discarded(), 3);
  EXPECT_EQ(report->kept_as(), FileIn(state()) + ".discarded-20261121T100000Z");
  EXPECT_EQ(VerifyDatabase(report->kept_as())->messages(), 3);
  ExpectWhole(state(), 0);
  store = Open(state());
  EXPECT_EQ((*store->FindEnded(mid))->final, Final::kRemoved);
  EXPECT_EQ(store->Untold(10)->size(), 3u);
}

TEST_F(ResetTest, RefusesADirtyOrMissingDatabase) {
  EXPECT_EQ(DoReset(0).status().code(), absl::StatusCode::kNotFound);
  Open(state());
  EXPECT_EQ(DoReset(0).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ResetTest, KilledAnywhereItRunsAgain) {
  auto store = Open(state());
  PutLetters(*store, 3);
  Close(std::move(store));
  const auto before = Snapshot(state());
  for (const char* point : {"queue.db.adopt.built", "queue.db.swap.kept", "queue.db.swap.marked",
                            "queue.db.swap.renamed", "queue.db.swap.done"}) {
    SCOPED_TRACE(point);
    Restore(state(), before);
    ASSERT_TRUE(DiesAt(point, [&] { DoReset(3).IgnoreError(); }));
    const auto info = VerifyDatabase(state());
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->state(), "Clean") << info->DebugString();
    if (info->messages() == 3) {
      EXPECT_TRUE(DoReset(3).ok());
    }
    ExpectWhole(state(), 0);
  }
}

}  // namespace
}  // namespace salve

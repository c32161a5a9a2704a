#include "queue/message_store.h"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "gmock/gmock.h"
#include "queue/store_fixture.h"
#include "queue/verify.h"

namespace salve {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using MessageStoreTest = StoreFixture;

TEST_F(MessageStoreTest, ANewOneIsEmptyAndHasItsMarkLogAndReserve) {
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(store_->Queues(), IsEmpty());
  EXPECT_FALSE(store_->was_dirty());
  EXPECT_THAT(store_->signature(), testing::MatchesRegex("[0-9a-f]+"));
  EXPECT_THAT(store_->signature(), SizeIs(32));
  EXPECT_GE(std::filesystem::file_size(path_ + "-wal"), 4u << 20);
  EXPECT_EQ(std::filesystem::file_size(path_ + "-reserve"),
            static_cast<uint64_t>(MessageStore::kReserveBytes));
  EXPECT_TRUE(std::filesystem::exists(path_ + ".mark"));
  EXPECT_GT(store_->bytes(), 4 << 20);
}

TEST_F(MessageStoreTest, WhatWasAcceptedIsThereAfterACrash) {
  ASSERT_TRUE(Open().ok());
  queue::Message letter = NewLetter("web1-1-1");
  letter.set_priority(3);
  letter.set_submission_key("key");
  const int64_t sequence = Accept(letter);
  ASSERT_TRUE(Crash().ok());
  EXPECT_TRUE(store_->was_dirty());
  const auto found = store_->Get(sequence);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->message.SerializeAsString(), letter.SerializeAsString());
  EXPECT_EQ(found->queue, "remote/ops");
  EXPECT_EQ(found->due, kStoreTestNow);
  EXPECT_FALSE(found->suspended || found->delivering || found->removing);
  EXPECT_EQ(store_->Find("web1-1-1")->sequence, sequence);
}

TEST_F(MessageStoreTest, ACleanCloseIsNotDirtyAndKeepsAll) {
  FillWith(3);
  const auto mids = Mids("remote/ops");
  const int64_t commits = store_->commits();
  ASSERT_TRUE(Close().ok());
  EXPECT_EQ(*MessageStore::WasLeftDirty(path_), false);
  ASSERT_TRUE(Open().ok());
  EXPECT_FALSE(store_->was_dirty());
  EXPECT_EQ(store_->commits(), commits);
  EXPECT_EQ(Mids("remote/ops"), mids);
  EXPECT_EQ(*MessageStore::WasLeftDirty(path_), true);
}

TEST_F(MessageStoreTest, NothingWasLeftDirtyWhereThereIsNothing) {
  EXPECT_EQ(*MessageStore::WasLeftDirty(path_), false);
  EXPECT_THAT(std::filesystem::is_empty(folder_), true);
}

TEST_F(MessageStoreTest, TheOrderIsPriorityThenAcceptance) {
  ASSERT_TRUE(Open().ok());
  for (const auto& [mid, priority] :
       std::vector<std::pair<std::string, int>>{{"a", 0}, {"b", 5}, {"c", -5}, {"d", 5}}) {
    queue::Message letter = NewLetter(mid);
    letter.set_priority(priority);
    Accept(letter);
  }
  Accept(NewLetter("other"), "remote/else");
  EXPECT_THAT(Mids("remote/ops"), ElementsAre("b", "d", "a", "c"));
  EXPECT_THAT(Mids(""), ElementsAre("a", "b", "c", "d", "other"));
  EXPECT_EQ((*store_->Head("remote/ops"))->message.mid(), "b");
  const auto second = store_->List("remote/ops", 1, 1);
  ASSERT_THAT(*second, SizeIs(1));
  EXPECT_EQ(second->front().message.mid(), "d");
  EXPECT_THAT(*store_->List("remote/none", 10), IsEmpty());
}

TEST_F(MessageStoreTest, TheHeadIsTheFirstThatIsNotSuspended) {
  ASSERT_TRUE(Open().ok());
  const int64_t first = Accept(NewLetter("a")), second = Accept(NewLetter("b"));
  ASSERT_TRUE(store_->Apply(UpdateOf({.sequence = first, .suspended = true})).ok());
  EXPECT_EQ((*store_->Head("remote/ops"))->sequence, second);
  EXPECT_THAT(*store_->Unsuspended("remote/ops", 5), SizeIs(1));
  ASSERT_TRUE(store_->Apply(UpdateOf({.sequence = second, .suspended = true})).ok());
  EXPECT_FALSE(store_->Head("remote/ops")->has_value());
  EXPECT_THAT(Mids("remote/ops"), SizeIs(2));
  ASSERT_TRUE(store_->Apply(UpdateOf({.sequence = first, .suspended = false})).ok());
  EXPECT_EQ((*store_->Head("remote/ops"))->sequence, first);
}

TEST_F(MessageStoreTest, QueuesAreCountedInMemoryAndAgainAtAnOpen) {
  FillWith(3);
  Accept(NewAction("up"), "local/nginx.service");
  const auto before = store_->Queues();
  ASSERT_THAT(before, SizeIs(2));
  EXPECT_EQ(before[0].name, "local/nginx.service");
  EXPECT_EQ(before[1].messages, 3);
  EXPECT_EQ(before[0].bytes, static_cast<int64_t>(NewAction("up").SerializeAsString().size()));
  ASSERT_TRUE(Crash().ok());
  EXPECT_EQ(store_->Queues()[1].bytes, before[1].bytes);
}

TEST_F(MessageStoreTest, AQueueStaysSuspendedAlsoEmpty) {
  ASSERT_TRUE(Open().ok());
  Changes changes;
  changes.suspend_queues = {{"remote/ops", true}};
  ASSERT_TRUE(store_->Apply(changes).ok());
  ASSERT_TRUE(store_->Keep(kStoreTestNow, 10).ok());
  ASSERT_TRUE(Crash().ok());
  ASSERT_THAT(store_->Queues(), SizeIs(1));
  EXPECT_TRUE(store_->Queues()[0].suspended);
  changes.suspend_queues = {{"remote/ops", false}};
  ASSERT_TRUE(store_->Apply(changes).ok());
  EXPECT_THAT(store_->Queues(), IsEmpty());
  changes.suspend_queues = {{"no/queue", true}};
  EXPECT_EQ(Refusal(changes).code(), StatusCode::kInvalidArgument);
}

TEST_F(MessageStoreTest, SettingsAreKeptAndRemoved) {
  ASSERT_TRUE(Open().ok());
  Changes changes;
  changes.settings = {{"paused", "by root"}, {"mode", "REMOTELY"}};
  ASSERT_TRUE(store_->Apply(changes).ok());
  changes.settings = {{"paused", ""}};
  ASSERT_TRUE(store_->Apply(changes).ok());
  ASSERT_TRUE(Crash().ok());
  EXPECT_EQ(store_->Setting("mode"), "REMOTELY");
  EXPECT_EQ(store_->Setting("paused"), "");
  changes.settings = {{"", "x"}};
  EXPECT_EQ(Refusal(changes).code(), StatusCode::kInvalidArgument);
}

TEST_F(MessageStoreTest, AnAttemptIsInFlightUntilItIsSaidToBeOver) {
  ASSERT_TRUE(Open().ok());
  const int64_t sequence = Accept(NewLetter("a"));
  queue::Message begun = NewLetter("a");
  begun.set_attempts(1);
  ASSERT_TRUE(
      store_->Apply(UpdateOf({.sequence = sequence, .message = begun, .delivering = true})).ok());
  ASSERT_TRUE(Crash().ok());
  const auto delivering = store_->Delivering();
  ASSERT_THAT(*delivering, SizeIs(1));
  EXPECT_EQ(delivering->front().message.attempts(), 1);
  ASSERT_TRUE(store_->Apply(UpdateOf({.sequence = sequence, .delivering = false})).ok());
  EXPECT_THAT(*store_->Delivering(), IsEmpty());
}

TEST_F(MessageStoreTest, ExpiryIsFoundInOrderButNotInPoisonDeadAndInbox) {
  ASSERT_TRUE(Open().ok());
  const absl::Time expires = kStoreTestNow + absl::Hours(48);
  queue::Message sooner = NewLetter("sooner");
  sooner.set_expires_ns(absl::ToUnixNanos(expires - absl::Hours(1)));
  Accept(NewLetter("later"));
  Accept(sooner);
  Accept(NewLetter("in"), "inbox");
  const int64_t poison = Accept(NewLetter("poison"));
  ASSERT_TRUE(
      store_->Apply(UpdateOf({.sequence = poison, .queue = "poison", .suspended = true})).ok());
  const auto all = store_->ExpiringBy(expires, 10);
  ASSERT_THAT(*all, SizeIs(2));
  EXPECT_EQ(all->front().message.mid(), "sooner");
  EXPECT_THAT(*store_->ExpiringBy(expires - absl::Nanoseconds(1), 10), SizeIs(1));
  EXPECT_THAT(*store_->ExpiringBy(expires, 1), SizeIs(1));
  const ExpiryPlace first{absl::ToUnixNanos(expires - absl::Hours(1)), all->front().sequence};
  const auto rest = store_->ExpiringBy(expires, 10, first);
  ASSERT_THAT(*rest, SizeIs(1));
  EXPECT_EQ(rest->front().message.mid(), "later");
}

TEST_F(MessageStoreTest, ABugAPageByOffsetLeftOutWhatMovedUpMeanwhile) {
  ASSERT_TRUE(Open().ok());
  std::vector<int64_t> sequences;
  for (int i = 0; i < 5; ++i) sequences.push_back(Accept(NewLetter(absl::StrCat("m", i))));
  queue::Message urgent = NewLetter("urgent");
  urgent.set_priority(3);
  sequences.insert(sequences.begin(), Accept(urgent));
  std::vector<int64_t> seen;
  QueuePlace place;
  for (int page = 0; page < 3; ++page) {
    const auto rows = store_->ListAfter("remote/ops", 2, place);
    ASSERT_THAT(*rows, SizeIs(2));
    for (const StoredMessage& row : *rows) seen.push_back(row.sequence);
    place = {-rows->back().message.priority(), rows->back().sequence};
    ASSERT_TRUE(
        store_->Apply(EndOf(rows->front().sequence, Final::kDone)).ok());  // The others move up.
  }
  EXPECT_EQ(seen, sequences);
  EXPECT_THAT(*store_->ListAfter("remote/ops", 2, place), IsEmpty());
  EXPECT_THAT(*store_->ListAfter("remote/none", 2, QueuePlace()), IsEmpty());
}

TEST_F(MessageStoreTest, AMoveNeedsTheTableAndDeadItsAttributes) {
  ASSERT_TRUE(Open().ok());
  const int64_t sequence = Accept(NewLetter("a"));
  EXPECT_EQ(Refusal(UpdateOf({.sequence = sequence, .queue = "local/x"})).code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(Refusal(UpdateOf({.sequence = sequence, .queue = "dead"})).code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(Refusal(UpdateOf({.sequence = sequence, .queue = "poison"})).code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(Refusal(UpdateOf({.sequence = 99, .suspended = true})).code(), StatusCode::kNotFound);
  queue::Message dead = NewLetter("a");
  dead.mutable_dead()->set_dmid("WEB1-1");
  dead.mutable_dead()->set_former_queue("remote/ops");
  dead.mutable_dead()->set_reason("expired");
  EXPECT_EQ(Refusal(UpdateOf({.sequence = sequence, .message = dead})).code(),
            StatusCode::kFailedPrecondition);
  ASSERT_TRUE(
      store_->Apply(UpdateOf({.sequence = sequence, .message = dead, .queue = "dead"})).ok());
  EXPECT_EQ(store_->Find("WEB1-1")->queue, "dead");
  ASSERT_TRUE(Crash().ok());
  EXPECT_EQ(store_->Find("WEB1-1")->sequence, sequence);
  EXPECT_EQ(
      Refusal(UpdateOf({.sequence = sequence, .message = NewLetter("a"), .queue = "remote/ops"}))
          .code(),
      StatusCode::kFailedPrecondition);
}

TEST_F(MessageStoreTest, ADmidIsGivenToOneAlone) {
  ASSERT_TRUE(Open().ok());
  for (const char* mid : {"a", "b"}) {
    const int64_t sequence = Accept(NewLetter(mid));
    queue::Message dead = NewLetter(mid);
    dead.mutable_dead()->set_dmid("WEB1-1");
    dead.mutable_dead()->set_former_queue("remote/ops");
    dead.mutable_dead()->set_reason("expired");
    EXPECT_EQ(Refusal(UpdateOf({.sequence = sequence, .message = dead, .queue = "dead"})).code(),
              mid[0] == 'a' ? StatusCode::kOk : StatusCode::kAlreadyExists);
  }
  EXPECT_EQ(store_->Queues()[1].messages, 1);
}

TEST_F(MessageStoreTest, AMessageKeepsItsMid) {
  ASSERT_TRUE(Open().ok());
  const int64_t sequence = Accept(NewLetter("a"));
  EXPECT_EQ(Refusal(UpdateOf({.sequence = sequence, .message = NewLetter("b")})).code(),
            StatusCode::kInvalidArgument);
}

TEST_F(MessageStoreTest, WhatIsNoMessageIsRefused) {
  ASSERT_TRUE(Open().ok());
  const auto code = [this](queue::Message message, const std::string& queue) {
    return Refusal(PutOf(std::move(message), queue)).code();
  };
  EXPECT_EQ(code(NewLetter(""), "remote/ops"), StatusCode::kInvalidArgument);
  queue::Message no_origin = NewLetter("a");
  no_origin.clear_origin_server();
  EXPECT_EQ(code(no_origin, "remote/ops"), StatusCode::kInvalidArgument);
  queue::Message no_text = NewLetter("a");
  no_text.set_subject("\xff");
  EXPECT_EQ(code(no_text, "remote/ops"), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(NewLetter("a"), "remote/"), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(NewLetter("a"), "local/x"), StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(NewLetter("a"), "poison"), StatusCode::kFailedPrecondition);
  EXPECT_THAT(store_->Queues(), IsEmpty());
}

TEST_F(MessageStoreTest, TheLargestMessageIsTakenAndOneByteMoreIsNot) {
  ASSERT_TRUE(Open().ok());
  queue::Message letter = NewLetter("a");
  letter.mutable_letter()->set_message(std::string(MessageStore::kMessageBytesMax - 1000, 'x'));
  const size_t rest = MessageStore::kMessageBytesMax - letter.SerializeAsString().size();
  letter.mutable_letter()->mutable_message()->append(rest + 1, 'x');
  EXPECT_EQ(Refusal(PutOf(letter, "remote/ops")).code(), StatusCode::kInvalidArgument);
  letter.mutable_letter()->mutable_message()->pop_back();
  EXPECT_TRUE(Refusal(PutOf(letter, "remote/ops")).ok());
}

TEST_F(MessageStoreTest, ASecondOneOfAMidOriginOrKeyIsRefusedWithTheMidOfTheFirst) {
  ASSERT_TRUE(Open().ok());
  queue::Message first = NewLetter("a");
  first.set_origin_server("db1");
  first.set_origin_mid("db1-7");
  first.set_submission_key("key");
  const int64_t sequence = Accept(first);
  queue::Message same_origin = NewLetter("b"), same_key = NewLetter("c"),
                 is_its_origin = NewLetter("db1-7"), other_server = NewLetter("d");
  same_origin.set_origin_server("db1");
  same_origin.set_origin_mid("db1-7");
  same_key.set_submission_key("key");
  is_its_origin.set_origin_server("db1");
  other_server.set_origin_server("db2");
  other_server.set_origin_mid("db1-7");
  for (const bool ended : {false, true}) {
    if (ended) {
      ASSERT_TRUE(store_->Apply(EndOf(sequence, Final::kDone)).ok());
    }
    for (const queue::Message& second : {NewLetter("a"), same_origin, same_key, is_its_origin}) {
      const absl::Status status = Refusal(PutOf(second, "remote/ops"));
      EXPECT_EQ(status.code(), StatusCode::kAlreadyExists) << second.mid() << ended;
      EXPECT_EQ(status.message(), "a");
    }
    EXPECT_EQ(**store_->FindKey("key"), "a");
    EXPECT_EQ((*store_->FindOrigin("db1", "db1-7")).has_value(), !ended);
    EXPECT_EQ((*store_->FindEndedOrigin("db1", "db1-7")).has_value(), ended);
  }
  EXPECT_TRUE(Refusal(PutOf(other_server, "remote/ops")).ok());
  EXPECT_FALSE(store_->FindKey("none")->has_value());
  EXPECT_FALSE(store_->FindOrigin("db3", "db1-7")->has_value());
}

TEST_F(MessageStoreTest, TwoOfOneKeyInOneTransactionAreRefusedBoth) {
  ASSERT_TRUE(Open().ok());
  queue::Message first = NewLetter("a"), second = NewLetter("b");
  first.set_submission_key("key");
  second.set_submission_key("key");
  Changes changes = PutOf(first, "remote/new");
  changes.puts.push_back(PutOf(second, "remote/new").puts[0]);
  EXPECT_EQ(Refusal(changes).code(), StatusCode::kAlreadyExists);
  EXPECT_THAT(Mids(""), IsEmpty());
  EXPECT_THAT(store_->Queues(), IsEmpty());
}

TEST_F(MessageStoreTest, ARefusedTransactionChangesNothing) {
  FillWith(2);
  const auto queues = store_->Queues();
  const int64_t commits = store_->commits();
  Changes changes = PutOf(NewLetter("new"), "remote/new");
  changes.settings = {{"mode", "x"}};
  changes.ends = EndOf(1, Final::kDone).ends;
  changes.ends.push_back(EndOf(99, Final::kDone).ends[0]);
  EXPECT_EQ(Refusal(changes).code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->commits(), commits);
  EXPECT_EQ(store_->Setting("mode"), "");
  EXPECT_THAT(store_->Queues(), SizeIs(1));
  EXPECT_EQ(store_->Queues()[0].messages, queues[0].messages);
  EXPECT_EQ(Accept(NewLetter("new"), "remote/new"), 3);
  VerifyReport report;
  store_.reset();
  EXPECT_TRUE(VerifyMessages(path_, report).ok()) << report.problems[0];
}

TEST_F(MessageStoreTest, AnEndIsRememberedUntilItsTimeAndOnlyWhenTold) {
  ASSERT_TRUE(Open().ok());
  const int64_t sequence = Accept(NewLetter("a"));
  ASSERT_TRUE(store_->Apply(EndOf(sequence, Final::kDone, "accepted by mx")).ok());
  ASSERT_TRUE(Crash().ok());
  const auto ended = store_->FindEnded("a");
  ASSERT_TRUE(ended.ok() && ended->has_value());
  EXPECT_EQ((*ended)->final, Final::kDone);
  EXPECT_EQ((*ended)->queue, "remote/ops");
  EXPECT_EQ((*ended)->reason, "accepted by mx");
  EXPECT_EQ((*ended)->at, kStoreTestNow);
  EXPECT_EQ(store_->Get(sequence).status().code(), StatusCode::kNotFound);
  const absl::Time until = kStoreTestNow + absl::Hours(49);
  EXPECT_TRUE(store_->Keep(until, 10).ok());
  EXPECT_TRUE((*store_->FindEnded("a")).has_value()) << "it is not told";
  ASSERT_TRUE(store_->MarkTold((*ended)->number).ok());
  EXPECT_TRUE(store_->Keep(until - absl::Nanoseconds(1), 10).ok());
  EXPECT_TRUE((*store_->FindEnded("a")).has_value());
  EXPECT_TRUE(store_->Keep(until, 10).ok());
  EXPECT_FALSE((*store_->FindEnded("a")).has_value());
  EXPECT_NE(Accept(NewLetter("a")), sequence);
}

TEST_F(MessageStoreTest, UntoldEndsComeOldestFirstUntilTheyAreTold) {
  FillWith(3);
  for (int64_t sequence = 1; sequence <= 3; ++sequence) {
    ASSERT_TRUE(store_->Apply(EndOf(sequence, Final::kRemoved)).ok());
  }
  const auto untold = store_->Untold(2);
  ASSERT_THAT(*untold, SizeIs(2));
  EXPECT_LT((*untold)[0].number, (*untold)[1].number);
  ASSERT_TRUE(store_->MarkTold((*untold)[1].number).ok());
  EXPECT_THAT(*store_->Untold(10), SizeIs(1));
  EXPECT_EQ(store_->MarkTold(99).code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(store_->Keep(kStoreTestNow, 10).ok());
  ASSERT_TRUE(Crash().ok());
  EXPECT_THAT(*store_->Untold(10), SizeIs(1));
  ASSERT_TRUE(store_->MarkTold(3).ok());
  ASSERT_TRUE(Close().ok());
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(*store_->Untold(10), IsEmpty());
}

TEST_F(MessageStoreTest, ALongReasonIsCutBetweenCharacters) {
  ASSERT_TRUE(Open().ok());
  const int64_t sequence = Accept(NewLetter("a"));
  ASSERT_TRUE(
      store_->Apply(EndOf(sequence, Final::kRemoved, std::string(1023, 'x') + "\u00e9\u00e9"))
          .ok());
  EXPECT_EQ((*store_->FindEnded("a"))->reason, std::string(1023, 'x'));
}

TEST_F(MessageStoreTest, WhatIsHeldInACrashSetComesBackAndOnlyAsItself) {
  ASSERT_TRUE(Open().ok());
  queue::Message letter = NewLetter("a");
  letter.set_submission_key("key");
  ASSERT_TRUE(store_->Apply(EndOf(Accept(letter), Final::kHeldInSet, "web1-set")).ok());
  queue::Message other = letter;
  other.set_mid("b");
  EXPECT_EQ(Refusal(PutOf(other, "remote/ops")).code(), StatusCode::kAlreadyExists);
  other.set_origin_mid("b");
  EXPECT_EQ(Refusal(PutOf(other, "remote/ops")).code(), StatusCode::kAlreadyExists);
  const int64_t again = Accept(letter);
  EXPECT_FALSE((*store_->FindEnded("a")).has_value());
  ASSERT_TRUE(store_->Apply(EndOf(again, Final::kDone)).ok());
  EXPECT_EQ((*store_->FindEnded("a"))->final, Final::kDone);
  EXPECT_EQ(Refusal(PutOf(letter, "remote/ops")).code(), StatusCode::kAlreadyExists);
  VerifyReport report;
  store_.reset();
  EXPECT_TRUE(VerifyMessages(path_, report).ok()) << report.problems[0];
}

TEST_F(MessageStoreTest, ADeadMessageComesBackAsANewOneOfTheSameKeyInOneTransaction) {
  ASSERT_TRUE(Open().ok());
  queue::Message letter = NewLetter("a");
  letter.set_submission_key("key");
  const int64_t sequence = Accept(letter);
  queue::Message dead = letter;
  dead.mutable_dead()->set_dmid("WEB1-1");
  dead.mutable_dead()->set_former_queue("remote/ops");
  dead.mutable_dead()->set_reason("expired");
  ASSERT_TRUE(
      store_->Apply(UpdateOf({.sequence = sequence, .message = dead, .queue = "dead"})).ok());
  letter.set_mid("b");
  Changes changes = PutOf(letter, "remote/ops");
  changes.ends = EndOf(sequence, Final::kReregistered).ends;
  ASSERT_TRUE(store_->Apply(changes).ok());
  EXPECT_THAT(Mids(""), ElementsAre("b"));
  EXPECT_EQ((*store_->FindEnded("a"))->final, Final::kReregistered);
  EXPECT_EQ((*store_->FindOrigin("web1", "a"))->message.mid(), "b");
  EXPECT_EQ(**store_->FindKey("key"), "b");
}

TEST_F(MessageStoreTest, NoMidIsGivenTwiceThoughTheClockStandsStillAndAllDies) {
  std::set<std::string> mids;
  for (int life = 0; life < 4; ++life) {
    ASSERT_TRUE(Open().ok());
    for (int i = 0; i < 5'000; ++i) {
      EXPECT_TRUE(mids.insert(store_->NewMid(kStoreTestNow)).second);
      EXPECT_TRUE(mids.insert(store_->NewDmid(kStoreTestNow)).second);
    }
    if (life == 1) {
      ASSERT_TRUE(Close().ok());
    }
  }
}

TEST_F(MessageStoreTest, AMidNamesServerTimeAndCounter) {
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(store_->NewMid(kStoreTestNow), testing::MatchesRegex("web1-01a3185c5000-[0-9a-f]+"));
  EXPECT_THAT(store_->NewDmid(kStoreTestNow), testing::MatchesRegex("WEB1-01A3185C5000-[0-9A-F]+"));
}

TEST_F(MessageStoreTest, ADmidFitsWhateverTheServerIsCalled) {
  ASSERT_TRUE(Open({.server = "a_server.with-a-name.of-many.letters.example.org"}).ok());
  const std::string first = store_->NewDmid(kStoreTestNow);
  EXPECT_LE(first.size(), 39u);
  EXPECT_THAT(first, testing::MatchesRegex("[-A-Z0-9]+"));
}

TEST_F(MessageStoreTest, AnotherServersFileIsOnlyTakenOverWhenToldTo) {
  FillWith(1);
  ASSERT_TRUE(Close().ok());
  const absl::Status status = Open({.server = "web2"});
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("web1"));
  ASSERT_TRUE(Open({.server = "web2", .take_over = true}).ok());
  EXPECT_THAT(Mids(""), SizeIs(1));
  ASSERT_TRUE(Close().ok());
  EXPECT_TRUE(Open({.server = "web2"}).ok());
  EXPECT_EQ(Open({.server = "web1"}).code(), StatusCode::kFailedPrecondition);
}

TEST_F(MessageStoreTest, ReadOnlySeesWhatTheLogHoldsAndChangesNothing) {
  FillWith(3);
  store_.reset();
  const StoreFiles before = StoreFiles::Of(path_);
  ASSERT_TRUE(Open({.read_only = true}).ok());
  EXPECT_TRUE(store_->was_dirty());
  EXPECT_THAT(Mids("remote/ops"), SizeIs(3));
  EXPECT_EQ(Refusal(PutOf(NewLetter("x"), "inbox")).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_->Keep(kStoreTestNow, 1).code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Close().ok());
  EXPECT_TRUE(StoreFiles::Of(path_) == before);
  EXPECT_FALSE(std::filesystem::exists(path_ + "-shm"));
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Close().ok());
  std::filesystem::remove(path_ + "-wal");
  ASSERT_TRUE(Open({.read_only = true}).ok());
  EXPECT_THAT(Mids("remote/ops"), SizeIs(3));
  EXPECT_FALSE(std::filesystem::exists(path_ + "-wal"));
}

TEST_F(MessageStoreTest, ReadOnlyLeavesALogWithoutAFrameThere) {
  ASSERT_TRUE(Open().ok());
  store_.reset();
  ASSERT_TRUE(Open({.read_only = true}).ok());
  store_.reset();
  VerifyReport report;
  EXPECT_TRUE(VerifyMessages(path_, report).ok());
  EXPECT_TRUE(std::filesystem::exists(path_ + "-wal"));
  EXPECT_TRUE(Open().ok());
}

TEST_F(MessageStoreTest, ReadOnlyOfWhatIsNotThereIsNotFound) {
  EXPECT_EQ(Open({.read_only = true}).code(), StatusCode::kNotFound);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(MessageStoreTest, AFileThatAnotherProcessHasOpenIsSaidToBeSo) {
  FillWith(1);
  ASSERT_TRUE(Close().ok());
  int ready[2], over[2];
  ASSERT_TRUE(pipe(ready) == 0 && pipe(over) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const bool opened = Open().ok();
    char byte = opened ? 'y' : 'n';
    if (write(ready[1], &byte, 1) != 1 || read(over[0], &byte, 1) != 1) _exit(1);
    _exit(0);
  }
  char byte = 'n';
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_EQ(Open().code(), StatusCode::kUnavailable);
  EXPECT_EQ(Open({.read_only = true}).code(), StatusCode::kUnavailable);
  VerifyReport report;
  EXPECT_EQ(VerifyMessages(path_, report).code(), StatusCode::kUnavailable);
  ASSERT_EQ(write(over[1], &byte, 1), 1);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(Open().ok());
}

TEST_F(MessageStoreTest, AFileThatIsMovedAwayWhileItIsOpenTakesNothingMore) {
  FillWith(1);
  std::filesystem::rename(path_, path_ + ".away");
  EXPECT_EQ(Refusal(PutOf(NewLetter("x"), "inbox")).code(), StatusCode::kUnavailable);
}

TEST_F(MessageStoreTest, AFolderThatIsMissingIsNamed) {
  const auto store = MessageStore::Open({.path = folder_ + "/none/queue.db", .server = "web1"});
  EXPECT_EQ(store.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr(folder_ + "/none"));
}

TEST_F(MessageStoreTest, KeepGivesThePagesOfManyMessagesBack) {
  ASSERT_TRUE(Open().ok());
  Changes all;
  for (int i = 0; i < 3'000; ++i) {
    queue::Message letter = NewLetter(absl::StrCat("m", i));
    letter.mutable_letter()->set_message(std::string(2'000, 'x'));
    all.puts.push_back({letter, "remote/ops", false, kStoreTestNow});
  }
  ASSERT_TRUE(store_->Apply(all).ok());
  Changes ends;
  for (int i = 1; i <= 3'000; ++i) ends.ends.push_back({i, Final::kRemoved, "", kStoreTestNow});
  ASSERT_TRUE(store_->Apply(ends).ok());
  ASSERT_TRUE(store_->MarkTold(3'000).ok());
  const int64_t before = store_->bytes();
  for (int minute = 0; minute < 12; ++minute) {
    ASSERT_TRUE(store_->Keep(kStoreTestNow, 1'000).ok());
  }
  EXPECT_LT(store_->bytes(), before - (2 << 20));
  EXPECT_FALSE(store_->FindEnded("m7")->has_value());
  store_.reset();
  VerifyReport report;
  EXPECT_TRUE(VerifyMessages(path_, report).ok());
  EXPECT_EQ(report.ended, 0);
}

}  // namespace
}  // namespace salve

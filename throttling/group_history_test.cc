#include "throttling/group_history.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

// Attempts as they come into etcd: each put gets the next revision.
class GroupHistoryTest : public testing::Test {
 protected:
  struct Put {
    std::string id;
    std::string server = "a";
    absl::Duration age = absl::ZeroDuration();
    absl::Duration timeout = absl::Minutes(2);
    int minutes = -1;
    int day = -1;
    bool checked = true;
  };
  void Reserve(const Put& put) {
    auto& kv = *attempts_.add_kvs();
    kv.set_key(absl::StrCat("/salve/groups/web/attempts/RestartService/nginx/", put.id));
    kv.set_create_revision(++revision_);
    kv.set_mod_revision(revision_);
    group::Attempt value;
    value.set_server(put.server);
    value.set_requester("R");
    *value.mutable_asked() = GroupTimestamp(kNow - put.age);
    *value.mutable_start() = GroupTimestamp(kNow - put.age);
    *value.mutable_deadline() = GroupTimestamp(kNow - put.age + put.timeout);
    if (put.checked) {
      value.mutable_limits()->set_minimum_minutes(put.minutes);
      value.mutable_limits()->set_max_in_a_day(put.day);
    }
    kv.set_value(GroupJson(value));
  }
  etcdserverpb::KeyValue& KeyOf(const std::string& id) {
    for (auto& kv : *attempts_.mutable_kvs()) {
      if (kv.key().substr(kv.key().rfind('/') + 1) == id) return kv;
    }
    ADD_FAILURE() << id;
    return *attempts_.add_kvs();
  }
  void Change(const std::string& id, const std::function<void(group::Attempt&)>& change) {
    auto& kv = KeyOf(id);
    group::Attempt value;
    ASSERT_TRUE(ParseGroupJson(kv.value(), value).ok());
    change(value);
    kv.set_value(GroupJson(value));
    kv.set_mod_revision(++revision_);
  }
  void Finish(const std::string& id, absl::Duration age) {
    Change(id, [&](group::Attempt& value) {
      *value.mutable_end() = GroupTimestamp(kNow - age);
      value.set_result("Succeeded");
      value.set_ran(true);
    });
  }
  void Withdraw(const std::string& id) {
    Change(id, [](group::Attempt& value) { value.set_withdrawn(true); });
  }
  void Finished(const Put& put) {
    Reserve(put);
    Finish(put.id, put.age);
  }
  void Hold(const std::string& id) {
    running_.add_kvs()->set_key("/salve/groups/web/running/RestartService/nginx/" + id);
  }
  GroupHistory Read() const {
    return GroupHistory::Read(RecoveryAction::kRestartService, attempts_, running_, youngest_)
        .value();
  }
  GroupVerdict Judge(int minutes, int day, const std::string& server = "z") const {
    return Read().Judge({server, kNow, {true, -1, -1, -1, minutes, day}});
  }
  // As the server that put `id` was answered, at its own revision or later.
  GroupVerdict JudgeOwn(const std::string& id) {
    const GroupHistory history = Read();
    const GroupHistory::Entry& own = *history.Find(id);
    return history.Judge({own.value.server(),
                          TimeOf(own.value.asked()),
                          {true, -1, -1, -1, own.value.limits().minimum_minutes(),
                           own.value.limits().max_in_a_day()},
                          own.created});
  }

  void CopyYoungest(const std::string& id) {
    group::Youngest copy;
    copy.set_id(id);
    ASSERT_TRUE(ParseGroupJson(KeyOf(id).value(), *copy.mutable_attempt()).ok());
    auto& kv = *youngest_.add_kvs();
    kv.set_key("/salve/groups/web/youngest/RestartService/nginx");
    kv.set_mod_revision(KeyOf(id).mod_revision());
    kv.set_value(GroupJson(copy));
  }

  etcdserverpb::RangeResponse attempts_, running_, youngest_;
  int64_t revision_ = 0;
};

TEST_F(GroupHistoryTest, AnEmptyHistoryPassesAll) {
  EXPECT_TRUE(Judge(60, 1).passed);
  EXPECT_FALSE(Judge(-1, 0).passed);
  EXPECT_EQ(Judge(-1, 0).retry_in, absl::InfiniteDuration());
}

TEST_F(GroupHistoryTest, ExactlyTheMinimumIsEnough) {
  Finished({.id = "1", .age = absl::Minutes(60)});
  EXPECT_TRUE(Judge(60, -1).passed);
  const GroupVerdict verdict = Judge(61, -1);
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kGroupMinimumMinutes));
  EXPECT_EQ(verdict.retry_in, absl::Minutes(1));
  EXPECT_EQ(verdict.most_recent->server, "a");
}

TEST_F(GroupHistoryTest, ADayOldIsOutsideTheDay) {
  Finished({.id = "1", .age = absl::Hours(24)});
  EXPECT_TRUE(Judge(-1, 1).passed);
  Finished({.id = "2", .age = absl::Hours(24) - absl::Milliseconds(1)});
  const GroupVerdict verdict = Judge(-1, 1);
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kGroupMaxInDay));
  EXPECT_EQ(verdict.retry_in, absl::Milliseconds(1));
  EXPECT_EQ(verdict.total_in_day, 1);
  ASSERT_THAT(verdict.explained, SizeIs(1));
  EXPECT_EQ(verdict.explained[0].attempts[0].id, "2");
}

TEST_F(GroupHistoryTest, AnotherServersActionInProgressRefusesUntilItsDeadline) {
  Reserve({.id = "1", .server = "a", .age = absl::Seconds(30)});
  const GroupVerdict verdict = Judge(0, -1);
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kGroupRecoveryInProgress));
  EXPECT_TRUE(verdict.recovery_in_progress);
  EXPECT_EQ(verdict.retry_in, absl::Seconds(90));
  EXPECT_TRUE(Judge(0, -1, "a").passed);  // One's own is the local check's affair.
  Finish("1", absl::Seconds(1));
  EXPECT_TRUE(Judge(0, -1).passed);
}

TEST_F(GroupHistoryTest, ADeadServersSlotIsFreeWhenItsDeadlineIsOverAndItsLeaseHasLapsed) {
  Reserve({.id = "1", .age = absl::Minutes(2)});  // Its deadline is now.
  Hold("1");
  EXPECT_FALSE(Judge(0, -1).passed);
  running_.Clear();
  EXPECT_TRUE(Judge(0, -1).passed);
  EXPECT_EQ(Judge(-1, 5).total_in_day, 1);  // It stays counted.
  attempts_.Clear();
  Reserve({.id = "2", .age = absl::Minutes(2) - absl::Milliseconds(1)});
  EXPECT_FALSE(Judge(0, -1).passed);  // The lease alone frees nothing before the deadline.
}

TEST_F(GroupHistoryTest, OfManyAtOnceTheFirstIsAllowedAndNoRefusedOneCounts) {
  for (int i = 1; i <= 5; ++i) {
    Reserve({.id = absl::StrCat(i), .server = absl::StrCat("s", i), .day = 1});
  }
  EXPECT_TRUE(JudgeOwn("1").passed);
  for (int i = 2; i <= 5; ++i) {
    const GroupVerdict verdict = JudgeOwn(absl::StrCat(i));
    EXPECT_THAT(verdict.failed,
                ElementsAre(Check::kGroupMaxInDay, Check::kGroupRecoveryInProgress));
    EXPECT_EQ(verdict.total_in_day, 1);  // Not the four that were refused.
  }
}

TEST_F(GroupHistoryTest, AVerdictIsTheSameHoweverLateItIsRead) {
  Reserve({.id = "1", .server = "a", .age = absl::Minutes(10), .minutes = 0});
  Reserve({.id = "2", .server = "b", .age = absl::Minutes(9), .minutes = 0});  // 1 is running.
  EXPECT_FALSE(JudgeOwn("2").passed);
  // Its asker crashed before it withdrew; 1 ends. 2 was refused then and counts never.
  Finish("1", absl::Minutes(9) - absl::Seconds(30));
  EXPECT_FALSE(JudgeOwn("2").passed);
  EXPECT_EQ(Judge(-1, 5).total_in_day, 1);
  EXPECT_TRUE(Judge(5, -1).passed);
}

TEST_F(GroupHistoryTest, WhatCameLaterDoesNotCountAgainstAnEarlierOne) {
  Reserve({.id = "1", .server = "a", .day = 1});
  Reserve({.id = "2", .server = "b", .day = 9});
  EXPECT_TRUE(JudgeOwn("1").passed);
}

TEST_F(GroupHistoryTest, ARefusedOneThatAnEarlierLifeLeftNeverCountsNorChangesAVerdict) {
  Finished({.id = "1", .server = "a", .age = absl::Minutes(5)});
  Reserve({.id = "2", .server = "b", .day = 1});  // Refused; its agent dies.
  Reserve({.id = "3", .server = "c", .day = 2});
  EXPECT_TRUE(JudgeOwn("3").passed);
  Change("2", [](group::Attempt& value) { *value.mutable_end() = GroupTimestamp(kNow); });
  EXPECT_TRUE(JudgeOwn("3").passed);
  EXPECT_EQ(Judge(-1, 9).total_in_day, 2);
}

TEST_F(GroupHistoryTest, AWithdrawnOneCountsNothing) {
  Reserve({.id = "1", .day = 1});
  Withdraw("1");
  EXPECT_TRUE(Judge(60, 1).passed);
}

// The model found it: two servers acted at once, because one that was refused while an attempt
// stood was judged anew when that was taken back.
TEST_F(GroupHistoryTest, AVerdictStaysWhenWhatItSawIsTakenBack) {
  Reserve({.id = "1", .server = "a", .day = 2});  // Runs, for all that is known.
  Reserve({.id = "2", .server = "b", .day = 2});
  EXPECT_FALSE(JudgeOwn("2").passed);
  Withdraw("1");
  EXPECT_FALSE(JudgeOwn("2").passed);
  Reserve({.id = "3", .server = "c", .day = 2});  // Came later: sees neither.
  EXPECT_TRUE(JudgeOwn("3").passed);
  EXPECT_EQ(JudgeOwn("3").total_in_day, 0);
}

TEST_F(GroupHistoryTest, AMarkThatCameBeforeItsAttemptNeverCounted) {
  Reserve({.id = "1", .server = "a", .day = 1});
  Withdraw("1");
  KeyOf("1").set_create_revision(revision_);
  Reserve({.id = "2", .server = "b", .day = 1});
  EXPECT_TRUE(JudgeOwn("2").passed);
}

TEST_F(GroupHistoryTest, AnUncheckedOneCounts) {
  Reserve({.id = "1", .checked = false});
  EXPECT_FALSE(Judge(-1, 1, "a").passed);
}

TEST_F(GroupHistoryTest, ACopyOfTheYoungestStandsForItWhenItsOwnKeyIsGone) {
  Finished({.id = "1", .age = absl::Hours(26), .checked = false});
  CopyYoungest("1");
  EXPECT_EQ(Read().Counting().size(), 1);  // Its own key is there: counted once.
  attempts_.Clear();
  const GroupVerdict verdict = Judge(60 * 27, 1);
  EXPECT_THAT(verdict.failed, ElementsAre(Check::kGroupMinimumMinutes));
  EXPECT_EQ(verdict.total_in_day, 0);
  ASSERT_TRUE(verdict.most_recent.has_value());
  EXPECT_EQ(verdict.most_recent->id, "1");
  EXPECT_EQ(verdict.most_recent->state, AttemptState::kFinished);
  EXPECT_THAT(Read().Stale(kNow + absl::Hours(1000)), IsEmpty());
}

TEST_F(GroupHistoryTest, ACopyThatCannotBeReadIsAnErrorThatNamesItsKey) {
  Reserve({.id = "1"});
  CopyYoungest("1");
  youngest_.mutable_kvs(0)->set_value("{oops");
  const auto history =
      GroupHistory::Read(RecoveryAction::kRestartService, attempts_, running_, youngest_);
  EXPECT_EQ(history.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(history.status().message()), HasSubstr("/youngest/RestartService/nginx"));
}

TEST_F(GroupHistoryTest, TheFuturesAgeIsZero) {
  Finished({.id = "1", .age = -absl::Minutes(5)});
  EXPECT_FALSE(Judge(60, -1).passed);
  EXPECT_FALSE(Judge(-1, 1).passed);
}

TEST_F(GroupHistoryTest, AValueThatCannotBeReadIsAnErrorThatNamesItsKey) {
  Reserve({.id = "1"});
  KeyOf("1").set_value("{oops");
  const auto history =
      GroupHistory::Read(RecoveryAction::kRestartService, attempts_, running_, youngest_);
  EXPECT_EQ(history.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(history.status().message()), HasSubstr("/RestartService/nginx/1"));
}

TEST_F(GroupHistoryTest, PrunesTheOldButNeverTheYoungest) {
  const absl::Duration old = absl::Hours(24) + absl::Minutes(11);
  Finished({.id = "1", .age = old + absl::Hours(1)});
  Finished({.id = "2", .age = old});
  EXPECT_THAT(Read().Stale(kNow), ElementsAre(KeyOf("1").key()));
  Finished({.id = "3", .age = absl::Hours(1), .minutes = 60 * 48});  // Its own limit needs them.
  EXPECT_THAT(Read().Stale(kNow), IsEmpty());
}

TEST_F(GroupHistoryTest, ARefusedOneIsPrunedBeforeWhatRefusedIt) {
  const absl::Duration old = absl::Hours(24) + absl::Minutes(11);
  Finished({.id = "1", .age = old});
  Reserve({.id = "2", .server = "b", .age = absl::Minutes(2), .day = 0});
  Finished({.id = "3", .age = absl::ZeroDuration()});
  EXPECT_THAT(Read().Stale(kNow), IsEmpty());
  EXPECT_THAT(Read().Stale(kNow + absl::Milliseconds(1)),
              ElementsAre(KeyOf("2").key(), KeyOf("1").key()));
}

TEST_F(GroupHistoryTest, AWithdrawnOneIsKeptUntilNoPacketCanBringItBack) {
  Reserve({.id = "1", .age = absl::Minutes(10)});
  Withdraw("1");
  EXPECT_THAT(Read().Stale(kNow), IsEmpty());
  EXPECT_THAT(Read().Stale(kNow + absl::Milliseconds(1)), SizeIs(1));
}

TEST(GroupKeysTest, AreReadableAndKeepNamesApart) {
  const GroupKeys keys("/salve", "web");
  EXPECT_EQ(keys.attempts(RecoveryAction::kRestartService, "Nginx.service"),
            "/salve/groups/web/attempts/RestartService/nginx.service/");
  EXPECT_EQ(keys.running(RecoveryAction::kRunCommand, "/usr/bin/a b"),
            "/salve/groups/web/running/RunCommand/%2Fusr%2Fbin%2Fa%20b/");
  EXPECT_EQ(keys.healthy("a/b"), "/salve/groups/web/healthy/a%2Fb");
  EXPECT_EQ(keys.youngest(RecoveryAction::kRebootServer, "web1"),
            "/salve/groups/web/youngest/RebootServer/*");
  EXPECT_EQ(keys.attempts(RecoveryAction::kRebootServer, "web1"),
            "/salve/groups/web/attempts/RebootServer/*/");
  EXPECT_EQ(UnescapeKeyPart(EscapeKeyPart("50%/\n\xff")), "50%/\n\xff");
  EXPECT_EQ(keys.AttemptOfRunning(keys.running(RecoveryAction::kRunCommand, "x") + "id"),
            keys.attempts(RecoveryAction::kRunCommand, "x") + "id");
}

}  // namespace
}  // namespace salve

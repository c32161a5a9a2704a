#include "queue/hold.h"

#include "gmock/gmock.h"
#include "queue/store_fixture.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class HoldTest : public StoreFixture {
 protected:
  void SetUp() override { ASSERT_TRUE(Open().ok()); }

  void Hold(const std::string& set) {
    const auto step = HoldAll(*store_, set, kStoreTestNow);
    ASSERT_TRUE(step.ok()) << step.status();
    const absl::Status applied = store_->Apply(step->changes).status();
    ASSERT_TRUE(applied.ok()) << applied;
  }
  // How many leave with the next page.
  size_t Release() {
    const auto step = ReleaseHeld(*store_, kStoreTestNow);
    EXPECT_TRUE(step.ok()) << step.status();
    const absl::Status applied = store_->Apply(step->changes).status();
    EXPECT_TRUE(applied.ok()) << applied;
    return step->leaving.size();
  }
  void AcceptMany(int count, const std::string& queue) {
    Changes changes;
    changes.now = kStoreTestNow;
    for (int i = 0; i < count; ++i) {
      changes.puts.push_back(
          {NewLetter(store_->NewMid(kStoreTestNow)), queue, false, kStoreTestNow});
    }
    ASSERT_TRUE(store_->Apply(changes).ok());
  }
  // "NAME MESSAGES", and whether it is suspended.
  std::vector<std::string> Queues() {
    std::vector<std::string> lines;
    for (const QueueRow& row : store_->Queues()) {
      lines.push_back(absl::StrCat(row.name, " ", row.messages, row.suspended ? " suspended" : ""));
    }
    return lines;
  }
};

TEST_F(HoldTest, ABugAHoldTookAsLongAsTheQueueWasLarge) {
  AcceptMany(2'000, "remote/ops");
  Accept(NewAction("a"), "local/nginx.service");
  const int64_t commits = store_->commits();
  Hold("set-1");
  EXPECT_EQ(store_->commits(), commits + 1);
  EXPECT_THAT(Queues(),
              ElementsAre("held/set-1/local/nginx.service 1", "held/set-1/remote/ops 2000"));
  EXPECT_TRUE(HasHeld(store_->Queues()));
}

TEST_F(HoldTest, PageByPageTheyEndInTheSetAlsoWhenKilledInBetween) {
  AcceptMany(600, "remote/ops");
  const std::string mid = Mids("remote/ops").back();
  Hold("set-1");
  EXPECT_EQ(Release(), 500u);
  ASSERT_TRUE(Crash().ok());
  EXPECT_EQ(Release(), 100u);
  EXPECT_EQ(Release(), 0u);
  EXPECT_FALSE(HasHeld(store_->Queues()));
  const auto ended = store_->FindEnded(mid);
  ASSERT_TRUE(ended.ok() && ended->has_value());
  EXPECT_EQ((*ended)->final, Final::kHeldInSet);
  EXPECT_EQ((*ended)->reason, "set-1");
  EXPECT_EQ((*ended)->queue, "remote/ops");
}

TEST_F(HoldTest, WhatIsAcceptedAfterwardsIsNotHeld) {
  AcceptMany(1, "remote/ops");
  Hold("set-1");
  Accept(NewLetter("new"));
  EXPECT_EQ(Release(), 1u);
  EXPECT_EQ(Release(), 0u);
  EXPECT_THAT(Mids("remote/ops"), ElementsAre("new"));
}

TEST_F(HoldTest, WhatIsNotOnItsWayStays) {
  queue::Message homeless = NewLetter("homeless");
  homeless.set_unreachable_reason("no-destination:ops");
  Accept(std::move(homeless), "unreachable");
  Accept(NewLetter("received"), "inbox");
  Accept(NewLetter("bad"));
  const int64_t bad = store_->Find("bad")->sequence;
  ASSERT_TRUE(
      store_->Apply(UpdateOf({.sequence = bad, .queue = "poison", .suspended = true})).ok());
  Hold("set-1");
  EXPECT_THAT(Queues(), ElementsAre("inbox 1", "poison 1", "unreachable 1"));
}

TEST_F(HoldTest, WhatWasInFlightLeavesAtOnce) {
  const int64_t sequence = Accept(NewLetter("a"));
  ASSERT_TRUE(store_->Apply(UpdateOf({.sequence = sequence, .delivering = true})).ok());
  Hold("set-1");
  EXPECT_THAT(*store_->Delivering(), IsEmpty());
  EXPECT_EQ((*store_->FindEnded("a"))->final, Final::kHeldInSet);
}

TEST_F(HoldTest, AQueueThatAPersonSuspendedStaysSuspended) {
  AcceptMany(1, "remote/ops");
  Changes suspend;
  suspend.suspend_queues.emplace_back("remote/ops", true);
  ASSERT_TRUE(store_->Apply(suspend).ok());
  Hold("set-1");
  EXPECT_THAT(Queues(), ElementsAre("held/set-1/remote/ops 1", "remote/ops 0 suspended"));
}

TEST_F(HoldTest, WithoutASetTheyComeBackSuspendedAlsoAfterASecondCrash) {
  AcceptMany(600, "remote/ops");
  Hold("");
  EXPECT_EQ(Release(), 500u);
  ASSERT_TRUE(Crash().ok());
  AcceptMany(1, "remote/ops");
  Hold("");
  while (Release() > 0) {
  }
  EXPECT_THAT(Queues(), ElementsAre("remote/ops 601"));
  EXPECT_THAT(*store_->Unsuspended("remote/ops", 1), IsEmpty());
}

TEST_F(HoldTest, TheFileIsWholeInBetween) {
  AcceptMany(600, "remote/ops");
  Hold("set-1");
  Release();
  ASSERT_TRUE(Close().ok());
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(*store_->List("held/set-1/remote/ops", 1'000), SizeIs(100));
}

TEST_F(HoldTest, OnlyOneNameIsGivenToOneQueue) {
  AcceptMany(1, "remote/ops");
  const auto rename = [](const std::string& from, const std::string& to) {
    Changes changes;
    changes.rename_queues.emplace_back(from, to);
    return changes;
  };
  EXPECT_TRUE(absl::IsNotFound(Refusal(rename("remote/none", "held/s/remote/none"))));
  EXPECT_TRUE(absl::IsFailedPrecondition(Refusal(rename("remote/ops", "remote/other"))));
  Hold("set-1");
  AcceptMany(1, "remote/ops");
  EXPECT_TRUE(absl::IsFailedPrecondition(Refusal(rename("remote/ops", "held/set-1/remote/ops"))));
  EXPECT_THAT(Queues(), ElementsAre("held/set-1/remote/ops 1", "remote/ops 1"));
}

}  // namespace
}  // namespace salve

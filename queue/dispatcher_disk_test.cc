// The dispatcher on a disk that fails: nothing that was accepted is lost, and what was delivered is
// not delivered again because its end could not be written.
#include <sqlite3.h>

#include "queue/dispatcher_fixture.h"
#include "queue/failing_disk.h"

namespace salve {
namespace {

class DiskTest : public ::testing::Test {
 protected:
  void SetUp() override { server_.Boot(); }

  FailingDisk disk_;
  SimulatedLoop loop_;
  QueueServer server_{loop_};
};

class DiskAcceptTest : public DiskTest, public ::testing::WithParamInterface<int> {};

TEST_P(DiskAcceptTest, WhatCannotBeKeptIsNotAcceptedAndLaterItIs) {
  disk_.FailAfter(0, GetParam());
  std::string why;
  // On a full disk own messages have the reserve first.
  for (int i = 0; i < 100'000 && why.empty(); ++i) {
    why = std::string(server_.Accept(QueueServer::LetterTo("nobody", "a")).status().message());
    if (GetParam() == SQLITE_IOERR) break;
  }
  EXPECT_NE(why, "");
  EXPECT_NE(server_.dispatcher->trouble(), "");
  EXPECT_FALSE(server_.events.Of(40017).empty());
  disk_.Heal();
  loop_.RunFor(absl::Minutes(2));
  const std::string mid = server_.Send("ops", "b");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
  EXPECT_EQ(server_.dispatcher->trouble(), "");
}

TEST_F(DiskTest, AnEndThatCannotBeKeptIsKeptLaterAndNotDeliveredTwice) {
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kDelivered, "", absl::Seconds(10));
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(5));
  disk_.FailAfter(0, SQLITE_IOERR);
  loop_.RunFor(absl::Minutes(1));
  EXPECT_TRUE(server_.EndsOf(mid).empty());
  disk_.Heal();
  loop_.RunFor(absl::Seconds(20));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
  EXPECT_EQ(server_.letters.taken[mid], 1);
  EXPECT_EQ(server_.EndsOf(mid), std::vector<int>{40002});
}

TEST_F(DiskTest, NothingIsDeliveredThatCannotBeMarkedInFlight) {
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kFailedOn, "451");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  disk_.FailAfter(0, SQLITE_IOERR);
  loop_.RunFor(absl::Minutes(3));
  EXPECT_EQ(server_.letters.attempts.size(), 1u);
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kDelivered);
  disk_.Heal();
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
}

TEST_F(DiskTest, StopEndsAtItsDeadlineThoughTheEndCannotBeKept) {
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kDelivered, "", absl::Seconds(5));
  const std::string mid = server_.Send("ops", "a");
  disk_.FailAfter(0, SQLITE_IOERR);
  bool stopped = false;
  server_.dispatcher->Stop(loop_.Now() + absl::Seconds(30), [&] { stopped = true; });
  loop_.RunFor(absl::Seconds(29));
  EXPECT_FALSE(stopped);
  loop_.RunFor(absl::Seconds(2));
  EXPECT_TRUE(stopped);
  server_.Crash();
  disk_.Heal();
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kDelivered);
  server_.Boot();
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
}

INSTANTIATE_TEST_SUITE_P(Codes, DiskAcceptTest, ::testing::Values(SQLITE_IOERR, SQLITE_FULL));

}  // namespace
}  // namespace salve

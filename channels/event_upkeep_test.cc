#include "channels/event_upkeep.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "channels/retention.h"
#include "channels/test_events.h"

namespace salve {
namespace {

TEST(RetentionTest, HasABoundForEveryChannel) {
  const RetentionTable table = DefaultRetention();
  for (int channel = v1::Channel_MIN + 1; channel <= v1::Channel_MAX; ++channel) {
    ASSERT_TRUE(table.contains(static_cast<v1::Channel>(channel))) << channel;
  }
  EXPECT_EQ(table.at(v1::ProbeResult).age, absl::Hours(168));
  EXPECT_EQ(table.at(v1::ProbeResult).bytes, 64u << 20);
  EXPECT_EQ(table.at(v1::Agent).age, absl::Hours(2160));
}

class EventUpkeepTest : public testing::Test {
 protected:
  EventUpkeepTest() : database_(*EventDatabase::Open(path_)), upkeep_(*database_) {}

  void Keep(ChannelRetention bound) {
    RetentionTable table;
    for (const v1::Channel channel : {v1::ProbeResult, v1::ProbeDefinition, v1::Agent}) {
      table[channel] = bound;
    }
    ASSERT_TRUE(upkeep_.SetRetention(table).ok());
  }
  void Write(v1::Event event, int count = 1) {
    std::vector<QueuedEvent> events;
    for (int i = 0; i < count; ++i) {
      event.set_record_id(next_id_++);
      events.push_back({.event = std::make_shared<const v1::Event>(At(now_, event))});
    }
    ASSERT_TRUE(database_->Write(events, false).ok());
  }
  // Steps until there is no more to do; returns how many.
  int Run(int steps_max = 1'000) {
    for (int steps = 1; steps <= steps_max; ++steps) {
      const absl::StatusOr<bool> more = upkeep_.Step(now_);
      EXPECT_TRUE(more.ok()) << more.status();
      if (!more.ok() || !*more) return steps;
    }
    return steps_max;
  }
  int64_t Ask(const std::string& sql) {
    auto connection = SqliteConnection::Open(path_, SqliteConnection::Mode::kReadOnly);
    return *(*connection)->QueryInteger(sql);
  }
  int64_t Rows() { return Ask("SELECT count(*) FROM events"); }

  static constexpr uint64_t kMuch = 1u << 30;
  TestFolder folder_;
  const std::string path_ = folder_.path("events.db");
  std::unique_ptr<EventDatabase> database_;
  EventUpkeep upkeep_;
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  uint64_t next_id_ = 1;
};

TEST_F(EventUpkeepTest, DeletesWhatIsOlderThanTheAge) {
  Keep({.age = absl::Hours(1), .bytes = kMuch});
  Write(ProbeEvent());
  now_ += absl::Hours(1);
  Run();
  EXPECT_EQ(Rows(), 1) << "exactly as old as the age";
  now_ += absl::Nanoseconds(1);
  Run();
  EXPECT_EQ(Rows(), 0);
  EXPECT_EQ(database_->sizes().at(v1::ProbeResult).bytes, 0);
}

TEST_F(EventUpkeepTest, DeletesTheOldestBeyondTheBytes) {
  Write(ProbeEvent(1), 10);
  Write(ProbeEvent(2), 10);
  const uint64_t bytes = database_->sizes().at(v1::ProbeResult).bytes;
  Keep({.age = absl::Hours(1), .bytes = bytes});
  EXPECT_FALSE(upkeep_.over_bytes());
  Run();
  EXPECT_EQ(Rows(), 20) << "just within";
  Keep({.age = absl::Hours(1), .bytes = bytes - 1});
  EXPECT_TRUE(upkeep_.over_bytes());
  Run();
  EXPECT_EQ(Rows(), 19);
  EXPECT_EQ(Ask("SELECT min(record_id) FROM events"), 2);
}

TEST_F(EventUpkeepTest, AStepDeletesAThousandRowsAtMost) {
  Write(ProbeEvent(), 2'500);
  Keep({.age = absl::Hours(1), .bytes = kMuch});
  now_ += absl::Hours(2);
  ASSERT_TRUE(upkeep_.Step(now_).ok());
  EXPECT_EQ(Rows(), 1'500);
  Run();
  EXPECT_EQ(Rows(), 0);
}

TEST_F(EventUpkeepTest, TheNewestDefinitionOfEachItemStaysWhateverItsAge) {
  Write(EventOf(v1::ProbeDefinition, 1, "A"), 2);
  Write(EventOf(v1::ProbeDefinition, 1, "B"));
  Write(EventOf(v1::Agent, 1, "A"));
  Keep({.age = absl::Hours(1), .bytes = kMuch});
  now_ += absl::Hours(2);
  Run();
  EXPECT_EQ(Rows(), 2);
  EXPECT_EQ(Ask("SELECT min(record_id) FROM events"), 2);
  EXPECT_EQ(Ask("SELECT max(record_id) FROM events"), 3);
}

TEST_F(EventUpkeepTest, GetsPastMoreKeptDefinitionsThanOneStepLooksAt) {
  for (int i = 0; i < 1'100; ++i) Write(EventOf(v1::ProbeDefinition, 1, std::to_string(i)));
  Write(EventOf(v1::ProbeDefinition, 1, "last"), 2);
  Keep({.age = absl::Hours(1), .bytes = kMuch});
  now_ += absl::Hours(2);
  EXPECT_LE(Run(), 3);
  EXPECT_EQ(Rows(), 1'101);
}

TEST_F(EventUpkeepTest, BytesAreKeptToEvenWhenOnlyNewestDefinitionsAreLeft) {
  for (int i = 0; i < 10; ++i) Write(EventOf(v1::ProbeDefinition, 1, std::to_string(i)));
  const uint64_t bytes = database_->sizes().at(v1::ProbeDefinition).bytes;
  Keep({.age = absl::Hours(1), .bytes = bytes / 2});
  EXPECT_LT(Run(), 10);
  EXPECT_EQ(Rows(), 5);
  EXPECT_EQ(Ask("SELECT min(record_id) FROM events"), 6);
}

TEST_F(EventUpkeepTest, OlderDefinitionsGoBeforeTheNewestOfAnItem) {
  Write(EventOf(v1::ProbeDefinition, 1, "Still"));
  Write(EventOf(v1::ProbeDefinition, 1, "Other"), 9);
  const uint64_t bytes = database_->sizes().at(v1::ProbeDefinition).bytes;
  Keep({.age = absl::Hours(1), .bytes = bytes / 2});
  Run();
  EXPECT_EQ(Rows(), 5);
  EXPECT_EQ(Ask("SELECT min(record_id) FROM events"), 1);
}

TEST_F(EventUpkeepTest, ARingStaysAsLongAsItIs) {
  Write(ProbeEvent(), 1'000);
  Keep({.age = absl::Hours(1),
        .bytes = static_cast<uint64_t>(database_->sizes().at(v1::ProbeResult).bytes)});
  const auto round = [&] {
    Write(ProbeEvent(), 1'000);
    Run();
    return Ask("PRAGMA page_count");
  };
  for (int i = 0; i < 5; ++i) round();
  const int64_t pages = Ask("PRAGMA page_count");
  int64_t most = 0;
  for (int i = 0; i < 30; ++i) most = std::max(most, round());
  EXPECT_NEAR(Rows(), 1'000, 20) << "later ids take a little more room";
  EXPECT_LE(most, pages + pages / 10);
}

TEST_F(EventUpkeepTest, ALoweredBoundGivesPagesBackInSmallSteps) {
  Keep({.age = absl::Hours(1), .bytes = kMuch});
  Write(ProbeEvent(1, "Ping", std::string(1'000, 'x')), 2'000);
  const int64_t pages = Ask("PRAGMA page_count");
  Keep({.age = absl::Hours(1), .bytes = 100'000});
  const int steps = Run();
  EXPECT_GE(steps, pages / 64 / 2) << "not all at once";
  EXPECT_LT(Ask("PRAGMA page_count"), pages / 4);
}

TEST_F(EventUpkeepTest, WithoutALoweredBoundPagesAreKeptForUseAgain) {
  Keep({.age = absl::Hours(1), .bytes = kMuch});
  Write(ProbeEvent(1, "Ping", std::string(1'000, 'x')), 1'000);
  const int64_t pages = Ask("PRAGMA page_count");
  now_ += absl::Hours(2);
  Run();
  EXPECT_EQ(Rows(), 0);
  EXPECT_EQ(Ask("PRAGMA page_count"), pages);
}

TEST_F(EventUpkeepTest, ABoundLoweredWhileTheFileWasClosedGivesPagesBack) {
  Keep({.age = absl::Hours(2), .bytes = kMuch});
  Write(ProbeEvent(1, "Ping", std::string(1'000, 'x')), 1'000);
  const int64_t pages = Ask("PRAGMA page_count");
  auto database = EventDatabase::Open(path_);
  ASSERT_TRUE(database.ok());
  EventUpkeep upkeep(**database);
  ASSERT_TRUE(upkeep.SetRetention({{v1::ProbeResult, {absl::Hours(1), kMuch}}}).ok());
  now_ += absl::Hours(2);
  for (int i = 0; i < 1'000 && *upkeep.Step(now_); ++i) {
  }
  EXPECT_LT(Ask("PRAGMA page_count"), pages / 4);
}

TEST_F(EventUpkeepTest, ForgetsBlocksAndItemsThatNoEventNeeds) {
  Keep({.age = absl::Hours(1), .bytes = kMuch});
  Write(EventOf(v1::Agent, 1, "Old"));
  next_id_ = 2 * kRecordsPerBlock;
  now_ += absl::Hours(2);
  Write(EventOf(v1::Agent, 1, "New"));
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(upkeep_.Step(now_).ok());
  EXPECT_EQ(Ask("SELECT count(*) FROM blocks"), 1);
  EXPECT_EQ(Ask("SELECT count(*) FROM items"), 1);
  Write(EventOf(v1::Agent, 1, "Old"));
  EXPECT_EQ(Ask("SELECT count(*) FROM events JOIN items ON item = items.id"), 2)
      << "an item that comes back is known again";
}

}  // namespace
}  // namespace salve

#include "channels/event_store.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "channels/event_query.h"
#include "channels/test_events.h"

namespace salve {
namespace {

constexpr absl::Duration kLong = absl::Seconds(30);

class EventStoreTest : public testing::Test {
 protected:
  EventStoreOptions Options() {
    EventStoreOptions options;
    options.path = folder_.path("events.db");
    options.server = "web-1";
    options.clock = &clock_;
    options.reserve_record_ids = [this](uint64_t high_water) { reserved_ = high_water; };
    return options;
  }
  std::unique_ptr<EventStore> Open(EventStoreOptions options) {
    absl::StatusOr<std::unique_ptr<EventStore>> store = EventStore::Open(std::move(options));
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  absl::Status Flush(EventStore& store) { return store.Flush(clock_.Now() + kLong); }
  static std::vector<v1::Event> Query(EventStore& store, v1::QueryEventsRequest request = {}) {
    absl::StatusOr<std::vector<v1::Event>> events = EventReader(store).Query(request);
    EXPECT_TRUE(events.ok()) << events.status();
    return events.ok() ? *std::move(events) : std::vector<v1::Event>();
  }

  TestFolder folder_;
  SystemClock clock_;
  uint64_t reserved_ = 0;
};

TEST_F(EventStoreTest, FillsInTheEnvelopeAndGivesRisingIds) {
  auto store = Open(Options());
  const absl::Time before = clock_.WallNow();
  EXPECT_EQ(store->Append(ProbeEvent()), 1u);
  EXPECT_EQ(store->Append(ActionEvent(2050)), 2u);
  const std::vector<v1::Event> events = Query(*store);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].record_id(), 1u);
  EXPECT_EQ(events[1].record_id(), 2u);
  EXPECT_EQ(events[0].server(), "web-1");
  EXPECT_GE(events[0].time().seconds(), absl::ToUnixSeconds(before));
}

TEST_F(EventStoreTest, KeepsEventsOverACleanEnd) {
  {
    auto store = Open(Options());
    store->Append(ProbeEvent());
    store->Append(AgentEvent("one"));
  }
  EXPECT_EQ(reserved_, 3u) << "a clean end gives the exact next id";
  EventStoreOptions options = Options();
  options.next_record_id = reserved_;
  auto store = Open(std::move(options));
  EXPECT_FALSE(store->open_report().damaged);
  EXPECT_EQ(Query(*store).size(), 2u);
  EXPECT_EQ(store->Append(ProbeEvent()), 3u);
}

TEST_F(EventStoreTest, FlushPutsEventsOnDisk) {
  auto store = Open(Options());
  store->Append(ProbeEvent());
  EXPECT_TRUE(Flush(*store).ok());
  EXPECT_TRUE(Flush(*store).ok()) << "also with nothing to write";
  EXPECT_EQ(Query(*store).size(), 1u);
}

}  // namespace
}  // namespace salve

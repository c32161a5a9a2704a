#include "channels/event_store.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "channels/store_fixture.h"

namespace salve {
namespace {

using EventStoreTest = StoreFixture;

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

TEST_F(EventStoreTest, RefusesToOpenWithoutPathOrClock) {
  EventStoreOptions options = Options();
  options.path.clear();
  EXPECT_EQ(EventStore::Open(std::move(options)).status().code(),
            absl::StatusCode::kInvalidArgument);
  options = Options();
  options.clock = nullptr;
  EXPECT_EQ(EventStore::Open(std::move(options)).status().code(),
            absl::StatusCode::kInvalidArgument);
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
  EXPECT_TRUE(store->open_report().messages.empty());
  EXPECT_EQ(Query(*store).size(), 2u);
  EXPECT_EQ(store->Append(ProbeEvent()), 3u);
}

TEST_F(EventStoreTest, WritesMoreThanABatchAtTheEnd) {
  EventStoreOptions options = Options();
  options.queue.batch_events_max = 10;
  {
    auto store = Open(std::move(options));
    for (int i = 0; i < 1'005; ++i) store->Append(ProbeEvent());
  }
  v1::QueryEventsRequest request;
  request.set_limit(10'000);
  EXPECT_EQ(Query(*Open(Options()), request).size(), 1'005u);
}

TEST_F(EventStoreTest, IdsGoOnAfterWhateverIsHigher) {
  EventStoreOptions options = Options();
  options.next_record_id = 500;
  EXPECT_EQ(Open(std::move(options))->Append(ProbeEvent()), 500u);
  EXPECT_EQ(Open(Options())->Append(ProbeEvent()), 501u) << "the file knows more";
}

TEST_F(EventStoreTest, ReservesIdsAhead) {
  auto store = Open(Options());
  EXPECT_EQ(reserved_, 10'001u);
  for (int i = 0; i < 6'000; ++i) store->Append(AgentEvent(""));
  ASSERT_TRUE(Flush(*store).ok());
  EXPECT_GT(reserved_, 10'001u) << "more than half of the block is used";
}

TEST_F(EventStoreTest, WritesNoEventBeyondWhatIsReserved) {
  uint64_t reserved = 0;
  RecordingExport::Record record;
  EventStoreOptions options = Options();
  options.reserve_record_ids = [&](uint64_t high_water) {
    for (const v1::Event& event : Recorded(record)) EXPECT_LT(event.record_id(), reserved);
    reserved = high_water;
  };
  options.exports.push_back({std::make_unique<RecordingExport>("file", record)});
  options.queue.probe_results_max = 100'000;
  options.queue.bytes_max = 1u << 30;
  auto store = Open(std::move(options));
  for (int i = 0; i < 25'000; ++i) store->Append(ProbeEvent());
  store = nullptr;
  EXPECT_EQ(Recorded(record).size(), 25'000u);
}

TEST_F(EventStoreTest, FlushPutsEventsOnDisk) {
  auto store = Open(Options());
  store->Append(ProbeEvent());
  EXPECT_TRUE(Flush(*store).ok());
  EXPECT_TRUE(Flush(*store).ok()) << "also with nothing to write";
  EXPECT_EQ(Query(*store).size(), 1u);
}

TEST_F(EventStoreTest, ManyThreadsAppendAndEachEventHasAnIdOfItsOwn) {
  auto store = Open(Options());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) store->Append(AgentEvent("x"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  v1::QueryEventsRequest request;
  request.set_limit(10'000);
  const std::vector<v1::Event> events = Query(*store, request);
  ASSERT_EQ(events.size(), 2'000u);
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].record_id(), i + 1);
}

TEST_F(EventStoreTest, TextsThatAreNotUtf8ComeBack) {
  auto store = Open(Options());
  store->Append(ProbeEvent(2, "Ping", "bad \xff byte"));
  ASSERT_TRUE(Flush(*store).ok());
  const std::vector<v1::Event> events = Query(*store);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].probe_result().error(), "bad ? byte");
}

TEST_F(EventStoreTest, ExportsTheChannelsOfTheRouteInOrder) {
  RecordingExport::Record record;
  EventStoreOptions options = Options();
  options.exports.push_back({std::make_unique<RecordingExport>("file", record),
                             ChannelSet::None().With(v1::RecoveryActionLogs)});
  {
    auto store = Open(std::move(options));
    store->Append(ActionEvent(2050));
    store->Append(ProbeEvent());
    store->Append(ActionEvent(2051));
  }
  const std::vector<v1::Event> events = Recorded(record);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].record_id(), 1u);
  EXPECT_EQ(events[1].record_id(), 3u);
  EXPECT_TRUE(Recorded(refuge_).empty()) << "the refuge is for bad times";
}

TEST_F(EventStoreTest, AnExportThatFailsIsSaidOnceAndAgainWhenItWorks) {
  RecordingExport::Record record;
  {
    MutexLock lock(&record.mu);
    record.answer = absl::UnavailableError("no such folder");
  }
  EventStoreOptions options = Options();
  options.exports.push_back({std::make_unique<RecordingExport>("out.jsonl", record)});
  auto store = Open(std::move(options));
  for (int i = 0; i < 3; ++i) {
    store->Append(ProbeEvent());
    ASSERT_TRUE(Flush(*store).ok());
  }
  ASSERT_TRUE(Eventually([&] { return Recorded(record).size() == 3; }));
  {
    MutexLock lock(&record.mu);
    record.answer = absl::OkStatus();
  }
  store->Append(ProbeEvent());
  store = nullptr;
  EXPECT_EQ(CountSaid("can't be copied to out.jsonl: no such folder"), 1u);
  EXPECT_EQ(CountSaid("go to out.jsonl again"), 1u);
}

TEST_F(EventStoreTest, ANewConfigurationHoldsFromTheNextTurnOn) {
  auto store = Open(Options());
  RecordingExport::Record record;
  std::vector<ExportRoute> routes;
  routes.push_back({std::make_unique<RecordingExport>("file", record)});
  RetentionTable retention = DefaultRetention();
  retention[v1::ProbeResult].age = absl::ZeroDuration();
  store->Reconfigure(std::move(retention), std::move(routes));
  store->Append(ProbeEvent());
  store->Append(AgentEvent("later"));
  ASSERT_TRUE(Eventually([&] { return OfChannel(*store, v1::ProbeResult).empty(); }));
  store = nullptr;
  EXPECT_EQ(Recorded(record).size(), 2u);
}

TEST_F(EventStoreTest, DropsAreCountedAndToldInAnEvent) {
  EventStoreOptions options = Options();
  options.queue.probe_results_max = 5;
  options.write_delay = absl::Seconds(60);
  options.drop_report_interval = absl::ZeroDuration();
  auto store = Open(std::move(options));
  for (int i = 0; i < 12; ++i) store->Append(ProbeEvent());
  EXPECT_EQ(store->dropped(), 7u);
  ASSERT_TRUE(Flush(*store).ok());
  const std::vector<v1::Event> events = OfChannel(*store, v1::Agent);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].event_id(), 6);
  EXPECT_EQ(events[0].agent().count(), 7);
  EXPECT_EQ(events[0].agent().message(), "7 ProbeResults and 0 other events were not stored");
  EXPECT_EQ(OfChannel(*store, v1::ProbeResult).size(), 5u);
}

TEST_F(EventStoreTest, OtherEventsThatDoNotFitGoToTheRefuge) {
  EventStoreOptions options = Options();
  options.queue.others_max = 2;
  options.write_delay = absl::Seconds(60);
  {
    auto store = Open(std::move(options));
    for (int i = 0; i < 5; ++i) store->Append(AgentEvent(std::to_string(i)));
  }
  const std::vector<v1::Event> events = Recorded(refuge_);
  ASSERT_GE(events.size(), 3u);
  EXPECT_EQ(events[0].agent().message(), "0");
  EXPECT_EQ(events[2].agent().message(), "2");
}

TEST_F(EventStoreTest, SubscribersSeeEventsAtOnce) {
  EventStoreOptions options = Options();
  options.write_delay = absl::Seconds(60);
  auto store = Open(std::move(options));
  store->Append(ProbeEvent());
  auto subscription = store->Subscribe({});
  ASSERT_TRUE(subscription.ok());
  store->Append(ProbeEvent());
  const EventSubscription::Batch batch = (*subscription)->Next(absl::ZeroDuration());
  ASSERT_EQ(batch.events.size(), 1u);
  EXPECT_EQ(batch.events[0].record_id(), 2u);
  store = nullptr;
  EXPECT_TRUE((*subscription)->Next(absl::Seconds(60)).closed);
}

TEST_F(EventStoreTest, TooManySubscribersAreRefused) {
  EventStoreOptions options = Options();
  options.queue.subscribers_max = 1;
  auto store = Open(std::move(options));
  auto first = store->Subscribe({});
  EXPECT_EQ(store->Subscribe({}).status().code(), absl::StatusCode::kResourceExhausted);
  first->reset();
  EXPECT_TRUE(store->Subscribe({}).ok());
}

TEST_F(EventStoreTest, RetentionRunsInTheBackground) {
  EventStoreOptions options = Options();
  options.retention[v1::ProbeResult].bytes = 64 << 10;
  auto store = Open(std::move(options));
  for (int i = 0; i < 20; ++i) {
    for (int j = 0; j < 500; ++j) store->Append(ProbeEvent());
    ASSERT_TRUE(Flush(*store).ok());
  }
  v1::QueryEventsRequest request;
  request.set_limit(10'000);
  ASSERT_TRUE(Eventually([&] { return Query(*store, request).size() < 700; }));
  EXPECT_GT(Query(*store, request).size(), 300u);
}

}  // namespace
}  // namespace salve

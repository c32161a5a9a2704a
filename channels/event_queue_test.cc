#include "channels/event_queue.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "channels/test_events.h"

namespace salve {
namespace {

constexpr absl::Duration kNow = absl::ZeroDuration();

std::vector<uint64_t> Ids(const EventBatch& batch) {
  std::vector<uint64_t> ids;
  for (const QueuedEvent& queued : *batch.events) ids.push_back(queued.event->record_id());
  return ids;
}

std::vector<uint64_t> Ids(const std::vector<SharedEvent>& events) {
  std::vector<uint64_t> ids;
  for (const SharedEvent& event : events) ids.push_back(event->record_id());
  return ids;
}

using List = std::vector<uint64_t>;

TEST(EventQueueTest, GivesIdsFromTheFirstOn) {
  EventQueue queue({}, 7);
  EXPECT_EQ(queue.Append(ProbeEvent()), 7u);
  queue.SkipTo(6);
  EXPECT_EQ(queue.Append(ProbeEvent()), 8u);
  queue.SkipTo(20);
  EXPECT_EQ(queue.Append(ProbeEvent()), 20u);
  EXPECT_EQ(queue.next_record_id(), 21u);
}

TEST(EventQueueTest, TakesABatchInOrderOfTheIds) {
  EventQueue queue({.batch_events_max = 3}, 1);
  queue.Append(AgentEvent(""));
  queue.Append(ProbeEvent());
  queue.Append(ProbeEvent());
  queue.Append(AgentEvent(""));
  EXPECT_EQ(Ids(queue.Take()), (List{1, 2, 3}));
  queue.Written();
  EXPECT_EQ(Ids(queue.Take()), (List{4}));
}

TEST(EventQueueTest, OnlyRecoveryActionsAndFlushMakeABatchSynced) {
  EventQueue queue({}, 1);
  queue.Append(ProbeEvent());
  EXPECT_FALSE(queue.Take().synced);
  queue.Written();
  queue.Append(ActionEvent(2051));
  EXPECT_TRUE(queue.Take().synced);
  queue.Written();
  queue.Append(ActionEvent(500));
  EXPECT_TRUE(queue.Take().synced);
  queue.Written();
  EXPECT_TRUE(queue.AwaitSynced(kNow).ok()) << "what came before is synced with it";
}

TEST(EventQueueTest, AnUnsyncedBatchDoesNotSatisfyFlush) {
  EventQueue queue({}, 1);
  queue.Append(ProbeEvent());
  queue.Take();
  queue.Written();
  EXPECT_FALSE(queue.AwaitSynced(kNow).ok());
}

TEST(EventQueueTest, WhatIsTakenStaysVisibleUntilItIsWritten) {
  EventQueue queue({}, 1);
  queue.Append(ProbeEvent());
  queue.Append(AgentEvent(""));
  queue.Take();
  queue.Append(ProbeEvent());
  EXPECT_EQ(Ids(queue.Unwritten({})), (List{1, 2, 3}));
  queue.Written();
  EXPECT_EQ(Ids(queue.Unwritten({})), (List{3}));
}

TEST(EventQueueTest, UnwrittenKeepsToTheFilter) {
  EventQueue queue({}, 1);
  queue.Append(ProbeEvent());
  queue.Append(AgentEvent(""));
  queue.Append(AgentEvent(""));
  v1::QueryEventsRequest request;
  request.add_channel(v1::Agent);
  EXPECT_EQ(Ids(queue.Unwritten(request)), (List{2, 3}));
  request.add_record_id(3);
  EXPECT_EQ(Ids(queue.Unwritten(request)), (List{3}));
}

TEST(EventQueueTest, DropsTheOldestProbeResultsBeyondTheirBound) {
  EventQueue queue({.probe_results_max = 2, .others_max = 2}, 1);
  for (int i = 0; i < 2; ++i) queue.Append(ProbeEvent());
  for (int i = 0; i < 2; ++i) queue.Append(AgentEvent(""));
  EXPECT_EQ(queue.dropped(), 0u);
  queue.Append(ProbeEvent());
  EXPECT_EQ(queue.dropped(), 1u);
  EXPECT_EQ(Ids(queue.Take()), (List{2, 3, 4, 5}));
}

TEST(EventQueueTest, OtherEventsThatAreDroppedAreHandedOut) {
  EventQueue queue({.others_max = 1}, 1);
  queue.Append(AgentEvent(""));
  queue.Append(AgentEvent(""));
  EXPECT_EQ(Ids(queue.TakeSpilled()), (List{1}));
  EXPECT_TRUE(queue.TakeSpilled().empty());
  const DropCounts drops = queue.TakeDrops();
  EXPECT_EQ(drops.others, 1u);
  EXPECT_EQ(drops.probe_results, 0u);
  EXPECT_EQ(queue.TakeDrops().others, 0u);
}

TEST(EventQueueTest, BytesAreBoundedToo) {
  EventQueue queue({.bytes_max = 100'000}, 1);
  for (int i = 0; i < 20; ++i) queue.Append(AgentEvent(std::string(10'000, 'x')));
  const size_t kept = Ids(queue.Take()).size();
  EXPECT_GE(kept, 3u);
  EXPECT_LE(kept, 6u);
  EXPECT_EQ(queue.dropped(), 20 - kept);
}

TEST(EventQueueTest, InTroubleProbeResultsGoAndOthersWait) {
  EventQueue queue({}, 1);
  queue.Append(ProbeEvent());
  queue.Append(AgentEvent(""));
  queue.Take();
  queue.Append(ProbeEvent());
  queue.GiveUp(absl::UnavailableError("full"));
  queue.Append(ProbeEvent());
  queue.Append(AgentEvent(""));
  EXPECT_EQ(queue.trouble().message(), "full");
  EXPECT_EQ(queue.TakeDrops().probe_results, 3u);
  EXPECT_EQ(Ids(queue.Take()), (List{2, 5}));
  queue.Written();
  EXPECT_TRUE(queue.trouble().ok());
  queue.Append(ProbeEvent());
  EXPECT_EQ(Ids(queue.Take()), (List{6}));
}

TEST(EventQueueTest, PutBackLosesNothing) {
  EventQueue queue({}, 1);
  queue.Append(ProbeEvent());
  queue.Append(AgentEvent(""));
  queue.Take();
  queue.Append(ProbeEvent());
  queue.PutBack();
  EXPECT_EQ(Ids(queue.Take()), (List{1, 2, 3}));
}

TEST(EventQueueTest, UnexportedEventsAreHandedOutOnce) {
  EventQueue queue({}, 1);
  queue.Append(AgentEvent(""));
  EXPECT_EQ(Ids(queue.TakeUnexported()), (List{1}));
  queue.Append(AgentEvent(""));
  EXPECT_EQ(Ids(queue.TakeUnexported()), (List{2}));
  EXPECT_TRUE(queue.TakeUnexported().empty());
  EXPECT_TRUE(queue.Take().events->at(0).exported);
}

TEST(EventQueueTest, ProbeResultsCanBeRefused) {
  EventQueue queue({}, 1);
  queue.AcceptProbeResults(false);
  queue.Append(ProbeEvent());
  queue.Append(AgentEvent(""));
  queue.AcceptProbeResults(true);
  queue.Append(ProbeEvent());
  EXPECT_EQ(Ids(queue.Take()), (List{2, 3}));
}

TEST(EventQueueTest, SyncedEventsWakeTheWriterAtOnce) {
  EventQueue queue({}, 1);
  std::thread appender([&] { queue.Append(ActionEvent(2050)); });
  queue.AwaitWork(/*delay=*/absl::Seconds(60), /*idle=*/absl::Seconds(60));
  appender.join();
  EXPECT_EQ(queue.Take().events->size(), 1u);
}

TEST(EventQueueTest, AFullBatchWakesTheWriterAtOnce) {
  EventQueue queue({.batch_events_max = 2}, 1);
  std::thread appender([&] {
    queue.Append(ProbeEvent());
    queue.Append(ProbeEvent());
  });
  queue.AwaitWork(absl::Seconds(60), absl::Seconds(60));
  appender.join();
  EXPECT_EQ(queue.Take().events->size(), 2u);
}

TEST(EventQueueTest, FlushWaitsForTheWriter) {
  EventQueue queue({}, 1);
  queue.Append(ProbeEvent());
  std::thread writer([&] {
    EXPECT_TRUE(queue.AwaitWork(absl::Seconds(60), absl::Seconds(60)).flush);
    EXPECT_TRUE(queue.Take().synced);
    queue.Written();
  });
  EXPECT_TRUE(queue.AwaitSynced(absl::Seconds(60)).ok());
  writer.join();
}

TEST(EventQueueTest, FlushEndsWithTheFirstFailure) {
  EventQueue queue({}, 1);
  queue.Append(ProbeEvent());
  std::thread writer([&] {
    queue.AwaitWork(absl::Seconds(60), absl::Seconds(60));
    queue.Take();
    queue.GiveUp(absl::ResourceExhaustedError("full"));
  });
  const absl::Status status = queue.AwaitSynced(absl::Seconds(60));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "full");
  writer.join();
}

TEST(EventQueueTest, FlushGivesUpAtItsDeadline) {
  EventQueue queue({}, 1);
  EXPECT_TRUE(queue.AwaitSynced(kNow).ok()) << "nothing was appended";
  queue.Append(ProbeEvent());
  EXPECT_EQ(queue.AwaitSynced(absl::Milliseconds(1)).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(EventQueueTest, StopEndsTheWaitAndTheSubscriptions) {
  EventQueue queue({}, 1);
  auto subscriber = queue.Subscribe({});
  queue.Stop();
  EXPECT_TRUE(queue.AwaitWork(absl::Seconds(60), absl::Seconds(60)).stop);
  EXPECT_TRUE(subscriber->closed());
  EXPECT_TRUE(queue.Subscribe({})->closed());
}

TEST(EventQueueTest, SubscribersAreBounded) {
  EventQueue queue({.subscribers_max = 1}, 1);
  auto first = queue.Subscribe({});
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(queue.Subscribe({}), nullptr);
  first->Close();
  EXPECT_NE(queue.Subscribe({}), nullptr) << "who left makes room";
}

TEST(EventQueueTest, AlsoDroppedEventsReachTheSubscribers) {
  EventQueue queue({}, 1);
  auto subscriber = queue.Subscribe({});
  queue.GiveUp(absl::UnavailableError("full"));
  queue.Append(ProbeEvent());
  EXPECT_EQ(subscriber->Take(kNow).events.size(), 1u);
}

}  // namespace
}  // namespace salve

#include "channels/event_subscription.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "channels/test_events.h"

namespace salve {
namespace {

SharedEvent Numbered(uint64_t id, v1::Channel channel = v1::ProbeResult) {
  v1::Event event = EventOf(channel);
  event.set_record_id(id);
  return std::make_shared<const v1::Event>(std::move(event));
}

std::shared_ptr<SubscriptionQueue> NewQueue(size_t events_max = 10) {
  v1::QueryEventsRequest filter;
  filter.add_channel(v1::ProbeResult);
  return std::make_shared<SubscriptionQueue>(filter, events_max);
}

TEST(EventSubscriptionTest, GivesWhatMatchesInOrder) {
  auto queue = NewQueue();
  EventSubscription subscription(queue, {});
  queue->Offer(Numbered(1));
  queue->Offer(Numbered(2, v1::Agent));
  queue->Offer(Numbered(3));
  const EventSubscription::Batch batch = subscription.Next(absl::ZeroDuration());
  ASSERT_EQ(batch.events.size(), 2u);
  EXPECT_EQ(batch.events[0].record_id(), 1u);
  EXPECT_EQ(batch.events[1].record_id(), 3u);
  EXPECT_EQ(batch.missed, 0u);
}

TEST(EventSubscriptionTest, ATimeoutGivesNothing) {
  EventSubscription subscription(NewQueue(), {});
  const EventSubscription::Batch batch = subscription.Next(absl::Milliseconds(1));
  EXPECT_TRUE(batch.events.empty());
  EXPECT_FALSE(batch.closed);
}

TEST(EventSubscriptionTest, ASlowSubscriberLosesTheOldestAndIsTold) {
  auto queue = NewQueue(2);
  EventSubscription subscription(queue, {});
  for (uint64_t id = 1; id <= 2; ++id) queue->Offer(Numbered(id));
  EXPECT_EQ(subscription.Next(absl::ZeroDuration()).missed, 0u) << "just full";
  for (uint64_t id = 3; id <= 5; ++id) queue->Offer(Numbered(id));
  const EventSubscription::Batch batch = subscription.Next(absl::ZeroDuration());
  EXPECT_EQ(batch.missed, 1u);
  ASSERT_EQ(batch.events.size(), 2u);
  EXPECT_EQ(batch.events[0].record_id(), 4u);
  EXPECT_EQ(subscription.Next(absl::ZeroDuration()).missed, 0u) << "told once";
}

TEST(EventSubscriptionTest, LeavesOutWhatTheFirstEventsHad) {
  auto queue = NewQueue();
  EventSubscription subscription(queue, {*Numbered(4), *Numbered(5)});
  for (uint64_t id = 5; id <= 6; ++id) queue->Offer(Numbered(id));
  EXPECT_EQ(subscription.Next(absl::ZeroDuration()).events.size(), 2u);
  const EventSubscription::Batch batch = subscription.Next(absl::ZeroDuration());
  ASSERT_EQ(batch.events.size(), 1u);
  EXPECT_EQ(batch.events[0].record_id(), 6u);
}

TEST(EventSubscriptionTest, GivesAThousandAtOnce) {
  auto queue = NewQueue(1'001);
  EventSubscription subscription(queue, {});
  for (uint64_t id = 1; id <= 1'001; ++id) queue->Offer(Numbered(id));
  EXPECT_EQ(subscription.Next(absl::ZeroDuration()).events.size(), 1'000u);
  EXPECT_EQ(subscription.Next(absl::ZeroDuration()).events.size(), 1u);
}

TEST(EventSubscriptionTest, TheEndOfTheStoreWakesWhoWaits) {
  auto queue = NewQueue();
  EventSubscription subscription(queue, {});
  std::thread store([&] { queue->Close(); });
  EXPECT_TRUE(subscription.Next(absl::Seconds(60)).closed);
  store.join();
}

TEST(EventSubscriptionTest, WhatCameBeforeTheEndIsStillGiven) {
  auto queue = NewQueue();
  EventSubscription subscription(queue, {});
  queue->Offer(Numbered(1));
  queue->Close();
  queue->Offer(Numbered(2));
  const EventSubscription::Batch batch = subscription.Next(absl::ZeroDuration());
  EXPECT_EQ(batch.events.size(), 1u);
  EXPECT_FALSE(batch.closed);
  EXPECT_TRUE(subscription.Next(absl::ZeroDuration()).closed);
}

TEST(EventSubscriptionTest, ItsEndClosesTheQueue) {
  auto queue = NewQueue();
  { EventSubscription subscription(queue, {}); }
  EXPECT_TRUE(queue->closed());
}

}  // namespace
}  // namespace salve

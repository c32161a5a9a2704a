#include "channels/event_filter.h"

#include <gtest/gtest.h>

#include "channels/test_events.h"

namespace salve {
namespace {

v1::Event At(int64_t seconds, int32_t nanos = 0) {
  v1::Event event = ProbeEvent(2);
  event.set_incident_id("i1");
  event.mutable_time()->set_seconds(seconds);
  event.mutable_time()->set_nanos(nanos);
  return event;
}

TEST(EventFilterTest, AnEmptyRequestMatchesAll) { EXPECT_TRUE(Matches({}, At(5))); }

TEST(EventFilterTest, EachFilterMustHold) {
  v1::QueryEventsRequest request;
  request.add_channel(v1::Agent);
  EXPECT_FALSE(Matches(request, At(5)));
  request.add_channel(v1::ProbeResult);
  EXPECT_TRUE(Matches(request, At(5)));
  request.add_event_id(1);
  EXPECT_FALSE(Matches(request, At(5)));
  request.add_event_id(2);
  EXPECT_TRUE(Matches(request, At(5)));
  request.set_health_set("Web");
  EXPECT_TRUE(Matches(request, At(5)));
  request.set_name("Pin");
  EXPECT_FALSE(Matches(request, At(5)));
  request.set_name("Ping");
  EXPECT_TRUE(Matches(request, At(5)));
  request.set_incident_id("i2");
  EXPECT_FALSE(Matches(request, At(5)));
  request.set_incident_id("i1");
  EXPECT_TRUE(Matches(request, At(5)));
  request.set_health_set("web");
  EXPECT_FALSE(Matches(request, At(5)));
}

TEST(EventFilterTest, OfAnOriginAreOnlyTheEventsThatItSentHere) {
  v1::QueryEventsRequest request;
  request.set_origin_server("b");
  v1::Event event = EventOf(v1::Queue, kReceivedEventId, "");
  EXPECT_FALSE(Matches(request, event));
  event.mutable_queue()->set_origin_server("b");
  EXPECT_TRUE(Matches(request, event));
  event.set_event_id(40001);
  EXPECT_FALSE(Matches(request, event));
  event.set_event_id(kReceivedEventId);
  event.mutable_queue()->set_origin_server("bb");
  EXPECT_FALSE(Matches(request, event));
}

TEST(EventFilterTest, SinceIsInclusiveAndUntilIsNot) {
  v1::QueryEventsRequest request;
  request.mutable_since()->set_seconds(5);
  request.mutable_until()->set_seconds(6);
  EXPECT_FALSE(Matches(request, At(4, 999'999'999)));
  EXPECT_TRUE(Matches(request, At(5)));
  EXPECT_TRUE(Matches(request, At(5, 999'999'999)));
  EXPECT_FALSE(Matches(request, At(6)));
}

TEST(EventFilterTest, ThrottlingConfigIsAboutItsIdentity) {
  v1::Event event = EventOf(v1::ThrottlingConfig, 1, "");
  event.mutable_throttling_config()->set_identity("RestartService/*/*/*/*");
  EXPECT_EQ(ItemName(event), "RestartService/*/*/*/*");
  event.set_name("N");
  EXPECT_EQ(ItemName(event), "N");
}

TEST(EventFilterTest, TimesSurviveTheWayIntoATimestampAndBack) {
  const absl::Time time = absl::FromUnixNanos(-1'500'000'001);
  google::protobuf::Timestamp timestamp;
  SetTimestamp(time, &timestamp);
  EXPECT_EQ(timestamp.seconds(), -2);
  EXPECT_EQ(timestamp.nanos(), 499'999'999);
  EXPECT_EQ(ToTime(timestamp), time);
  EXPECT_EQ(TimeNanos(timestamp), -1'500'000'001);
}

TEST(EventFilterTest, TimesBeyondTheRangeOfNanosecondsAreHeldAtItsEnds) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(253'402'300'799);
  EXPECT_GT(TimeNanos(timestamp), 9'000'000'000'000'000'000);
  timestamp.set_seconds(-62'135'596'800);
  EXPECT_LT(TimeNanos(timestamp), -9'000'000'000'000'000'000);
}

}  // namespace
}  // namespace salve

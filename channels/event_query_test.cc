#include "channels/event_query.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>
#include <vector>

#include "channels/event_filter.h"
#include "channels/store_fixture.h"

namespace salve {
namespace {

using List = std::vector<uint64_t>;

List Ids(const std::vector<v1::Event>& events) {
  List ids;
  for (const v1::Event& event : events) ids.push_back(event.record_id());
  return ids;
}

class EventQueryTest : public StoreFixture {
 protected:
  // A store whose time is ours, and which keeps events in memory until Flush.
  EventQueryTest() : store_(Open(SimulatedOptions())) {}

  EventStoreOptions SimulatedOptions() {
    EventStoreOptions options = Options();
    options.clock = &time_;
    options.write_delay = absl::Seconds(60);
    options.upkeep_interval = absl::Seconds(60);
    return options;
  }
  List Ask(const v1::QueryEventsRequest& request) { return Ids(Query(*store_, request)); }
  // The same question to memory and to the disk.
  List AskBoth(const v1::QueryEventsRequest& request) {
    const List in_memory = Ask(request);
    EXPECT_TRUE(store_->Flush(time_.Now() + absl::Seconds(60)).ok());
    EXPECT_EQ(Ask(request), in_memory);
    return in_memory;
  }

  SimulatedClock time_;
  std::unique_ptr<EventStore> store_;
};

TEST_F(EventQueryTest, GivesTheNewestUpToTheLimitNewestLast) {
  for (int i = 0; i < 5; ++i) store_->Append(ProbeEvent());
  v1::QueryEventsRequest request;
  request.set_limit(2);
  EXPECT_EQ(AskBoth(request), (List{4, 5}));
  store_->Append(ProbeEvent());
  EXPECT_EQ(Ask(request), (List{5, 6})) << "one on disk, one in memory";
}

TEST_F(EventQueryTest, TheLimitIsAHundredUnlessSaid) {
  for (int i = 0; i < 101; ++i) store_->Append(ProbeEvent());
  EXPECT_EQ(AskBoth({}).size(), 100u);
}

TEST_F(EventQueryTest, ByChannelAndEventId) {
  for (int id : {1, 2, 1, 3}) store_->Append(ProbeEvent(id));
  store_->Append(ActionEvent(2050));
  v1::QueryEventsRequest request;
  request.add_channel(v1::ProbeResult);
  EXPECT_EQ(AskBoth(request), (List{1, 2, 3, 4}));
  request.add_event_id(2);
  request.add_event_id(3);
  EXPECT_EQ(AskBoth(request), (List{2, 4}));
  request.add_channel(v1::RecoveryActionLogs);
  request.add_event_id(2050);
  EXPECT_EQ(AskBoth(request), (List{2, 4, 5}));
}

TEST_F(EventQueryTest, ByEventIdAlone) {
  store_->Append(ProbeEvent(1));
  store_->Append(ProbeEvent(2));
  store_->Append(AgentEvent(""));
  v1::QueryEventsRequest request;
  request.add_event_id(3);
  EXPECT_EQ(AskBoth(request), (List{3}));
}

TEST_F(EventQueryTest, BySetAndName) {
  store_->Append(ProbeEvent(1, "A"));
  store_->Append(ProbeEvent(1, "B"));
  store_->Append(EventOf(v1::MonitorResult, 1, "A"));
  store_->Append(AgentEvent(""));
  v1::QueryEventsRequest request;
  request.set_name("A");
  EXPECT_EQ(AskBoth(request), (List{1, 3}));
  request.set_health_set("Web");
  EXPECT_EQ(AskBoth(request), (List{1, 3}));
  request.add_channel(v1::MonitorResult);
  EXPECT_EQ(AskBoth(request), (List{3}));
  request.clear_name();
  request.clear_channel();
  EXPECT_EQ(AskBoth(request), (List{1, 2, 3}));
  request.set_health_set("None");
  EXPECT_EQ(AskBoth(request), (List{}));
}

TEST_F(EventQueryTest, ByIncident) {
  const std::string incident = "0192ab34cd56ef780192ab34cd56ef78";
  store_->Append(ActionEvent(500, incident));
  store_->Append(ActionEvent(500));
  store_->Append(ActionEvent(501, incident));
  v1::QueryEventsRequest request;
  request.set_incident_id(incident);
  EXPECT_EQ(AskBoth(request), (List{1, 3}));
  request.add_event_id(501);
  EXPECT_EQ(AskBoth(request), (List{3}));
  request.set_name("Other");
  EXPECT_EQ(AskBoth(request), (List{}));
}

TEST_F(EventQueryTest, ByRecordId) {
  for (int i = 0; i < 5; ++i) store_->Append(ProbeEvent(i % 2 + 1));
  v1::QueryEventsRequest request;
  for (uint64_t id : {5, 2, 77, 3}) request.add_record_id(id);
  EXPECT_EQ(AskBoth(request), (List{2, 3, 5}));
  request.add_event_id(1);
  EXPECT_EQ(AskBoth(request), (List{3, 5}));
}

// A bug: it was given as often as it was asked for, and took the place of others.
TEST_F(EventQueryTest, ByTheServerThatSentIt) {
  const auto received = [](const std::string& server, int event_id) {
    v1::Event event = EventOf(v1::Queue, event_id, "");
    event.set_health_set("");
    event.mutable_queue()->set_origin_server(server);
    return event;
  };
  store_->Append(received("b", 40009));
  store_->Append(received("c", 40009));
  store_->Append(received("b", 40002));
  store_->Append(ProbeEvent());
  store_->Append(received("b", 40009));
  v1::QueryEventsRequest request;
  request.set_origin_server("b");
  EXPECT_EQ(AskBoth(request), (List{1, 5}));
  request.set_limit(1);
  EXPECT_EQ(AskBoth(request), List{5});
  request.add_channel(v1::Monitoring);
  EXPECT_TRUE(AskBoth(request).empty());
}

TEST_F(EventQueryTest, ARecordIdThatIsAskedForTwiceIsGivenOnce) {
  for (int i = 0; i < 3; ++i) store_->Append(ProbeEvent());
  v1::QueryEventsRequest request;
  for (const uint64_t id : {2, 3, 2}) request.add_record_id(id);
  request.set_limit(2);
  EXPECT_EQ(AskBoth(request), (List{2, 3}));
}

TEST_F(EventQueryTest, ByTime) {
  for (int i = 0; i < 4; ++i) {
    store_->Append(ProbeEvent());
    time_.Advance(absl::Seconds(1));
  }
  v1::QueryEventsRequest request;
  SetTimestamp(time_.WallNow() - absl::Seconds(3), request.mutable_since());
  EXPECT_EQ(AskBoth(request), (List{2, 3, 4}));
  SetTimestamp(time_.WallNow() - absl::Seconds(1), request.mutable_until());
  EXPECT_EQ(AskBoth(request), (List{2, 3}));
  SetTimestamp(time_.WallNow() + absl::Hours(1), request.mutable_since());
  request.clear_until();
  EXPECT_EQ(AskBoth(request), (List{}));
  SetTimestamp(absl::FromUnixSeconds(0), request.mutable_until());
  request.clear_since();
  EXPECT_EQ(AskBoth(request), (List{}));
}

TEST_F(EventQueryTest, AStepOfTheWallClockHidesNothing) {
  const absl::Time begin = time_.WallNow();
  time_.StepWall(absl::Hours(1));
  store_->Append(ProbeEvent());
  time_.StepWall(absl::Hours(-1));
  store_->Append(ProbeEvent());
  v1::QueryEventsRequest request;
  SetTimestamp(begin + absl::Minutes(30), request.mutable_since());
  EXPECT_EQ(AskBoth(request), (List{1}));
}

TEST_F(EventQueryTest, RefusesWhatItCannotAnswer) {
  EventReader reader(*store_);
  const auto code = [&](const v1::QueryEventsRequest& request) {
    return reader.Query(request).status().code();
  };
  v1::QueryEventsRequest request;
  request.set_limit(10'000);
  EXPECT_EQ(code(request), absl::StatusCode::kOk);
  request.set_limit(10'001);
  EXPECT_EQ(code(request), absl::StatusCode::kInvalidArgument);
  request.set_limit(-1);
  EXPECT_EQ(code(request), absl::StatusCode::kInvalidArgument);
  request.set_limit(0);
  request.add_channel(static_cast<v1::Channel>(99));
  EXPECT_EQ(code(request), absl::StatusCode::kInvalidArgument);
  request.clear_channel();
  for (int i = 0; i < 10'001; ++i) request.add_record_id(1);
  EXPECT_EQ(code(request), absl::StatusCode::kInvalidArgument);
}

TEST_F(EventQueryTest, AQuestionThatTakesTooLongIsEnded) {
  for (int i = 0; i < 5'000; ++i) store_->Append(ProbeEvent());
  ASSERT_TRUE(store_->Flush(time_.Now() + absl::Seconds(60)).ok());
  EventReader reader(*store_, {.query_time_max = absl::ZeroDuration()});
  v1::QueryEventsRequest request;
  request.set_limit(10'000);
  EXPECT_EQ(reader.Query(request).status().code(), absl::StatusCode::kDeadlineExceeded);
  EventReader patient(*store_);
  EXPECT_EQ(patient.Query(request)->size(), 5'000u);
}

TEST_F(EventQueryTest, ManyThreadsAskOneReader) {
  for (int i = 0; i < 100; ++i) store_->Append(ProbeEvent());
  EventReader reader(*store_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        store_->Append(AgentEvent(""));
        const auto events = reader.Query({});
        ASSERT_TRUE(events.ok()) << events.status();
        EXPECT_EQ(events->size(), 100u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(EventQueryTest, TailGivesEachEventOnce) {
  for (int i = 0; i < 3; ++i) store_->Append(ProbeEvent());
  EventReader reader(*store_);
  v1::QueryEventsRequest request;
  request.set_limit(2);
  auto tail = reader.Tail(request);
  ASSERT_TRUE(tail.ok()) << tail.status();
  store_->Append(ProbeEvent());
  EXPECT_EQ(Ids((*tail)->Next(absl::ZeroDuration()).events), (List{2, 3}));
  EXPECT_EQ(Ids((*tail)->Next(absl::ZeroDuration()).events), (List{4}));
}

TEST_F(EventQueryTest, TailMissesNothingWhileOthersAppend) {
  EventReader reader(*store_);
  std::thread appender([&] {
    for (int i = 0; i < 3'000; ++i) store_->Append(ProbeEvent());
  });
  v1::QueryEventsRequest request;
  request.set_limit(10'000);
  auto tail = reader.Tail(request);
  ASSERT_TRUE(tail.ok());
  List seen;
  while (seen.size() < 3'000) {
    const EventSubscription::Batch batch = (*tail)->Next(absl::Seconds(60));
    ASSERT_FALSE(batch.events.empty());
    EXPECT_EQ(batch.missed, 0u);
    for (const uint64_t id : Ids(batch.events)) seen.push_back(id);
  }
  appender.join();
  for (size_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i], i + 1);
}

TEST_F(EventQueryTest, TailRefusesWhatQueryRefuses) {
  EventReader reader(*store_);
  v1::QueryEventsRequest request;
  request.set_limit(-1);
  EXPECT_EQ(reader.Tail(request).status().code(), absl::StatusCode::kInvalidArgument);
}

// Random events on a clock that steps, random questions, and the plain rule as the judge.
class EventQueryOracleTest : public EventQueryTest {
 protected:
  v1::Event RandomEvent() {
    static const char* const kNames[] = {"A", "B", "C/x", ""};
    v1::Event event =
        EventOf(static_cast<v1::Channel>(Pick(1, 12)), Pick(1, 4), kNames[Pick(0, 3)]);
    if (Pick(0, 3) == 0) event.set_health_set("Db");
    if (Pick(0, 2) == 0)
      event.set_incident_id(std::string(32, static_cast<char>('a' + Pick(0, 2))));
    return event;
  }
  v1::QueryEventsRequest RandomRequest() {
    static const char* const kNames[] = {"A", "B", "C/x"};
    v1::QueryEventsRequest request;
    for (int i = Pick(-2, 2); i > 0; --i)
      request.add_channel(static_cast<v1::Channel>(Pick(1, 12)));
    for (int i = Pick(-4, 2); i > 0; --i) request.add_event_id(Pick(1, 4));
    if (Pick(0, 3) == 0) request.set_health_set(Pick(0, 1) == 0 ? "Web" : "Db");
    if (Pick(0, 3) == 0) request.set_name(kNames[Pick(0, 2)]);
    if (Pick(0, 3) == 0)
      request.set_incident_id(std::string(32, static_cast<char>('a' + Pick(0, 3))));
    if (Pick(0, 2) == 0) SetTimestamp(RandomTime(), request.mutable_since());
    if (Pick(0, 2) == 0) SetTimestamp(RandomTime(), request.mutable_until());
    for (int i = Pick(-20, 20); i > 0; --i) request.add_record_id(Pick(1, 12'000));
    request.set_limit(Pick(0, 1) == 0 ? Pick(1, 20) : 10'000);
    return request;
  }
  absl::Time RandomTime() { return begin_ + absl::Seconds(Pick(-100, 3'000)); }
  int Pick(int low, int high) { return std::uniform_int_distribution<>(low, high)(random_); }

  static List Expected(const std::vector<v1::Event>& all, const v1::QueryEventsRequest& request) {
    List ids;
    for (const v1::Event& event : all) {
      const auto& wanted = request.record_id();
      const bool is_wanted = wanted.empty() || std::find(wanted.begin(), wanted.end(),
                                                         event.record_id()) != wanted.end();
      if (is_wanted && Matches(request, event)) ids.push_back(event.record_id());
    }
    const size_t limit = request.limit();
    if (ids.size() > limit) ids.erase(ids.begin(), ids.end() - limit);
    return ids;
  }

  const unsigned seed_ = std::random_device()();
  std::mt19937 random_{seed_};
  const absl::Time begin_ = time_.WallNow();
};

TEST_F(EventQueryOracleTest, EveryIndexAgreesWithThePlainRule) {
  SCOPED_TRACE(absl::StrCat("seed ", seed_));
  std::vector<v1::Event> all;
  for (int i = 0; i < 10'000; ++i) {
    time_.Advance(absl::Milliseconds(Pick(0, 500)));
    if (Pick(0, 500) == 0) time_.StepWall(absl::Seconds(Pick(-600, 600)));
    v1::Event event = RandomEvent();
    SetTimestamp(time_.WallNow(), event.mutable_time());
    event.set_record_id(store_->Append(event));
    all.push_back(std::move(event));
    if (i % 1'000 == 999 && i < 9'000) {
      ASSERT_TRUE(store_->Flush(time_.Now() + absl::Seconds(60)).ok());
    }
  }
  EventReader reader(*store_);
  for (int i = 0; i < 300; ++i) {
    const v1::QueryEventsRequest request = RandomRequest();
    const auto events = reader.Query(request);
    ASSERT_TRUE(events.ok()) << events.status();
    ASSERT_EQ(Ids(*events), Expected(all, request)) << request.ShortDebugString();
  }
}

}  // namespace
}  // namespace salve

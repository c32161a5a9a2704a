// A store in a folder of its own, for the tests of this folder.
#ifndef SALVE_CHANNELS_STORE_FIXTURE_H_
#define SALVE_CHANNELS_STORE_FIXTURE_H_

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "api/salve.pb.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "channels/event_query.h"
#include "channels/event_store.h"
#include "channels/test_events.h"

namespace salve {

class StoreFixture : public testing::Test {
 protected:
  // A store that retries and looks around quickly.
  EventStoreOptions Options() {
    EventStoreOptions options;
    options.path = path_;
    options.server = "web-1";
    options.clock = &clock_;
    options.reserve_record_ids = [this](uint64_t high_water) { reserved_ = high_water; };
    options.say = [this](absl::string_view text) {
      MutexLock lock(&mu_);
      said_.emplace_back(text);
    };
    options.refuge = std::make_unique<RecordingExport>("journal", refuge_);
    options.disk_reserve_bytes = 0;
    options.retry_min = absl::Milliseconds(1);
    options.retry_max = absl::Milliseconds(5);
    options.upkeep_interval = absl::Milliseconds(5);
    return options;
  }
  static std::unique_ptr<EventStore> Open(EventStoreOptions options) {
    absl::StatusOr<std::unique_ptr<EventStore>> store = EventStore::Open(std::move(options));
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  absl::Status Flush(EventStore& store) { return store.Flush(clock_.Now() + absl::Seconds(60)); }

  static std::vector<v1::Event> Query(EventStore& store,
                                      const v1::QueryEventsRequest& request = {}) {
    absl::StatusOr<std::vector<v1::Event>> events = EventReader(store).Query(request);
    EXPECT_TRUE(events.ok()) << events.status();
    return events.ok() ? *std::move(events) : std::vector<v1::Event>();
  }
  static std::vector<v1::Event> OfChannel(EventStore& store, v1::Channel channel) {
    v1::QueryEventsRequest request;
    request.add_channel(channel);
    return Query(store, request);
  }

  // Waits, without a fixed time, for what another thread brings about; gives up after a minute.
  template <typename Condition>
  bool Eventually(Condition condition) {
    Mutex mu;
    CondVar never;
    for (int i = 0; i < 12'000; ++i) {
      if (condition()) return true;
      MutexLock lock(&mu);
      never.WaitFor(&mu, absl::Milliseconds(5));
    }
    return false;
  }
  std::vector<std::string> Said() {
    MutexLock lock(&mu_);
    return said_;
  }
  size_t CountSaid(const std::string& part) {
    size_t count = 0;
    for (const std::string& text : Said()) count += text.find(part) != std::string::npos;
    return count;
  }
  static std::vector<v1::Event> Recorded(RecordingExport::Record& record) {
    MutexLock lock(&record.mu);
    return record.events;
  }

  TestFolder folder_;
  const std::string path_ = folder_.path("events.db");
  SystemClock clock_;
  std::atomic<uint64_t> reserved_{0};
  RecordingExport::Record refuge_;
  Mutex mu_;
  std::vector<std::string> said_ ABSL_GUARDED_BY(mu_);
};

}  // namespace salve

#endif  // SALVE_CHANNELS_STORE_FIXTURE_H_

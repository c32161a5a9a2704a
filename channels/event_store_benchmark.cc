// What the store costs: events through the channel against bare SQLite with the same tables,
// indexes and batches in the same run, and questions to a file of a million events
// (SALVE_BENCHMARK_EVENTS=10000000 for the size of the requirement).
#include <benchmark/benchmark.h>
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "channels/event_database.h"
#include "channels/event_export.h"
#include "channels/event_filter.h"
#include "channels/event_query.h"
#include "channels/event_store.h"
#include "channels/sqlite.h"
#include "channels/test_events.h"

namespace salve {
namespace {

constexpr int kEventsPerRound = 50'000;
constexpr int kBatch = 1'000;
constexpr int kProbes = 1'000;

// What a busy server writes: looks of a thousand probes, one event in five of an incident. No
// recovery actions, since those are synced one by one.
v1::Event Numbered(int64_t number) {
  v1::Event event = ProbeEvent(number % 100 == 0 ? 2 : 1, absl::StrCat("Probe", number % kProbes));
  event.mutable_probe_result()->set_result_type("Succeeded");
  event.mutable_probe_result()->set_duration_ms(1.25);
  if (number % 5 == 0) {
    event.set_incident_id(absl::StrFormat("%012x%020x", number / 1'000, 7));
  }
  if (number % 50 == 1) {
    event.set_channel(v1::MonitorResult);
    event.set_event_id(1);
  }
  return event;
}

int64_t EventsInFile() {
  const char* text = getenv("SALVE_BENCHMARK_EVENTS");
  int64_t count = 0;
  return text != nullptr && absl::SimpleAtoi(text, &count) ? count : 1'000'000;
}

EventStoreOptions OptionsAt(const std::string& path, const Clock& clock) {
  EventStoreOptions options;
  options.path = path;
  options.server = "web-1";
  options.clock = &clock;
  for (auto& [channel, bound] : options.retention) {
    bound = {.age = absl::Hours(24 * 365), .bytes = uint64_t{1} << 40};
  }
  return options;
}

// Lets the benchmark append no more than the queue holds: it sees each event after it was written.
class Pace final : public EventExport {
 public:
  std::string name() const override { return "pace"; }
  absl::Status Write(const v1::Event&) override {
    MutexLock lock(&mu_);
    if (++written_ % kBatch == 0) progress_.SignalAll();
    return absl::OkStatus();
  }
  void AwaitWritten(int64_t count) {
    MutexLock lock(&mu_);
    while (written_ < count) progress_.Wait(&mu_);
  }

 private:
  Mutex mu_;
  CondVar progress_;
  int64_t written_ ABSL_GUARDED_BY(mu_) = 0;
};

// The floor: the rows alone, ready made, in the store's tables by another hand.
class BareWriter {
 public:
  explicit BareWriter(const std::string& path) {
    auto connection = SqliteConnection::Open(path, SqliteConnection::Mode::kReadWrite);
    db_ = *std::move(connection);
    (void)db_->Execute(
        "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        "CREATE TABLE events (record_id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, time INTEGER "
        "NOT NULL, item INTEGER NOT NULL, incident BLOB, payload BLOB NOT NULL);"
        "CREATE INDEX events_by_kind ON events (kind, record_id, item);"
        "CREATE INDEX events_by_item ON events (item) WHERE item > 0;"
        "CREATE INDEX events_by_incident ON events (incident) WHERE incident IS NOT NULL");
    insert_ = std::make_unique<SqliteStatement>(
        *db_->Prepare("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)"));
  }

  void Write(const std::vector<v1::Event>& events, const std::vector<std::string>& payloads) {
    for (size_t i = 0; i < events.size(); ++i) {
      if (i % kBatch == 0) (void)db_->Execute("BEGIN");
      insert_->Bind(1, ++id_);
      insert_->Bind(2, KindOf(events[i].channel(), events[i].event_id()));
      insert_->Bind(3, int64_t{1'800'000'000'000'000'000} + id_);
      insert_->Bind(4, -(id_ % kProbes) - 1);
      if (events[i].incident_id().empty()) {
        insert_->BindNull(5);
      } else {
        insert_->BindBlob(5, IncidentKey(events[i].incident_id()));
      }
      insert_->BindBlob(6, payloads[i]);
      (void)insert_->Run();
      if (i % kBatch < kBatch - 1) continue;
      // The last one is synced, as Flush has it.
      const bool is_last = i + 1 == events.size();
      (void)db_->Execute(is_last ? "COMMIT; PRAGMA synchronous=FULL; BEGIN" : "COMMIT");
      if (!is_last) continue;
      (void)db_->Execute(
          "CREATE TABLE IF NOT EXISTS rounds (n); INSERT INTO rounds VALUES (1); "
          "COMMIT; PRAGMA synchronous=NORMAL");
    }
  }

 private:
  std::unique_ptr<SqliteConnection> db_;
  std::unique_ptr<SqliteStatement> insert_;
  int64_t id_ = 0;
};

// Of all threads: on a machine that does other things as well, it says more than the time.
absl::Duration ProcessorTime() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

void BM_EventsThroughTheChannel(benchmark::State& state) {
  TestFolder folder;
  SystemClock clock;
  std::vector<v1::Event> events;
  std::vector<std::string> payloads;
  for (int i = 0; i < kEventsPerRound; ++i) {
    events.push_back(At(clock.WallNow(), Numbered(i)));
    events.back().set_record_id(i);
    events.back().set_server("web-1");
    payloads.push_back(events.back().SerializeAsString());
  }
  BareWriter bare(folder.path("bare.db"));
  EventStoreOptions options = OptionsAt(folder.path("events.db"), clock);
  auto owned_pace = std::make_unique<Pace>();
  Pace& pace = *owned_pace;
  options.exports.push_back({std::move(owned_pace)});
  auto store = EventStore::Open(std::move(options));
  int64_t appended = 0;
  absl::Duration bare_time;
  absl::Duration store_time;
  absl::Duration bare_cpu;
  absl::Duration store_cpu;
  for (auto _ : state) {
    std::vector<v1::Event> ready = events;  // As the rows are: neither side makes them.
    const Instant begin = clock.Now();
    const absl::Duration begin_cpu = ProcessorTime();
    bare.Write(events, payloads);
    const Instant between = clock.Now();
    const absl::Duration between_cpu = ProcessorTime();
    for (v1::Event& event : ready) {
      (*store)->Append(std::move(event));
      if (++appended % kBatch == 0) pace.AwaitWritten(appended - 5 * kBatch);
    }
    if (!(*store)->Flush(clock.Now() + absl::Seconds(60)).ok()) state.SkipWithError("not written");
    const Instant end = clock.Now();
    store_cpu += ProcessorTime() - between_cpu;
    bare_cpu += between_cpu - begin_cpu;
    bare_time += between - begin;
    store_time += end - between;
    state.SetIterationTime(absl::ToDoubleSeconds(end - between));
  }
  const double count = static_cast<double>(state.iterations()) * kEventsPerRound;
  state.counters["channel_per_s"] = count / absl::ToDoubleSeconds(store_time);
  state.counters["bare_per_s"] = count / absl::ToDoubleSeconds(bare_time);
  state.counters["channel_cpu_us"] = absl::ToDoubleMicroseconds(store_cpu) / count;
  state.counters["bare_cpu_us"] = absl::ToDoubleMicroseconds(bare_cpu) / count;
  state.counters["ratio"] = absl::FDivDuration(bare_time, store_time);  // At least 0.5.
  if ((*store)->dropped() > 0) state.SkipWithError("events were dropped");
}
BENCHMARK(BM_EventsThroughTheChannel)
    ->UseManualTime()
    ->Iterations(8)
    ->Unit(benchmark::kMillisecond);

// What Append costs its caller, the engine's loop.
void BM_Append(benchmark::State& state) {
  TestFolder folder;
  SystemClock clock;
  EventStoreOptions options = OptionsAt(folder.path("events.db"), clock);
  options.write_delay = absl::Seconds(60);  // The writer sleeps; the oldest are dropped.
  options.queue.batch_events_max = 1'000'000;
  auto store = EventStore::Open(std::move(options));
  const v1::Event event = Numbered(1);
  for (auto _ : state) (*store)->Append(event);
}
BENCHMARK(BM_Append);

// One file for all questions, written once.
class FullFile {
 public:
  FullFile() {
    const int64_t count = EventsInFile();
    auto database = EventDatabase::Open(folder_.path("events.db"));
    std::vector<QueuedEvent> batch;
    for (int64_t i = 1; i <= count; ++i) {
      v1::Event event = At(begin_ + absl::Milliseconds(100) * i, Numbered(i));
      event.set_record_id(i);
      batch.push_back({.event = std::make_shared<const v1::Event>(std::move(event))});
      if (batch.size() < kBatch && i < count) continue;
      if (!(*database)->Write(batch, false).ok()) abort();
      batch.clear();
    }
    end_ = begin_ + absl::Milliseconds(100) * count;
    database->reset();
    store_ = *EventStore::Open(OptionsAt(folder_.path("events.db"), clock_));
    reader_ = std::make_unique<EventReader>(*store_);
  }

  EventReader& reader() { return *reader_; }
  absl::Time end() const { return end_; }

 private:
  TestFolder folder_;
  SystemClock clock_;
  const absl::Time begin_ = clock_.WallNow() - absl::Hours(24 * 30);
  absl::Time end_;
  std::unique_ptr<EventStore> store_;
  std::unique_ptr<EventReader> reader_;
};

FullFile& SharedFile() {
  static FullFile file;  // Destroyed at the end: its folder goes, too.
  return file;
}

void Ask(benchmark::State& state, const v1::QueryEventsRequest& request, size_t expected) {
  EventReader& reader = SharedFile().reader();
  SystemClock clock;
  absl::Duration longest;
  for (auto _ : state) {
    const Instant begin = clock.Now();
    const auto events = reader.Query(request);
    longest = std::max(longest, clock.Now() - begin);
    if (!events.ok() || events->size() != expected) state.SkipWithError("a wrong answer");
  }
  state.counters["longest_ms"] = absl::ToDoubleMilliseconds(longest);
  state.counters["events"] = static_cast<double>(EventsInFile());
}

void BM_LastHundredOfAChannel(benchmark::State& state) {  // At most 5 ms among 10 million.
  v1::QueryEventsRequest request;
  request.add_channel(static_cast<v1::Channel>(state.range(0)));
  request.set_limit(100);
  Ask(state, request, 100);
}
BENCHMARK(BM_LastHundredOfAChannel)
    ->Arg(v1::ProbeResult)
    ->Arg(v1::MonitorResult)
    ->Unit(benchmark::kMicrosecond);

void BM_LastHundredFailures(benchmark::State& state) {
  v1::QueryEventsRequest request;
  request.add_channel(v1::ProbeResult);
  request.add_event_id(2);
  request.set_limit(100);
  Ask(state, request, 100);
}
BENCHMARK(BM_LastHundredFailures)->Unit(benchmark::kMicrosecond);

void BM_LastHundredOfAProbe(benchmark::State& state) {
  v1::QueryEventsRequest request;
  request.set_health_set("Web");
  request.set_name("Probe77");
  request.set_limit(100);
  Ask(state, request, 100);
}
BENCHMARK(BM_LastHundredOfAProbe)->Unit(benchmark::kMicrosecond);

void BM_LastHundredOfAHealthSet(benchmark::State& state) {
  v1::QueryEventsRequest request;
  request.set_health_set("Web");
  request.set_limit(100);
  Ask(state, request, 100);
}
BENCHMARK(BM_LastHundredOfAHealthSet)->Unit(benchmark::kMicrosecond);

void BM_TenMinutesADayAgo(benchmark::State& state) {
  v1::QueryEventsRequest request;
  SetTimestamp(SharedFile().end() - absl::Hours(12), request.mutable_since());
  SetTimestamp(SharedFile().end() - absl::Hours(12) + absl::Minutes(10), request.mutable_until());
  request.add_channel(v1::MonitorResult);
  request.set_limit(1'000);
  Ask(state, request, 120);
}
BENCHMARK(BM_TenMinutesADayAgo)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace salve

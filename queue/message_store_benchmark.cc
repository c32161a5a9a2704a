// The store against bare SQLite commits of the same rows with the same pragmas, taken in turns in
// the same run; batches; and what a million messages cost at a start. The folder can be named
// (SALVE_BENCHMARK_DIR): beside it the build's temporary files may be in memory.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "channels/sqlite.h"
#include "queue/message_store.h"

namespace salve {
namespace {

using std::chrono::steady_clock;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

std::string Folder() {
  const char* named = getenv("SALVE_BENCHMARK_DIR");
  std::string folder = std::string(named ? named : "/var/tmp") + "/salve-queue-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) abort();
  return folder;
}

template <typename T>
T Value(absl::StatusOr<T> result) {
  if (!result.ok()) abort();
  return *std::move(result);
}

std::unique_ptr<MessageStore> OpenStore(const std::string& folder) {
  return Value(MessageStore::Open(
      {.path = folder + "/queue.db", .server = "web1.example.org", .now = kNow}));
}

queue::Message NextLetter(MessageStore& store) {
  queue::Message letter;
  letter.set_mid(store.NewMid(kNow));
  letter.set_origin_mid(letter.mid());
  letter.set_origin_server("web1.example.org");
  letter.set_type(queue::AF);
  letter.set_created_ns(absl::ToUnixNanos(kNow));
  letter.set_expires_ns(absl::ToUnixNanos(kNow + absl::Hours(48)));
  letter.set_destination("ops");
  letter.set_subject("web1.example.org: Web is Unhealthy");
  letter.set_correlation("019a2b3c4d5e6f708192a3b4c5d6e7f8");
  letter.mutable_letter()->set_message(
      "The set Web is Unhealthy: HttpProbe failed 3 times in a row.");
  letter.mutable_letter()->set_health_set("Web");
  letter.mutable_letter()->set_monitor("HttpMonitor");
  return letter;
}

Changes PutOf(MessageStore& store, int count) {
  Changes changes;
  changes.now = kNow;
  for (int i = 0; i < count; ++i) {
    changes.puts.push_back({NextLetter(store), absl::StrCat("remote/", i % 4), false, kNow});
  }
  return changes;
}

// A table of the same columns, without an index (but for its key) or anything else.
class BareTable {
 public:
  explicit BareTable(const std::string& path)
      : db_(Value(SqliteConnection::Open(path, SqliteConnection::Mode::kReadWrite))) {
    const absl::Status made = db_->Execute(
        "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL; "
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=1000; "
        "PRAGMA journal_size_limit=16777216; PRAGMA cache_size=-8192; "
        "CREATE TABLE messages(sequence INTEGER PRIMARY KEY, queue INTEGER, rank INTEGER, "
        "held INTEGER, flags INTEGER, due INTEGER, expires INTEGER, mid TEXT, body BLOB, "
        "checksum INTEGER)");
    if (!made.ok()) abort();
    put_ = std::make_unique<SqliteStatement>(
        Value(db_->Prepare("INSERT INTO messages VALUES(?,?,?,?,?,?,?,?,?,?)")));
    // The log as the store grows it beforehand.
    if (!db_->Execute("CREATE TABLE grow(x); INSERT INTO grow VALUES(zeroblob(4000000)); "
                      "DROP TABLE grow; PRAGMA wal_checkpoint(RESTART)")
             .ok()) {
      abort();
    }
  }
  void Put(const queue::Message& message) {
    put_->Bind(1, ++sequence_);
    for (int column = 2; column <= 7; ++column) put_->Bind(column, absl::ToUnixNanos(kNow));
    put_->BindText(8, message.mid());
    put_->BindBlob(9, message.SerializeAsString());
    put_->Bind(10, sequence_);
    if (!put_->Run().ok()) abort();
  }

 private:
  std::unique_ptr<SqliteConnection> db_;
  std::unique_ptr<SqliteStatement> put_;
  int64_t sequence_ = 0;
};

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

template <typename Call>
double Microseconds(Call call) {
  const auto start = steady_clock::now();
  call();
  return std::chrono::duration<double, std::micro>(steady_clock::now() - start).count();
}

double Sum(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * 4096;
}

// `ratio`: the store's rate against the bare table's; `ratio_p50`: of the medians.
void BM_AcceptSingly(benchmark::State& state) {
  const std::string folder = Folder();
  {
    auto store = OpenStore(folder);
    BareTable bare(folder + "/bare.db");
    std::vector<double> store_us, bare_us;
    for (auto _ : state) {
      const Changes changes = PutOf(*store, 1);
      store_us.push_back(Microseconds([&] { Value(store->Apply(changes)); }));
      state.SetIterationTime(store_us.back() / 1e6);
      bare_us.push_back(Microseconds([&] { bare.Put(changes.puts[0].message); }));
    }
    state.counters["store_p50_us"] = Median(store_us);
    state.counters["bare_p50_us"] = Median(bare_us);
    state.counters["ratio"] = Sum(bare_us) / Sum(store_us);
    state.counters["ratio_p50"] = Median(bare_us) / Median(store_us);
  }
  std::filesystem::remove_all(folder);
}

void BM_AcceptInBatches(benchmark::State& state) {
  const std::string folder = Folder();
  {
    auto store = OpenStore(folder);
    for (auto _ : state) {
      state.PauseTiming();
      const Changes changes = PutOf(*store, static_cast<int>(state.range(0)));
      state.ResumeTiming();
      Value(store->Apply(changes));
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
  }
  std::filesystem::remove_all(folder);
}

// Open, dirty as after a crash and clean, with so many messages; then what `queue list` asks for.
void BM_Open(benchmark::State& state) {
  const std::string folder = Folder();
  const int64_t messages = state.range(0);
  const bool clean = state.range(1) != 0;
  // By another process, whose memory is not this one's.
  const pid_t child = fork();
  if (child == 0) {
    auto store = OpenStore(folder);
    for (int64_t done = 0; done < messages; done += 1'000)
      Value(store->Apply(PutOf(*store, 1'000)));
    if (clean && !store->Close().ok()) abort();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) abort();
  double list_us = 0;
  int64_t grown = 0;
  for (auto _ : state) {
    const int64_t before = ResidentBytes();
    const auto start = steady_clock::now();
    auto store = OpenStore(folder);
    state.SetIterationTime(std::chrono::duration<double>(steady_clock::now() - start).count());
    list_us = Microseconds([&] {
      for (const QueueRow& row : store->Queues()) benchmark::DoNotOptimize(row);
      benchmark::DoNotOptimize(Value(store->List("remote/1", 100)));
      benchmark::DoNotOptimize(Value(store->Head("remote/2")));
    });
    grown = std::max(grown, ResidentBytes() - before);
    if (clean && !store->Close().ok()) abort();
  }
  state.counters["list_ms"] = list_us / 1e3;
  state.counters["rss_grown_MiB"] = static_cast<double>(grown) / (1 << 20);
  std::filesystem::remove_all(folder);
}

BENCHMARK(BM_AcceptSingly)->UseManualTime()->Iterations(3000);
BENCHMARK(BM_AcceptInBatches)->Arg(1)->Arg(100)->Arg(1000)->UseRealTime()->MinTime(2);
BENCHMARK(BM_Open)
    ->ArgsProduct({{0, 10'000, 1'000'000}, {0, 1}})
    ->UseManualTime()
    ->Iterations(3)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace salve

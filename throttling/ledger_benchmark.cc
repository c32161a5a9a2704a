// One attempt on disk against one bare overwrite of 4 KiB and its fdatasync, taken in turns in
// the same run. The counter `ratio` is p50 against p50.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "benchmark/benchmark.h"
#include "throttling/ledger_store.h"

namespace salve {
namespace {

using std::chrono::steady_clock;

// Beside the build's temporary files, which may be in memory, the folder can be named.
std::string Folder() {
  const char* named = getenv("SALVE_BENCHMARK_DIR");
  std::string folder = std::string(named ? named : "/var/tmp") + "/salve-ledger-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) abort();
  return folder;
}

// A file that was written before, so that an overwrite costs no metadata.
class BareFile {
 public:
  explicit BareFile(const std::string& path)
      : file_(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)) {
    for (int i = 0; i < kBlocks; ++i) Overwrite();
  }
  void Overwrite() {
    const off_t at = (next_++ % kBlocks) * static_cast<off_t>(sizeof(block_));
    if (pwrite(file_.get(), block_, sizeof(block_), at) != sizeof(block_)) abort();
    if (fdatasync(file_.get()) != 0) abort();
  }

 private:
  static constexpr int kBlocks = 256;
  const UniqueFd file_;
  int next_ = 0;
  const char block_[4096] = {1};
};

AttemptRow NextRow(int64_t number) {
  AttemptRow row;
  row.number = number;
  row.boot = 1;
  row.attempt.id = "019a2b3c4d5e6f708192a3b4c5d6e7f8";
  row.attempt.resource = "nginx.service";
  row.attempt.requester = "RestartNginxResponder";
  row.attempt.server = "web1.example.org";
  row.attempt.incident_id = "019a2b3c4d5e6f708192a3b4c5d6e7f8";
  row.attempt.health_set = "Web";
  row.attempt.start_wall = absl::FromUnixSeconds(1'800'000'000 + number);
  row.attempt.timeout = absl::Minutes(2);
  return row;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

void Append(benchmark::State& state, int appends_a_start) {
  const std::string folder = Folder();
  std::vector<BootRow> boots;
  std::vector<AttemptRow> attempts;
  std::unique_ptr<LedgerStore> store;
  BareFile bare(folder + "/bare");
  std::vector<double> append_us, bare_us;
  int64_t number = 0;
  const auto microseconds = [](auto&& call) {
    const auto start = steady_clock::now();
    call();
    return std::chrono::duration<double, std::micro>(steady_clock::now() - start).count();
  };
  for (auto _ : state) {
    if (number % appends_a_start == 0) {
      store.reset();
      attempts.clear();
      store = *LedgerStore::Open(folder + "/ledger.db", boots, attempts);
    }
    const AttemptRow row = NextRow(++number);
    append_us.push_back(microseconds([&] {
      if (!store->Write(row).ok()) abort();
    }));
    state.SetIterationTime(append_us.back() / 1e6);
    bare_us.push_back(microseconds([&] { bare.Overwrite(); }));
  }
  state.counters["append_p50_us"] = Median(append_us);
  state.counters["bare_p50_us"] = Median(bare_us);
  state.counters["ratio"] = Median(append_us) / Median(bare_us);
  store.reset();
  std::filesystem::remove_all(folder);
}

// How long a start waits for the ledger.
void BM_LedgerOpen(benchmark::State& state) {
  const std::string folder = Folder();
  std::vector<BootRow> boots;
  std::vector<AttemptRow> attempts;
  {
    Upkeep all;
    all.boot.number = 1;
    for (int64_t i = 1; i <= state.range(0); ++i) all.unwritten.push_back(NextRow(i));
    if (!(*LedgerStore::Open(folder + "/ledger.db", boots, attempts))->Keep(all).ok()) abort();
  }
  for (auto _ : state) {
    boots.clear();
    attempts.clear();
    benchmark::DoNotOptimize(*LedgerStore::Open(folder + "/ledger.db", boots, attempts));
  }
  std::filesystem::remove_all(folder);
}

void BM_LedgerAppend(benchmark::State& state) { Append(state, 1 << 30); }
void BM_LedgerAppendRightAfterAStart(benchmark::State& state) { Append(state, 100); }
BENCHMARK(BM_LedgerOpen)->Arg(0)->Arg(1000)->Arg(100000)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_LedgerAppend)->UseManualTime()->Iterations(3000);
BENCHMARK(BM_LedgerAppendRightAfterAStart)->UseManualTime()->Iterations(1000);

}  // namespace
}  // namespace salve

// A group of many servers on the simulated clock and an etcd in memory: a common fault makes all
// of them ask for a reboot within a minute. Counters:
//
//   writes, reads      transactions of etcd's in the 10 minutes after the fault
//   keep_alives        of leases, in the same time
//   peak_per_s         of writes and reads together, in the worst second
//   settled_s          seconds from the fault until less than one asks in a second for good
//   largest_key        bytes of the largest key that was put, and largest_value
//   largest_answer     bytes of the largest answer
//   allowed            reboots
#include <deque>
#include <filesystem>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/simulated_loop.h"
#include "base/worker.h"
#include "benchmark/benchmark.h"
#include "throttling/etcd_coordinator.h"
#include "throttling/fake_etcd.h"
#include "throttling/ledger.h"

namespace salve {
namespace {

constexpr Limits kReboot = {true, -1, -1, -1, 60, 4};  // The built-in limits of a group.
constexpr absl::Duration kWatched = absl::Minutes(10);

class Fleet {
 public:
  explicit Fleet(int servers) {
    std::filesystem::create_directories(folder_);
    LedgerOptions options;
    options.path = folder_ + "/ledger.db";
    options.boot_id = "boot";
    options.server = "s";
    ledger_ = Ledger::Open(options, loop_, worker_).value();
    servers_.resize(static_cast<size_t>(servers));
    for (size_t i = 0; i < servers_.size(); ++i) {
      loop_.CallAfter(absl::Seconds(60) * (static_cast<double>(i) / servers),
                      [this, i] { Start(i); });
    }
    loop_.RunFor(absl::Minutes(8));  // All know how many they are.
  }
  ~Fleet() {
    servers_.clear();
    ledger_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Fault() {
    for (size_t i = 0; i < servers_.size(); ++i) {
      loop_.CallAfter(absl::Seconds(60) * (static_cast<double>(engine_() % 10'000) / 10'000),
                      [this, i] { Ask(i); });
    }
    const int writes = etcd_.transactions, reads = etcd_.reads, keep_alives = etcd_.keep_alives;
    int seconds = 0;
    for (Instant end = loop_.Now() + kWatched; loop_.Now() < end; ++seconds) {
      const int before = etcd_.transactions + etcd_.reads;
      const int asked_before = asked_;
      loop_.RunFor(absl::Seconds(1));
      peak_per_s = std::max(peak_per_s, etcd_.transactions + etcd_.reads - before);
      if (asked_ > asked_before) settled_s = seconds + 1;
    }
    this->writes = etcd_.transactions - writes;
    this->reads = etcd_.reads - reads;
    this->keep_alives = etcd_.keep_alives - keep_alives;
  }

  int writes = 0, reads = 0, keep_alives = 0, peak_per_s = 0, settled_s = 0, allowed = 0;
  const FakeEtcd& etcd() const { return etcd_; }

 private:
  struct Server {
    std::unique_ptr<FakeEtcdClient> client;
    std::unique_ptr<Coordinator> coordinator;
    TimerId again = TimerId::kNone;
    bool asking = false;
  };

  void Start(size_t i) {
    Server& server = servers_[i];
    server.client = std::make_unique<FakeEtcdClient>(loop_, etcd_);
    EtcdCoordinatorOptions options;
    options.group = "fleet";
    options.server = absl::StrCat("server-", i);
    options.machine_id = options.server;
    options.boot_id = "boot";
    server.coordinator = NewEtcdCoordinator(options, loop_, *server.client, *ledger_, random_);
    server.coordinator->OnFreed([this, i](RecoveryAction, const std::string&,
                                          absl::Duration spread) { AskAgain(i, spread); });
  }
  void AskAgain(size_t i, absl::Duration wait) {
    loop_.CancelTimer(servers_[i].again);
    servers_[i].again = loop_.CallAfter(wait, [this, i] { Ask(i); });
  }
  void Ask(size_t i) {
    Server& server = servers_[i];
    if (server.asking) return;
    server.asking = true;
    ++asked_;
    Attempt attempt = ledger_->NewAttempt(RecoveryAction::kRebootServer, absl::StrCat("server-", i),
                                          "R", absl::Minutes(15));
    server.coordinator->Reserve({attempt, kReboot}, [this, i, attempt](GroupVerdict verdict) {
      servers_[i].asking = false;
      if (!verdict.passed) return AskAgain(i, verdict.retry_in + verdict.retry_spread);
      ++allowed;
      // It reboots for a minute and is well again.
      loop_.CallAfter(absl::Minutes(1), [this, i, ended = attempt]() mutable {
        ended.state = AttemptState::kFinished;
        ended.result = AttemptResult::kSucceeded;
        ended.end = loop_.Now();
        ended.end_boot_id = ended.boot_id;
        servers_[i].coordinator->Release(ended);
      });
    });
  }

  const std::string folder_ = absl::StrCat(std::filesystem::temp_directory_path().string(),
                                           "/salve-fleet-benchmark-", getpid());
  SimulatedLoop loop_;
  InlineWorker worker_;
  std::mt19937_64 engine_{1};
  RandomSource random_ = [this] { return engine_(); };
  FakeEtcd etcd_{loop_};
  std::unique_ptr<Ledger> ledger_;
  std::deque<Server> servers_;
  int asked_ = 0;
};

void BM_AllAskWithinAMinute(benchmark::State& state) {
  for (auto _ : state) {
    Fleet fleet(static_cast<int>(state.range(0)));
    fleet.Fault();
    state.counters["writes"] = fleet.writes;
    state.counters["reads"] = fleet.reads;
    state.counters["keep_alives"] = fleet.keep_alives;
    state.counters["peak_per_s"] = fleet.peak_per_s;
    state.counters["settled_s"] = fleet.settled_s;
    state.counters["largest_key"] = static_cast<double>(fleet.etcd().largest_key);
    state.counters["largest_value"] = static_cast<double>(fleet.etcd().largest_value);
    state.counters["largest_answer"] = static_cast<double>(fleet.etcd().largest_answer);
    state.counters["allowed"] = fleet.allowed;
  }
}
BENCHMARK(BM_AllAskWithinAMinute)
    ->Arg(100)
    ->Arg(1'000)
    ->Arg(10'000)
    ->Iterations(1)
    ->Unit(benchmark::kSecond);

}  // namespace
}  // namespace salve

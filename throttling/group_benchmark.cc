// The group's reservation against bare transactions of the same etcd, in turns within one run.
//
//   BM_Bare/BM_Grant   one client: a compare and a put of 200 bytes / a whole grant
//   BM_Storms          fifty clients at once, each on a connection of its own: fifty bare
//                      transactions, then fifty servers that ask
//
// Counters p50_ms and p99_ms, of one call; of the storms how long until all had their answer, and
// the median of the ratios of each pair, so that a busy neighbour meets both.
#include <algorithm>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/worker.h"
#include "benchmark/benchmark.h"
#include "probes/http_client.h"
#include "probes/resolver.h"
#include "throttling/etcd_coordinator.h"
#include "throttling/grpc_etcd_client.h"
#include "throttling/ledger.h"
#include "throttling/test_etcd.h"

namespace salve {
namespace {

constexpr int kClients = 50;

// One etcd for all; servers of one group, each with a client of its own.
class World {
 public:
  static World& Get() {
    static World world;  // Destroyed at exit: its etcd must not outlive it.
    return world;
  }

  struct Server {
    std::unique_ptr<EtcdClient> client;
    std::unique_ptr<Ledger> ledger;
    std::unique_ptr<Coordinator> coordinator;
  };

  UvLoop& loop() { return loop_; }
  RealEtcd& etcd() { return etcd_; }
  Server& server(int i) {
    while (static_cast<int>(servers_.size()) <= i) Add();
    return servers_[static_cast<size_t>(i)];
  }
  std::string NewResource() { return absl::StrCat("resource-", ++resources_); }

  // Calls each of `calls` and waits for all; returns how long each took, in milliseconds.
  std::vector<double> Together(
      const std::vector<std::function<void(std::function<void()>)>>& calls) {
    std::vector<double> times;
    const Instant begun = loop_.Now();
    for (const auto& call : calls) {
      call([this, begun, &times, &calls] {
        times.push_back(absl::ToDoubleMilliseconds(loop_.Now() - begun));
        if (times.size() == calls.size()) loop_.Stop();
      });
    }
    loop_.Run();
    return times;
  }

  void BareTxn(int i, std::function<void()> done) {
    etcdserverpb::TxnRequest txn;
    const std::string key = absl::StrCat("/bare/", ++keys_);
    auto& compare = *txn.add_compare();
    compare.set_target(etcdserverpb::Compare::CREATE);
    compare.set_key(key);
    compare.set_create_revision(0);
    txn.add_success()->mutable_request_put()->set_key(key);
    txn.mutable_success(0)->mutable_request_put()->set_value(std::string(200, 'x'));
    server(i).client->Txn(txn, loop_.Now() + absl::Seconds(10),
                          [done = std::move(done)](const absl::StatusOr<EtcdTxn>& answer) {
                            CHECK(answer.ok());
                            done();
                          });
  }
  void Ask(int i, const std::string& resource, std::function<void(const GroupVerdict&)> done) {
    Server& asking = server(i);
    const Attempt attempt =
        asking.ledger->NewAttempt(RecoveryAction::kRestartService, resource, "R", absl::Minutes(2));
    asking.coordinator->Reserve({attempt, {true, -1, -1, -1, 60, 7}}, std::move(done));
  }

 private:
  World() {
    std::filesystem::create_directories(folder_);
    for (int i = 0; i < kClients; ++i) Add();
    // Until all are registered, which a question that never passes tells.
    for (int i = 0; i < kClients; ++i) {
      bool ready = false;
      for (int tries = 0; tries < 100 && !ready; ++tries) {
        Together({[&](std::function<void()> done) {
          servers_[static_cast<size_t>(i)].coordinator->Check(
              {servers_[static_cast<size_t>(i)].ledger->NewAttempt(RecoveryAction::kRestartService,
                                                                   "none", "R", absl::Minutes(2)),
               {true, -1, -1, -1, -1, 0}},
              [&ready, done](const GroupVerdict& verdict) {
                ready = verdict.failed[0] == Check::kGroupMaxInDay &&
                        verdict.servers_in_compatible_version >= 1;
                done();
              });
        }});
      }
      CHECK(ready);
    }
    etcd_.RunUntil([] { return false; }, absl::Seconds(2));
  }
  void Add() {
    Server& server = servers_.emplace_back();
    const std::string name = absl::StrCat("s", servers_.size());
    GrpcEtcdOptions client;
    client.endpoints = {etcd_.url()};
    server.client = NewGrpcEtcdClient(client, loop_, http_).value();
    LedgerOptions ledger;
    ledger.path = absl::StrCat(folder_, "/", name, ".db");
    ledger.boot_id = "boot";
    ledger.server = name;
    server.ledger = Ledger::Open(ledger, loop_, worker_).value();
    EtcdCoordinatorOptions options;
    options.group = "bench";
    options.server = name;
    options.machine_id = name;
    server.coordinator =
        NewEtcdCoordinator(options, loop_, *server.client, *server.ledger, random_);
  }

  const std::string folder_ = absl::StrCat(std::filesystem::temp_directory_path().string(),
                                           "/salve-group-benchmark-", getpid());
  UvLoop loop_;
  Resolver resolver_{loop_};
  HttpClient http_{loop_, resolver_};
  RealEtcd etcd_{loop_, folder_ + "/etcd"};
  InlineWorker worker_;
  RandomSource random_ = SystemRandom();
  std::deque<Server> servers_;
  int resources_ = 0;
  int keys_ = 0;
};

void Report(benchmark::State& state, std::vector<double> times) {
  std::sort(times.begin(), times.end());
  state.counters["p50_ms"] = times[times.size() / 2];
  state.counters["p99_ms"] = times[std::min(times.size() - 1, times.size() * 99 / 100)];
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void BM_Bare(benchmark::State& state) {
  World& world = World::Get();
  std::vector<double> times;
  for (auto _ : state) {
    times.push_back(world.Together({[&](auto done) { world.BareTxn(0, std::move(done)); }})[0]);
  }
  Report(state, std::move(times));
}

void BM_Grant(benchmark::State& state) {
  World& world = World::Get();
  std::vector<double> times;
  for (auto _ : state) {
    const std::string resource = world.NewResource();
    times.push_back(world.Together({[&](auto done) {
      world.Ask(0, resource, [done](const GroupVerdict& verdict) {
        CHECK(verdict.passed);
        done();
      });
    }})[0]);
  }
  Report(state, std::move(times));
}

double BareStorm(World& world) {
  std::vector<std::function<void(std::function<void()>)>> calls;
  for (int i = 0; i < kClients; ++i) {
    calls.push_back([&world, i](auto done) { world.BareTxn(i, std::move(done)); });
  }
  return world.Together(calls).back();
}

double AskStorm(World& world) {
  const std::string resource = world.NewResource();
  int passed = 0;
  std::vector<std::function<void(std::function<void()>)>> calls;
  for (int i = 0; i < kClients; ++i) {
    calls.push_back([&, i](std::function<void()> done) {
      world.Ask(i, resource, [&passed, done = std::move(done)](const GroupVerdict& verdict) {
        passed += verdict.passed;
        done();
      });
    });
  }
  const double all_in = world.Together(calls).back();
  CHECK(passed == 1);
  return all_in;
}

void BM_Storms(benchmark::State& state) {
  World& world = World::Get();
  std::vector<double> bare, ask, ratio;
  for (auto _ : state) {
    bare.push_back(BareStorm(world));
    ask.push_back(AskStorm(world));
    ratio.push_back(ask.back() / bare.back());
    state.PauseTiming();  // Refused ones that were put down are taken back.
    world.etcd().RunUntil([] { return false; }, absl::Milliseconds(300));
    state.ResumeTiming();
  }
  state.counters["bare_p50_ms"] = Median(std::move(bare));
  state.counters["ask_p50_ms"] = Median(std::move(ask));
  state.counters["ratio_p50"] = Median(std::move(ratio));
}

// In turns, so that a busy neighbour meets both.
BENCHMARK(BM_Bare)->Iterations(400)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Grant)->Iterations(400)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Storms)->Iterations(60)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace salve

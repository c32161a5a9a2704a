// TCP connect looks, 20 in flight, against a bare blocking connect and close (rate_ratio), and
// against that loop with an HTTP request (rate_ratio_with_request). On loopback a connection
// stands when connect() is back, so that the first loop never waits, and can't be beaten by much.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "base/check.h"
#include "base/uv_loop.h"
#include "probes/benchmark_nginx.h"
#include "probes/tcp_probe.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

constexpr int kInFlight = 20;
constexpr int kRounds = 40;
constexpr int kLooks = 400;

class Looker {
 public:
  explicit Looker(int port) {
    config::TcpProbe config;
    config.set_port(port);
    for (int i = 0; i < kInFlight; ++i) probes_.push_back(*NewTcpProbe(config, loop_, resolver_));
  }

  void Look(int times) {
    left_ = times;
    ended_ = 0;
    wanted_ = times;
    for (const auto& probe : probes_) Start(*probe);
    loop_.Run();
  }

 private:
  // By way of the loop, as the scheduler starts its looks.
  void Start(Probe& probe) {
    if (left_ == 0) return;
    --left_;
    loop_.CallAt(loop_.Now(), [this, &probe] {
      probe.Start(loop_.Now() + absl::Seconds(10), [this, &probe](Observation seen) {
        CHECK(seen.outcome == Outcome::kSucceeded);
        if (++ended_ == wanted_) loop_.Stop();
        Start(probe);
      });
    });
  }

  UvLoop loop_;
  Resolver resolver_{loop_};
  std::vector<std::unique_ptr<Probe>> probes_;
  int left_ = 0;
  int ended_ = 0;
  int wanted_ = 0;
};

void BM_TcpProbeAgainstBlockingLoop(benchmark::State& state) {
  const BenchmarkNginx nginx;
  Looker looker(nginx.port());
  for (auto _ : state) {
    const int time_waits_before = TimeWaitsTo(nginx.port());
    looker.Look(kLooks);
    state.counters["time_wait"] = TimeWaitsTo(nginx.port()) - time_waits_before;
    const Comparison c = Compare(
        kRounds, kLooks, [&](int n) { looker.Look(n); },
        [&](int n) {
          for (int i = 0; i < n; ++i) BlockingLook(nginx.port(), "");
        });
    state.counters["cpu_ratio"] = c.cpu_ratio;
    state.counters["rate_ratio"] = c.rate_ratio;
    state.counters["probe_cpu_us"] = c.probe.cpu_us;
    state.counters["blocking_cpu_us"] = c.blocking.cpu_us;
    state.counters["probes_per_second"] = 1e6 / c.probe.wall_us;
    state.counters["blocking_per_second"] = 1e6 / c.blocking.wall_us;
    const Comparison with_request = Compare(
        kRounds / 2, kLooks, [&](int n) { looker.Look(n); },
        [&](int n) {
          for (int i = 0; i < n; ++i) {
            BlockingLook(nginx.port(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
          }
        });
    state.counters["rate_ratio_with_request"] = with_request.rate_ratio;
  }
}
BENCHMARK(BM_TcpProbeAgainstBlockingLoop)->Iterations(1)->Unit(benchmark::kSecond);

}  // namespace
}  // namespace salve

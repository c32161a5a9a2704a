// Fresh HTTP looks, 20 in flight, against a bare blocking loop and a local nginx. Wanted: at
// most 1.1 x its CPU and at least 1.5 x its rate, and no TIME_WAIT on our side.
#include <benchmark/benchmark.h>

#include <csignal>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/uv_loop.h"
#include "probes/benchmark_nginx.h"
#include "probes/http_probe.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

constexpr int kInFlight = 20;
constexpr int kRounds = 40;
constexpr int kLooks = 400;

class Looker {
 public:
  explicit Looker(int port) {
    config::HttpProbe config;
    config.set_url(absl::StrCat("http://127.0.0.1:", port, "/"));
    for (int i = 0; i < kInFlight; ++i) probes_.push_back(*NewHttpProbe(config, loop_, http_));
  }

  void Look(int times) {
    left_ = times;
    running_ = 0;
    for (const auto& probe : probes_) Start(*probe);
    loop_.Run();
  }

 private:
  void Start(Probe& probe) {
    if (left_ == 0) {
      if (running_ == 0) loop_.Stop();
      return;
    }
    --left_;
    ++running_;
    probe.Start(loop_.Now() + absl::Seconds(10), [this, &probe](Observation seen) {
      CHECK(seen.outcome == Outcome::kSucceeded);
      --running_;
      Start(probe);
    });
  }

  UvLoop loop_;
  Resolver resolver_{loop_};
  HttpClient http_{loop_, resolver_};
  std::vector<std::unique_ptr<Probe>> probes_;
  int left_ = 0;
  int running_ = 0;
};

void BM_HttpProbeAgainstBlockingLoop(benchmark::State& state) {
  signal(SIGPIPE, SIG_IGN);
  const BenchmarkNginx nginx;
  Looker looker(nginx.port());
  const std::string request = absl::StrCat("GET / HTTP/1.1\r\nHost: 127.0.0.1:", nginx.port(),
                                           "\r\nUser-Agent: salve\r\nAccept: */*\r\n"
                                           "Connection: close\r\n\r\n");
  for (auto _ : state) {
    const int time_waits_before = TimeWaitsTo(nginx.port());
    looker.Look(kLooks);
    state.counters["time_wait"] = TimeWaitsTo(nginx.port()) - time_waits_before;
    const Comparison c = Compare(
        kRounds, kLooks, [&](int n) { looker.Look(n); },
        [&](int n) {
          for (int i = 0; i < n; ++i) BlockingLook(nginx.port(), request);
        });
    state.counters["cpu_ratio"] = c.cpu_ratio;
    state.counters["rate_ratio"] = c.rate_ratio;
    state.counters["probe_cpu_us"] = c.probe.cpu_us;
    state.counters["blocking_cpu_us"] = c.blocking.cpu_us;
    state.counters["probes_per_second"] = 1e6 / c.probe.wall_us;
    state.counters["blocking_per_second"] = 1e6 / c.blocking.wall_us;
  }
}
BENCHMARK(BM_HttpProbeAgainstBlockingLoop)->Iterations(1)->Unit(benchmark::kSecond);

}  // namespace
}  // namespace salve

// The local check with 10, 1,000 and 10,000 attempts of one key in the ledger.
#include <deque>

#include "benchmark/benchmark.h"
#include "throttling/local_throttle.h"

namespace salve {
namespace {

void BM_CheckLocal(benchmark::State& state) {
  const int attempts_in_ledger = static_cast<int>(state.range(0));
  std::deque<Attempt> attempts;
  KeyHistory history;
  // Spread over two days, so that both windows cut through the middle.
  const absl::Duration step = absl::Hours(48) / attempts_in_ledger;
  for (int i = 0; i < attempts_in_ledger; ++i) {
    history.AddFinished(i * step, i * step, &attempts.emplace_back());
  }
  const Limits limits = {true, 60, 3, 8, -1, -1};
  for (auto _ : state) {
    LocalVerdict verdict = CheckLocal(limits, history, absl::Hours(48));
    benchmark::DoNotOptimize(verdict);
  }
}
BENCHMARK(BM_CheckLocal)->Arg(10)->Arg(1000)->Arg(10000);

}  // namespace
}  // namespace salve

// The best match among 1, 100 and 1,000 entries, in turn exact and by wildcard.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "throttling/policy.h"

namespace salve {
namespace {

Policy PolicyOf(int entries_wanted) {
  std::vector<PolicyEntry> entries;
  for (int i = 0; i < entries_wanted; ++i) {
    PolicyEntry entry;
    entry.action = RecoveryAction::kRestartService;
    if (i > 0) entry.resource = absl::StrCat("some-service-", i, ".service");
    entries.push_back(entry);
  }
  return *Policy::Create(entries);
}

void Match(benchmark::State& state, absl::string_view resource) {
  const Policy policy = PolicyOf(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    const PolicyEntry* entry = policy.Match({RecoveryAction::kRestartService, resource,
                                             "RestartServiceResponder", "RestartTheService"});
    benchmark::DoNotOptimize(entry);
  }
}
void BM_MatchOfTheExactResource(benchmark::State& state) { Match(state, "Some-Service-1.service"); }
void BM_MatchOfTheLastWildcard(benchmark::State& state) { Match(state, "another-service.service"); }
BENCHMARK(BM_MatchOfTheExactResource)->Arg(1)->Arg(100)->Arg(1000);
BENCHMARK(BM_MatchOfTheLastWildcard)->Arg(1)->Arg(100)->Arg(1000);

}  // namespace
}  // namespace salve

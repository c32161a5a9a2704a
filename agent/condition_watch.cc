#include "agent/condition_watch.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace salve {
namespace {

constexpr size_t kToldMax = 20;

using Targets = std::set<std::string>;

Targets TargetsOf(const HealthSetDefinition& set) {
  Targets targets;
  for (const ProbeDefinition& probe : set.probes) {
    if (!probe.target.empty()) targets.insert(probe.target);
  }
  for (const MonitorDefinition& monitor : set.monitors) {
    if (!monitor.target.empty()) targets.insert(monitor.target);
  }
  return targets;
}

void AddTargets(const std::string& set, const char* verb, const Targets& more, const Targets& less,
                std::vector<std::string>& news) {
  std::vector<std::string> only;
  std::set_difference(more.begin(), more.end(), less.begin(), less.end(), std::back_inserter(only));
  if (only.empty()) return;
  if (only.size() > kToldMax) {
    only.resize(kToldMax);
    only.push_back("…");
  }
  news.push_back(absl::StrCat(set, verb, absl::StrJoin(only, ", ")));
}

}  // namespace

ConditionWatch::ConditionWatch(EventLoop& loop, Worker& worker, Listener listener)
    : loop_(loop), worker_(worker), listener_(std::move(listener)) {}

ConditionWatch::~ConditionWatch() {
  *alive_ = false;
  loop_.CancelTimer(tick_);
}

void ConditionWatch::Configure(PathPatterns patterns, FoundPaths found) {
  patterns_ = std::move(patterns);
  known_ = std::move(found);
  in_trouble_ = false;
  ++configured_;
  Schedule();
}

void ConditionWatch::Schedule() {
  loop_.CancelTimer(tick_);
  tick_ = TimerId::kNone;
  if (patterns_.empty()) return;
  tick_ = loop_.CallAfter(kConditionLookInterval, [this] { Look(); });
}

void ConditionWatch::Look() {
  Schedule();
  if (std::exchange(looking_, true)) return;  // The worker is slow: one look at a time.
  worker_.Post([this, alive = alive_, &loop = loop_, patterns = patterns_, of = configured_] {
    loop.Post([this, alive, of, found = FindPaths(patterns)]() mutable {
      if (!*alive) return;
      looking_ = false;
      if (of == configured_) OnLook(std::move(found));
    });
  });
}

void ConditionWatch::OnLook(absl::StatusOr<FoundPaths> found) {
  if (!found.ok()) {
    if (!std::exchange(in_trouble_, true)) listener_.on_trouble(found.status());
    return;
  }
  in_trouble_ = false;
  if (MeansSame(patterns_, known_, *found)) return;
  known_ = *found;
  listener_.on_change(*std::move(found));
}

std::string DescribeConditionChanges(const std::vector<HealthSetDefinition>& before,
                                     const std::vector<HealthSetDefinition>& after) {
  std::map<std::string, const HealthSetDefinition*> old_sets;
  for (const HealthSetDefinition& set : before) old_sets[set.name] = &set;
  std::vector<std::string> news;
  for (const HealthSetDefinition& set : after) {
    const auto found = old_sets.find(set.name);
    if (found == old_sets.end()) continue;
    const HealthSetDefinition& old = *found->second;
    if (set.applicable != old.applicable) {
      news.push_back(absl::StrCat(
          set.name, set.applicable ? " applies here now" : " does not apply here any more"));
    }
    const Targets targets = TargetsOf(set);
    const Targets old_targets = TargetsOf(old);
    AddTargets(set.name, " has now ", targets, old_targets, news);
    AddTargets(set.name, " has no more ", old_targets, targets, news);
  }
  if (news.size() > kToldMax) {
    const size_t more = news.size() - kToldMax;
    news.resize(kToldMax);
    news.push_back(absl::StrCat("and ", more, " more"));
  }
  return absl::StrJoin(news, "; ");
}

}  // namespace salve

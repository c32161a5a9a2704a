#include "config/combination.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/expand.h"
#include "config/item_faults.h"
#include "config/names.h"

namespace salve {

const config::Combination* CombinationOf(const config::Monitor& monitor) {
  if (monitor.has_all_of()) return &monitor.all_of();
  if (monitor.has_any_of()) return &monitor.any_of();
  return nullptr;
}

std::vector<std::string> InputsOf(const MonitorDefinition& monitor) {
  std::vector<std::string> inputs;
  const config::Combination* combination = CombinationOf(monitor.config);
  if (combination == nullptr) return inputs;
  for (const std::string& name : combination->monitor()) {
    if (absl::StrContains(name, '/')) {
      inputs.push_back(name);
    } else {
      inputs.push_back(absl::StrCat(monitor.health_set, "/", name,
                                    monitor.target.empty() ? "" : "/", monitor.target));
    }
  }
  return inputs;
}

void CombinationChecker::Note(const MonitorDefinition& monitor, const void* written,
                              const Place& place) {
  noted_.push_back({.name = FullName(monitor),
                    .field = monitor.config.has_all_of() ? "all_of" : "any_of",
                    .inputs = InputsOf(monitor),
                    .written = written,
                    .place = place});
}

void CombinationChecker::NoteChangingTargets(const std::string& health_set,
                                             const std::vector<std::string>& monitors) {
  for (const std::string& monitor : monitors) {
    changing_.insert(absl::StrCat(health_set, "/", monitor, "/"));
  }
}

bool CombinationChecker::MayCome(const std::string& input) const {
  const size_t target = input.find('/', input.find('/') + 1);
  return target != std::string::npos && IsValidTarget(input.substr(target + 1)) &&
         changing_.contains(input.substr(0, target + 1));
}

void CombinationChecker::AddFault(const Noted& noted, const std::string& path,
                                  const std::string& why, ErrorList& errors) const {
  ItemFaults(absl::StrCat("monitor ", Quoted(noted.name)), noted.place, errors)
      .Add(noted.field + path, why);
}

void CombinationChecker::Check(const std::vector<HealthSetDefinition>& sets,
                               ErrorList& errors) const {
  if (noted_.empty()) return;
  std::vector<std::string> known;
  for (const HealthSetDefinition& set : sets) {
    for (const MonitorDefinition& monitor : set.monitors) known.push_back(FullName(monitor));
  }
  const absl::flat_hash_set<std::string> names(known.begin(), known.end());
  absl::flat_hash_set<const void*> told;
  for (const Noted& noted : noted_) {
    for (size_t i = 0; i < noted.inputs.size(); ++i) {
      const std::string& input = noted.inputs[i];
      if (names.contains(input) || MayCome(input)) continue;
      if (!told.insert(noted.written).second) continue;
      const std::string hint = errors.full() ? "" : DidYouMean(input, known);
      AddFault(noted, absl::StrCat(".monitor[", i, "]"),
               absl::StrCat("there is no monitor ", Quoted(input), hint), errors);
    }
  }

  absl::flat_hash_map<std::string, size_t> index;
  for (size_t i = 0; i < noted_.size(); ++i) index[noted_[i].name] = i;
  const std::vector<bool> unresolved = Unresolved(index);
  // From each of them one input leads to another of them, and so into a circle in the end.
  std::vector<size_t> walk_of(noted_.size(), 0);
  for (size_t start = 0; start < noted_.size(); ++start) {
    std::vector<size_t> walk;
    size_t at = start;
    while (unresolved[at] && walk_of[at] == 0) {
      walk_of[at] = start + 1;
      walk.push_back(at);
      for (const std::string& input : noted_[at].inputs) {
        const auto found = index.find(input);
        if (found == index.end() || !unresolved[found->second]) continue;
        at = found->second;
        break;
      }
    }
    if (walk.empty() || walk_of[at] != start + 1) continue;  // It led into an earlier walk.
    if (!told.insert(noted_[at].written).second) continue;
    std::vector<std::string> circle;
    for (size_t i = walk.size(); i-- > 0;) {
      circle.insert(circle.begin(), noted_[walk[i]].name);
      if (walk[i] == at) break;
    }
    circle.push_back(noted_[at].name);
    if (circle.size() > 6) circle.erase(circle.begin() + 3, circle.end() - 2);
    AddFault(noted_[at], "", absl::StrCat("is made of itself: ", absl::StrJoin(circle, " of ")),
             errors);
  }
}

std::vector<bool> CombinationChecker::Unresolved(
    const absl::flat_hash_map<std::string, size_t>& index) const {
  std::vector<std::vector<size_t>> over(noted_.size());
  std::vector<size_t> waits_for(noted_.size(), 0);
  for (size_t i = 0; i < noted_.size(); ++i) {
    for (const std::string& input : noted_[i].inputs) {
      const auto found = index.find(input);
      if (found == index.end()) continue;
      over[found->second].push_back(i);
      ++waits_for[i];
    }
  }
  std::vector<bool> unresolved(noted_.size(), true);
  std::vector<size_t> ready;
  for (size_t i = 0; i < noted_.size(); ++i) {
    if (waits_for[i] == 0) ready.push_back(i);
  }
  while (!ready.empty()) {
    const size_t resolved = ready.back();
    ready.pop_back();
    unresolved[resolved] = false;
    for (const size_t i : over[resolved]) {
      if (--waits_for[i] == 0) ready.push_back(i);
    }
  }
  return unresolved;
}

}  // namespace salve

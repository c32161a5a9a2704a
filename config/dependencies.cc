#include "config/dependencies.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/item_faults.h"
#include "config/names.h"

namespace salve {
namespace {

using Sets = std::vector<DeclaredDependencies>;

ItemFaults FaultsOf(const DeclaredDependencies& set, ErrorList& errors) {
  return ItemFaults(absl::StrCat("health set ", Quoted(set.name)), set.place, errors);
}

std::string PathOf(size_t i) { return absl::StrCat("depends_on[", i, "]"); }

// `at` is in a circle, or leads to one. Follows its dependencies until a set comes again: from
// there on it is the circle. `open`: how many dependencies of each set are in a circle or lead to
// one.
void AddCircle(const Sets& sets, const std::vector<std::vector<size_t>>& edges,
               const std::vector<size_t>& open, size_t at, ErrorList& errors) {
  constexpr size_t kToldMax = 10;
  absl::flat_hash_map<size_t, size_t> position;
  std::vector<size_t> way;
  while (position.try_emplace(at, way.size()).second) {
    way.push_back(at);
    at = *std::find_if(edges[at].begin(), edges[at].end(),
                       [&](size_t next) { return open[next] > 0; });
  }
  std::vector<std::string> names;
  for (size_t i = position[at]; i < way.size(); ++i) names.push_back(sets[way[i]].name);
  if (names.size() > kToldMax) {
    names.resize(kToldMax);
    names.push_back("…");
  }
  names.push_back(sets[at].name);
  FaultsOf(sets[at], errors)
      .Add("depends_on", absl::StrCat("goes in a circle: ", absl::StrJoin(names, " -> ")));
}

}  // namespace

void CheckDependencies(const Sets& sets, ErrorList& errors) {
  absl::flat_hash_map<std::string, size_t> numbers;
  std::vector<std::string> names;
  for (size_t i = 0; i < sets.size(); ++i) {
    numbers.try_emplace(sets[i].name, i);
    names.push_back(sets[i].name);
  }
  bool all_resolve = true;
  std::vector<std::vector<size_t>> edges(sets.size()), dependents(sets.size());
  for (size_t i = 0; i < sets.size(); ++i) {
    ItemFaults faults = FaultsOf(sets[i], errors);
    absl::flat_hash_set<std::string> seen;
    for (size_t j = 0; j < sets[i].depends_on.size(); ++j) {
      const std::string& name = sets[i].depends_on[j];
      const auto found = numbers.find(name);
      if (found == numbers.end()) {
        // All names are compared with each that is not known: not for more than are told.
        const std::string hint = faults.tells() ? DidYouMean(name, names) : "";
        faults.Add(PathOf(j), absl::StrCat("there is no health set ", Quoted(name), hint));
      } else if (found->second == i) {
        faults.Add(PathOf(j), "is the set itself");
      } else if (!seen.insert(name).second) {
        faults.Add(PathOf(j), absl::StrCat(Quoted(name), " is there twice"));
      } else {
        edges[i].push_back(found->second);
        dependents[found->second].push_back(i);
      }
    }
    all_resolve = all_resolve && !faults.any();
  }
  if (!all_resolve) return;
  // Takes away, again and again, the sets whose dependencies are all gone: what stays is in a
  // circle or leads to one.
  std::vector<size_t> open(sets.size());  // Dependencies that are still there.
  std::vector<size_t> gone;
  for (size_t i = 0; i < sets.size(); ++i) {
    open[i] = edges[i].size();
    if (open[i] == 0) gone.push_back(i);
  }
  for (size_t taken = 0; taken < gone.size(); ++taken) {
    for (const size_t dependent : dependents[gone[taken]]) {
      if (--open[dependent] == 0) gone.push_back(dependent);
    }
  }
  for (size_t i = 0; i < sets.size(); ++i) {
    if (open[i] > 0) return AddCircle(sets, edges, open, i, errors);
  }
}

}  // namespace salve

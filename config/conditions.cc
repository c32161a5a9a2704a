#include "config/conditions.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "config/errors.h"
#include "config/expand.h"

namespace salve {
namespace {

constexpr int kTargetsMax = 1000;
constexpr int kPathsMax = 1000;
constexpr size_t kPathBytesMax = 4096;

constexpr char kTargetRule[] =
    "letters, digits and . _ - @ : are allowed, and / inside, 100 of them at most";

// What is wrong with a path; "" when nothing is.
std::string FaultOfPath(const std::string& path) {
  if (!absl::StartsWith(path, "/")) return absl::StrCat(Quoted(path), " is no path from / on");
  if (path.size() > kPathBytesMax) {
    return absl::StrCat("has ", path.size(), " bytes; at most ", kPathBytesMax, " may be");
  }
  return "";
}

void CheckPaths(const config::HealthSet& set, ItemFaults& faults) {
  if (set.if_exists_size() > kPathsMax) {
    faults.Add("if_exists", absl::StrCat("has ", set.if_exists_size(), " paths; at most ",
                                         kPathsMax, " may be"));
  }
  absl::flat_hash_set<std::string> seen;
  for (int i = 0; i < set.if_exists_size(); ++i) {
    const std::string& path = set.if_exists(i);
    const std::string field = absl::StrCat("if_exists[", i, "]");
    if (const std::string fault = FaultOfPath(path); !fault.empty()) {
      faults.Add(field, fault);
    } else if (!seen.insert(path).second) {
      faults.Add(field, absl::StrCat(Quoted(path), " is there twice"));
    }
  }
}

void CheckValues(const config::ForEach& for_each, ItemFaults& faults) {
  if (for_each.value_size() > kTargetsMax) {
    faults.Add("for_each", absl::StrCat("has ", for_each.value_size(), " values; at most ",
                                        kTargetsMax, " may be"));
  }
  absl::flat_hash_set<std::string> seen;
  for (int i = 0; i < for_each.value_size(); ++i) {
    const std::string& target = for_each.value(i);
    const std::string path = absl::StrCat("for_each.value[", i, "]");
    if (!IsValidTarget(target)) {
      faults.Add(path, absl::StrCat(Quoted(target), " is no target: ", kTargetRule));
    } else if (!seen.insert(target).second) {
      faults.Add(path, absl::StrCat(Quoted(target), " is there twice"));
    }
  }
}

void CheckGlob(const std::string& glob, ItemFaults& faults) {
  if (const std::string fault = FaultOfPath(glob); !fault.empty()) {
    return faults.Add("for_each.glob", fault);
  }
  const auto stars = std::count(glob.begin(), glob.end(), '*');
  if (stars != 1 || glob.find_first_of("?[]\\") != std::string::npos) {
    faults.Add("for_each.glob", absl::StrCat(Quoted(glob),
                                             " needs exactly one *, whose text is "
                                             "the target; ? [ ] and \\ are not allowed"));
  }
}

void CheckForEach(const config::ForEach& for_each, ItemFaults& faults) {
  if (for_each.glob().empty()) {
    if (for_each.value().empty()) faults.Add("for_each", "needs a value, or a glob");
    return CheckValues(for_each, faults);
  }
  if (!for_each.value().empty()) {
    faults.Add("for_each", "has values and a glob; one of the two is needed");
  }
  CheckGlob(for_each.glob(), faults);
}

// The targets of a glob that is right.
void ReadTargets(const std::string& glob, const FoundPaths& found, Conditions& conditions,
                 ItemFaults& faults) {
  const auto paths = found.find(glob);
  if (paths == found.end()) return;
  const size_t star = glob.find('*');
  const size_t around = glob.size() - 1;
  for (const std::string& path : paths->second) {
    const std::string target = path.size() < around ? "" : path.substr(star, path.size() - around);
    if (IsValidTarget(target)) {
      conditions.targets.push_back(target);
    } else {
      // A file of that name must not take the whole configuration with it.
      conditions.skipped_paths.push_back(path);
    }
  }
  if (conditions.targets.size() > kTargetsMax) {
    faults.Add("for_each.glob", absl::StrCat("stands for more than ", kTargetsMax, " paths here"));
  }
}

bool SomeExists(const config::HealthSet& set, const FoundPaths& found) {
  return std::any_of(set.if_exists().begin(), set.if_exists().end(), [&](const auto& path) {
    const auto it = found.find(path);
    return it != found.end() && !it->second.empty();
  });
}

}  // namespace

Conditions ReadConditions(const config::HealthSet& set, const FoundPaths& found,
                          ItemFaults& faults) {
  Conditions conditions;
  CheckPaths(set, faults);
  if (!set.has_for_each()) {
    conditions.targets = {""};
  } else {
    CheckForEach(set.for_each(), faults);
    const std::string& glob = set.for_each().glob();
    conditions.targets.assign(set.for_each().value().begin(), set.for_each().value().end());
    if (!glob.empty() && !faults.any()) ReadTargets(glob, found, conditions, faults);
  }
  conditions.applicable =
      !conditions.targets.empty() && (set.if_exists().empty() || SomeExists(set, found));
  return conditions;
}

}  // namespace salve

// What is on this server of the paths that a configuration's conditions name (`if_exists`,
// `for_each.glob`). The loader itself looks at no path: it is handed what was found, and a test
// hands it what it likes.
#ifndef SALVE_CONFIG_FOUND_PATHS_H_
#define SALVE_CONFIG_FOUND_PATHS_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "config/definition.h"

namespace salve {

// A path from / on; in its parts * ? [ ] as in a shell: they stand for no /, and for no . that
// begins a part. What a \ stands before is meant as it is.
struct PathPatterns {
  std::set<std::string> some;  // Of if_exists: only whether there is any counts.
  std::set<std::string> each;  // Of for_each.glob: all count.

  bool empty() const { return some.empty() && each.empty(); }
};

// By the pattern: the paths that are there, sorted.
using FoundPaths = std::map<std::string, std::vector<std::string>>;

// The patterns of all health sets; of a file that has faults none, the loader tells them.
PathPatterns PathPatternsOf(const ConfigurationSource& source);

// Looks for them. Links are followed: one that leads nowhere is nothing. What the caller may not
// see is not there. Blocks, on a dead network file system for long. Of a pattern that only `some`
// needs one path is found, of each other at most 1001.
// Errors: kResourceExhausted: more than 100,000 names of folders were read for them, or the
//   process has no descriptor left; kUnavailable: a disk can't be read. Nothing is known then.
absl::StatusOr<FoundPaths> FindPaths(const PathPatterns& patterns);

// What FindPaths would say on a server that has exactly `paths`.
FoundPaths FoundAmong(const PathPatterns& patterns, const std::vector<std::string>& paths);

// Whether the two mean the same for `patterns`.
bool MeansSame(const PathPatterns& patterns, const FoundPaths& a, const FoundPaths& b);

}  // namespace salve

#endif  // SALVE_CONFIG_FOUND_PATHS_H_

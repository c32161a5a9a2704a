#include "config/found_paths.h"

#include <dirent.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "config/config.pb.h"
#include "config/errors.h"
#include "config/schema.h"
#include "config/text_file.h"

namespace salve {
namespace {

constexpr size_t kNamesMax = 100000;
constexpr size_t kPathsMax = 1001;  // One more than a for_each may have targets.

bool HasMagic(absl::string_view part) {
  return part.find_first_of("*?[") != absl::string_view::npos;
}

// What could not be told is no "nothing is there": it would take a health set out of work.
absl::Status FaultOf(int error, const std::string& path) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case ELOOP:
    case ENAMETOOLONG:
      return absl::OkStatus();
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::ResourceExhaustedError(absl::ErrnoToStatus(error, path).message());
    default:
      return absl::UnavailableError(absl::ErrnoToStatus(error, path).message());
  }
}

class Finder {
 public:
  // The first `paths_max` paths of `pattern`, in the order of the folders' names.
  absl::StatusOr<std::vector<std::string>> Find(const std::string& pattern, size_t paths_max) {
    pattern_ = pattern;
    parts_ = absl::StrSplit(pattern, '/', absl::SkipEmpty());
    paths_max_ = paths_max;
    found_.clear();
    RETURN_IF_ERROR(Descend("", 0));
    return std::move(found_);
  }

 private:
  // All that `parts_` from `depth` on stand for below `path`.
  absl::Status Descend(const std::string& path, size_t depth) {
    if (found_.size() >= paths_max_) return absl::OkStatus();
    // Parts without magic are taken at once; only what comes out is looked for.
    std::string below = path;
    while (depth < parts_.size() && !HasMagic(parts_[depth])) {
      absl::StrAppend(&below, "/", absl::StrReplaceAll(parts_[depth++], {{"\\", ""}}));
    }
    if (depth == parts_.size()) {
      struct stat status;
      if (stat(below.empty() ? "/" : below.c_str(), &status) != 0) return FaultOf(errno, below);
      found_.push_back(below.empty() ? "/" : below);
      return absl::OkStatus();
    }
    std::vector<std::string> names;
    ASSIGN_OR_RETURN(names, NamesIn(below.empty() ? "/" : below, parts_[depth]));
    for (const std::string& name : names) {
      RETURN_IF_ERROR(Descend(absl::StrCat(below, "/", name), depth + 1));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& folder,
                                                   const std::string& part) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder.c_str()), closedir);
    if (dir == nullptr) {
      RETURN_IF_ERROR(FaultOf(errno, folder));
      return names;
    }
    for (;;) {
      errno = 0;
      const dirent* const entry = readdir(dir.get());
      if (entry == nullptr) break;
      if (++names_read_ > kNamesMax) {
        return absl::ResourceExhaustedError(absl::StrCat(Quoted(pattern_), ": more than ",
                                                         kNamesMax,
                                                         " names of folders were read "
                                                         "for the paths of all health sets"));
      }
      if (fnmatch(part.c_str(), entry->d_name, FNM_PERIOD) == 0) names.push_back(entry->d_name);
    }
    if (errno != 0) RETURN_IF_ERROR(FaultOf(errno, folder));
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string pattern_;
  std::vector<std::string> parts_;
  size_t paths_max_ = 0;
  std::vector<std::string> found_;
  size_t names_read_ = 0;
};

}  // namespace

PathPatterns PathPatternsOf(const ConfigurationSource& source) {
  PathPatterns patterns;
  const Schema schema;
  for (const SourceFile& file : source.health_sets) {
    // Most files have no conditions, and reading one is what a load takes its time for.
    if (!absl::StrContains(file.text, "if_exists") && !absl::StrContains(file.text, "glob")) {
      continue;
    }
    ErrorList errors;
    const auto parsed = TextFile::Parse(file.name, file.text, "HealthSetFile", schema, errors);
    config::HealthSetFile sets;
    if (parsed == nullptr || !sets.ParseFromString(parsed->message().SerializeAsString())) continue;
    for (const config::HealthSet& set : sets.health_set()) {
      patterns.some.insert(set.if_exists().begin(), set.if_exists().end());
      if (!set.for_each().glob().empty()) patterns.each.insert(set.for_each().glob());
    }
  }
  return patterns;
}

absl::StatusOr<FoundPaths> FindPaths(const PathPatterns& patterns) {
  FoundPaths found;
  Finder finder;
  for (const std::string& pattern : patterns.some) {
    ASSIGN_OR_RETURN(found[pattern], finder.Find(pattern, 1));
  }
  for (const std::string& pattern : patterns.each) {
    ASSIGN_OR_RETURN(found[pattern], finder.Find(pattern, kPathsMax));
  }
  return found;
}

FoundPaths FoundAmong(const PathPatterns& patterns, const std::vector<std::string>& paths) {
  FoundPaths found;
  for (const std::set<std::string>* of : {&patterns.some, &patterns.each}) {
    for (const std::string& pattern : *of) {
      std::vector<std::string>& matches = found[pattern];
      matches.clear();
      for (const std::string& path : paths) {
        if (fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME | FNM_PERIOD) == 0) {
          matches.push_back(path);
        }
      }
      std::sort(matches.begin(), matches.end());
      matches.erase(std::unique(matches.begin(), matches.end()), matches.end());
    }
  }
  return found;
}

bool MeansSame(const PathPatterns& patterns, const FoundPaths& a, const FoundPaths& b) {
  const std::vector<std::string> none;
  const auto of = [&](const FoundPaths& found, const std::string& pattern) -> const auto& {
    const auto it = found.find(pattern);
    return it == found.end() ? none : it->second;
  };
  return std::all_of(patterns.some.begin(), patterns.some.end(),
                     [&](const auto& pattern) {
                       return of(a, pattern).empty() == of(b, pattern).empty();
                     }) &&
         std::all_of(patterns.each.begin(), patterns.each.end(),
                     [&](const auto& pattern) { return of(a, pattern) == of(b, pattern); });
}

}  // namespace salve

#include "agent/policy_test_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/configuration.h"
#include "agent/policy_test_checks.h"
#include "base/check.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "config/duration.h"
#include "config/errors.h"
#include "config/found_paths.h"
#include "config/loader.h"
#include "config/ready_made_sets.h"

namespace salve {
namespace {

constexpr size_t kFileBytesMax = 4 << 20;
constexpr char kServer[] = "test-server";

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kFileBytesMax + 1));
  if (text.size() <= kFileBytesMax) return text;
  return absl::InvalidArgumentError(absl::StrCat(path, ": has more than 4 MiB"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyTestFile>> PolicyTestFile::Read(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadWhole(path));
  return Parse(path, std::move(text), ReadWhole);
}

absl::StatusOr<std::unique_ptr<PolicyTestFile>> PolicyTestFile::Parse(const std::string& path,
                                                                      std::string text,
                                                                      const ReadText& read) {
  std::unique_ptr<PolicyTestFile> file(new PolicyTestFile(path, std::move(text)));
  RETURN_IF_ERROR(file->ReadTest());
  RETURN_IF_ERROR(file->ReadConfigured(read));
  RETURN_IF_ERROR(file->ReadLimits(read));
  ErrorList errors;
  CheckPolicyCases(*file, file->file_->root(), errors);
  RETURN_IF_ERROR(errors.ToStatus());
  return file;
}

absl::Status PolicyTestFile::ReadTest() {
  ErrorList errors;
  file_ = TextFile::Parse(path_, text_, "PolicyTest", schema_, errors);
  RETURN_IF_ERROR(errors.ToStatus());
  CHECK(test_.ParseFromString(file_->message().SerializeAsString()));
  CheckPolicySources(test_, file_->root(), errors);
  return errors.ToStatus();
}

absl::Status PolicyTestFile::ReadConfigured(const ReadText& read) {
  ConfigurationSource source;
  source.agent = {absl::StrCat(path_, " (agent)"), test_.agent()};
  if (!test_.agent_file().empty()) {
    source.agent.name = PathOf(test_.agent_file());
    ASSIGN_OR_RETURN(source.agent.text, read(source.agent.name));
  }
  for (const std::string& name : test_.file()) {
    SourceFile file{PathOf(name), ""};
    ASSIGN_OR_RETURN(file.text, read(file.name));
    source.health_sets.push_back(std::move(file));
  }
  for (const std::string& name : test_.ready_made()) {
    const absl::StatusOr<absl::string_view> text = FindReadyMadeSet(name);
    if (!text.ok()) return NotReadyMade(name, text.status());
    source.health_sets.push_back({absl::StrCat(name, ".textproto"), std::string(*text)});
  }
  if (!test_.health_sets().empty()) {
    source.health_sets.push_back({absl::StrCat(path_, " (health_sets)"), test_.health_sets()});
  }
  LoadOptions options;
  options.host_name = kServer;
  options.checks = ChecksOfAllKinds();
  options.found = FoundAmong(PathPatternsOf(source), {test_.found().begin(), test_.found().end()});
  ASSIGN_OR_RETURN(configuration_, ParseConfiguration(std::move(source), options));
  return absl::OkStatus();
}

absl::Status PolicyTestFile::NotReadyMade(const std::string& name, const absl::Status& why) const {
  const auto& names = test_.ready_made();
  const auto index = std::find(names.begin(), names.end(), name) - names.begin();
  return absl::InvalidArgumentError(
      absl::StrCat(file_->root().Describe(absl::StrCat("ready_made[", index, "]")), ": ready_made[",
                   index, "]: ", why.message()));
}

absl::Status PolicyTestFile::ReadLimits(const ReadText& read) {
  std::string name = absl::StrCat(path_, " (throttle)");
  std::string text = test_.throttle();
  if (!test_.throttle_file().empty()) {
    name = PathOf(test_.throttle_file());
    ASSIGN_OR_RETURN(text, read(name));
  }
  // No policy is not the same as an empty one, which is a fault.
  if (text.empty() && test_.throttle_file().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(policy_, ParsePolicy(text, name));
  return absl::OkStatus();
}

std::string PolicyTestFile::PathOf(const std::string& relative) const {
  if (absl::StartsWith(relative, "/")) return relative;
  const size_t slash = path_.rfind('/');
  return slash == std::string::npos ? relative : absl::StrCat(path_.substr(0, slash + 1), relative);
}

std::string PolicyTestFile::PlaceOf(int case_index) const {
  return file_->root().In("case", case_index).Describe();
}

std::string PolicyTestFile::PlaceOf(int case_index, int step_index, absl::string_view path) const {
  return file_->root().In("case", case_index).In("step", step_index).Describe(path);
}

std::vector<std::string> PolicyTestFile::Probes(absl::string_view glob) const {
  std::vector<std::string> names;
  for (const HealthSetDefinition& set : configuration_.health_sets) {
    for (const ProbeDefinition& probe : set.probes) {
      if (MatchesGlob(glob, FullName(probe))) names.push_back(FullName(probe));
    }
  }
  return names;
}

std::vector<std::string> PolicyTestFile::Responders(absl::string_view glob) const {
  std::vector<std::string> names;
  for (const HealthSetDefinition& set : configuration_.health_sets) {
    for (const ResponderDefinition& responder : set.responders) {
      if (MatchesGlob(glob, responder.name)) names.push_back(responder.name);
    }
  }
  return names;
}

// Where a * has matched too little, only the last one need take more: no work beyond the product
// of the two lengths.
bool MatchesGlob(absl::string_view glob, absl::string_view name) {
  size_t g = 0;
  size_t n = 0;
  size_t star = absl::string_view::npos;
  size_t taken = 0;
  while (n < name.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      taken = n;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == name[n])) {
      ++g;
      ++n;
    } else if (star != absl::string_view::npos) {
      g = star + 1;
      n = ++taken;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

absl::Duration DurationOr(const std::string& text, absl::Duration otherwise) {
  const absl::StatusOr<absl::Duration> duration = ParseDuration(text);
  return duration.ok() ? *duration : otherwise;
}

}  // namespace salve

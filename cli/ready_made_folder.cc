#include "cli/ready_made_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "config/config.pb.h"
#include "config/found_paths.h"
#include "config/loader.h"
#include "config/ready_made_sets.h"
#include "google/protobuf/text_format.h"

namespace salve {
namespace {

constexpr size_t kFileBytesMax = 4 << 20;  // As the agent reads.

std::string TextOf(const std::string& name, bool observe) {
  const absl::string_view text = *FindReadyMadeSet(name);
  return observe ? ObservingText(text) : std::string(text);
}

config::HealthSetFile ReadSets(const std::string& name) {
  config::HealthSetFile file;
  google::protobuf::TextFormat::ParseFromString(TextOf(name, false), &file);
  return file;
}

ReadyMadeState StateOfText(const std::string& name, const std::string& text) {
  if (text == TextOf(name, false)) return ReadyMadeState::kActs;
  if (text == TextOf(name, true)) return ReadyMadeState::kObserves;
  return ReadyMadeState::kChanged;
}

absl::Status Remove(const std::string& path) {
  if (unlink(path.c_str()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, path);
}

// Not over a file that is there.
absl::Status Move(const std::string& from, const std::string& to) {
  struct stat status;
  if (lstat(to.c_str(), &status) == 0) {
    return absl::FailedPreconditionError(absl::StrCat(to, " is there already: move it away"));
  }
  if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, to);
}

absl::Status MakeFolder(const std::string& path) {
  if (mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, path);
}

}  // namespace

std::string ReadyMadeStateName(ReadyMadeState state) {
  switch (state) {
    case ReadyMadeState::kNotEnabled:
      return "NOT_ENABLED";
    case ReadyMadeState::kActs:
      return "ACTS";
    case ReadyMadeState::kObserves:
      return "OBSERVES";
    case ReadyMadeState::kChanged:
      return "CHANGED";
  }
  return "";
}

ReadyMadeFolder::ReadyMadeFolder(std::string dir, Check check)
    : dir_(std::move(dir)), check_(std::move(check)) {}

std::string ReadyMadeFolder::FileOf(const std::string& name) const {
  return absl::StrCat(dir_, "/conf.d/", name, ".textproto");
}

absl::StatusOr<ReadyMadeState> ReadyMadeFolder::StateOf(const std::string& name) const {
  const absl::StatusOr<std::string> text = ReadFile(FileOf(name), kFileBytesMax);
  if (text.ok()) return StateOfText(name, *text);
  if (absl::IsNotFound(text.status())) return ReadyMadeState::kNotEnabled;
  return text.status();
}

absl::Status ReadyMadeFolder::Enable(const std::string& name, bool observe) {
  const std::string file = FileOf(name);
  ASSIGN_OR_RETURN(const ReadyMadeState before, StateOf(name));
  if (before == ReadyMadeState::kChanged) {
    return absl::FailedPreconditionError(
        absl::StrCat(file, " is there and is not as it ships: edit it, or move it away"));
  }
  const std::string text = TextOf(name, observe);
  RETURN_IF_ERROR(check_(dir_, {absl::StrCat(name, ".textproto"), text}));
  RETURN_IF_ERROR(MakeFolder(dir_));
  RETURN_IF_ERROR(MakeFolder(dir_ + "/conf.d"));
  RETURN_IF_ERROR(WriteFileAtomically(file, text));
  take_back_ = [file, name, before] {
    if (before == ReadyMadeState::kNotEnabled) return Remove(file);
    return WriteFileAtomically(file, TextOf(name, before == ReadyMadeState::kObserves));
  };
  return absl::OkStatus();
}

absl::Status ReadyMadeFolder::Disable(const std::string& name, bool force) {
  const std::string file = FileOf(name);
  ASSIGN_OR_RETURN(const ReadyMadeState before, StateOf(name));
  if (before == ReadyMadeState::kNotEnabled) {
    return absl::NotFoundError(absl::StrCat(name, " is not enabled: there is no ", file));
  }
  if (before == ReadyMadeState::kChanged && !force) {
    return absl::FailedPreconditionError(
        absl::StrCat(file,
                     " is not as it ships: write `enabled: false` into its health sets, or use "
                     "--force, which keeps it as ",
                     file, ".disabled"));
  }
  RETURN_IF_ERROR(check_(dir_, {absl::StrCat(name, ".textproto"), ""}));
  if (before == ReadyMadeState::kChanged) {
    const std::string aside = file + ".disabled";
    RETURN_IF_ERROR(Move(file, aside));
    take_back_ = [file, aside] { return Move(aside, file); };
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(Remove(file));
  take_back_ = [file, name, before] {
    return WriteFileAtomically(file, TextOf(name, before == ReadyMadeState::kObserves));
  };
  return absl::OkStatus();
}

absl::Status ReadyMadeFolder::TakeBack() {
  const auto take_back = std::exchange(take_back_, nullptr);
  return take_back ? take_back() : absl::OkStatus();
}

absl::StatusOr<bool> AppliesHere(const std::string& name) {
  ConfigurationSource source;
  source.health_sets = {{name, TextOf(name, false)}};
  ASSIGN_OR_RETURN(FoundPaths found, FindPaths(PathPatternsOf(source)));
  ASSIGN_OR_RETURN(
      const Configuration configuration,
      ParseConfiguration(std::move(source), {.host_name = "localhost", .found = std::move(found)}));
  const auto& sets = configuration.health_sets;
  return std::any_of(sets.begin(), sets.end(), [](const auto& set) { return set.applicable; });
}

std::set<std::string> HealedMonitorsOf(const std::string& name) {
  std::set<std::string> monitors;
  const config::HealthSetFile file = ReadSets(name);
  for (const config::HealthSet& set : file.health_set()) {
    for (const config::Responder& responder : set.responder()) {
      if (responder.has_escalate() || responder.has_collect()) continue;
      monitors.insert(absl::StrCat(set.name(), "/", responder.monitor()));
    }
  }
  return monitors;
}

std::vector<std::string> WhatItWatches(const std::string& name) {
  std::vector<std::string> watches;
  const config::HealthSetFile file = ReadSets(name);
  for (const config::HealthSet& set : file.health_set()) watches.push_back(set.description());
  return watches;
}

}  // namespace salve

// The health sets that ship (config/ready_made_sets.h) in a configuration folder: which are
// enabled, and how one becomes it. Works on files alone, without an agent.
#ifndef SALVE_CLI_READY_MADE_FOLDER_H_
#define SALVE_CLI_READY_MADE_FOLDER_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "config/definition.h"

namespace salve {

enum class ReadyMadeState {
  kNotEnabled,
  kActs,
  kObserves,
  kChanged,  // Its file is there and is not as it ships.
};
std::string ReadyMadeStateName(ReadyMadeState state);  // "NOT_ENABLED"

// Requires, of all with a `name`: a set of this name ships.
class ReadyMadeFolder {
 public:
  // `check`: what the agent would say of the folder with this file in conf.d. An empty text is as
  // good as none.
  using Check = std::function<absl::Status(const std::string& dir, SourceFile file)>;
  ReadyMadeFolder(std::string dir, Check check);

  std::string FileOf(const std::string& name) const;  // DIR/conf.d/NAME.textproto

  // Errors: kPermissionDenied, kUnavailable: the file can't be read.
  absl::StatusOr<ReadyMadeState> StateOf(const std::string& name) const;

  // Writes the file, in place of one that ships, too. Errors: kFailedPrecondition: one of the same
  // name is there that says something else; those of `check`, and of writing: nothing has changed.
  absl::Status Enable(const std::string& name, bool observe);

  // Removes the file; with `force` one that was changed is kept beside it as FILE.disabled.
  // Errors: kNotFound: it is not enabled; kFailedPrecondition: it was changed, or FILE.disabled is
  // there; those of `check`: another file needs it; those of removing: nothing has changed.
  absl::Status Disable(const std::string& name, bool force);

  // Takes the last Enable or Disable back.
  absl::Status TakeBack();

 private:
  const std::string dir_;
  const Check check_;
  std::function<absl::Status()> take_back_;
};

// Whether what one of its health sets watches is on this server. Blocks on files.
// Errors: as FindPaths.
absl::StatusOr<bool> AppliesHere(const std::string& name);

// Its monitors whose responders do more than tell, as SET/MONITOR: "Nginx/Down"; of a for_each
// without the target.
std::set<std::string> HealedMonitorsOf(const std::string& name);

// What its health sets say that they watch.
std::vector<std::string> WhatItWatches(const std::string& name);

}  // namespace salve

#endif  // SALVE_CLI_READY_MADE_FOLDER_H_

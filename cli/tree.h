// The tree of salvectl's command line: all verbs with their options and help.
#ifndef SALVE_CLI_TREE_H_
#define SALVE_CLI_TREE_H_

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/channel.h"
#include "cli/surroundings.h"
#include "cli/verb.h"

namespace salve {

// Options that may stand before or after any verb.
struct GlobalOptions {
  std::string socket;
  RemoteAgent remote;
  std::string output = "table";  // table | json | jsonl
  std::string timeout;           // As typed; empty: the session's defaults.
  bool no_header = false;
};

// Builds the tree. Parsing a line with it fills `globals` and `choice`, which must outlive it.
std::unique_ptr<CLI::App> NewTree(GlobalOptions& globals, Choice& choice,
                                  const Surroundings& world);

// A sentence about the first verb or option of `args` that is not in the tree, with the nearest
// ones; "" when all of them are.
std::string UnknownWord(const CLI::App& tree, const std::vector<std::string>& args);

}  // namespace salve

#endif  // SALVE_CLI_TREE_H_

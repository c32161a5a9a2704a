// Completion scripts, made from the tree of the command line so that they cannot fall behind it.
#ifndef SALVE_CLI_COMPLETION_H_
#define SALVE_CLI_COMPLETION_H_

#include <CLI/CLI.hpp>
#include <string>

namespace salve {

// A script for bash: verbs, options, and the words an option is limited to.
std::string BashCompletion(const CLI::App& tree);

// The same for zsh, through its bashcompinit.
std::string ZshCompletion(const CLI::App& tree);

}  // namespace salve

#endif  // SALVE_CLI_COMPLETION_H_

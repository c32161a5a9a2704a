// salvectl, the command line of the agent: docs/SALVECTL.md.
#ifndef SALVE_CLI_SALVECTL_H_
#define SALVE_CLI_SALVECTL_H_

#include <ostream>
#include <string>
#include <vector>

#include "cli/surroundings.h"

namespace salve {

// Runs one command line (without the program's name) and returns the exit status. Results go to
// `out`; errors, one line each, to `err`. Does not throw.
int RunSalvectl(const std::vector<std::string>& args, std::ostream& out, std::ostream& err,
                const Surroundings& world);

}  // namespace salve

#endif  // SALVE_CLI_SALVECTL_H_

// Runs another program of Salve and waits for it.
#ifndef SALVE_CLI_PROGRAM_H_
#define SALVE_CLI_PROGRAM_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/surroundings.h"

namespace salve {

// Runs `argv` with nothing to read, and waits until it ends: a program that has deadlines of its
// own for all that it does; after a week it is killed. Ctrl-C and SIGTERM are handed to it as
// SIGTERM. Of what it says on standard error the first 64 KiB are kept. Errors: kNotFound,
// kPermissionDenied: it can't be run; kResourceExhausted.
absl::StatusOr<ProgramEnd> RunProgram(const std::vector<std::string>& argv);

}  // namespace salve

#endif  // SALVE_CLI_PROGRAM_H_

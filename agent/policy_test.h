// Policy tests: runs the cases of a file (config/policy_test.proto) and says what came of them.
// Needs no agent, no root and no network; a simulated day takes milliseconds.
#ifndef SALVE_AGENT_POLICY_TEST_H_
#define SALVE_AGENT_POLICY_TEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "config/policy_test.pb.h"

namespace salve {

// Runs all cases, each in a world of its own; one that fails keeps none of the others from running.
// Blocks; the process logs nothing meanwhile. Errors: the file cannot be run: as
// PolicyTestFile::Read and PolicyWorld::Create.
absl::StatusOr<policytest::Report> RunPolicyTest(const std::string& path);

}  // namespace salve

#endif  // SALVE_AGENT_POLICY_TEST_H_

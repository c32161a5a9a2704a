// One case of a policy test: its steps, and what they expected.
#ifndef SALVE_AGENT_POLICY_CASE_H_
#define SALVE_AGENT_POLICY_CASE_H_

#include "absl/status/statusor.h"
#include "agent/policy_test_file.h"
#include "config/policy_test.pb.h"

namespace salve {

// Runs the case of this index up to its end, or its first step that fails. What is not as expected
// is in the report. Errors: as PolicyWorld::Create.
absl::StatusOr<policytest::CaseReport> RunPolicyCase(const PolicyTestFile& file, int case_index);

}  // namespace salve

#endif  // SALVE_AGENT_POLICY_CASE_H_

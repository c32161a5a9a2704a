// What must be right in a file of policy tests before a case can run.
#ifndef SALVE_AGENT_POLICY_TEST_CHECKS_H_
#define SALVE_AGENT_POLICY_TEST_CHECKS_H_

#include "config/errors.h"
#include "config/policy_test.pb.h"
#include "config/text_file.h"

namespace salve {

class PolicyTestFile;

// What the file is about. Before anything that it names is read.
void CheckPolicySources(const policytest::PolicyTest& test, const Place& root, ErrorList& errors);

// Its cases, against the configuration that was read.
void CheckPolicyCases(const PolicyTestFile& file, const Place& root, ErrorList& errors);

}  // namespace salve

#endif  // SALVE_AGENT_POLICY_TEST_CHECKS_H_

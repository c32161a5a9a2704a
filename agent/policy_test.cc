#include "agent/policy_test.h"

#include "agent/policy_case.h"
#include "agent/policy_test_file.h"
#include "base/log_mute.h"
#include "base/status_macros.h"

namespace salve {

absl::StatusOr<policytest::Report> RunPolicyTest(const std::string& path) {
  const LogMute mute;
  ASSIGN_OR_RETURN(const std::unique_ptr<PolicyTestFile> file, PolicyTestFile::Read(path));
  policytest::Report report;
  report.set_file(path);
  report.set_name(file->test().name().empty() ? path : file->test().name());
  for (int i = 0; i < file->test().case__size(); ++i) {
    ASSIGN_OR_RETURN(*report.add_case_(), RunPolicyCase(*file, i));
    const bool passed = report.case_(i).passed();
    report.set_passed(report.passed() + (passed ? 1 : 0));
    report.set_failed(report.failed() + (passed ? 0 : 1));
  }
  return report;
}

}  // namespace salve

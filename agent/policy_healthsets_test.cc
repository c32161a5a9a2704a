// The health sets that ship do what their policy tests say.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "agent/policy_test.h"
#include "config/policy_test.pb.h"

namespace salve {
namespace {

constexpr char kFolder[] = "config/healthsets";

std::set<std::string> TestFiles() {
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string path = entry.path().string();
    if (absl::EndsWith(path, ".test.textproto")) files.insert(path);
  }
  return files;
}

class PolicyHealthsetsTest : public testing::TestWithParam<std::string> {};

TEST_P(PolicyHealthsetsTest, Passes) {
  const absl::StatusOr<policytest::Report> report = RunPolicyTest(GetParam());
  ASSERT_TRUE(report.ok()) << report.status();
  for (const policytest::CaseReport& one : report->case_()) {
    EXPECT_TRUE(one.passed()) << one.DebugString();
  }
}

INSTANTIATE_TEST_SUITE_P(All, PolicyHealthsetsTest, testing::ValuesIn(TestFiles()),
                         [](const testing::TestParamInfo<std::string>& info) {
                           std::string name;
                           for (const char c : info.param.substr(sizeof(kFolder))) {
                             if (absl::ascii_isalnum(static_cast<unsigned char>(c))) name += c;
                           }
                           return name;
                         });

}  // namespace
}  // namespace salve

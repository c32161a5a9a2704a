#include "throttling/evaluate.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kPolicy[] =
    "<ThrottleEntries><RestartService ResourceName=\"nginx\"><ThrottleConfig Enabled=\"True\" "
    "LocalMinimumMinutesBetweenAttempts=\"60\" LocalMaximumAllowedAttemptsInOneHour=\"-1\" "
    "LocalMaximumAllowedAttemptsInADay=\"4\" GroupMinimumMinutesBetweenAttempts=\"-1\" "
    "GroupMaximumAllowedAttemptsInADay=\"-1\" /></RestartService></ThrottleEntries>";

std::string Answer(const std::string& query) {
  const auto answer = EvaluateQuery(*ParsePolicy(kPolicy, "p.xml"), query);
  return answer.ok() ? *answer : "error: " + std::string(answer.status().message());
}

TEST(EvaluateQueryTest, NothingThatMatchesIsNoThrottlePolicy) {
  EXPECT_EQ(Answer(R"({"id":"q","now":"2026-01-01T00:00:00Z","action":"RebootServer",)"
                   R"("resource":"web1","requester":"R"})"),
            R"({"id":"q","passed":false,"identity":"","checksFailed":["NoThrottlePolicy"],)"
            R"("local":"","message":"Active Monitoring Recovery action failed. An operation was )"
            R"(rejected during local throttling. (ActionId=RebootServer, ResourceName=web1, )"
            R"(Requester=R, FailedChecks=NoThrottlePolicy))"
            "\"}");
}

TEST(EvaluateQueryTest, AttemptsOfOtherKeysDoNotCount) {
  EXPECT_THAT(
      Answer(R"({"now":"2026-01-01T00:00:00Z","action":"RestartService",)"
             R"("resource":"NGINX","requester":"R","ledger":[)"
             R"({"action":"ResetPool","resource":"nginx","start":"2026-01-01T00:00:00Z"},)"
             R"({"action":"RestartService","resource":"n","start":"2026-01-01T00:00:00Z"}]})"),
      HasSubstr("TotalInOneDay=\\\"0\\\""));
}

TEST(EvaluateQueryTest, AnAttemptWithoutAnEndIsRunningForTwoMinutes) {
  const std::string before = R"({"now":"2026-01-01T00:)";
  const std::string after =
      R"(Z","action":"restartservice","resource":"nginx","requester":"R","ledger":[)"
      R"({"action":"RestartService","resource":"nginx","start":"2026-01-01T01:00:00+01:00"}]})";
  EXPECT_THAT(Answer(before + "01:59.9999999" + after), HasSubstr("LocalRecoveryInProgress"));
  EXPECT_THAT(Answer(before + "02:00" + after),
              HasSubstr("\"checksFailed\":[\"LocalMinimumMinutes\"]"));
}

TEST(EvaluateQueryTest, WhatIsMissingOrWrongIsNamed) {
  EXPECT_THAT(Answer("{}"), HasSubstr("'now' is missing"));
  EXPECT_THAT(Answer("nonsense"), HasSubstr("error: "));
  EXPECT_THAT(Answer(R"({"now":"yesterday"})"), HasSubstr("'now' is 'yesterday'"));
  EXPECT_THAT(Answer(R"({"now":"infinite-future"})"), HasSubstr("which is no time"));
  EXPECT_THAT(Answer(R"({"now":"2026-01-01T00:00:00Z","action":"Restart"})"),
              HasSubstr("unknown action 'Restart'"));
  EXPECT_THAT(Answer(R"({"now":"2026-01-01T00:00:00Z","action":"RestartService",)"
                     R"("resource":"nginx","requester":"R","ledger":[{"action":"RestartService",)"
                     R"("resource":"x","start":"2026-01-01T00:00:00Z","result":"Fine"}]})"),
              HasSubstr("ledger[0]: 'result' is 'Fine'"));
  EXPECT_THAT(Answer(R"({"now":"2026-01-01T00:00:00Z","deadlin":"x"})"), HasSubstr("deadlin"));
}

class EvaluateThrottleTest : public testing::Test {
 protected:
  EvaluateThrottleTest() : policy_file_(testing::TempDir() + "/evaluate.xml") {
    std::ofstream(policy_file_) << kPolicy;
  }
  int Run(const EvaluateOptions& options, const std::string& queries) {
    std::istringstream in(queries);
    return EvaluateThrottle(options, in, out_, err_);
  }

  const std::string policy_file_;
  std::ostringstream out_, err_;
};

constexpr char kGood[] =
    R"({"id":"good","now":"2026-01-01T00:00:00Z","action":"RestartService","resource":"nginx",)"
    R"("requester":"R"})";

TEST_F(EvaluateThrottleTest, ABadLineIsNamedAndTheOthersAreStillAnswered) {
  EXPECT_EQ(Run({policy_file_, "", "", ""}, std::string("{\n\n") + kGood + "\r\n[]\n" + kGood), 2);
  EXPECT_THAT(err_.str(), HasSubstr("line 1: "));
  EXPECT_THAT(err_.str(), HasSubstr("line 4: "));
  const std::string answers = out_.str();
  EXPECT_EQ(std::count(answers.begin(), answers.end(), '\n'), 2);
}

TEST_F(EvaluateThrottleTest, GoodLinesEndWithStatusZero) {
  EXPECT_EQ(Run({policy_file_, "", "", ""}, std::string(kGood) + "\n"), 0);
  EXPECT_THAT(err_.str(), IsEmpty());
  EXPECT_THAT(out_.str(), HasSubstr("\"passed\":true"));
}

TEST_F(EvaluateThrottleTest, ABadPolicyAnswersNothing) {
  EXPECT_EQ(Run({policy_file_ + ".none", "", "", ""}, kGood), 2);
  EXPECT_THAT(err_.str(), HasSubstr("evaluate.xml.none"));
  EXPECT_THAT(out_.str(), IsEmpty());
}

TEST_F(EvaluateThrottleTest, OverridesAreRefusedAndNotIgnored) {
  EXPECT_EQ(Run({policy_file_, "o.xml", "", ""}, kGood), 2);
  EXPECT_EQ(Run({policy_file_, "", "r.jsonl", ""}, kGood), 2);
  EXPECT_EQ(Run({policy_file_, "", "", "1.0"}, kGood), 2);
  EXPECT_THAT(out_.str(), IsEmpty());
}

}  // namespace
}  // namespace salve

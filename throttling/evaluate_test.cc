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
  const auto answer = EvaluateQuery(*ParsePolicy(kPolicy, "p.xml"), EvaluateOverrides(), query);
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

TEST_F(EvaluateThrottleTest, OverridesAndRespondersBelongTogether) {
  EXPECT_EQ(Run({policy_file_, "o.xml", "", ""}, kGood), 2);
  EXPECT_EQ(Run({policy_file_, "", "r.jsonl", ""}, kGood), 2);
  EXPECT_THAT(err_.str(), HasSubstr("belong together"));
  EXPECT_THAT(out_.str(), IsEmpty());
}

// The policy's 60 minutes for nginx, with overrides of the responder R of the set Web.
class EvaluateOverridesTest : public EvaluateThrottleTest {
 protected:
  EvaluateOverridesTest() {
    WriteResponders(R"({"healthSet":"Web","name":"R","type":"RestartServiceResponder",)"
                    R"("action":"RestartService","resource":"nginx"})");
  }
  static std::string Path(const std::string& name) { return testing::TempDir() + "/" + name; }
  void WriteResponders(const std::string& lines) { std::ofstream(Path("r.jsonl")) << lines; }
  static std::string Minimum(const std::string& minutes, const std::string& more,
                             const std::string& identity = "Web\\R") {
    return "<Override ItemType=\"Responder\" Identity=\"" + identity +
           "\" PropertyName=\"ThrottleAttributes.LocalMinimumMinutesBetweenAttempts\" "
           "PropertyValue=\"" +
           minutes + "\" " + more + " />";
  }
  // The answer to a question, 90 minutes after the last attempt.
  std::string After90Minutes(const std::string& overrides, const std::string& version = "",
                             const std::string& requester = "R") {
    std::ofstream(Path("o.xml")) << "<MonitoringOverrides>" << overrides
                                 << "</MonitoringOverrides>";
    out_.str("");
    const std::string query =
        R"({"now":"2026-01-01T01:30:00Z","action":"RestartService","resource":"nginx",)"
        R"("requester":")" +
        requester +
        R"(","ledger":[{"action":"RestartService","resource":"nginx",)"
        R"("start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:00Z"}]})";
    status_ = Run({policy_file_, Path("o.xml"), Path("r.jsonl"), version}, query);
    return out_.str();
  }

  const std::string until_ = "ExpirationTime=\"2026-06-01T00:00:00Z\"";
  int status_ = 0;
};

TEST_F(EvaluateOverridesTest, AnOverrideHoldsForItsResponderAlone) {
  EXPECT_THAT(After90Minutes(""), HasSubstr("\"passed\":true"));
  const std::string refused = After90Minutes(Minimum("240", until_));
  EXPECT_THAT(refused, HasSubstr("\"checksFailed\":[\"LocalMinimumMinutes\"]"));
  EXPECT_THAT(refused, HasSubstr("MinimumMinutes=\\\"240\\\""));
  EXPECT_THAT(refused, HasSubstr("\"identity\":\"RestartService/Default/*/*/nginx\""));
  EXPECT_THAT(After90Minutes(Minimum("240", until_), "", "S"), HasSubstr("\"passed\":true"));
  EXPECT_EQ(status_, 0);
}

TEST_F(EvaluateOverridesTest, HoldsForItsVersionInAnySpelling) {
  const std::string bound = Minimum("240", "ApplyVersion=\"15.00.1044.025\" " + until_);
  EXPECT_THAT(After90Minutes(bound, "15.0.1044.25"), HasSubstr("\"passed\":false"));
  EXPECT_THAT(After90Minutes(bound, "Version 15.0 (Build 1044.25)"), HasSubstr("\"passed\":false"));
  EXPECT_THAT(After90Minutes(bound, "15.0.1044.26"), HasSubstr("\"passed\":true"));
  EXPECT_THAT(After90Minutes(bound), HasSubstr("\"passed\":true"));
}

TEST_F(EvaluateOverridesTest, EndsAtItsTimeAndWithAVersionAfter365Days) {
  const std::string edge = "ExpirationTime=\"2026-01-01T01:30:00";
  EXPECT_THAT(After90Minutes(Minimum("240", edge + "Z\"")), HasSubstr("\"passed\":true"));
  EXPECT_THAT(After90Minutes(Minimum("240", edge + ".1Z\"")), HasSubstr("\"passed\":false"));
  const std::string of_version = "ApplyVersion=\"1\" " + until_ + " CreatedTime=\"2025-01-01T01:3";
  EXPECT_THAT(After90Minutes(Minimum("240", of_version + "0:00Z\""), "1"),
              HasSubstr("\"passed\":true"));
  EXPECT_THAT(After90Minutes(Minimum("240", of_version + "0:01Z\""), "1"),
              HasSubstr("\"passed\":false"));
}

TEST_F(EvaluateOverridesTest, TheTargetMayBeTheResourceOrAnInstance) {
  EXPECT_THAT(After90Minutes(Minimum("240", until_, "web/r/NGINX")), HasSubstr("\"passed\":false"));
  EXPECT_THAT(After90Minutes(Minimum("240", until_, "Web/R/other")), HasSubstr("\"passed\":true"));
  WriteResponders(R"({"healthSet":"Web","name":"R/a"})");
  EXPECT_THAT(After90Minutes(Minimum("240", until_, "Web/R/a"), "", "R/a"),
              HasSubstr("\"passed\":false"));
}

TEST_F(EvaluateOverridesTest, TheNameSaysWhoAsksAndOfSeveralLinesTheFittingOnesCount) {
  WriteResponders(R"({"healthSet":"Web","name":"R","action":"RestartService","resource":"php"})");
  EXPECT_THAT(After90Minutes(Minimum("240", until_)), HasSubstr("\"passed\":false"));
  WriteResponders(
      "{\"healthSet\":\"Web\",\"name\":\"R\",\"resource\":\"php\"}\n"
      "{\"healthSet\":\"Other\",\"name\":\"R\",\"resource\":\"nginx\"}");
  EXPECT_THAT(After90Minutes(Minimum("240", until_)), HasSubstr("\"passed\":true"));
  EXPECT_THAT(After90Minutes(Minimum("240", until_, "Other/R")), HasSubstr("\"passed\":false"));
}

TEST_F(EvaluateOverridesTest, OfTwoForOneAttributeTheNewerHoldsWhateverTheirOrder) {
  const std::string of_version =
      "ApplyVersion=\"1\" " + until_ + " CreatedTime=\"2025-12-01T00:00:00Z\"";
  const std::string newer = until_ + " CreatedTime=\"2025-12-02T00:00:00Z\"";
  EXPECT_THAT(After90Minutes(Minimum("240", of_version) + Minimum("30", newer), "1"),
              HasSubstr("\"passed\":true"));
  EXPECT_THAT(After90Minutes(Minimum("30", newer) + Minimum("240", of_version), "1"),
              HasSubstr("\"passed\":true"));
}

TEST_F(EvaluateOverridesTest, WhatIsWrongInAFileIsNamed) {
  EXPECT_EQ(After90Minutes("<Override/>"), "");
  EXPECT_EQ(status_, 2);
  EXPECT_THAT(err_.str(), HasSubstr("o.xml:1:22: <Override> has no ItemType"));
  WriteResponders("{\"healthSet\":\"Web\",\"name\":\"R\"}\n{\"name\":\"R\"}");
  EXPECT_EQ(After90Minutes(""), "");
  EXPECT_THAT(err_.str(), HasSubstr("r.jsonl: line 2: 'healthSet' or 'name' is missing"));
}

}  // namespace
}  // namespace salve

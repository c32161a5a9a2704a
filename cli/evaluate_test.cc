#include <algorithm>
#include <fstream>

#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

constexpr char kPolicy[] = R"(<ThrottleEntries>
  <RestartService ResourceName="*">
    <ThrottleConfig Enabled="True" LocalMinimumMinutesBetweenAttempts="60"
      LocalMaximumAllowedAttemptsInOneHour="-1" LocalMaximumAllowedAttemptsInADay="4"
      GroupMinimumMinutesBetweenAttempts="-1" GroupMaximumAllowedAttemptsInADay="-1" />
  </RestartService>
</ThrottleEntries>
)";
constexpr char kQuery[] =
    R"({"id":"q1","now":"2015-02-10T22:40:00Z","action":"RestartService","resource":"x",)"
    R"("requester":"R1","requesterType":"RestartServiceResponder","ledger":[]})"
    "\n";

class EvaluateVerbTest : public SalvectlTest {
 protected:
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = agent_.dir() + "/" + name;
    std::ofstream(path) << content;
    return path;
  }

  const std::string policy_ = Write("throttle.xml", kPolicy);
};

TEST_F(EvaluateVerbTest, AnswersEachQueryWithoutAnAgent) {
  world_.run_dir = "/nonexistent";

  const Ended ended = Run({"throttle", "evaluate", "--policy", policy_, "--queries",
                           Write("queries.jsonl", std::string(kQuery) + kQuery)});

  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(std::count(ended.out.begin(), ended.out.end(), '\n'), 2);
  EXPECT_NE(ended.out.find("q1"), std::string::npos);
}

TEST_F(EvaluateVerbTest, ADashIsStandardInput) {
  in_.str(kQuery);

  const Ended ended = Run({"throttle", "evaluate", "--policy", policy_, "--queries", "-"});

  EXPECT_EQ(std::count(ended.out.begin(), ended.out.end(), '\n'), 1);
  EXPECT_EQ(ended.status, 0);
}

TEST_F(EvaluateVerbTest, ABadLineIsNamedAndTheOthersAreAnswered) {
  const Ended ended = Run({"throttle", "evaluate", "--policy", policy_, "--queries",
                           Write("queries.jsonl", std::string("nonsense\n") + kQuery)});

  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(std::count(ended.out.begin(), ended.out.end(), '\n'), 1);
  EXPECT_EQ(ended.err.find("salvectl: throttle evaluate: line 1: "), 0) << ended.err;
}

TEST_F(EvaluateVerbTest, AFileThatCannotBeReadIsBadInput) {
  const Ended no_queries =
      Run({"throttle", "evaluate", "--policy", policy_, "--queries", "/nonexistent"});
  EXPECT_EQ(no_queries.status, 2);
  EXPECT_EQ(no_queries.err,
            "salvectl: throttle evaluate: cannot read /nonexistent: No such file or directory\n");
  const Ended no_policy =
      Run({"throttle", "evaluate", "--policy", "/nonexistent", "--queries", "-"});
  EXPECT_EQ(no_policy.status, 2);
  EXPECT_EQ(no_policy.err.find("salvectl: throttle evaluate: "), 0) << no_policy.err;
  const Ended folder = Run({"throttle", "evaluate", "--policy", policy_, "--queries", "/tmp"});
  EXPECT_EQ(folder.status, 2);
  EXPECT_EQ(folder.err.find("salvectl: throttle evaluate: cannot read /tmp: "), 0) << folder.err;
}

}  // namespace
}  // namespace salve

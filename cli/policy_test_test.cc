#include <algorithm>

#include "cli/salvectl_fixture.h"
#include "config/policy_test.pb.h"

namespace salve {
namespace {

class PolicyTestVerbTest : public SalvectlTest {
 protected:
  PolicyTestVerbTest() {
    world_.run_policy_test = [this](const std::string& file) -> absl::StatusOr<policytest::Report> {
      asked_.push_back(file);
      if (file == "bad") return absl::InvalidArgumentError("bad:1:2: one\nbad:3:4: \x1b two");
      policytest::Report report = FromText<policytest::Report>(
          "name: 'web' case { name: 'heals' passed: true simulated: '1h' } passed: 1");
      report.set_file(file);
      if (file == "red") {
        report.MergeFrom(FromText<policytest::Report>(
            "case { name: 'refuses' simulated: '90s' "
            "failure { place: 'red:7:3' at: '90s' text: 'expected Web to be HEALTHY' } "
            "story { at: '10s' text: 'probe failed' } story { at: '1m' text: 'again' } } "
            "failed: 1"));
      }
      return report;
    };
  }
  std::vector<std::string> asked_;
};

TEST_F(PolicyTestVerbTest, SaysEachCaseAndTheSum) {
  const Ended ended = Run({"test", "a", "b"});
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(ended.out,
            "a: web\n  ok    heals (1h)\n"
            "b: web\n  ok    heals (1h)\n"
            "2 passed, 0 failed\n");
  EXPECT_EQ(asked_, (std::vector<std::string>{"a", "b"}));
}

TEST_F(PolicyTestVerbTest, AFailureHasItsPlaceItsTimeAndItsStory) {
  const Ended ended = Run({"test", "red"});
  EXPECT_EQ(ended.status, 1);
  EXPECT_EQ(ended.out,
            "red: web\n  ok    heals (1h)\n  FAIL  refuses (90s)\n"
            "        red:7:3: at +90s: expected Web to be HEALTHY\n"
            "        the story:\n"
            "           +10s  probe failed\n"
            "           +1m   again\n"
            "1 passed, 1 failed\n");
}

TEST_F(PolicyTestVerbTest, AFileWithFaultsDoesNotKeepTheOthersFromRunning) {
  const Ended ended = Run({"test", "bad", "red", "a"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(ended.err,
            "salvectl: test: bad:1:2: one\n"
            "salvectl: test: bad:3:4: \\x1b two\n");
  EXPECT_EQ(asked_.size(), 3u);
  EXPECT_NE(ended.out.find("2 passed, 1 failed, 1 file with faults\n"), std::string::npos);
}

TEST_F(PolicyTestVerbTest, PrintsJsonForPrograms) {
  const Ended json = Run({"test", "red", "-o", "json"});
  EXPECT_EQ(json.status, 1);
  EXPECT_NE(json.out.find("\"Reports\": ["), std::string::npos) << json.out;
  EXPECT_NE(json.out.find("\"Place\": \"red:7:3\""), std::string::npos) << json.out;
  const Ended lines = Run({"test", "a", "b", "-o", "jsonl"});
  EXPECT_EQ(lines.status, 0);
  EXPECT_EQ(std::count(lines.out.begin(), lines.out.end(), '\n'), 2) << lines.out;
  EXPECT_EQ(lines.out.find("{\"File\":"), 0u) << lines.out;
}

TEST_F(PolicyTestVerbTest, NeedsAFile) {
  EXPECT_EQ(Run({"test"}).status, 2);
  EXPECT_TRUE(asked_.empty());
}

// A salvectl without the engine in it.
TEST_F(SalvectlTest, WithoutARunnerThereIsNoSuchVerb) {
  const Ended ended = Run({"test", "a"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_NE(ended.err.find("unknown verb 'test'"), std::string::npos) << ended.err;
}

}  // namespace
}  // namespace salve

#include "agent/policy_test.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/text_format.h"

namespace salve {
namespace {

using policytest::CaseReport;
using policytest::Report;

// A look every ten seconds; three failed ones open an incident, half an hour of it is the end.
constexpr char kWeb[] = R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "10s" timeout: "2s" tcp { port: 80 } }
  probe { name: "Free" interval: "10s" exec { command: "/bin/df" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 }
            transition { to: UNHEALTHY } transition { to: UNRECOVERABLE after: "30m" } }
  monitor { name: "Full" probe: "Free" value_below { threshold: 5 value_name: "free" }
            transition { to: DEGRADED } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY restart_service { service: "nginx" } }
  responder { name: "Boot" monitor: "Down" on: UNRECOVERABLE reboot_server {} }
  responder { name: "Tell" monitor: "Full" on: DEGRADED escalate {} }
})";

class PolicyTestTest : public testing::Test {
 protected:
  PolicyTestTest() {
    mkdir(dir_.c_str(), 0755);
    Write("web.textproto", kWeb);
  }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ + "/" + name) << text;
  }
  std::string Path(const std::string& name) const { return dir_ + "/" + name; }
  absl::StatusOr<Report> RunText(const std::string& text) {
    Write("t.textproto", text);
    return RunPolicyTest(Path("t.textproto"));
  }
  // The only case of a file about web.textproto; `steps` begins on its line 3.
  CaseReport RunCase(const std::string& steps, const std::string& head = "") {
    const absl::StatusOr<Report> report = RunText(
        absl::StrCat("file: \"web.textproto\"\n", head, "case { name: \"c\"\n", steps, "\n}"));
    EXPECT_TRUE(report.ok()) << report.status();
    if (!report.ok() || report->case__size() != 1) return CaseReport();
    EXPECT_EQ(report->passed() + report->failed(), 1);
    EXPECT_EQ(report->passed() == 1, report->case_(0).passed());
    return report->case_(0);
  }
  // "" when it passed; else each failure without the folder.
  std::string Failures(const CaseReport& one) const {
    std::string all;
    for (const policytest::Failure& failure : one.failure()) {
      absl::StrAppend(&all, failure.place().substr(dir_.size() + 1), ": +", failure.at(), ": ",
                      failure.text(), "\n");
    }
    return all;
  }
  std::string FailuresOf(const std::string& steps) { return Failures(RunCase(steps)); }

  const std::string dir_ = testing::TempDir() + "/policy";
};

constexpr char kDown[] = R"(
  step { see { probe: "Web/Ping" outcome: FAILED error: "refused" } }
  step { run: "31s" }
)";

TEST_F(PolicyTestTest, ACaseThatPassesSaysHowLongItTook) {
  const CaseReport one = RunCase(absl::StrCat(kDown, R"(
    step { expect { state { item: "Web" is: UNHEALTHY } state { item: "Web/Down" is: UNHEALTHY }
                    action { responder: "Fix" } } }
    step { see { probe: "Web/*" } }
    step { expect { within: "1m" state { item: "Web" is: HEALTHY } } }
    step { until: "1h" }
  )"));
  EXPECT_EQ(Failures(one), "");
  EXPECT_TRUE(one.passed());
  EXPECT_EQ(one.name(), "c");
  EXPECT_EQ(one.simulated(), "1h");
  EXPECT_EQ(one.story_size(), 0);
}

TEST_F(PolicyTestTest, AWrongStateNamesBothAndTheError) {
  const CaseReport one = RunCase(
      absl::StrCat("step { see { probe: \"Web/Ping\" outcome: FAILED error: \"refused\" } }\n",
                   "step { run: \"31s\" }\n", "step { expect { action { responder: \"Fix\" }\n",
                   "  state { item: \"Web/Down\" is: HEALTHY } } }"));
  EXPECT_EQ(Failures(one),
            "t.textproto:6:3: +31s: expected Web/Down to be HEALTHY; it is UNHEALTHY, last error: "
            "refused\n");
  ASSERT_GT(one.story_size(), 3);
  EXPECT_EQ(one.story(0).text(), "test: Web/Ping will see FAILED: refused");
  EXPECT_EQ(one.story(0).at(), "0s");
}

TEST_F(PolicyTestTest, TheStoryTellsTheLooksTheVerdictAndTheAction) {
  const CaseReport one = RunCase(absl::StrCat(kDown, "step { expect { no_action: \"*\" } }"));
  std::string story;
  for (const policytest::StoryLine& line : one.story()) absl::StrAppend(&story, line.text(), "\n");
  EXPECT_TRUE(absl::StrContains(story, "probe Web/Ping failed")) << story;
  EXPECT_TRUE(absl::StrContains(story, "(x 2, last at +")) << story;
  EXPECT_TRUE(absl::StrContains(story, "UNHEALTHY")) << story;
  EXPECT_TRUE(absl::StrContains(story, "2050 RestartService nginx.service")) << story;
  EXPECT_TRUE(absl::StrContains(story, "responder Web/Fix acts")) << story;
}

TEST_F(PolicyTestTest, AnActionThatDidNotComeAndOneTooMany) {
  EXPECT_EQ(FailuresOf("step { run: \"1h\" } step { expect { action { responder: \"Fix\" } } }"),
            "t.textproto:3:36: +1h: expected Fix to have acted 1 time; it has not\n");
  const std::string twice = FailuresOf(absl::StrCat(
      kDown, "step { run: \"12m\" } step { expect { action { responder: \"Fix\" } } }"));
  EXPECT_TRUE(
      absl::StrContains(twice, "expected Fix to have acted 1 time; it was 2 times: Fix at +"))
      << twice;
  EXPECT_TRUE(absl::StrContains(twice, "(SUCCEEDED), Fix at +")) << twice;
  EXPECT_EQ(
      FailuresOf(absl::StrCat(
          kDown,
          "step { run: \"12m\" } step { expect { action { responder: \"Fix\" count: 2 } } }")),
      "");
}

TEST_F(PolicyTestTest, AnActionThatDidNotComeBecauseOfTheThrottleSaysSo) {
  const std::string text = FailuresOf(absl::StrCat(kDown, R"(
      step { expect { action { responder: "Fix" } } }
      step { run: "5m" } step { expect { action { responder: "Fix" } } })"));
  EXPECT_TRUE(absl::StrContains(text, "it has not; at +")) << text;
  EXPECT_TRUE(absl::StrContains(text, "it was refused by LocalMinimumMinutes, until +")) << text;
}

TEST_F(PolicyTestTest, AnActionThatNobodyExpectsIsAFailureAtTheEnd) {
  const std::string text = FailuresOf(kDown);
  EXPECT_TRUE(absl::StrContains(text,
                                "t.textproto:2:1: +31s: no step has expected what was done; "
                                "it was 1 time: Fix at +"))
      << text;
  EXPECT_EQ(FailuresOf(absl::StrCat(kDown, "allow: \"F*\"")), "");
}

TEST_F(PolicyTestTest, NoActionIsAboutWhatNoStepHasExpectedBefore) {
  EXPECT_EQ(FailuresOf(absl::StrCat(kDown, "step { expect { action { responder: \"Fix\" } } }",
                                    "step { expect { no_action: \"Fix\" no_action: \"T*\" } }")),
            "");
  EXPECT_TRUE(
      absl::StrContains(FailuresOf(absl::StrCat(kDown, "step { expect { no_action: \"Fix\" } }")),
                        "expected no action of Fix; it was 1 time: Fix at +"));
}

TEST_F(PolicyTestTest, HowAnActionEndedIsCompared) {
  const std::string fails =
      absl::StrCat("step { action_outcome { responder: \"Fix\" fails: \"no such unit\" } }", kDown);
  EXPECT_EQ(FailuresOf(absl::StrCat(
                fails, "step { expect { action { responder: \"Fix\" result: FAILED } } }")),
            "");
  EXPECT_TRUE(absl::StrContains(
      FailuresOf(absl::StrCat(
          fails, "step { expect { action { responder: \"Fix\" result: SUCCEEDED } } }")),
      "(FAILED: no such unit)"));
  EXPECT_EQ(
      FailuresOf(absl::StrCat(
          "step { action_outcome { responder: \"Fix\" takes: \"3m\" } }", kDown,
          "step { expect { no_action: \"Tell\" } } step { run: \"1m\" }",
          "step { expect { within: \"3m\" action { responder: \"Fix\" result: TIMED_OUT } } }")),
      "");
}

TEST_F(PolicyTestTest, ARestartThatHealsEndsTheIncident) {
  EXPECT_EQ(FailuresOf(absl::StrCat(
                "step { action_outcome { responder: \"Fix\" heals: \"*/Ping\" } }", kDown,
                "step { expect { within: \"1m\" action { responder: \"Fix\" }",
                "                state { item: \"Web\" is: HEALTHY } } } step { run: \"24h\" }")),
            "");
}

TEST_F(PolicyTestTest, ARefusalHasItsCheckAndTheTimeOfTheNext) {
  const std::string refused = absl::StrCat(
      kDown, "step { expect { action { responder: \"Fix\" } } } step { run: \"3m\" }\n");
  EXPECT_EQ(FailuresOf(absl::StrCat(refused, R"(step { expect { refusal {
      responder: "Fix" check: "LocalMinimumMinutes" next_allowed_in: "9m" } } })")),
            "");
  const std::string sooner = FailuresOf(absl::StrCat(
      refused, R"(step { expect { refusal { responder: "Fix" next_allowed_in: "5m" } } })"));
  EXPECT_TRUE(absl::StrContains(sooner,
                                "to be refused by the throttle (2051) and allowed again in 5m, "
                                "but it is in 8m4"))
      << sooner;
  const std::string exact = FailuresOf(absl::StrCat(
      refused, R"(step { expect { refusal { responder: "Fix" next_allowed_in: "8m1s" } } })"));
  EXPECT_TRUE(absl::StrContains(exact, "allowed again in 8m1s, but")) << exact;
  const std::string check = FailuresOf(absl::StrCat(
      refused, R"(step { expect { refusal { responder: "Fix" check: "LocalMaxInDay" } } })"));
  EXPECT_TRUE(absl::StrContains(check, "by LocalMaxInDay; it was refused at +")) << check;
  EXPECT_TRUE(absl::StrContains(check, "by LocalMinimumMinutes")) << check;
}

TEST_F(PolicyTestTest, ARefusalThatDidNotComeAndOneThatWasExpectedBefore) {
  EXPECT_EQ(
      FailuresOf("step { run: \"1m\" } step { expect { refusal { responder: \"Fix\" } } }"),
      "t.textproto:3:36: +1m: expected Fix to be refused by the throttle (2051); it was not\n");
  const std::string twice = FailuresOf(absl::StrCat(
      kDown, "step { run: \"3m\" } step { expect { action { responder: \"Fix\" } ",
      "refusal { responder: \"Fix\" } } } step { expect { refusal { responder: \"Fix\" } } }"));
  EXPECT_TRUE(absl::StrContains(twice, "it was not\n")) << twice;
}

constexpr char kSlow[] = R"(<ThrottleEntries>
  <RestartService ResourceName="nginx.service">
    <ThrottleConfig Enabled="True" LocalMinimumMinutesBetweenAttempts="30"
      LocalMaximumAllowedAttemptsInOneHour="-1" LocalMaximumAllowedAttemptsInADay="-1"
      GroupMinimumMinutesBetweenAttempts="-1" GroupMaximumAllowedAttemptsInADay="-1" />
  </RestartService>
</ThrottleEntries>)";

TEST_F(PolicyTestTest, TheThrottlePolicyOfTheFileHolds) {
  Write("throttle.xml", kSlow);
  EXPECT_EQ(Failures(RunCase(absl::StrCat(kDown, R"(
      step { run: "3m" }
      step { expect { action { responder: "Fix" }
                      refusal { responder: "Fix" next_allowed_in: "29m" } } })"),
                             "throttle_file: \"throttle.xml\" ")),
            "");
}

// The other servers are not simulated: what they would forbid must not pass for a finding.
TEST_F(PolicyTestTest, AServerOfAGroupIsOneOfItself) {
  EXPECT_EQ(Failures(RunCase(absl::StrCat(kDown, R"(
      step { expect { action { responder: "Fix" } } })"),
                             "agent: 'group: \"web\" min_healthy_percent: 50 "
                             "coordinator { etcd { endpoint: \"http://127.0.0.1:1\" } }' ")),
            "");
}

TEST_F(PolicyTestTest, AThrottlePolicyWithAFaultIsRefusedWithItsPlace) {
  const absl::StatusOr<Report> bad = RunText(
      "file: \"web.textproto\" throttle: '<Nonsense/>' case { name: \"c\" step { run: \"1s\" } }");
  ASSERT_FALSE(bad.ok());
  EXPECT_TRUE(absl::StrContains(bad.status().message(), "t.textproto (throttle):1:"))
      << bad.status().message();
}

TEST_F(PolicyTestTest, AfterACrashTheAttemptCounts) {
  EXPECT_EQ(FailuresOf(absl::StrCat("step { action_outcome { responder: \"Fix\" takes: \"1m\" } }",
                                    kDown, R"(
      step { expect { action { responder: "Fix" result: RUNNING } } }
      step { restart_agent {} }
      step { run: "4m" }
      step { expect { refusal { responder: "Fix" check: "LocalMinimumMinutes" }
                      state { item: "Web" is: UNHEALTHY } no_action: "*" } }
  )")),
            "");
  const std::string crashed = FailuresOf(absl::StrCat(
      "step { action_outcome { responder: \"Fix\" takes: \"1m\" } }", kDown,
      "step { restart_agent { down: \"3s\" } } step { expect { no_action: \"Fix\" } }"));
  EXPECT_TRUE(absl::StrContains(crashed, "(CRASHED)")) << crashed;
  EXPECT_TRUE(absl::StrContains(crashed, ": +34s: ")) << crashed;
}

TEST_F(PolicyTestTest, ARebootHasItsBootGraceAndTheLimitsHoldAcrossIt) {
  EXPECT_EQ(FailuresOf(absl::StrCat(kDown, R"(
      step { expect { action { responder: "Fix" } } }
      step { reboot { down: "2m" } }
      step { expect { within: "1m" state { item: "Web" is: UNHEALTHY } } }
      step { run: "50s" }
      step { expect { no_action: "*" } }
      step { run: "2m" }
      step { expect { refusal { responder: "Fix" check: "LocalMinimumMinutes" } no_action: "*" } }
  )")),
            "");
}

TEST_F(PolicyTestTest, TheLastRungRebootsTheServerOnce) {
  const CaseReport one = RunCase(absl::StrCat(R"(
      step { action_outcome { responder: "Boot" takes: "3m" heals: "Web/Ping" } })",
                                              kDown, R"(
      step { until: "28m" }
      step { expect { no_action: "Boot" } }
      step { expect { within: "10m" action { responder: "Boot" } } }
      step { expect { within: "1m" action { responder: "Boot" } } }
      allow: "Fix")"));
  EXPECT_TRUE(absl::StrContains(Failures(one), "expected Boot to have acted 1 time; it has not"))
      << Failures(one);
  std::string story;
  for (const policytest::StoryLine& line : one.story()) absl::StrAppend(&story, line.text(), "\n");
  EXPECT_TRUE(absl::StrContains(story, "test: the server goes down\ntest: the server has booted"))
      << story;
}

TEST_F(PolicyTestTest, WhatAPersonStoppedStaysStopped) {
  const std::string stopped =
      absl::StrCat("step { unit { name: \"nginx\" state: INACTIVE } }", kDown);
  EXPECT_EQ(FailuresOf(absl::StrCat(stopped, "step { run: \"20m\" }")), "");
  EXPECT_EQ(FailuresOf(absl::StrCat("step { unit { name: \"nginx\" state: DEAD } }", kDown,
                                    "step { expect { action { responder: \"Fix\" } } }")),
            "");
}

TEST_F(PolicyTestTest, NothingActsDuringAMaintenanceOrAPause) {
  for (const std::string guard : {"maintenance { health_set: \"Web\" length: \"10m\" }",
                                  "maintenance { length: \"10m\" }", "pause { length: \"10m\" }"}) {
    EXPECT_EQ(FailuresOf(absl::StrCat("step { ", guard, " }", kDown, R"(
        step { until: "9m" } step { expect { no_action: "*" } }
        step { expect { within: "3m" action { responder: "Fix" } } })")),
              "")
        << guard;
  }
  EXPECT_EQ(FailuresOf(absl::StrCat("step { pause {} }", kDown, R"(
        step { until: "25m" } step { expect { no_action: "*" } } step { pause { end: true } }
        step { expect { within: "1m" action { responder: "Fix" } } })")),
            "");
  EXPECT_TRUE(absl::StrContains(FailuresOf("step { maintenance { end: true } }"),
                                "there is no maintenance"));
}

TEST_F(PolicyTestTest, ValuesTimeoutsAndRejectedLooks) {
  EXPECT_EQ(FailuresOf(R"(
      step { see { probe: "Web/Free" value { name: "free" number: 3 unit: "percent" } } }
      step { expect { within: "11s" state { item: "Web/Full" is: DEGRADED }
                      action { responder: "Tell" } } }
      step { see { probe: "Web/Ping" outcome: TIMED_OUT } }
      step { expect { within: "40s" state { item: "Web/Down" is: UNHEALTHY }
                      action { responder: "Fix" } } })"),
            "");
  EXPECT_EQ(FailuresOf(R"(
      step { see { probe: "Web/Ping" outcome: REJECTED } } step { run: "1h" }
      step { expect { state { item: "Web/Down" is: UNAVAILABLE } } })"),
            "");
  // A look that takes longer than the probe's two seconds.
  EXPECT_EQ(FailuresOf(R"(
      step { see { probe: "Web/Ping" takes: "3s" } }
      step { expect { within: "45s" state { item: "Web/Down" is: UNHEALTHY } action { responder: "Fix" } } })"),
            "");
}

TEST_F(PolicyTestTest, ATimeThatHasPassedWhenItsStepComes) {
  const std::string text = FailuresOf(absl::StrCat(
      kDown, "step { expect { within: \"5m\" refusal { responder: \"Fix\" } } } allow: \"*\"\n",
      "step { until: \"50s\" }"));
  EXPECT_TRUE(absl::StrContains(text, "t.textproto:7:1: +1m")) << text;
  EXPECT_TRUE(absl::StrContains(text, ": 50s has passed: it is +1m")) << text;
}

TEST_F(PolicyTestTest, OneCaseThatFailsKeepsNoOtherFromRunning) {
  const absl::StatusOr<Report> report = RunText(R"(name: "three" file: "web.textproto"
    case { name: "a" step { expect { state { item: "Web" is: DEGRADED } } } step { run: "1h" } }
    case { name: "b" step { run: "30s" } step { expect { state { item: "Web" is: HEALTHY } } } }
    case { name: "c" step { run: "1s" } })");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->name(), "three");
  EXPECT_EQ(report->passed(), 2);
  EXPECT_EQ(report->failed(), 1);
  EXPECT_EQ(report->case_(0).simulated(), "0s");  // It ends with its first failure.
}

// The whole example of the page: "```textproto NAME" begins a file.
TEST_F(PolicyTestTest, TheExampleOfThePagePasses) {
  std::ifstream page("docs/POLICY_TESTS.md");
  const std::string text((std::istreambuf_iterator<char>(page)), {});
  std::vector<std::string> tests;
  for (absl::string_view block : absl::StrSplit(text, "\n```textproto ")) {
    if (block.data() == text.data()) continue;
    const std::string name(block.substr(0, block.find('\n')));
    Write(name, std::string(block.substr(name.size() + 1, block.find("\n```") - name.size())));
    if (absl::EndsWith(name, "_test.textproto")) tests.push_back(name);
  }
  ASSERT_EQ(tests.size(), 1u);
  const absl::StatusOr<Report> report = RunPolicyTest(Path(tests[0]));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GE(report->passed(), 2);
  for (const CaseReport& one : report->case_()) EXPECT_EQ(Failures(one), "") << one.name();
}

}  // namespace
}  // namespace salve

#include "agent/policy_test_file.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/config.pb.h"
#include "config/policy_test.pb.h"

namespace salve {
namespace {

constexpr char kWeb[] = R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "10s" tcp { port: 80 } }
  monitor { name: "Down" probe: "Ping" consecutive_failures {} transition { to: UNHEALTHY } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY restart_service { service: "nginx" } }
  responder { name: "Tell" monitor: "Down" on: UNHEALTHY escalate {} }
}
health_set {
  name: "Sites"
  for_each { value: "a" value: "b" }
  probe { name: "Get" interval: "10s" http { url: "http://{target}/" } }
  monitor { name: "Bad" probe: "Get" consecutive_failures {} transition { to: DEGRADED } }
})";

class PolicyTestFileTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<PolicyTestFile>> Parse(const std::string& text) const {
    return PolicyTestFile::Parse("dir/t", text,
                                 [this](const std::string& path) -> absl::StatusOr<std::string> {
                                   const auto found = files_.find(path);
                                   if (found != files_.end()) return found->second;
                                   return absl::NotFoundError(path + ": no such file");
                                 });
  }
  // What is wrong with a step, on line 2, of a file that is right otherwise.
  std::string FaultsOf(const std::string& step) const {
    return Message(absl::StrCat("file: \"web\" case { name: \"c\"\nstep { ", step, " } }"));
  }
  std::string Message(const std::string& text) const {
    return std::string(Parse(text).status().message());
  }
  std::map<std::string, std::string> files_ = {{"dir/web", kWeb}};
};

TEST_F(PolicyTestFileTest, GlobsMeanNamesOfTheConfiguration) {
  const auto file = Parse("file: \"web\" case { name: \"c\"\n step { run: \"1s\" } }");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(absl::StrJoin((*file)->Probes("*"), " "), "Web/Ping Sites/Get/a Sites/Get/b");
  EXPECT_EQ(absl::StrJoin((*file)->Probes("Sites/*"), " "), "Sites/Get/a Sites/Get/b");
  EXPECT_EQ(absl::StrJoin((*file)->Responders("F?x"), " "), "Fix");
  EXPECT_TRUE((*file)->Responders("fix").empty());
  EXPECT_EQ((*file)->PlaceOf(0), "dir/t:1:13");
  EXPECT_EQ((*file)->PlaceOf(0, 0, "run"), "dir/t:2:9");
}

TEST_F(PolicyTestFileTest, MatchesGlobs) {
  EXPECT_TRUE(MatchesGlob("", ""));
  EXPECT_TRUE(MatchesGlob("*", ""));
  EXPECT_TRUE(MatchesGlob("a*b*c", "a/b/b/c"));
  EXPECT_FALSE(MatchesGlob("a*b*c", "a/b/b"));
  EXPECT_FALSE(MatchesGlob("?", ""));
  EXPECT_FALSE(MatchesGlob("a", "ab"));
  EXPECT_FALSE(MatchesGlob("ab", "a"));
  EXPECT_FALSE(MatchesGlob("*a*a*a*a*a*a*a*b", std::string(10'000, 'a')));
}

TEST_F(PolicyTestFileTest, TextThatIsNoneHasItsPlaceAndTheNearestName) {
  EXPECT_EQ(Message("file: \"web\"\ncase { name: \"c\" stepp { run: \"1s\" } }"),
            "dir/t:2:18: Case has no field 'stepp' (did you mean 'step'?)");
}

TEST_F(PolicyTestFileTest, WhatTheFileIsAbout) {
  EXPECT_EQ(Message(""),
            "dir/t:1:1: names no health set: file, health_sets or ready_made is needed\n"
            "dir/t:1:1: has no case");
  EXPECT_EQ(Message("file: \"web\" agent: \"\" agent_file: \"a\" throttle: \" \"\nthrottle_file: "
                    "\"b\" found: \"etc\" case {}"),
            "dir/t:1:39: throttle: may not stand beside throttle_file\n"
            "dir/t:2:20: found[0]: must be a path from / on");
  EXPECT_EQ(Message("file: \"none\" case { name: \"c\" step { run: \"1s\" } }"),
            "dir/none: no such file");
  EXPECT_EQ(Message("file: \"/abs\" case { name: \"c\" step { run: \"1s\" } }"),
            "/abs: no such file");
}

TEST_F(PolicyTestFileTest, SetsThatShipAreFoundByName) {
  const std::string one = " case { name: \"c\" step { run: \"1s\" } }";
  const auto file = Parse("ready_made: \"nginx\"" + one);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE((*file)->configuration().health_sets.empty());
  EXPECT_EQ(Message("ready_made: \"nginx\"\nready_made: \"ngin\"" + one),
            "dir/t:2:1: ready_made[1]: no health set 'ngin' ships (did you mean 'nginx'?)");
}

TEST_F(PolicyTestFileTest, KnowsTheStatesOfTheConfiguration) {
  EXPECT_EQ(static_cast<int>(policytest::State_MAX), static_cast<int>(config::HealthState_MAX));
  for (int i = 1; i <= config::HealthState_MAX; ++i) {
    EXPECT_EQ(policytest::State_Name(static_cast<policytest::State>(i)),
              config::HealthState_Name(static_cast<config::HealthState>(i)));
  }
}

TEST_F(PolicyTestFileTest, FaultsOfHealthSetsHaveTheirOwnPlace) {
  files_["dir/web"] = "health_set {\n name: \"Web\" prob {} }";
  EXPECT_EQ(Message("file: \"web\" case { name: \"c\" step { run: \"1s\" } }").substr(0, 13),
            "dir/web:2:14:");
  EXPECT_EQ(Message("health_sets: 'health_set {}' case { name: \"c\" step { run: \"1s\" } }")
                .substr(0, 22),
            "dir/t (health_sets):1:");
  EXPECT_EQ(Message("file: \"web\" agent: 'boot_grace: \"1y\"' case { name: \"c\" }").substr(0, 8),
            "dir/web:");
}

TEST_F(PolicyTestFileTest, CasesHaveNamesAndSteps) {
  EXPECT_EQ(
      Message("file: \"web\"\ncase { name: \"c\" step { run: \"1s\" } }\ncase { name: \"c\" }\n"
              "case { step { run: \"1s\" } }"),
      "dir/t:3:8: case 'c': name: is taken at dir/t:2\n"
      "dir/t:3:1: case 'c': has no step\n"
      "dir/t:4:1: case '': name: is needed");
  EXPECT_EQ(Message("file: \"web\"\ncase { name: \"c\" allow: \"Fax\" step { run: \"1s\" } }"),
            "dir/t:2:18: case 'c': allow[0]: there is no responder 'Fax' (did you mean 'Fix'?)");
}

TEST_F(PolicyTestFileTest, UnknownNamesComeWithTheNearestOnes) {
  EXPECT_EQ(FaultsOf("see { probe: \"Web/Pong\" }"),
            "dir/t:2:14: case 'c': see.probe: there is no probe 'Web/Pong' (did you mean "
            "'Web/Ping'?)");
  EXPECT_EQ(FaultsOf("expect { action { responder: \"Fax\" } }"),
            "dir/t:2:26: case 'c': expect.action[0].responder: there is no responder 'Fax' (did "
            "you mean 'Fix'?)");
  EXPECT_EQ(FaultsOf("expect { state { item: \"Web/Dawn\" is: HEALTHY } }"),
            "dir/t:2:25: case 'c': expect.state[0].item: there is no health set or monitor "
            "'Web/Dawn' (did you mean 'Web/Down', 'Web'?)");
  EXPECT_EQ(FaultsOf("expect { refusal { responder: \"Fix\" check: \"LocalMinimumMinute\" } }"),
            "dir/t:2:44: case 'c': expect.refusal[0].check: there is no check 'LocalMinimumMinute' "
            "(did you mean 'LocalMinimumMinutes', 'GroupMinimumMinutes'?)");
  EXPECT_EQ(FaultsOf("unit { name: \"ngin\" state: DEAD }"),
            "dir/t:2:15: case 'c': unit.name: no responder acts on a unit 'ngin' (did you mean "
            "'nginx.service'?)");
  EXPECT_EQ(FaultsOf("maintenance { health_set: \"Webb\" length: \"1h\" }"),
            "dir/t:2:22: case 'c': maintenance.health_set: there is no health set 'Webb' (did you "
            "mean 'Web'?)");
  EXPECT_EQ(FaultsOf("expect { state { item: \"Sites/Bad/a\" is: HEALTHY } no_action: \"*\" }"),
            "");
}

TEST_F(PolicyTestFileTest, EachStepSaysOneThing) {
  EXPECT_EQ(FaultsOf("").substr(0, 43), "dir/t:2:1: case 'c': needs one of run, unti");
  EXPECT_NE(FaultsOf("run: \"1s\" until: \"2s\""), "");
  EXPECT_EQ(FaultsOf("expect {}"), "dir/t:2:8: case 'c': expect: expects nothing");
  EXPECT_EQ(FaultsOf("expect { state { item: \"Web\" } }"),
            "dir/t:2:17: case 'c': expect.state[0]: does not say which state: `is` is needed");
  EXPECT_EQ(FaultsOf("expect { within: \"1m\" no_action: \"*\" }"),
            "dir/t:2:17: case 'c': expect.within: may not stand with no_action, which is so at "
            "once: let the time pass by `run` before");
  EXPECT_EQ(FaultsOf("see { probe: \"*\" error: \"x\" }"),
            "dir/t:2:25: case 'c': see.error: has no meaning where the look has SUCCEEDED");
  EXPECT_EQ(FaultsOf("see { probe: \"*\" value { number: 1 } }"),
            "dir/t:2:25: case 'c': see.value[0].name: is needed");
  EXPECT_EQ(FaultsOf("pause { end: true length: \"1m\" }"),
            "dir/t:2:8: case 'c': pause: has both a length and `end: true`");
  EXPECT_EQ(FaultsOf("maintenance {}"),
            "dir/t:2:8: case 'c': maintenance: needs either its length or `end: true`");
  EXPECT_EQ(FaultsOf("action_outcome { responder: \"Fix\" fails: \"x\" heals: \"*\" }"),
            "dir/t:2:53: case 'c': action_outcome.heals: what fails heals nothing: leave one of "
            "the two out");
  EXPECT_EQ(FaultsOf("action_outcome { responder: \"Tell\" }"),
            "dir/t:2:25: case 'c': action_outcome.responder: how 'Tell' ends can't be said: "
            "escalate, take_offline and bring_online run as they are");
}

TEST_F(PolicyTestFileTest, NumbersAndTimesHaveBounds) {
  EXPECT_EQ(FaultsOf("expect { action { responder: \"Fix\" count: 0 } }"),
            "dir/t:2:43: case 'c': expect.action[0].count: 0 of them is `no_action`");
  EXPECT_EQ(FaultsOf("expect { action { responder: \"Fix\" count: 100000 } }"), "");
  EXPECT_NE(FaultsOf("expect { action { responder: \"Fix\" count: 100001 } }"), "");
  EXPECT_EQ(FaultsOf("run: \"0s\""), "dir/t:2:8: case 'c': run: 0s is not in 1ms..744h");
  EXPECT_EQ(FaultsOf("run: \"744h\""), "");
  EXPECT_NE(FaultsOf("run: \"745h\""), "");
  EXPECT_NE(FaultsOf("run: \"soon\""), "");
  EXPECT_EQ(FaultsOf("run: \"744h\" } step { expect { within: \"1s\" state { item: \"Web\" is: "
                     "HEALTHY } }"),
            "dir/t:2:38: case 'c': expect.within: with it the case takes more than 744h");
  EXPECT_EQ(FaultsOf("until: \"2h\" } step { until: \"1h\""),
            "dir/t:2:29: case 'c': until: 1h has passed: the steps before take 2h");
  EXPECT_EQ(FaultsOf("until: \"2h\" } step { until: \"744h\""), "");
  EXPECT_NE(FaultsOf("run: \"2h\" } step { reboot {} } step { until: \"2h59s\""), "");
  EXPECT_EQ(FaultsOf("run: \"2h\" } step { reboot {} } step { until: \"2h1m\""), "");
  EXPECT_EQ(FaultsOf("reboot { down: \"24h\" }"), "");
  EXPECT_NE(FaultsOf("restart_agent { down: \"25h\" }"), "");
  EXPECT_NE(FaultsOf("pause { length: \"721h\" }"), "");
  EXPECT_EQ(FaultsOf("pause { length: \"720h\" }"), "");
}

TEST_F(PolicyTestFileTest, WhatIsFoundDecidesWhatIsApplicable) {
  files_["dir/web"] =
      "health_set { name: \"W\" if_exists: \"/etc/nginx\" "
      "probe { name: \"P\" tcp { port: 80 } } }";
  const std::string one = " case { name: \"c\" step { run: \"1s\" } }";
  const auto without = Parse("file: \"web\"" + one);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_FALSE((*without)->configuration().health_sets[0].applicable);
  const auto with = Parse("file: \"web\" found: \"/etc/nginx\"" + one);
  ASSERT_TRUE(with.ok()) << with.status();
  EXPECT_TRUE((*with)->configuration().health_sets[0].applicable);
}

TEST_F(PolicyTestFileTest, AFileThatCannotBeReadSaysWhich) {
  const auto read = PolicyTestFile::Read("/nowhere/t.textproto");
  EXPECT_TRUE(absl::IsNotFound(read.status()));
  EXPECT_NE(read.status().message().find("/nowhere/t.textproto"), std::string::npos);
}

}  // namespace
}  // namespace salve

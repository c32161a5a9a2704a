#include "config/loader.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The kinds' checks belong to other folders: this one stands in for them.
KindChecks ChecksOfTheTest() {
  KindChecks checks;
  checks.probe = [](const config::Probe& probe) {
    if (probe.tcp().port() <= 65535) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("tcp.port: ", probe.tcp().port(), " is not in [1, 65535]"));
  };
  return checks;
}

LoadOptions OptionsOfTheTest() { return {.host_name = "web-1", .checks = ChecksOfTheTest()}; }

absl::StatusOr<Configuration> Parse(const std::string& health_sets, const std::string& agent = "") {
  return ParseConfiguration(
      {.agent = {"salve.textproto", agent}, .health_sets = {{"web.textproto", health_sets}}},
      OptionsOfTheTest());
}

Configuration MustParse(const std::string& health_sets, const std::string& agent = "") {
  absl::StatusOr<Configuration> configuration = Parse(health_sets, agent);
  EXPECT_TRUE(configuration.ok()) << configuration.status();
  return configuration.ok() ? *std::move(configuration) : Configuration();
}

std::string ErrorOf(const std::string& health_sets, const std::string& agent = "") {
  return std::string(Parse(health_sets, agent).status().message());
}

// --- What is made of it.

TEST(LoaderTest, NothingIsAnEmptyConfigurationWithTheAgentsDefaults) {
  const Configuration configuration = MustParse("");
  EXPECT_THAT(configuration.health_sets, IsEmpty());
  EXPECT_EQ(configuration.agent.server, "web-1");
  EXPECT_EQ(configuration.agent.boot_grace, absl::Seconds(60));
  EXPECT_EQ(configuration.agent.stop_timeout, absl::Seconds(60));
  EXPECT_EQ(configuration.agent.max_children, 64);
}

TEST(LoaderTest, TheAgentsSettingsAreRead) {
  const AgentDefinition agent =
      MustParse("", R"(server: "db-7" version: "1.2" boot_grace: "0s" stop_timeout: "5s"
                       max_children: 3 coordinator { local {} })")
          .agent;
  EXPECT_EQ(agent.server, "db-7");
  EXPECT_EQ(agent.version, "1.2");
  EXPECT_EQ(agent.boot_grace, absl::ZeroDuration());
  EXPECT_EQ(agent.stop_timeout, absl::Seconds(5));
  EXPECT_EQ(agent.max_children, 3);
}

TEST(LoaderTest, AHostsNameThatIsNoNameMustBeReplaced) {
  const auto parse = [](const std::string& agent) {
    return ParseConfiguration({.agent = {"salve.textproto", agent}}, {.host_name = "my host"});
  };
  EXPECT_EQ(parse("").status().message(),
            "salve.textproto:1:1: server: the host's name 'my host' is no name for a server: "
            "write one here");
  EXPECT_TRUE(parse("server: \"web\"").ok());
}

constexpr char kMinimal[] = R"(health_set {
  name: "Web"
  probe { name: "Ping" http { url: "http://127.0.0.1/" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures {} }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY restart_service { service: "nginx" } }
})";

TEST(LoaderTest, AProbesDefaultsAreFilledIn) {
  const Configuration configuration = MustParse(kMinimal);
  ASSERT_THAT(configuration.health_sets, SizeIs(1));
  ASSERT_THAT(configuration.health_sets[0].probes, SizeIs(1));
  const ProbeDefinition& probe = configuration.health_sets[0].probes[0];
  EXPECT_EQ(FullName(probe), "Web/Ping");
  EXPECT_EQ(probe.target, "");
  EXPECT_EQ(probe.interval, absl::Seconds(30));
  EXPECT_EQ(probe.timeout, absl::Seconds(10));
  EXPECT_EQ(probe.max_retry_attempts, 0);
  EXPECT_TRUE(probe.enabled);
  EXPECT_EQ(probe.config.http().url(), "http://127.0.0.1/");
}

TEST(LoaderTest, AMonitorsDefaultsAreFilledIn) {
  const Configuration configuration = MustParse(kMinimal);
  ASSERT_THAT(configuration.health_sets[0].monitors, SizeIs(1));
  const MonitorDefinition& monitor = configuration.health_sets[0].monitors[0];
  EXPECT_EQ(FullName(monitor), "Web/Down");
  EXPECT_THAT(monitor.probes, ElementsAre("Ping"));
  ASSERT_THAT(monitor.transitions, SizeIs(2));
  EXPECT_EQ(monitor.transitions[0].to, config::DEGRADED);
  EXPECT_EQ(monitor.transitions[0].after, absl::ZeroDuration());
  EXPECT_EQ(monitor.transitions[1].to, config::UNHEALTHY);
  EXPECT_EQ(monitor.transitions[1].after, absl::Seconds(60));
  EXPECT_EQ(monitor.reopen_within, absl::Minutes(10));
  EXPECT_TRUE(monitor.enabled);
}

TEST(LoaderTest, ARespondersDefaultsAreFilledIn) {
  const Configuration configuration = MustParse(kMinimal);
  ASSERT_THAT(configuration.health_sets[0].responders, SizeIs(1));
  const ResponderDefinition& responder = configuration.health_sets[0].responders[0];
  EXPECT_EQ(FullName(responder), "Web/Restart");
  EXPECT_EQ(responder.monitor, "Down");
  EXPECT_EQ(responder.on, config::UNHEALTHY);
  EXPECT_EQ(responder.after, absl::ZeroDuration());
  EXPECT_FALSE(responder.observe);
  EXPECT_EQ(responder.timeout, absl::Minutes(2));
  EXPECT_EQ(responder.settle, absl::Seconds(15));
  EXPECT_EQ(responder.retry_after, absl::Seconds(60));
  EXPECT_EQ(responder.ineffective_after, 3);
  EXPECT_TRUE(responder.enabled);
}

TEST(LoaderTest, WhatIsWrittenReplacesTheDefaults) {
  const HealthSetDefinition set = MustParse(R"(health_set {
    name: "Web" group: KEY_DEPENDENCIES enabled: false
    probe { name: "P" interval: "1m" timeout: "20s" max_retry_attempts: 2 enabled: false tcp {} }
    monitor { name: "M" probe: "P" transition { to: DEGRADED after: "5s" } reopen_within: "0s"
              enabled: false consecutive_failures {} }
    responder { name: "R" monitor: "M" on: DEGRADED after: "3s" mode: OBSERVE timeout: "5s"
                settle: "0s" retry_after: "1s" ineffective_after: 9 enabled: false
                run_command { command: "true" } }
  })")
                                      .health_sets.at(0);
  EXPECT_EQ(set.group, config::KEY_DEPENDENCIES);
  EXPECT_FALSE(set.enabled);
  EXPECT_EQ(set.probes[0].interval, absl::Minutes(1));
  EXPECT_EQ(set.probes[0].timeout, absl::Seconds(20));
  EXPECT_EQ(set.probes[0].max_retry_attempts, 2);
  EXPECT_FALSE(set.probes[0].enabled);
  ASSERT_THAT(set.monitors[0].transitions, SizeIs(1));
  EXPECT_EQ(set.monitors[0].transitions[0].after, absl::Seconds(5));
  EXPECT_EQ(set.monitors[0].reopen_within, absl::ZeroDuration());
  EXPECT_FALSE(set.monitors[0].enabled);
  EXPECT_EQ(set.responders[0].after, absl::Seconds(3));
  EXPECT_TRUE(set.responders[0].observe);
  EXPECT_EQ(set.responders[0].timeout, absl::Seconds(5));
  EXPECT_EQ(set.responders[0].settle, absl::ZeroDuration());
  EXPECT_EQ(set.responders[0].retry_after, absl::Seconds(1));
  EXPECT_EQ(set.responders[0].ineffective_after, 9);
  EXPECT_FALSE(set.responders[0].enabled);
}

ProbeDefinition ParseProbe(const std::string& fields) {
  const Configuration configuration =
      MustParse(absl::StrCat("health_set { name: 'Web' probe { name: 'P' ", fields, " } }"));
  return configuration.health_sets.at(0).probes.at(0);
}

TEST(LoaderTest, TheDefaultTimeoutIsTheIntervalAndAtMostTenSeconds) {
  EXPECT_EQ(ParseProbe("interval: '9s' tcp {}").timeout, absl::Seconds(9));
  EXPECT_EQ(ParseProbe("interval: '10s' tcp {}").timeout, absl::Seconds(10));
  EXPECT_EQ(ParseProbe("interval: '11s' tcp {}").timeout, absl::Seconds(10));
}

TEST(LoaderTest, ANotificationIsLookedForTenTimesInItsPeriod) {
  const auto interval = [](const std::string& within) {
    return ParseProbe(absl::StrCat("notification { expect_within: '", within, "' }")).interval;
  };
  EXPECT_EQ(interval("1s"), absl::Seconds(1));
  EXPECT_EQ(interval("10s"), absl::Seconds(1));
  EXPECT_EQ(interval("20s"), absl::Seconds(2));
  EXPECT_EQ(interval("5m"), absl::Seconds(30));
  EXPECT_EQ(interval("6m"), absl::Seconds(30));
  EXPECT_EQ(ParseProbe("notification {}").interval, absl::Seconds(30));
  EXPECT_EQ(ParseProbe("interval: '7s' notification { expect_within: '20s' }").interval,
            absl::Seconds(7));
}

TEST(LoaderTest, ANotificationsTimeoutMayBeLongerThanItsInterval) {
  EXPECT_EQ(ParseProbe("interval: '1s' timeout: '2s' notification {}").timeout, absl::Seconds(2));
}

TEST(LoaderTest, TheExampleOfTheSpecificationLoads) {
  const Configuration configuration = MustParse(R"(health_set {
  name: "Web"                     # letters, digits, . _ -
  group: SERVICE_COMPONENTS       # CUSTOMER_TOUCH_POINTS | SERVICE_COMPONENTS | SERVER_RESOURCES
  probe     { name: "NginxPing" interval: "10s" timeout: "3s" http { url: "http://127.0.0.1/" } }
  monitor   { name: "NginxDown" probe: "NginxPing" consecutive_failures { threshold: 3 }
              transition { to: UNHEALTHY } transition { to: UNRECOVERABLE after: "25m" } }
  responder { name: "NginxRestart" monitor: "NginxDown" on: UNHEALTHY restart_service { service: "nginx.service" } }
})",
                                                R"(server: "web-1" # default: the host's name
version: "1.0.0"
boot_grace: "60s")");
  EXPECT_THAT(configuration.health_sets.at(0).monitors.at(0).transitions, SizeIs(2));
}

// --- for_each.

constexpr char kForEach[] = R"(health_set {
  name: "Db"
  for_each { value: "a" value: "b/c" }
  probe { name: "P" exec { command: "check" command: "--db={target}" environment: "D={target}{target}" } }
  probe { name: "H" http { url: "http://{target}/" header { name: "X-{target}" value: "{target}" } } }
  monitor { name: "M" probe: "H" probe: "P" consecutive_failures {} }
  responder { name: "R" monitor: "M" on: UNHEALTHY run_command { command: "fix-{target}" } }
})";

TEST(ForEachTest, EachTargetHasAllItems) {
  const HealthSetDefinition set = MustParse(kForEach).health_sets.at(0);
  ASSERT_THAT(set.probes, SizeIs(4));
  ASSERT_THAT(set.monitors, SizeIs(2));
  ASSERT_THAT(set.responders, SizeIs(2));
  EXPECT_EQ(set.probes[0].name, "P/a");
  EXPECT_EQ(set.probes[1].name, "H/a");
  EXPECT_EQ(set.probes[2].name, "P/b/c");
  EXPECT_EQ(set.probes[2].target, "b/c");
  EXPECT_EQ(set.probes[2].config.name(), "P/b/c");
}

TEST(ForEachTest, TheTargetStandsInAllStrings) {
  const HealthSetDefinition set = MustParse(kForEach).health_sets.at(0);
  EXPECT_EQ(set.probes[0].config.exec().command(1), "--db=a");
  EXPECT_EQ(set.probes[2].config.exec().environment(0), "D=b/cb/c");
  EXPECT_EQ(set.probes[1].config.http().header(0).name(), "X-a");
  EXPECT_EQ(set.responders[0].config.run_command().command(0), "fix-a");
}

TEST(ForEachTest, ReferencesAreToTheSameTarget) {
  const HealthSetDefinition set = MustParse(kForEach).health_sets.at(0);
  EXPECT_THAT(set.monitors[0].probes, ElementsAre("H/a", "P/a"));
  EXPECT_THAT(set.monitors[1].probes, ElementsAre("H/b/c", "P/b/c"));
  EXPECT_EQ(set.responders[1].monitor, "M/b/c");
  EXPECT_EQ(set.responders[1].name, "R/b/c");
}

TEST(ForEachTest, WithoutItTheWordIsLeftAsItIs) {
  EXPECT_EQ(ParseProbe("http { url: 'http://x/{target}' }").config.http().url(),
            "http://x/{target}");
}

std::string SetWithTargets(int targets, int probes) {
  std::string text = "health_set { name: 'Many' for_each { ";
  for (int i = 0; i < targets; ++i) absl::StrAppend(&text, "value: 't", i, "' ");
  text += "}\n";
  for (int i = 0; i < probes; ++i) absl::StrAppend(&text, "probe { name: 'P", i, "' tcp {} }\n");
  return text + "}";
}

TEST(ForEachTest, AThousandTargetsAreAllowedAndOneMoreIsNot) {
  EXPECT_THAT(MustParse(SetWithTargets(1000, 1)).health_sets.at(0).probes, SizeIs(1000));
  EXPECT_EQ(
      ErrorOf(SetWithTargets(1001, 1)),
      "web.textproto:1:27: health set 'Many': for_each: has 1001 values; at most 1000 may be");
}

TEST(ForEachTest, AServerHasAtMostAHundredThousandItems) {
  EXPECT_TRUE(Parse(SetWithTargets(1000, 100)).ok());
  EXPECT_EQ(
      ErrorOf(SetWithTargets(1000, 100) + " health_set { name: 'x' probe { name: 'y' tcp {} } }"),
      "web.textproto:102:3: health set 'x': is one too many: with it the server has 100001 "
      "items; at most 100000 may be");
}

TEST(ForEachTest, AServerHasAtMost256MebibytesOfItems) {
  const auto set = [](int kilobytes) {
    std::string text = SetWithTargets(1000, 0);
    text.pop_back();
    for (int i = 0; i < kilobytes / 50; ++i) {
      absl::StrAppend(&text, "probe { name: 'P", i, "' tcp { send: '", std::string(50 << 10, 'x'),
                      "' } }");
    }
    return text + "}";
  };
  EXPECT_TRUE(Parse(set(200)).ok());
  EXPECT_THAT(ErrorOf(set(300)), HasSubstr("MiB of items; at most 256 may be"));
}

// --- Several files.

TEST(LoaderTest, NamesAreUniqueAcrossFiles) {
  const auto status =
      ParseConfiguration({.agent = {"salve.textproto", ""},
                          .health_sets = {{"a.textproto", "health_set { name: 'Web' }"},
                                          {"b.textproto", "\nhealth_set { name: 'WEB' }"}}},
                         OptionsOfTheTest())
          .status();
  EXPECT_EQ(status.message(),
            "b.textproto:2:14: health set 'WEB': name: is taken at a.textproto:1");
}

TEST(LoaderTest, EveryBrokenFileIsToldOf) {
  const auto status =
      ParseConfiguration({.agent = {"salve.textproto", "servr: 'x'"},
                          .health_sets = {{"a.textproto", "health_set { nme: 'x' }"},
                                          {"b.textproto", "health_set {"}}},
                         OptionsOfTheTest())
          .status();
  EXPECT_EQ(status.message(),
            "salve.textproto:1:1: Agent has no field 'servr' (did you mean 'server'?)\n"
            "a.textproto:1:14: HealthSet has no field 'nme' (did you mean 'name'?)\n"
            "b.textproto:1:13: Expected identifier, but the file ends");
}

TEST(LoaderTest, OfManyErrorsTwentyLinesAreTold) {
  std::string text = "health_set { name: 'Web'\n";
  for (int i = 0; i < 30; ++i) absl::StrAppend(&text, "probe { name: 'P", i, "' }\n");
  const std::string error = ErrorOf(text + "}");
  EXPECT_THAT(std::vector<std::string>(absl::StrSplit(error, '\n')), SizeIs(20));
  EXPECT_TRUE(absl::EndsWith(error, "\n... and 11 more errors"));
}

// Each comparison of all with all took minutes, for 20 lines that were told.
TEST(LoaderTest, NamesNearToUnknownOnesAreLookedForOnlyWhenTheyAreTold) {
  std::string text = "health_set { name: 'Web'\n";
  for (int i = 0; i < 20000; ++i) {
    absl::StrAppend(&text, "probe { name: 'P", i, "' tcp {} } monitor { name: 'M", i, "' probe: 'Q",
                    i, "' consecutive_failures {} }\n");
  }
  EXPECT_TRUE(absl::EndsWith(ErrorOf(text + "}"), "\n... and 19981 more errors"));
}

TEST(LoaderTest, AnItemOfManyTargetsTellsItsFaultOnce) {
  EXPECT_EQ(ErrorOf("health_set { name: 'W' for_each { value: 'a' value: 'b' }\n"
                    "probe { name: 'P' tcp { port: 70000 } } }"),
            "web.textproto:2:25: probe 'W/P/a': tcp.port: 70000 is not in [1, 65535]");
}

TEST(LoaderTest, WithoutChecksOfKindsEveryKindIsAllowed) {
  EXPECT_TRUE(ParseConfiguration(
                  {.agent = {"salve.textproto", ""}, .health_sets = {{"web.textproto", kMinimal}}},
                  {.host_name = "h"})
                  .ok());
}

// --- The folder.

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    dir_ = absl::StrCat(::testing::TempDir(), "/", info->name());
    fs::remove_all(dir_);
    fs::create_directories(dir_ + "/conf.d");
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ + "/" + name) << text;
  }
  absl::StatusOr<Configuration> Load() { return LoadConfiguration(dir_, OptionsOfTheTest()); }

  std::string dir_;
};

TEST_F(FolderTest, LoadsItsFilesInTheOrderOfTheirNames) {
  Write("salve.textproto", "server: 's'");
  Write("conf.d/b.textproto", "health_set { name: 'B' }");
  Write("conf.d/a.textproto", "health_set { name: 'A' }");
  const auto configuration = Load();
  ASSERT_TRUE(configuration.ok()) << configuration.status();
  EXPECT_EQ(configuration->agent.server, "s");
  ASSERT_THAT(configuration->health_sets, SizeIs(2));
  EXPECT_EQ(configuration->health_sets[0].name, "A");
  EXPECT_EQ(configuration->health_sets[1].name, "B");
}

TEST_F(FolderTest, NamesTheThrottlePolicyIfThereIsOne) {
  EXPECT_EQ(Load()->throttle_policy_file, "");
  Write("throttle.xml", "");
  EXPECT_EQ(Load()->throttle_policy_file, dir_ + "/throttle.xml");
}

TEST_F(FolderTest, AnErrorNamesTheFile) {
  Write("conf.d/web.textproto", "health_set {\n  name: 'a b'\n}");
  EXPECT_THAT(std::string(Load().status().message()),
              HasSubstr("web.textproto:2:3: health set 'a b': name: 'a b' is no name"));
}

}  // namespace
}  // namespace salve

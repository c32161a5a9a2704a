#include "config/effective.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "config/loader.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

Configuration Load(const std::string& agent, const std::string& health_sets) {
  auto configuration = ParseConfiguration(
      {.agent = {"salve.textproto", agent}, .health_sets = {{"web.textproto", health_sets}}},
      {.host_name = "web-1"});
  EXPECT_TRUE(configuration.ok()) << configuration.status();
  return configuration.ok() ? *std::move(configuration) : Configuration();
}

constexpr char kHealthSets[] = R"(health_set {
  name: "Web"
  for_each { value: ["a", "b"] }
  probe { name: "P" interval: "4s" http { url: "http://{target}/\n\"\303\244"
          expected_status: ["200",
                            "3xx"] } }
  probe { name: "N" notification { expect_within: "125s" } }
  monitor { name: "M" probe: "P" consecutive_failures { threshold: 2 } }
  responder { name: "R" monitor: "M" on: UNHEALTHY mode: OBSERVE
              throttle { local_maximum_allowed_attempts_in_a_day: 0 }
              run_command { command: "true" } }
})";

TEST(EffectiveTest, AnEmptyConfigurationHasItsDefaults) {
  EXPECT_EQ(EffectiveConfigText(Load("", "")), R"(# salve.textproto
server: "web-1"
boot_grace: "1m"
coordinator {
  local {
  }
}
stop_timeout: "1m"
max_children: 64
min_healthy_percent: 0

# conf.d/web.textproto
)");
}

TEST(EffectiveTest, ShowsNoSecret) {
  const std::string shown = EffectiveConfigText(Load("", R"(health_set {
  name: "Web"
  probe { name: "P" http { url: "http://ann:hunter2@web/"
                           header { name: "Authorization" value: "Bearer hunter2" } } }
  monitor { name: "M" probe: "P" consecutive_failures {} }
  responder { name: "R" monitor: "M" on: UNHEALTHY
              run_command { command: "heal" environment: "KEY=hunter2" } }
})"));
  EXPECT_EQ(shown.find("hunter2"), std::string::npos) << shown;
  EXPECT_NE(shown.find("url: \"http://***@web/\"  # web.textproto:3"), std::string::npos) << shown;
}

TEST(EffectiveTest, WhatIsWrittenHasItsSourceBehindIt) {
  EXPECT_EQ(EffectiveConfigText(Load("version: '7'\nchannels { jsonl { path: '/x' } }\n"
                                     "boot_grace: '0s'",
                                     "")),
            R"(# salve.textproto
server: "web-1"
version: "7"  # salve.textproto:1
boot_grace: "0s"  # salve.textproto:3
coordinator {
  local {
  }
}
stop_timeout: "1m"
max_children: 64
channels {
  probe_results: ALL
  jsonl {
    path: "/x"  # salve.textproto:2
    bytes_max: 67108864
    files_max: 5
  }
}
min_healthy_percent: 0

# conf.d/web.textproto
)");
}

TEST(EffectiveTest, AHealthSetIsShownWithAllDefaultsThatBelongToNoKind) {
  const std::string text = EffectiveConfigText(Load("", kHealthSets));
  EXPECT_EQ(text.substr(text.find("health_set")), R"(health_set {
  name: "Web"  # web.textproto:2
  group: CUSTOM
  for_each {
    value: "a"  # web.textproto:3
    value: "b"  # web.textproto:3
  }
  probe {
    name: "P"  # web.textproto:4
    interval: "4s"  # web.textproto:4
    timeout: "4s"
    max_retry_attempts: 0
    enabled: true
    http {
      url: "http://{target}/\n\"ä"  # web.textproto:4
      expected_status: "200"  # web.textproto:5
      expected_status: "3xx"  # web.textproto:6
    }
  }
  probe {
    name: "N"  # web.textproto:7
    interval: "12s500ms"
    timeout: "10s"
    max_retry_attempts: 0
    enabled: true
    notification {
      expect_within: "125s"  # web.textproto:7
    }
  }
  monitor {
    name: "M"  # web.textproto:8
    probe: "P"  # web.textproto:8
    require: ANY
    transition {
      to: DEGRADED
      after: "0s"
    }
    transition {
      to: UNHEALTHY
      after: "1m"
    }
    reopen_within: "10m"
    enabled: true
    clear_after: "0s"
    consecutive_failures {
      threshold: 2  # web.textproto:8
    }
  }
  responder {
    name: "R"  # web.textproto:9
    monitor: "M"  # web.textproto:9
    on: UNHEALTHY  # web.textproto:9
    after: "0s"
    mode: OBSERVE  # web.textproto:9
    timeout: "2m"
    settle: "15s"
    retry_after: "1m"
    ineffective_after: 3
    throttle {
      local_maximum_allowed_attempts_in_a_day: 0  # web.textproto:10
    }
    enabled: true
    run_command {
      command: "true"  # web.textproto:11
    }
  }
  enabled: true
}
)");
}

TEST(EffectiveTest, TheTextLoadsAsTheSameConfiguration) {
  const Configuration first = Load("max_children: 9", kHealthSets);
  const std::string text = EffectiveConfigText(first);
  const std::vector<std::string> parts = absl::StrSplit(text, "\n# conf.d/web.textproto\n");
  ASSERT_EQ(parts.size(), 2u);
  const Configuration second = Load(parts[0], parts[1]);
  EXPECT_EQ(second.agent.max_children, 9);
  ASSERT_EQ(second.health_sets.size(), 1u);
  ASSERT_EQ(second.health_sets[0].probes.size(), 4u);
  EXPECT_EQ(second.health_sets[0].probes[0].config.http().ShortDebugString(),
            first.health_sets[0].probes[0].config.http().ShortDebugString());
  EXPECT_EQ(second.health_sets[0].probes[1].interval, first.health_sets[0].probes[1].interval);
  EXPECT_EQ(second.health_sets[0].monitors[0].transitions.size(), 2u);
  EXPECT_TRUE(second.health_sets[0].responders[0].observe);
}

TEST(EffectiveTest, ASecondRoundChangesOnlyTheSources) {
  const std::string text = EffectiveConfigText(Load("server: 's'", ""));
  EXPECT_NE(text.find("server: \"s\"  # salve.textproto:1\n"), std::string::npos);
  const std::string again = EffectiveConfigText(Load(text.substr(0, text.find("\n# conf.d")), ""));
  EXPECT_NE(again.find("server: \"s\"  # salve.textproto:2\n"), std::string::npos);
}

}  // namespace
}  // namespace salve

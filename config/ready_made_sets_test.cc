#include "config/ready_made_sets.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "config/found_paths.h"
#include "config/loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// With each glob at one target, so that all items are there. The checks of the kinds are made by
// tests/healthsets_test.py, on the built programs.
absl::StatusOr<Configuration> Parse(std::vector<SourceFile> files) {
  ConfigurationSource source;
  source.health_sets = std::move(files);
  LoadOptions options{.host_name = "test-1"};
  for (const std::string& glob : PathPatternsOf(source).each) {
    std::string path = glob;
    options.found[glob] = {path.replace(path.find('*'), 1, "1")};
  }
  return ParseConfiguration(std::move(source), options);
}

TEST(ReadyMadeSetsTest, AreThoseOfTheDocumentation) {
  EXPECT_THAT(ReadyMadeSetNames(), ElementsAre("dovecot", "nginx", "php-fpm", "postfix",
                                               "postgresql", "redis", "sshd", "system"));
}

TEST(ReadyMadeSetsTest, AnUnknownNameNamesTheNearest) {
  const absl::Status status = FindReadyMadeSet("ngnix").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("no health set 'ngnix' ships (did you mean 'nginx'"));
  EXPECT_FALSE(FindReadyMadeSet("").ok());
}

TEST(ReadyMadeSetsTest, LoadTogetherAndActWithinLimits) {
  std::vector<SourceFile> files;
  for (const std::string& name : ReadyMadeSetNames()) {
    files.push_back({absl::StrCat(name, ".textproto"), std::string(*FindReadyMadeSet(name))});
  }
  const auto configuration = Parse(std::move(files));
  ASSERT_TRUE(configuration.ok()) << configuration.status();
  for (const HealthSetDefinition& set : configuration->health_sets) {
    EXPECT_FALSE(set.probes.empty()) << set.name;
    for (const MonitorDefinition& monitor : set.monitors) {
      // A start that fails looks well for a moment.
      EXPECT_TRUE(monitor.transitions.back().to != config::UNHEALTHY ||
                  monitor.clear_after >= absl::Seconds(30))
          << FullName(monitor);
    }
    for (const ResponderDefinition& responder : set.responders) {
      EXPECT_FALSE(responder.observe) << FullName(responder);
      EXPECT_FALSE(responder.config.has_reboot_server()) << FullName(responder);
      if (responder.config.has_escalate()) continue;
      EXPECT_TRUE(responder.config.throttle().has_local_maximum_allowed_attempts_in_one_hour())
          << FullName(responder);
    }
  }
}

TEST(ReadyMadeSetsTest, ObservingNobodyActs) {
  const auto configuration = Parse(ObservingSets());
  ASSERT_TRUE(configuration.ok()) << configuration.status();
  size_t responders = 0;
  for (const HealthSetDefinition& set : configuration->health_sets) {
    for (const ResponderDefinition& responder : set.responders) {
      EXPECT_TRUE(responder.observe) << FullName(responder);
      ++responders;
    }
  }
  EXPECT_GT(responders, 20u);
}

}  // namespace
}  // namespace salve

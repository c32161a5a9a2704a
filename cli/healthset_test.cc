#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cli/salvectl_fixture.h"
#include "gmock/gmock.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class HealthSetVerbTest : public SalvectlTest {
 protected:
  HealthSetVerbTest() {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    world_.config_dir = dir_;
    world_.check_configuration_with = [this](const std::string&, SourceFile) { return says_; };
    v1::GetInfoResponse info;
    info.set_config_dir(dir_);
    agent_.get_info.Say(info);
  }
  bool IsEnabled() const { return fs::exists(dir_ + "/conf.d/nginx.textproto"); }

  const std::string dir_ = std::string(::testing::TempDir()) + "/healthset";
  absl::Status says_;
};

TEST_F(HealthSetVerbTest, ListShowsEachThatShipsWithoutAnAgent) {
  world_.run_dir = "/nonexistent";
  const Ended ended = Run({"healthset", "list"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_THAT(ended.out, StartsWith("NAME"));
  EXPECT_THAT(ended.out, HasSubstr("\nnginx "));
  EXPECT_THAT(ended.out, HasSubstr("The server: disks, memory"));
}

TEST_F(HealthSetVerbTest, ListSaysWhichAreEnabled) {
  const auto line_of = [this](const std::string& name) {
    const std::string out = Run({"healthset", "list", "-o", "jsonl"}).out;
    const size_t at = out.find("\"Name\":\"" + name + "\"");
    return out.substr(at, out.find('\n', at) - at);
  };
  EXPECT_THAT(line_of("nginx"), HasSubstr("NOT_ENABLED"));
  Run({"healthset", "enable", "nginx", "--observe"});
  EXPECT_THAT(line_of("nginx"), HasSubstr("OBSERVES"));
  EXPECT_THAT(Run({"healthset", "list"}).out, HasSubstr("yes, observes"));
  Run({"healthset", "enable", "nginx"});
  EXPECT_THAT(line_of("nginx"), HasSubstr("ACTS"));
  std::ofstream(dir_ + "/conf.d/nginx.textproto") << "# mine";
  EXPECT_THAT(line_of("nginx"), HasSubstr("CHANGED"));
  EXPECT_THAT(line_of("system"), HasSubstr("\"Applicable\":true"));
}

TEST_F(HealthSetVerbTest, ShowPrintsTheText) {
  world_.run_dir = "/nonexistent";
  EXPECT_THAT(Run({"healthset", "show", "nginx"}).out, HasSubstr("name: \"Nginx\""));
  EXPECT_THAT(Run({"healthset", "show", "nginx", "--observe"}).out, HasSubstr("mode: OBSERVE"));
}

TEST_F(HealthSetVerbTest, AnUnknownNameNamesTheNearest) {
  const Ended ended = Run({"healthset", "enable", "ngnix"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_THAT(ended.err, HasSubstr("did you mean 'nginx'"));
}

TEST_F(HealthSetVerbTest, WhatIsSeenUnhealthyIsNotArmed) {
  agent_.get_server_health.Say(FromText<v1::GetServerHealthResponse>(R"(
    health_sets {
      name: "Nginx"
      monitors { name: "Down" state: "UNHEALTHY" is_alert: true last_error: "cannot connect" }
    })"));
  const Ended ended = Run({"healthset", "enable", "nginx"});
  EXPECT_EQ(ended.status, 3);
  EXPECT_THAT(ended.err, HasSubstr("Nginx/Down is UNHEALTHY now (cannot connect)"));
  EXPECT_FALSE(IsEnabled());
  EXPECT_EQ(Run({"healthset", "enable", "nginx", "--observe"}).status, 0);
  EXPECT_EQ(Run({"healthset", "enable", "nginx", "--force"}).status, 0);
}

TEST_F(HealthSetVerbTest, OfATargetToo) {
  agent_.get_server_health.Say(FromText<v1::GetServerHealthResponse>(R"(
    health_sets { name: "PhpFpm" monitors { name: "Down/8.2" state: "DEGRADED" is_alert: true } }
  )"));
  EXPECT_EQ(Run({"healthset", "enable", "php-fpm"}).status, 3);
}

TEST_F(HealthSetVerbTest, WhatOnlyTellsIsEnabledAlways) {
  agent_.get_server_health.Say(FromText<v1::GetServerHealthResponse>(R"(
    health_sets { name: "System" monitors { name: "DiskFull" state: "UNHEALTHY" is_alert: true } }
  )"));
  EXPECT_EQ(Run({"healthset", "enable", "system"}).status, 0);
}

TEST_F(HealthSetVerbTest, EnableHasTheAgentReload) {
  const Ended ended = Run({"healthset", "enable", "nginx"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_THAT(ended.out, StartsWith("nginx is enabled and acts; the agent has taken it up\n"));
  EXPECT_THAT(ended.out, HasSubstr("it is the first of this folder"));
  EXPECT_EQ(agent_.reload.asked().user(), "ada");
  EXPECT_TRUE(IsEnabled());
  EXPECT_EQ(Run({"healthset", "enable", "nginx", "--observe"}).out,
            "nginx is enabled and observes; the agent has taken it up\n");
}

TEST_F(HealthSetVerbTest, WorksWithoutAnAgent) {
  world_.run_dir = "/nonexistent";
  std::ofstream(dir_ + "/salve.textproto") << "";
  EXPECT_EQ(Run({"healthset", "enable", "nginx"}).out,
            "nginx is enabled and acts; no agent of this folder answers: it holds from its next "
            "start or reload\n");
  EXPECT_EQ(Run({"healthset", "disable", "nginx"}).status, 0);
  EXPECT_FALSE(IsEnabled());
}

TEST_F(HealthSetVerbTest, AnAgentOfAnotherFolderIsLeftAlone) {
  v1::GetInfoResponse info;
  info.set_config_dir(::testing::TempDir());
  agent_.get_info.Say(info);
  agent_.reload.Say(absl::InternalError("must not be asked"));
  EXPECT_THAT(Run({"healthset", "enable", "nginx"}).out, HasSubstr("no agent of this folder"));
}

TEST_F(HealthSetVerbTest, WhatTheFolderRefusesIsNotWritten) {
  says_ = absl::InvalidArgumentError("a.textproto:1:2: bad\nb.textproto:3:4: worse");
  const Ended ended = Run({"healthset", "enable", "nginx"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(ended.err,
            "salvectl: healthset enable: a.textproto:1:2: bad\n"
            "salvectl: healthset enable: b.textproto:3:4: worse\n");
  EXPECT_FALSE(IsEnabled());
}

TEST_F(HealthSetVerbTest, WhatTheAgentRefusesIsTakenBack) {
  agent_.reload.Say(absl::FailedPreconditionError("the group changes only with a restart"));
  const Ended ended = Run({"healthset", "enable", "nginx"});
  EXPECT_EQ(ended.status, 3);
  EXPECT_THAT(ended.err, HasSubstr("the agent refuses it, nothing has changed: the group changes"));
  EXPECT_FALSE(IsEnabled());
}

TEST_F(HealthSetVerbTest, DisableInJsonSaysWhatHolds) {
  Run({"healthset", "enable", "nginx"});
  const Ended ended = Run({"healthset", "disable", "nginx", "-o", "jsonl"});
  EXPECT_THAT(ended.out, HasSubstr("\"State\":\"NOT_ENABLED\""));
  EXPECT_THAT(ended.out, HasSubstr("\"Reloaded\":true"));
  EXPECT_EQ(Run({"healthset", "disable", "nginx"}).status, 4);
}

TEST_F(HealthSetVerbTest, DisableOfWhatWasChangedNeedsForce) {
  Run({"healthset", "enable", "nginx"});
  std::ofstream(dir_ + "/conf.d/nginx.textproto") << "# mine";
  EXPECT_EQ(Run({"healthset", "disable", "nginx"}).status, 3);
  EXPECT_EQ(Run({"healthset", "disable", "nginx", "--force"}).status, 0);
  EXPECT_TRUE(fs::exists(dir_ + "/conf.d/nginx.textproto.disabled"));
}

TEST_F(HealthSetVerbTest, TheFolderMayBeGiven) {
  const std::string other = dir_ + "/other";
  fs::create_directories(other);
  EXPECT_EQ(Run({"healthset", "enable", "nginx", "--config-dir", other}).status, 0);
  EXPECT_FALSE(IsEnabled());
  EXPECT_TRUE(fs::exists(other + "/conf.d/nginx.textproto"));
}

}  // namespace
}  // namespace salve

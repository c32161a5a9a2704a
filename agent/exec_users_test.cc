#include "agent/exec_users.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ProbeDefinition Exec(const std::string& user, bool enabled = true) {
  ProbeDefinition probe;
  probe.enabled = enabled;
  probe.config.mutable_exec()->set_user(user);
  return probe;
}

Configuration Of(const std::string& exec_user, std::vector<ProbeDefinition> probes) {
  Configuration configuration;
  configuration.agent.config.set_exec_user(exec_user);
  configuration.health_sets.push_back({.name = "A", .probes = std::move(probes)});
  return configuration;
}

absl::StatusOr<UserIdentity> Find(const std::string& name) {
  const std::map<std::string, uid_t> known = {{"nagios", 107}, {"me", 1000}};
  const auto found = known.find(name);
  if (found == known.end()) return absl::NotFoundError("there is no user '" + name + "'");
  return UserIdentity{.name = name, .uid = found->second};
}

TEST(ExecUsersTest, TheAgentsExecUserIsThatOfProbesWithoutOne) {
  ProbeDefinition tcp;
  tcp.config.mutable_tcp()->set_port(1);
  Configuration configuration = Of("nagios", {Exec(""), Exec("me"), tcp});
  UseExecUser(configuration);
  const auto& probes = configuration.health_sets[0].probes;
  EXPECT_EQ(probes[0].config.exec().user(), "nagios");
  EXPECT_EQ(probes[1].config.exec().user(), "me");
  EXPECT_TRUE(probes[2].config.has_tcp());
}

TEST(ExecUsersTest, WithoutAnExecUserTheyRunAsTheAgent) {
  Configuration configuration = Of("", {Exec("")});
  UseExecUser(configuration);
  EXPECT_EQ(configuration.health_sets[0].probes[0].config.exec().user(), "");
  EXPECT_THAT(ExecUsers(configuration), IsEmpty());
}

TEST(ExecUsersTest, NamesEachUserOnceAndNoneOfWhatIsDisabled) {
  Configuration configuration =
      Of("", {Exec("nagios"), Exec("me"), Exec("nagios"), Exec("off", /*enabled=*/false)});
  EXPECT_THAT(ExecUsers(configuration), ElementsAre("me", "nagios"));
  configuration.health_sets[0].enabled = false;
  EXPECT_THAT(ExecUsers(configuration), IsEmpty());
  configuration.health_sets[0].enabled = true;
  configuration.health_sets[0].applicable = false;
  EXPECT_THAT(ExecUsers(configuration), IsEmpty());
}

TEST(ExecUsersTest, WarnsOfAUserWhoIsNotThere) {
  EXPECT_THAT(ExecUserWarnings({"gone", "nagios"}, 0, Find),
              ElementsAre("exec probes of user 'gone' cannot look: there is no user 'gone'"));
}

TEST(ExecUsersTest, WarnsThatOnlyRootMayBecomeAnother) {
  EXPECT_THAT(ExecUserWarnings({"me", "nagios"}, 1000, Find),
              ElementsAre("exec probes of user 'nagios' cannot look unless the agent may become "
                          "another user: it does not run as root"));
}

}  // namespace
}  // namespace salve

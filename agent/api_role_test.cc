#include "agent/api_role.h"

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "api/salve.pb.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

config::Remote Rules(const std::string& text) {
  config::Remote remote;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &remote));
  return remote;
}

TEST(ApiRoleTest, EveryMethodOfTheApiHasARole) {
  const auto* file = v1::GetInfoRequest::descriptor()->file();
  int methods = 0;
  for (int i = 0; i < file->service_count(); ++i) {
    for (int j = 0; j < file->service(i)->method_count(); ++j) {
      const auto* method = file->service(i)->method(j);
      const std::string path =
          absl::StrCat("/", file->service(i)->full_name(), "/", method->name());
      EXPECT_TRUE(RoleNeededFor(path).has_value()) << path;
      ++methods;
    }
  }
  EXPECT_GE(methods, 23);
}

// A change of what needs a right must be meant.
TEST(ApiRoleTest, OnlyWhatChangesNothingIsForViewers) {
  const auto* file = v1::GetInfoRequest::descriptor()->file();
  std::set<std::string> more;
  for (int i = 0; i < file->service_count(); ++i) {
    for (int j = 0; j < file->service(i)->method_count(); ++j) {
      const std::string name =
          absl::StrCat(file->service(i)->name(), "/", file->service(i)->method(j)->name());
      const Role role = RoleNeededFor("/salve.v1." + name).value_or(Role::kNone);
      if (role != Role::kViewer) more.insert(absl::StrCat(name, " ", RoleName(role)));
    }
  }
  EXPECT_EQ(more, (std::set<std::string>{
                      "ActionService/Pause operator", "ActionService/Run operator",
                      "AgentService/Maintenance operator", "AgentService/Reload admin",
                      "ComponentService/Vote operator", "HealthService/Notify operator",
                      "HealthService/RunProbe operator", "HealthService/SetMonitorState operator",
                      "OverrideService/Add admin", "OverrideService/Remove admin",
                      "ThrottleService/ForgetServer admin"}));
}

TEST(ApiRoleTest, AMethodThatIsNotThereIsForNobody) {
  EXPECT_FALSE(RoleNeededFor("/salve.v1.AgentService/Nothing").has_value());
  EXPECT_FALSE(RoleNeededFor("/salve.v1.AgentService/GetInfo/").has_value());
  EXPECT_FALSE(RoleNeededFor("").has_value());
}

TEST(ApiRoleTest, AStarIsAnyText) {
  EXPECT_TRUE(MatchesPattern("*", ""));
  EXPECT_TRUE(MatchesPattern("*", "a.b"));
  EXPECT_TRUE(MatchesPattern("*.ops.example.org", "ada.ops.example.org"));
  EXPECT_TRUE(MatchesPattern("*.ops.example.org", "a.b.ops.example.org"));
  EXPECT_TRUE(MatchesPattern("spiffe://*/ops/*", "spiffe://example.org/ops/ada"));
  EXPECT_TRUE(MatchesPattern("a*a*a", "aaa"));
  EXPECT_FALSE(MatchesPattern("*.ops.example.org", "ops.example.org"));
  EXPECT_FALSE(MatchesPattern("*.example.org", "x.example.org.evil.org"));
  EXPECT_FALSE(MatchesPattern("a*a*a", "aa"));
  EXPECT_FALSE(MatchesPattern("ops", "Ops"));
  EXPECT_FALSE(MatchesPattern("ops", "ops2"));
  EXPECT_FALSE(MatchesPattern("", "x"));
}

TEST(ApiRoleTest, AHostilePatternTakesNoTimeToSpeakOf) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "a*";
  EXPECT_FALSE(MatchesPattern(pattern + "b", std::string(10'000, 'a')));
}

TEST(ApiRoleTest, TheHighestRoleOfAllThatMatchHolds) {
  const config::Remote remote = Rules(R"(
      role { role: ADMIN san: "root@example.org" }
      role { role: VIEWER san: "*@example.org" san: "*.example.org" }
      role { role: OPERATOR san: "ops-*@example.org" })");

  EXPECT_EQ(RoleOf({"root@example.org"}, remote.role()), Role::kAdmin);
  EXPECT_EQ(RoleOf({"ops-1@example.org"}, remote.role()), Role::kOperator);
  EXPECT_EQ(RoleOf({"ada@example.org"}, remote.role()), Role::kViewer);
  EXPECT_EQ(RoleOf({"www.example.org", "root@example.org"}, remote.role()), Role::kAdmin);
  EXPECT_EQ(RoleOf({"ada@example.net"}, remote.role()), Role::kNone);
  EXPECT_EQ(RoleOf({}, remote.role()), Role::kNone);
}

}  // namespace
}  // namespace salve

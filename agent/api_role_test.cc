#include "agent/api_role.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/queue.pb.h"
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

// "AgentService/GetInfo", of all of the API.
std::vector<std::string> AllMethods() {
  std::vector<std::string> methods;
  for (const auto* file :
       {v1::GetInfoRequest::descriptor()->file(), v1::TransferRequest::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        methods.push_back(
            absl::StrCat(file->service(i)->name(), "/", file->service(i)->method(j)->name()));
      }
    }
  }
  return methods;
}

TEST(ApiRoleTest, EveryMethodOfTheApiHasARole) {
  for (const std::string& method : AllMethods()) {
    EXPECT_TRUE(RoleNeededFor("/salve.v1." + method).has_value()) << method;
  }
  EXPECT_GE(AllMethods().size(), 37u);
}

// A change of what needs a right must be meant.
TEST(ApiRoleTest, OnlyWhatChangesNothingIsForViewers) {
  std::set<std::string> more;
  for (const std::string& method : AllMethods()) {
    const Role role = RoleNeededFor("/salve.v1." + method).value_or(Role::kNone);
    if (role != Role::kViewer) more.insert(absl::StrCat(method, " ", RoleName(role)));
  }
  EXPECT_EQ(more,
            (std::set<std::string>{
                "ActionService/Pause operator",       "ActionService/Run operator",
                "AgentService/Maintenance operator",  "AgentService/Reload admin",
                "ComponentService/Vote operator",     "HealthService/Notify operator",
                "HealthService/RunProbe operator",    "HealthService/SetMonitorState operator",
                "OverrideService/Add admin",          "OverrideService/Remove admin",
                "QueueService/CheckArrival peer",     "QueueService/ControlMessage operator",
                "QueueService/ControlQueue operator", "QueueService/EndTransfers peer",
                "QueueService/ExportMessage admin",   "QueueService/ImportMessage admin",
                "QueueService/Prepare admin",         "QueueService/Reregister admin",
                "QueueService/SetMode admin",         "QueueService/Transfer peer",
                "ThrottleService/ForgetServer admin"}));
}

TEST(ApiRoleTest, APeerMayHandOverAndAskAndNothingElse) {
  std::set<std::string> may;
  for (const std::string& method : AllMethods()) {
    if (MayDo(Role::kPeer, *RoleNeededFor("/salve.v1." + method))) may.insert(method);
  }
  EXPECT_EQ(may, (std::set<std::string>{"QueueService/CheckArrival", "QueueService/EndTransfers",
                                        "QueueService/Transfer"}));
  EXPECT_FALSE(MayDo(Role::kPeer, *RoleNeededFor("/grpc.health.v1.Health/Check")));
}

TEST(ApiRoleTest, WhatIsBetweenAgentsIsNotForPeople) {
  EXPECT_FALSE(MayDo(Role::kNone, Role::kPeer));
  EXPECT_TRUE(MayDo(Role::kPeer, Role::kPeer));
  EXPECT_FALSE(MayDo(Role::kViewer, Role::kPeer));
  EXPECT_FALSE(MayDo(Role::kOperator, Role::kPeer));
  EXPECT_TRUE(MayDo(Role::kAdmin, Role::kPeer));
}

TEST(ApiRoleTest, EachMayDoWhatThoseBeforeItMay) {
  EXPECT_FALSE(MayDo(Role::kViewer, Role::kOperator));
  EXPECT_TRUE(MayDo(Role::kOperator, Role::kOperator));
  EXPECT_TRUE(MayDo(Role::kAdmin, Role::kViewer));
  EXPECT_FALSE(MayDo(Role::kOperator, Role::kAdmin));
}

TEST(ApiRoleTest, AServerThatIsAPeerAndAViewerIsBoth) {
  const config::Remote remote = Rules(R"(
      role { role: VIEWER san: "*.example.org" }
      role { role: PEER san: "web-*.example.org" })");

  EXPECT_EQ(RoleOf({"web-1.example.org"}, remote.role()), Role::kViewer);
  EXPECT_TRUE(IsPeer({"web-1.example.org"}, remote.role()));
  EXPECT_FALSE(IsPeer({"db-1.example.org"}, remote.role()));
  EXPECT_FALSE(IsPeer({}, remote.role()));
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

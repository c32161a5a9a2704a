#include "agent/api_role.h"

#include <algorithm>

namespace salve {
namespace {

struct Rule {
  absl::string_view method;
  Role role;
};

// A method that is not here is refused to everybody, and api_role_test fails.
constexpr Rule kRules[] = {
    {"/salve.v1.ThrottleService/GetThrottleState", Role::kViewer},
    {"/salve.v1.ThrottleService/CheckThrottle", Role::kViewer},
    {"/salve.v1.ThrottleService/ListThrottleConfig", Role::kViewer},
    {"/salve.v1.ThrottleService/WatchDecisions", Role::kViewer},
    {"/salve.v1.ThrottleService/ListServers", Role::kViewer},
    {"/salve.v1.ThrottleService/ForgetServer", Role::kAdmin},
    {"/salve.v1.OverrideService/Add", Role::kAdmin},
    {"/salve.v1.OverrideService/Remove", Role::kAdmin},
    {"/salve.v1.OverrideService/List", Role::kViewer},
    {"/salve.v1.HealthService/GetServerHealth", Role::kViewer},
    {"/salve.v1.HealthService/RunProbe", Role::kOperator},
    {"/salve.v1.HealthService/ListProbes", Role::kViewer},
    {"/salve.v1.HealthService/ListMonitors", Role::kViewer},
    {"/salve.v1.HealthService/ListResponders", Role::kViewer},
    {"/salve.v1.HealthService/Notify", Role::kOperator},
    {"/salve.v1.HealthService/SetMonitorState", Role::kOperator},
    {"/salve.v1.ActionService/Run", Role::kOperator},
    {"/salve.v1.ActionService/List", Role::kViewer},
    {"/salve.v1.ComponentService/List", Role::kViewer},
    {"/salve.v1.ComponentService/Vote", Role::kOperator},
    {"/salve.v1.ActionService/Pause", Role::kOperator},
    {"/salve.v1.EventService/Query", Role::kViewer},
    {"/salve.v1.EventService/Tail", Role::kViewer},
    {"/salve.v1.EventService/Explain", Role::kViewer},
    {"/salve.v1.AgentService/GetInfo", Role::kViewer},
    {"/salve.v1.AgentService/Reload", Role::kAdmin},
    {"/salve.v1.AgentService/GetConfig", Role::kViewer},
    {"/salve.v1.AgentService/Maintenance", Role::kOperator},
    {"/salve.v1.QueueService/ListQueues", Role::kViewer},
    {"/salve.v1.QueueService/ControlQueue", Role::kOperator},
    {"/salve.v1.QueueService/ListMessages", Role::kViewer},
    {"/salve.v1.QueueService/GetMessage", Role::kViewer},
    {"/salve.v1.QueueService/ControlMessage", Role::kOperator},
    {"/salve.v1.QueueService/ExportMessage", Role::kAdmin},
    {"/salve.v1.QueueService/ImportMessage", Role::kAdmin},
    {"/salve.v1.QueueService/CheckDead", Role::kViewer},
    {"/salve.v1.QueueService/Reregister", Role::kAdmin},
    {"/salve.v1.QueueService/Prepare", Role::kAdmin},
    {"/salve.v1.QueueService/GetCluster", Role::kViewer},
    {"/salve.v1.QueueService/SetMode", Role::kAdmin},
    {"/salve.v1.QueueService/Transfer", Role::kPeer},
    {"/salve.v1.QueueService/CheckArrival", Role::kPeer},
    {"/salve.v1.QueueService/EndTransfers", Role::kPeer},
    {"/grpc.health.v1.Health/Check", Role::kViewer},
    {"/grpc.health.v1.Health/Watch", Role::kViewer},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Role::kViewer},
};

Role RoleOf(config::RoleRule::Role role) {
  switch (role) {
    case config::RoleRule::PEER:
      return Role::kPeer;
    case config::RoleRule::VIEWER:
      return Role::kViewer;
    case config::RoleRule::OPERATOR:
      return Role::kOperator;
    case config::RoleRule::ADMIN:
      return Role::kAdmin;
    default:
      return Role::kNone;
  }
}

bool Matches(const config::RoleRule& rule, const std::vector<std::string>& names) {
  for (const std::string& pattern : rule.san()) {
    for (const std::string& name : names) {
      if (MatchesPattern(pattern, name)) return true;
    }
  }
  return false;
}

}  // namespace

absl::string_view RoleName(Role role) {
  switch (role) {
    case Role::kNone:
      return "none";
    case Role::kPeer:
      return "peer";
    case Role::kViewer:
      return "viewer";
    case Role::kOperator:
      return "operator";
    case Role::kAdmin:
      return "admin";
  }
  return "none";
}

std::optional<Role> RoleNeededFor(absl::string_view method) {
  for (const Rule& rule : kRules) {
    if (rule.method == method) return rule.role;
  }
  return std::nullopt;
}

bool MayDo(Role role, Role needed) {
  if (needed == Role::kPeer) return role == Role::kPeer || role == Role::kAdmin;
  return role >= needed;
}

bool MatchesPattern(absl::string_view pattern, absl::string_view text) {
  // After a "*" that did not lead on, only the last one need take a byte more.
  size_t p = 0;
  size_t t = 0;
  size_t star = absl::string_view::npos;
  size_t taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != absl::string_view::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Role RoleOf(const std::vector<std::string>& names,
            const google::protobuf::RepeatedPtrField<config::RoleRule>& rules) {
  Role role = Role::kNone;
  for (const config::RoleRule& rule : rules) {
    if (Matches(rule, names)) role = std::max(role, RoleOf(rule.role()));
  }
  return role;
}

bool IsPeer(const std::vector<std::string>& names,
            const google::protobuf::RepeatedPtrField<config::RoleRule>& rules) {
  return std::any_of(rules.begin(), rules.end(), [&](const config::RoleRule& rule) {
    return rule.role() == config::RoleRule::PEER && Matches(rule, names);
  });
}

}  // namespace salve

// Roles, and the one table of what each may call. No gRPC here.
#ifndef SALVE_AGENT_API_ROLE_H_
#define SALVE_AGENT_API_ROLE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "config/config.pb.h"

namespace salve {

// Each may do what those before it may; but what is between agents (kPeer) only a peer and an
// admin.
enum class Role {
  kNone,      // Nothing.
  kPeer,      // Another agent: hands messages over, and asks whether one arrived.
  kViewer,    // Reads.
  kOperator,  // Also runs actions, looks, notifies, sets repairing and maintenance.
  kAdmin,     // Also overrides, forgets servers, reloads.
};

// "peer", "viewer", "operator", "admin"; "none".
absl::string_view RoleName(Role role);

// The least role that may call `method` ("/salve.v1.ThrottleService/GetThrottleState"), health and
// reflection among them. nullopt: there is no such method; nobody gets an answer from it.
std::optional<Role> RoleNeededFor(absl::string_view method);

// Whether who has `role` may do what `needed` is needed for.
bool MayDo(Role role, Role needed);

// `pattern` is compared with all of `text`, case and all; "*" in it is any text, also none.
bool MatchesPattern(absl::string_view pattern, absl::string_view text);

// The highest role of all rules that have a pattern for one of `names`; kNone without a match. Who
// matches a rule for peers and one for people has both: see IsPeer.
Role RoleOf(const std::vector<std::string>& names,
            const google::protobuf::RepeatedPtrField<config::RoleRule>& rules);
// Whether one of them is kPeer.
bool IsPeer(const std::vector<std::string>& names,
            const google::protobuf::RepeatedPtrField<config::RoleRule>& rules);

}  // namespace salve

#endif  // SALVE_AGENT_API_ROLE_H_

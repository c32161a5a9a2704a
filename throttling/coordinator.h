// Coordinator: where the attempts of a group of servers are counted. Check and reservation are
// one atomic step. Lives on the loop thread; answers may take until its own deadline (2 s).
#ifndef SALVE_THROTTLING_COORDINATOR_H_
#define SALVE_THROTTLING_COORDINATOR_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "throttling/attempt.h"
#include "throttling/failed_check.h"
#include "throttling/limits.h"

namespace salve {

struct GroupRequest {
  Attempt attempt;  // The one that would run: its id makes a repeated call harmless.
  Limits limits;    // In force.
};

struct GroupVerdict {
  bool passed = true;
  std::vector<Check> failed;
  int total_in_day = 0;
  bool recovery_in_progress = false;  // Of another server.
  absl::Duration retry_in;            // From now; InfiniteDuration: never. Unset when passed.
  // To be added by who asks again by itself, so that a whole group does not ask at once.
  absl::Duration retry_spread;
  std::optional<Attempt> most_recent;
  std::vector<FailedCheck> explained;  // As `failed`, where the group's attempts are known.
  std::vector<Attempt> attempts;  // Of Check only: those of the group that count, oldest first.
  // `<GroupThrottlingResult …/>`, "<not configured>" (both group limits -1) or, from the gate,
  // "<not attempted>" (refused locally).
  std::string xml;
  int servers_in_group = 0;
  int servers_in_compatible_version = 0;
};

// The `<GroupThrottlingResult …/>` of a verdict on one line. `wall_now`: for TimeToRetryAfter.
std::string GroupResultXml(const Limits& limits, const GroupVerdict& verdict, absl::Time wall_now,
                           bool real_attempt);

// The group's two limits over `history`, on its own line: fills in what they say. They are the
// local ones over the attempts of all servers. Requires: all in `history` are as if finished.
void JudgeGroupLimits(const Limits& limits, const KeyHistory& history, absl::Duration now,
                      GroupVerdict& verdict);

using GroupDone = absl::AnyInvocable<void(GroupVerdict)>;

// A server of the group.
struct GroupMember {
  std::string name;
  std::string machine_id;
  std::string agent_version;
  int protocol_version = 0;
  bool alive = false;
  absl::Time seen;  // When it registered or was last seen; by the coordinator's clock.
};

// How the group fares.
struct GroupHealth {
  int servers = 0;         // Of the group, as ListServers.
  int healthy_others = 0;  // Of them those that are alive and said that they are healthy; not this.
};

class Coordinator {
 public:
  virtual ~Coordinator() = default;

  // Checks and, when passed, reserves, in one step. Calls `done` once, on the loop, never inside
  // this call; an answer that does not come is the check kGroupUnavailable.
  virtual void Reserve(const GroupRequest& request, GroupDone done) = 0;
  // What Reserve would say, reserving nothing.
  virtual void Check(const GroupRequest& request, GroupDone done) = 0;
  // The attempt has ended or will not run: it stays counted, its in-progress mark goes. An attempt
  // that is still in progress here was never run.
  virtual void Release(const Attempt& attempt) = 0;

  // Of the group of this server, sorted by name. Errors of `done`: kFailedPrecondition: it is in no
  // group; kUnavailable.
  virtual void ListServers(
      absl::AnyInvocable<void(absl::StatusOr<std::vector<GroupMember>>)> done) = 0;
  // Takes a decommissioned server out. Errors of `done`: as ListServers; kNotFound with the nearest
  // names; kFailedPrecondition: it is alive.
  virtual void ForgetServer(const std::string& name,
                            absl::AnyInvocable<void(absl::Status)> done) = 0;

  // Says whether this server is healthy, for as long as it is alive, and then counts the group's:
  // whoever says and counts later sees it. It is said again until it is known, whatever `done`
  // gets. Errors of `done`: as ListServers; kFailedPrecondition also: the group has no servers.
  virtual void ReportHealth(bool healthy,
                            absl::AnyInvocable<void(absl::StatusOr<GroupHealth>)> done) = 0;

  // At a clean stop: from now on this server is not alive for the group, and asks nothing more.
  // Calls `done` once, on the loop, never inside this call, at the latest a second later.
  virtual void Leave(std::function<void()> done) = 0;

  // Calls `freed` when an action of another server that refused a Reserve has ended, so that it may
  // be asked again, after `spread`. Empty resource: any resource of the action. Once, at the start.
  using Freed =
      std::function<void(RecoveryAction, const std::string& resource, absl::Duration spread)>;
  virtual void OnFreed(Freed freed) = 0;

  // Why the group can't be asked now, for people; OK: it can.
  virtual absl::Status Health() const = 0;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_COORDINATOR_H_

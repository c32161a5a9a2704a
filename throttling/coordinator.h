// Coordinator: where the attempts of a group of servers are counted. Check and reservation are
// one atomic step. Lives on the loop thread; answers may take until its own deadline (2 s).
#ifndef SALVE_THROTTLING_COORDINATOR_H_
#define SALVE_THROTTLING_COORDINATOR_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "throttling/attempt.h"
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
  std::optional<Attempt> most_recent;
  // `<GroupThrottlingResult …/>`, "<not configured>" (both group limits -1) or, from the gate,
  // "<not attempted>" (refused locally).
  std::string xml;
  int servers_in_group = 0;
  int servers_in_compatible_version = 0;
};

// The `<GroupThrottlingResult …/>` of a verdict on one line. `wall_now`: for TimeToRetryAfter.
std::string GroupResultXml(const Limits& limits, const GroupVerdict& verdict, absl::Time wall_now,
                           bool real_attempt);

using GroupDone = absl::AnyInvocable<void(GroupVerdict)>;

class Coordinator {
 public:
  virtual ~Coordinator() = default;

  // Checks and, when passed, reserves, in one step. Calls `done` once, on the loop, never inside
  // this call; an answer that does not come is the check kGroupUnavailable.
  virtual void Reserve(const GroupRequest& request, GroupDone done) = 0;
  // What Reserve would say, reserving nothing.
  virtual void Check(const GroupRequest& request, GroupDone done) = 0;
  // The attempt has ended or will not run: it stays counted, its in-progress mark goes.
  virtual void Release(const Attempt& attempt) = 0;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_COORDINATOR_H_

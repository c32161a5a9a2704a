// An Action is what a responder does to the machine, once, when the gate has allowed it. It
// decides nothing and remembers nothing; the throttle, the exclusion and the records are the
// engine's. Lives on the loop's thread; no call of it blocks.
#ifndef SALVE_RESPONDERS_ACTION_H_
#define SALVE_RESPONDERS_ACTION_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/host.h"
#include "base/service_manager.h"
#include "base/worker.h"
#include "config/config.pb.h"
#include "responders/component_votes.h"
#include "responders/notice.h"

namespace salve {

struct ActionResult {
  enum class Kind { kSucceeded, kFailed, kTimedOut };
  Kind kind = Kind::kSucceeded;
  std::string exception_name;     // "JobFailed", "ExitStatus", …; empty when it succeeded.
  std::string exception_message;  // At most 1 KiB.
  std::string context;            // What was done and seen, e.g. the job and the unit's state.
};
using ActionDone = absl::AnyInvocable<void(ActionResult)>;

// Whether an action may start now, as far as the thing it acts on is concerned.
struct Readiness {
  enum class Kind {
    kReady,
    kWait,   // Something of the system's own is under way; `changed` is called when it ends.
    kLeave,  // Somebody wants it so: no action as long as that holds.
  };
  Kind kind = Kind::kReady;
  std::string reason;
};

// Puts what runs ("job=77", "pid=12 start=345") on disk, then calls `then`; an effect that can
// outlive the agent is recorded before it begins, where that is possible. A status that is not
// OK means that it could not be recorded: the effect must not begin.
using RecordEffect =
    std::function<void(std::string effect, absl::AnyInvocable<void(absl::Status)> then)>;

class Action {
 public:
  virtual ~Action() = default;

  // The recovery action of the throttle: "RestartService".
  virtual std::string id() const = 0;
  // The throttle's key, e.g. the unit's Id as systemd gives it.
  virtual std::string resource() const = 0;
  // What only one action at a time may act on, e.g. the unit of a pool whose resource is
  // "php8.2-fpm.service/www".
  virtual std::string exclusion() const { return resource(); }
  // Calls `changed` whenever Check, resource or exclusion may have another answer.
  virtual void Watch(std::function<void()> changed) {}
  virtual Readiness Check() const { return {}; }
  // The time that it may rightly take, where the system knows: a deadline that nobody has set is
  // no shorter. Zero: nothing is known.
  virtual absl::Duration Needs() const { return absl::ZeroDuration(); }

  // Whether it takes something from its users while it runs: the guards keep such an action from
  // starting while a dependency is unhealthy or too few servers of the group are healthy.
  virtual bool is_disruptive() const { return true; }
  // Whether it only tells somebody: it waits for nobody and nobody for it.
  virtual bool is_notification() const { return false; }
  // Whether it is a recovery action: limited, counted and recorded. What is not passes no gate.
  virtual bool is_throttled() const { return true; }

  // The incident that the next Run is for, for what it may say of it.
  virtual void About(Notice incident) {}
  // Who the next Run is for, a responder's name or "operator:<who>", and why: for what it keeps.
  virtual void AskedBy(const std::string& requester, const std::string& reason) {}

  // What Run would do now, for a person, in a sentence: "restarts nginx.service over D-Bus".
  virtual std::string Plan() const { return absl::StrCat(id(), " on ", resource()); }

  // Acts. Calls `done` exactly once, a moment after `deadline` at the latest; what has not ended
  // by then is ended. The destructor ends it without `done`. Requires: none runs.
  virtual void Run(Instant deadline, RecordEffect record, ActionDone done) = 0;
};

struct ActionEnvironment {
  EventLoop& loop;
  Host& host;
  ServiceManager& services;
  std::string server = {};                // This server's name.
  ComponentVotes* components = nullptr;   // May be none.
  std::string state_dir = {};             // Where evidence is kept.
  Worker* files = nullptr;                // For work on files that takes its time.
  std::function<void(Notice)> tell = {};  // Tells people.
};

// Errors: kInvalidArgument: "restart_service.service: …", the path of the field first.
absl::Status CheckResponder(const config::Responder& config);
absl::StatusOr<std::unique_ptr<Action>> NewAction(const config::Responder& config,
                                                  const ActionEnvironment& environment);
bool HasActionKind(int field_number);
// "RestartServiceResponder"
std::string ResponderTypeName(const config::Responder& config);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTION_H_

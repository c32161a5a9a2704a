// A Rule is what a kind of monitor does with the looks of one probe: it counts, and says
// whether that is bad enough. Pure: time comes in with each look. One thread.
#ifndef SALVE_MONITORS_RULE_H_
#define SALVE_MONITORS_RULE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// What a single look means to a rule: of a value's rule, a look that succeeded can be bad.
enum class Sign { kGood, kBad, kNothing };

class Rule {
 public:
  virtual ~Rule() = default;

  virtual Sign Judge(const Observation& observation) const {
    return observation.outcome == Outcome::kSucceeded ? Sign::kGood : Sign::kBad;
  }
  // Takes a look into account. Never called with a Rejected one: could not look is not sick.
  virtual void Observe(Instant now, const Observation& observation) = 0;
  // Whether the rule holds, on the looks so far.
  virtual bool Holds() const = 0;
  // How many of the last bad looks that it was given count now: they are its evidence.
  virtual size_t BadLooks() const = 0;
  // Starts anew, as if nothing had been seen.
  virtual void Forget() = 0;
  // The counts, for a person: "3 failures in a row (threshold 3)".
  virtual std::string Evidence() const = 0;
};

// Errors: kInvalidArgument: "consecutive_failures.threshold: …", the path of the field first.
absl::Status CheckMonitor(const config::Monitor& config);
// Errors: as CheckMonitor.
absl::StatusOr<std::unique_ptr<Rule>> NewRule(const config::Monitor& config);

bool HasMonitorKind(int field_number);
// "ConsecutiveFailuresMonitor"
std::string MonitorTypeName(const config::Monitor& config);

}  // namespace salve

#endif  // SALVE_MONITORS_RULE_H_

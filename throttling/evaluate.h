// The what-if tool: `salvectl throttle evaluate`. Decides questions about given histories by the
// same code as the agent, on wall times, with no agent running.
#ifndef SALVE_THROTTLING_EVALUATE_H_
#define SALVE_THROTTLING_EVALUATE_H_

#include <istream>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "throttling/policy.h"

namespace salve {

struct EvaluateOptions {
  std::string policy_file;
  // Of overrides, which are not built yet: each that is set is refused with exit status 2.
  std::string overrides_file;
  std::string responders_file;
  std::string version;
};

// Answers each line of `queries` with one JSON line in `out`, in order; faults go to `err` as
// `line N: …`. Returns the exit status: 0, or 2 when the policy or any line was bad (the other
// lines are still answered).
int EvaluateThrottle(const EvaluateOptions& options, std::istream& queries, std::ostream& out,
                     std::ostream& err);

// One query to one answer, both JSON, without line breaks. Errors: kInvalidArgument.
absl::StatusOr<std::string> EvaluateQuery(const Policy& policy, absl::string_view query);

}  // namespace salve

#endif  // SALVE_THROTTLING_EVALUATE_H_

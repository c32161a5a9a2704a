// The what-if tool: `salvectl throttle evaluate`. Decides questions about given histories by the
// same code as the agent, on wall times, with no agent running.
#ifndef SALVE_THROTTLING_EVALUATE_H_
#define SALVE_THROTTLING_EVALUATE_H_

#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "config/override.h"
#include "throttling/policy.h"

namespace salve {

struct EvaluateOptions {
  std::string policy_file;
  std::string overrides_file;   // XML; empty: none. Needs the next.
  std::string responders_file;  // JSON lines; empty: none.
  std::string version;          // Of the definitions; overrides of another do not hold.
};

// Answers each line of `queries` with one JSON line in `out`, in order; faults go to `err` as
// `line N: …`. Returns the exit status: 0, or 2 when the policy, the overrides, the responders or
// any line was bad (the other lines are still answered, unless it was one of the files).
int EvaluateThrottle(const EvaluateOptions& options, std::istream& queries, std::ostream& out,
                     std::ostream& err);

// The overrides of an evaluation, and the responders that they may be about.
class EvaluateOverrides {
 public:
  EvaluateOverrides() = default;  // None.
  // `responders`: JSON, one a line. Errors: kInvalidArgument, with the line.
  static absl::StatusOr<EvaluateOverrides> Create(std::vector<Override> overrides,
                                                  absl::string_view responders,
                                                  absl::string_view version);

  // What holds at `now` for who asks as `key`. Of two for one attribute the newer.
  LimitOverrides Of(const RequesterKey& key, absl::Time now) const;

 private:
  struct Responder {
    std::string health_set, name, type, action, resource;
  };
  std::vector<const Responder*> RespondersOf(const RequesterKey& key) const;

  std::vector<Override> overrides_;  // Of responders' limits and of this version, oldest first.
  std::vector<Responder> responders_;
};

// One query to one answer, both JSON, without line breaks. Errors: kInvalidArgument.
absl::StatusOr<std::string> EvaluateQuery(const Policy& policy, const EvaluateOverrides& overrides,
                                          absl::string_view query);

}  // namespace salve

#endif  // SALVE_THROTTLING_EVALUATE_H_

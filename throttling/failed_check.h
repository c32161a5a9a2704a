// FailedCheck: a check that refuses, with the attempts because of which it does. For people.
#ifndef SALVE_THROTTLING_FAILED_CHECK_H_
#define SALVE_THROTTLING_FAILED_CHECK_H_

#include <vector>

#include "absl/time/time.h"
#include "throttling/attempt.h"
#include "throttling/limits.h"
#include "throttling/local_throttle.h"

namespace salve {

struct FailedCheck {
  static constexpr size_t kAttemptsMax = 10;

  Check check;
  int limit = -1;                 // Minutes or attempts; -1: the check has no number.
  int total = 0;                  // Attempts that count for it.
  std::vector<Attempt> attempts;  // Those that block, oldest first: the youngest kAttemptsMax.
  // From now until this check passes by itself; InfiniteDuration: never. An attempt in progress
  // may end sooner.
  absl::Duration passes_in;
};

// All that failed in `verdict`, in its order. Requires: it is CheckLocal's of the same history and
// time, neither changed since.
std::vector<FailedCheck> ExplainFailed(const LocalVerdict& verdict, const KeyHistory& history,
                                       absl::Duration now);

}  // namespace salve

#endif  // SALVE_THROTTLING_FAILED_CHECK_H_

// The vocabulary of looking: a Probe looks at one target once and says what it saw. It does
// not retry, remember, decide or act. Lives on the loop's thread; no call of it blocks.
#ifndef SALVE_PROBES_PROBE_H_
#define SALVE_PROBES_PROBE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/clock.h"

namespace salve {

enum class Outcome { kSucceeded, kFailed, kTimedOut, kRejected };

// "Succeeded", "Failed", "TimedOut", "Rejected".
const char* OutcomeName(Outcome outcome);

struct ProbeValue {
  std::string name;  // "latency_ms"
  double number = 0;
  std::string unit;  // "ms", "bytes", "days", "percent", "" = a count
};

// What one look saw. kRejected means that the probe could not look (no descriptor, no memory,
// no such command, its own error): that is not sickness, and `error` says why.
struct Observation {
  Outcome outcome = Outcome::kSucceeded;
  std::string error;               // Empty when it succeeded. At most 1 KiB.
  std::vector<ProbeValue> values;  // At most 64.
  std::vector<std::pair<std::string, std::string>> attributes;  // E.g. http_status. At most 32.
};

// The bounds of an observation; the scheduler cuts what is beyond them.
inline constexpr size_t kErrorBytesMax = 1024;
inline constexpr size_t kValuesMax = 64;
inline constexpr size_t kAttributesMax = 32;

Observation Failed(std::string error);
Observation TimedOut(std::string error);
Observation Rejected(std::string error);

using ObservationDone = absl::AnyInvocable<void(Observation)>;

class Probe {
 public:
  virtual ~Probe() = default;

  // Starts one look; calls `done` exactly once, on the loop's thread, at the latest a moment
  // after `deadline`; may call it before it returns. The destructor ends a look without `done`.
  // Requires: the look before has called its `done`.
  virtual void Start(Instant deadline, ObservationDone done) = 0;

  // Event-driven kinds call `look_now` when there is something to see, any number of times and
  // also inside this call, until they are destroyed: the scheduler then looks soon, never inside
  // `look_now`. Others never call it.
  virtual void Watch(std::function<void()> look_now) {}

  // False: a look makes sense only when `look_now` or Report asked for it, not every interval.
  virtual bool IsRecurrent() const { return true; }

  // A report from outside. Errors: kFailedPrecondition: not a notification probe.
  virtual absl::Status Report(bool passed, std::string error);
};

}  // namespace salve

#endif  // SALVE_PROBES_PROBE_H_

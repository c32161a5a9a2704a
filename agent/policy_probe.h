// The probes of a policy test: they see what the test says.
#ifndef SALVE_AGENT_POLICY_PROBE_H_
#define SALVE_AGENT_POLICY_PROBE_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// What looks of a probe see, and how long one takes: one that takes too long times out.
struct Sight {
  Observation observation;
  absl::Duration takes = absl::ZeroDuration();
};

struct Seen {
  Sight sight;                     // From the next look on.
  std::function<void()> look_now;  // For a sight that is news; null: nobody wants to know at once.
};

// `seen` and `looks`, which counts, must outlive the probe; one probe at a time has them.
std::unique_ptr<Probe> NewPolicyProbe(const config::Probe& config, EventLoop& loop, Seen& seen,
                                      int64_t& looks);

}  // namespace salve

#endif  // SALVE_AGENT_POLICY_PROBE_H_

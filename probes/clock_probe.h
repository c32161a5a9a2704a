// Looks at this server's clock: whether the kernel calls it synchronised, and by how much it
// differs from that of an NTP server.
#ifndef SALVE_PROBES_CLOCK_PROBE_H_
#define SALVE_PROBES_CLOCK_PROBE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/ids.h"
#include "config/config.pb.h"
#include "probes/kernel_clock.h"
#include "probes/probe.h"
#include "probes/resolver.h"

namespace salve {

// Where a look gets what it does not get from the network.
struct ClockSources {
  KernelClockReader kernel = ReadKernelClock;
  RandomSource random = SystemRandom();  // Of what tells an answer from a forgery.
};

// Errors: kInvalidArgument: "clock.FIELD: …".
absl::Status CheckClockProbe(const config::ClockProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewClockProbe(const config::ClockProbe& config,
                                                     EventLoop& loop, Resolver& resolver,
                                                     ClockSources sources = {});

}  // namespace salve

#endif  // SALVE_PROBES_CLOCK_PROBE_H_

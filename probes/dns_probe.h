// Asks a name server for the records of a name, and judges what it answers.
#ifndef SALVE_PROBES_DNS_PROBE_H_
#define SALVE_PROBES_DNS_PROBE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "probes/ares_channel.h"
#include "probes/probe.h"

namespace salve {

// Who is asked without `server`: "ADDRESS:PORT" each. Called at each look.
using NameServers = std::function<std::vector<std::string>()>;

// Errors: kInvalidArgument: "dns.FIELD: …".
absl::Status CheckDnsProbe(const config::DnsProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewDnsProbe(const config::DnsProbe& config, EventLoop& loop,
                                                   NameServers name_servers = SystemNameServers);

}  // namespace salve

#endif  // SALVE_PROBES_DNS_PROBE_H_

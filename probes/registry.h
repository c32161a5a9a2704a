// The kinds of probes, in one table. A new kind is one line there.
#ifndef SALVE_PROBES_REGISTRY_H_
#define SALVE_PROBES_REGISTRY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/blocking_calls.h"
#include "base/event_loop.h"
#include "base/host.h"
#include "base/service_manager.h"
#include "config/config.pb.h"
#include "probes/http_client.h"
#include "probes/probe.h"
#include "probes/resolver.h"

namespace salve {

// What probes reach the world through. All must outlive the probes.
struct ProbeEnvironment {
  EventLoop& loop;
  Host& host;
  ServiceManager& services;
  Resolver& resolver;
  HttpClient& http;
  BlockingCalls& blocking;
};

// Whether `config` can work, without touching the world.
// Errors: kInvalidArgument: "http.url: …", the path of the field first.
absl::Status CheckProbe(const config::Probe& config);

// Errors: as CheckProbe.
absl::StatusOr<std::unique_ptr<Probe>> NewProbe(const config::Probe& config,
                                                const ProbeEnvironment& environment);

bool HasProbeKind(int field_number);

// "HttpProbe", "SystemdUnitProbe"; "" when no kind is set.
std::string ProbeTypeName(const config::Probe& config);

}  // namespace salve

#endif  // SALVE_PROBES_REGISTRY_H_

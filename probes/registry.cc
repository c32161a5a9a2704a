#include "probes/registry.h"

#include "absl/strings/str_cat.h"
#include "probes/exec_probe.h"
#include "probes/http_probe.h"
#include "probes/log_match_probe.h"
#include "probes/notification_probe.h"
#include "probes/process_probe.h"
#include "probes/systemd_unit_probe.h"
#include "probes/tcp_probe.h"

namespace salve {
namespace {

using Config = config::Probe;
using MadeProbe = absl::StatusOr<std::unique_ptr<Probe>>;

struct Kind {
  Config::KindCase field;
  const char* type_name;
  absl::Status (*check)(const Config&);
  MadeProbe (*make)(const Config&, const ProbeEnvironment&);
};

constexpr Kind kKinds[] = {
    // One line a kind.
    {Config::kHttp, "HttpProbe", [](const Config& c) { return CheckHttpProbe(c.http()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewHttpProbe(c.http(), e.loop, e.http);
     }},
    {Config::kTcp, "TcpProbe", [](const Config& c) { return CheckTcpProbe(c.tcp()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewTcpProbe(c.tcp(), e.loop, e.resolver);
     }},
    {Config::kExec, "ExecProbe", [](const Config& c) { return CheckExecProbe(c.exec()); },
     [](const Config& c, const ProbeEnvironment& e) { return NewExecProbe(c.exec(), e.host); }},
    {Config::kSystemdUnit, "SystemdUnitProbe",
     [](const Config& c) { return CheckSystemdUnitProbe(c.systemd_unit()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewSystemdUnitProbe(c.systemd_unit(), e.loop, e.services);
     }},
    {Config::kProcess, "ProcessProbe",
     [](const Config& c) { return CheckProcessProbe(c.process()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewProcessProbe(c.process(), e.loop, e.host);
     }},
    {Config::kLogMatch, "LogMatchProbe",
     [](const Config& c) { return CheckLogMatchProbe(c.log_match()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewLogMatchProbe(c.log_match(), e.loop);
     }},
    {Config::kNotification, "NotificationProbe",
     [](const Config& c) { return CheckNotificationProbe(c.notification()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewNotificationProbe(c.notification(), e.loop);
     }},
};

const Kind* FindKind(int field_number) {
  for (const Kind& kind : kKinds) {
    if (kind.field == field_number) return &kind;
  }
  return nullptr;
}

absl::Status NoKind() {
  return absl::InvalidArgumentError("kind: missing: say what to look at, e.g. http { … }");
}

}  // namespace

absl::Status CheckProbe(const config::Probe& config) {
  const Kind* kind = FindKind(config.kind_case());
  return kind == nullptr ? NoKind() : kind->check(config);
}

absl::StatusOr<std::unique_ptr<Probe>> NewProbe(const config::Probe& config,
                                                const ProbeEnvironment& environment) {
  const Kind* kind = FindKind(config.kind_case());
  if (kind == nullptr) return NoKind();
  return kind->make(config, environment);
}

bool HasProbeKind(int field_number) { return FindKind(field_number) != nullptr; }

std::string ProbeTypeName(const config::Probe& config) {
  const Kind* kind = FindKind(config.kind_case());
  return kind == nullptr ? "" : kind->type_name;
}

}  // namespace salve

#include "probes/registry.h"

#include "absl/strings/str_cat.h"
#include "probes/clock_probe.h"
#include "probes/cpu_probe.h"
#include "probes/disk_probe.h"
#include "probes/dns_probe.h"
#include "probes/exec_probe.h"
#include "probes/file_probe.h"
#include "probes/grpc_health_probe.h"
#include "probes/http_probe.h"
#include "probes/imap_probe.h"
#include "probes/log_match_probe.h"
#include "probes/mail_queue_probe.h"
#include "probes/memory_probe.h"
#include "probes/network_interface_probe.h"
#include "probes/notification_probe.h"
#include "probes/pop3_probe.h"
#include "probes/process_probe.h"
#include "probes/smtp_probe.h"
#include "probes/sql_ping_probe.h"
#include "probes/systemd_failed_units_probe.h"
#include "probes/systemd_unit_probe.h"
#include "probes/tcp_probe.h"
#include "probes/tls_certificate_probe.h"

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
    {Config::kDns, "DnsProbe", [](const Config& c) { return CheckDnsProbe(c.dns()); },
     [](const Config& c, const ProbeEnvironment& e) { return NewDnsProbe(c.dns(), e.loop); }},
    {Config::kClock, "ClockProbe", [](const Config& c) { return CheckClockProbe(c.clock()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewClockProbe(c.clock(), e.loop, e.resolver);
     }},
    {Config::kGrpcHealth, "GrpcHealthProbe",
     [](const Config& c) { return CheckGrpcHealthProbe(c.grpc_health()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewGrpcHealthProbe(c.grpc_health(), e.loop, e.http);
     }},
    {Config::kDisk, "DiskProbe", [](const Config& c) { return CheckDiskProbe(c.disk()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewDiskProbe(c.disk(), e.host, e.blocking);
     }},
    {Config::kMemory, "MemoryProbe", [](const Config& c) { return CheckMemoryProbe(c.memory()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewMemoryProbe(c.memory(), e.loop, e.host);
     }},
    {Config::kCpu, "CpuProbe", [](const Config& c) { return CheckCpuProbe(c.cpu()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewCpuProbe(c.cpu(), e.loop, e.host);
     }},
    {Config::kNetworkInterface, "NetworkInterfaceProbe",
     [](const Config& c) { return CheckNetworkInterfaceProbe(c.network_interface()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewNetworkInterfaceProbe(c.network_interface(), e.loop, e.host);
     }},
    {Config::kSystemdFailedUnits, "SystemdFailedUnitsProbe",
     [](const Config& c) { return CheckSystemdFailedUnitsProbe(c.systemd_failed_units()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewSystemdFailedUnitsProbe(c.systemd_failed_units(), e.loop, e.services);
     }},
    {Config::kMailQueue, "MailQueueProbe",
     [](const Config& c) { return CheckMailQueueProbe(c.mail_queue()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewMailQueueProbe(c.mail_queue(), e.loop, e.blocking);
     }},
    {Config::kFile, "FileProbe", [](const Config& c) { return CheckFileProbe(c.file()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewFileProbe(c.file(), e.loop, e.blocking);
     }},
    {Config::kTlsCertificate, "TlsCertificateProbe",
     [](const Config& c) { return CheckTlsCertificateProbe(c.tls_certificate()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewTlsCertificateProbe(c.tls_certificate(), e.loop, e.resolver, e.blocking);
     }},
    {Config::kSmtp, "SmtpProbe", [](const Config& c) { return CheckSmtpProbe(c.smtp()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewSmtpProbe(c.smtp(), e.loop, e.resolver);
     }},
    {Config::kImap, "ImapProbe", [](const Config& c) { return CheckImapProbe(c.imap()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewImapProbe(c.imap(), e.loop, e.resolver);
     }},
    {Config::kPop3, "Pop3Probe", [](const Config& c) { return CheckPop3Probe(c.pop3()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewPop3Probe(c.pop3(), e.loop, e.resolver);
     }},
    {Config::kSqlPing, "SqlPingProbe",
     [](const Config& c) { return CheckSqlPingProbe(c.sql_ping()); },
     [](const Config& c, const ProbeEnvironment& e) {
       return NewSqlPingProbe(c.sql_ping(), e.loop, e.resolver);
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

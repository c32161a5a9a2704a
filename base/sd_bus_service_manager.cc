#include "base/sd_bus_service_manager.h"

#include <stdlib.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/systemd_values.h"

namespace salve {
namespace {

std::vector<BusAddress> SystemAddresses() {
  const char* configured = getenv("DBUS_SYSTEM_BUS_ADDRESS");
  std::vector<BusAddress> addresses = {
      {.address = configured != nullptr ? configured : "unix:path=/run/dbus/system_bus_socket",
       .is_message_bus = true}};
  // Not a public interface, and it breaks at each daemon-reexec: only when there is no other.
  if (geteuid() == 0) addresses.push_back({.address = "unix:path=/run/systemd/private"});
  return addresses;
}

// Whether JobNew or JobRemoved is about the target of every shutdown.
bool IsOfShutdown(sd_bus_message* signal) {
  uint32_t job = 0;
  const char *path = nullptr, *unit = nullptr;
  return sd_bus_message_read(signal, "uos", &job, &path, &unit) >= 0 &&
         absl::string_view(unit) == "shutdown.target";
}

}  // namespace

SdBusServiceManager::SdBusServiceManager(EventLoop& loop)
    : SdBusServiceManager(loop, SystemAddresses()) {}

SdBusServiceManager::SdBusServiceManager(EventLoop& loop, std::vector<BusAddress> addresses)
    : units_(loop),
      failed_(loop),
      restarts_(loop),
      reboots_(loop),
      link_(loop, std::move(addresses), {&stopping_, &units_, &failed_, &restarts_, &reboots_}) {
  units_.SetLink(&link_);
  failed_.SetLink(&link_);
  restarts_.SetLink(&link_);
  reboots_.SetLink(&link_);
  stopping_.SetLink(&link_);
}

UnitWatchId SdBusServiceManager::WatchUnit(const std::string& unit, UnitCallback changed) {
  return units_.Watch(unit, std::move(changed));
}

void SdBusServiceManager::UnwatchUnit(UnitWatchId id) { units_.Unwatch(id); }

FailedUnitsWatchId SdBusServiceManager::WatchFailedUnits(FailedUnitsCallback changed) {
  return failed_.Watch(std::move(changed));
}

void SdBusServiceManager::UnwatchFailedUnits(FailedUnitsWatchId id) { failed_.Unwatch(id); }

void SdBusServiceManager::RestartUnit(const std::string& unit, Instant deadline, JobQueued queued,
                                      JobDone done) {
  restarts_.Restart(unit, deadline, std::move(queued), std::move(done));
}

void SdBusServiceManager::ReloadUnit(const std::string& unit, Instant deadline, JobQueued queued,
                                     JobDone done) {
  restarts_.Reload(unit, deadline, std::move(queued), std::move(done));
}

void SdBusServiceManager::CancelJob(uint32_t job_id) { restarts_.Cancel(job_id); }

void SdBusServiceManager::Reboot(bool force, Instant deadline, RebootDone done) {
  reboots_.Reboot(force, deadline, std::move(done));
}

void SdBusServiceManager::Stopping::Up(BusLink& bus) {
  if (!matches_) Match(bus);
  matches_ = true;
  Read(bus);
}

void SdBusServiceManager::Stopping::Match(BusLink& bus) {
  // SystemState comes with no signal of its own; it is `stopping` while the target of every
  // shutdown has a job. (sd-bus cannot match on the third argument: the first is no string.)
  link_->MatchSignal(kSystemdPath, kManagerInterface, ",member='JobNew'",
                     [this, &bus](sd_bus_message* signal) {
                       if (!IsOfShutdown(signal)) return;
                       // At once, before the first service that it stops looks sick.
                       system_stops_ = true;
                       Read(bus);
                     });
  link_->MatchSignal(kSystemdPath, kManagerInterface, ",member='JobRemoved'",
                     [this, &bus](sd_bus_message* signal) {
                       if (IsOfShutdown(signal)) Read(bus);
                     });
  if (!link_->is_message_bus()) return;
  // Only a hint: the value is read from logind itself, as anybody could send this signal.
  bus.Match(absl::StrCat("type='signal',sender='", kLogind, "',path='", kLogindPath,
                         "',interface='", kLogindInterface, "',member='PrepareForShutdown'"),
            [this, &bus](sd_bus_message*) { Read(bus); });
}

void SdBusServiceManager::Stopping::Read(BusLink& bus) {
  bus.Call(
      {kSystemd, kSystemdPath, kPropertiesInterface, "Get"},
      [this](const absl::StatusOr<sd_bus_message*>& reply) {
        const char* state = nullptr;
        if (!reply.ok() || sd_bus_message_read(*reply, "v", "s", &state) < 0) return;
        system_stops_ = absl::string_view(state) == "stopping";
      },
      "ss", kManagerInterface, "SystemState");
  if (!link_->is_message_bus()) return;
  bus.Call(
      {kLogind, kLogindPath, kPropertiesInterface, "Get"},
      [this](const absl::StatusOr<sd_bus_message*>& reply) {
        int prepares = 0;
        if (!reply.ok() || sd_bus_message_read(*reply, "v", "b", &prepares) < 0) return;
        logind_prepares_ = prepares != 0;
      },
      "ss", kLogindInterface, "PreparingForShutdown");
}

}  // namespace salve

// What systemd says over D-Bus, as our own values. Pure.
#ifndef SALVE_BASE_SYSTEMD_VALUES_H_
#define SALVE_BASE_SYSTEMD_VALUES_H_

#include <systemd/sd-bus.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/service_manager.h"

namespace salve {

inline constexpr char kSystemd[] = "org.freedesktop.systemd1";
inline constexpr char kSystemdPath[] = "/org/freedesktop/systemd1";
inline constexpr char kManagerInterface[] = "org.freedesktop.systemd1.Manager";
inline constexpr char kUnitInterface[] = "org.freedesktop.systemd1.Unit";
inline constexpr char kLogind[] = "org.freedesktop.login1";
inline constexpr char kLogindPath[] = "/org/freedesktop/login1";
inline constexpr char kLogindInterface[] = "org.freedesktop.login1.Manager";
inline constexpr char kPropertiesInterface[] = "org.freedesktop.DBus.Properties";

// Takes the properties that we know out of an a{sv} at the message's position, GetAll's or
// PropertiesChanged's; the others leave `unit` as it is.
// Errors: kUnavailable: not an a{sv}, or a known name with another type.
absl::Status MergeProperties(sd_bus_message* message, UnitState& unit);

// The number in ".../job/123", or 0.
uint32_t JobIdOfPath(absl::string_view path);

// kNotFound: no such unit or job; kFailedPrecondition: masked, or another job conflicts;
// kPermissionDenied: we may not; kAlreadyExists: subscribed already; else kUnavailable. The text
// names the D-Bus error.
absl::Status StatusFromBusError(absl::string_view name, absl::string_view message);

}  // namespace salve

#endif  // SALVE_BASE_SYSTEMD_VALUES_H_

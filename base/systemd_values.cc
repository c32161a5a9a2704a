#include "base/systemd_values.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace salve {
namespace {

// Each reads one value at the message's position, as sd-bus does: negative is an error.
int Read(sd_bus_message* message, std::string& value) {
  const char* text = nullptr;
  const int result = sd_bus_message_read_basic(message, 's', &text);
  if (result > 0) value = text;
  return result;
}

int Read(sd_bus_message* message, uint32_t& value) {
  return sd_bus_message_read_basic(message, 'u', &value);
}

int ReadPid(sd_bus_message* message, pid_t& pid) {
  uint32_t number = 0;
  const int result = Read(message, number);
  if (result > 0) pid = static_cast<pid_t>(number);
  return result;
}

int ReadMicroseconds(sd_bus_message* message, absl::Duration& duration) {
  uint64_t usec = 0;
  const int result = sd_bus_message_read_basic(message, 't', &usec);
  if (result > 0) {
    duration = usec > static_cast<uint64_t>(INT64_MAX) ? absl::InfiniteDuration()
                                                       : absl::Microseconds(usec);
  }
  return result;
}

int ReadHex(sd_bus_message* message, std::string& hex) {
  const void* bytes = nullptr;
  size_t size = 0;
  const int result = sd_bus_message_read_array(message, 'y', &bytes, &size);
  if (result >= 0) {
    hex = absl::BytesToHexString(absl::string_view(static_cast<const char*>(bytes), size));
  }
  return result;
}

int ReadJob(sd_bus_message* message, uint32_t& job_id) {
  const char* path = nullptr;
  return sd_bus_message_read(message, "(uo)", &job_id, &path);
}

struct Property {
  absl::string_view name;
  const char* type;
  int (*read)(sd_bus_message*, UnitState&);
};

constexpr Property kProperties[] = {
    {"Id", "s", [](sd_bus_message* m, UnitState& u) { return Read(m, u.id); }},
    {"LoadState", "s", [](sd_bus_message* m, UnitState& u) { return Read(m, u.load_state); }},
    {"ActiveState", "s", [](sd_bus_message* m, UnitState& u) { return Read(m, u.active_state); }},
    {"SubState", "s", [](sd_bus_message* m, UnitState& u) { return Read(m, u.sub_state); }},
    {"Result", "s", [](sd_bus_message* m, UnitState& u) { return Read(m, u.result); }},
    {"Restart", "s", [](sd_bus_message* m, UnitState& u) { return Read(m, u.restart); }},
    {"InvocationID", "ay",
     [](sd_bus_message* m, UnitState& u) { return ReadHex(m, u.invocation_id); }},
    {"Job", "(uo)", [](sd_bus_message* m, UnitState& u) { return ReadJob(m, u.job_id); }},
    {"NRestarts", "u", [](sd_bus_message* m, UnitState& u) { return Read(m, u.n_restarts); }},
    {"MainPID", "u", [](sd_bus_message* m, UnitState& u) { return ReadPid(m, u.main_pid); }},
    {"TimeoutStartUSec", "t",
     [](sd_bus_message* m, UnitState& u) { return ReadMicroseconds(m, u.timeout_start); }},
    {"TimeoutStopUSec", "t",
     [](sd_bus_message* m, UnitState& u) { return ReadMicroseconds(m, u.timeout_stop); }},
};

// Reads the name and the variant of one entry.
int ReadEntry(sd_bus_message* message, UnitState& unit) {
  const char* name = nullptr;
  if (int r = sd_bus_message_read_basic(message, 's', &name); r < 0) return r;
  const auto* property = std::find_if(std::begin(kProperties), std::end(kProperties),
                                      [&](const Property& p) { return p.name == name; });
  if (property == std::end(kProperties)) return sd_bus_message_skip(message, "v");
  if (int r = sd_bus_message_enter_container(message, 'v', property->type); r < 0) return r;
  if (int r = property->read(message, unit); r < 0) return r;
  return sd_bus_message_exit_container(message);
}

int ReadEntries(sd_bus_message* message, UnitState& unit) {
  if (int r = sd_bus_message_enter_container(message, 'a', "{sv}"); r < 0) return r;
  int r;
  while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
    if (r = ReadEntry(message, unit); r < 0) return r;
    if (r = sd_bus_message_exit_container(message); r < 0) return r;
  }
  return r < 0 ? r : sd_bus_message_exit_container(message);
}

constexpr absl::string_view kRefusals[] = {
    "UnitMasked",
    "TransactionIsDestructive",
    "TransactionJobsConflicting",
    "OnlyByDependency",
    "JobTypeNotApplicable",
    "TransactionOrderIsCyclic",
    "ShuttingDown",
    "LoadFailed",
    "BadUnitSetting",
    "NoIsolation",
};

absl::StatusCode CodeOf(absl::string_view name) {
  if (name == "org.freedesktop.DBus.Error.AccessDenied" ||
      name == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired") {
    return absl::StatusCode::kPermissionDenied;
  }
  // What is not a unit's name at all.
  if (name == "org.freedesktop.DBus.Error.InvalidArgs") return absl::StatusCode::kNotFound;
  if (!absl::ConsumePrefix(&name, "org.freedesktop.systemd1.")) {
    return absl::StatusCode::kUnavailable;
  }
  if (name == "NoSuchUnit" || name == "NoSuchJob") return absl::StatusCode::kNotFound;
  if (name == "AlreadySubscribed") return absl::StatusCode::kAlreadyExists;
  return std::find(std::begin(kRefusals), std::end(kRefusals), name) != std::end(kRefusals)
             ? absl::StatusCode::kFailedPrecondition
             : absl::StatusCode::kUnavailable;
}

}  // namespace

absl::Status MergeProperties(sd_bus_message* message, UnitState& unit) {
  UnitState merged = unit;
  if (ReadEntries(message, merged) < 0) {
    return absl::UnavailableError("systemd sent properties of another form");
  }
  unit = std::move(merged);
  return absl::OkStatus();
}

uint32_t JobIdOfPath(absl::string_view path) {
  uint32_t id = 0;
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos || !absl::SimpleAtoi(path.substr(slash + 1), &id)) return 0;
  return id;
}

absl::Status StatusFromBusError(absl::string_view name, absl::string_view message) {
  return absl::Status(CodeOf(name), absl::StrCat(name, ": ", message));
}

}  // namespace salve

#include "base/fake_systemd.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/systemd_values.h"

namespace salve {
namespace {

std::string UnitPath(const std::string& unit) {
  std::string path = "/org/freedesktop/systemd1/unit/";
  for (const char c : unit) {
    if (isalnum(c)) {
      path += c;
    } else {
      absl::StrAppend(&path, "_", absl::Hex(c, absl::kZeroPad2));
    }
  }
  return path;
}

std::string JobPath(uint32_t job) { return absl::StrCat(kSystemdPath, "/job/", job); }

void AppendText(sd_bus_message* m, const char* name, const std::string& value) {
  sd_bus_message_append(m, "{sv}", name, "s", value.c_str());
}

uint64_t ToMicroseconds(absl::Duration d) {
  return d == absl::InfiniteDuration() ? UINT64_MAX : absl::ToInt64Microseconds(d);
}

void AppendUnit(sd_bus_message* m, const UnitState& unit) {
  AppendText(m, "Description", "not asked for");
  AppendText(m, "ActiveState", unit.active_state);
  AppendText(m, "SubState", unit.sub_state);
  sd_bus_message_append(m, "{sv}", "Job", "(uo)", unit.job_id, JobPath(unit.job_id).c_str());
  const std::string id = absl::HexStringToBytes(unit.invocation_id);
  sd_bus_message_open_container(m, 'e', "sv");
  sd_bus_message_append(m, "s", "InvocationID");
  sd_bus_message_open_container(m, 'v', "ay");
  sd_bus_message_append_array(m, 'y', id.data(), id.size());
  sd_bus_message_close_container(m);
  sd_bus_message_close_container(m);
}

void AppendService(sd_bus_message* m, const UnitState& unit) {
  AppendText(m, "Result", unit.result);
  sd_bus_message_append(m, "{sv}", "MainPID", "u", static_cast<uint32_t>(unit.main_pid));
  sd_bus_message_append(m, "{sv}", "NRestarts", "u", unit.n_restarts);
}

void AppendConstants(sd_bus_message* m, const UnitState& unit) {
  AppendText(m, "Id", unit.id);
  AppendText(m, "LoadState", unit.load_state);
  AppendText(m, "Restart", unit.restart);
  sd_bus_message_append(m, "{sv}", "TimeoutStartUSec", "t", ToMicroseconds(unit.timeout_start));
  sd_bus_message_append(m, "{sv}", "TimeoutStopUSec", "t", ToMicroseconds(unit.timeout_stop));
}

}  // namespace

FakeSystemd::FakeSystemd(EventLoop& loop, std::string path, bool is_message_bus)
    : loop_(loop),
      path_(std::move(path)),
      is_message_bus_(is_message_bus),
      owner_(is_message_bus ? ":1.1" : kSystemd) {
  Listen();
}

FakeSystemd::~FakeSystemd() {
  StopListening();
  Drop();
}

void FakeSystemd::Listen() {
  listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  CHECK(path_.size() < sizeof(address.sun_path));
  path_.copy(address.sun_path, path_.size());
  CHECK(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  CHECK(listen(listener_.get(), 4) == 0);
  listen_watch_ = loop_.WatchFd(listener_.get(), kReadable, [this](int) { Accept(); });
}

void FakeSystemd::StopListening() {
  loop_.UnwatchFd(std::exchange(listen_watch_, WatchId::kNone));
  listener_.reset();
  unlink(path_.c_str());
}

void FakeSystemd::AnswerHeld() {
  silent.clear();
  for (const BusMessage& call : std::exchange(held_calls_, {})) {
    sd_bus_message_rewind(call.get(), 1);
    Answer(call.get());
  }
}

void FakeSystemd::Drop() {
  held_calls_.clear();
  for (auto& connection : connections_) {
    loop_.UnwatchFd(connection->watch);
    sd_bus_close(connection->bus);
    sd_bus_unref(connection->bus);
  }
  connections_.clear();
}

void FakeSystemd::Accept() {
  const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  auto connection = std::make_unique<Connection>();
  connection->fake = this;
  sd_id128_t id;
  sd_id128_randomize(&id);
  CHECK(sd_bus_new(&connection->bus) >= 0);
  CHECK(sd_bus_set_fd(connection->bus, fd, fd) >= 0);
  CHECK(sd_bus_set_server(connection->bus, 1, id) >= 0);
  sd_bus_add_filter(
      connection->bus, nullptr,
      [](sd_bus_message* message, void* data, sd_bus_error*) {
        auto* from = static_cast<Connection*>(data);
        uint8_t type = 0;
        sd_bus_message_get_type(message, &type);
        return type == SD_BUS_MESSAGE_METHOD_CALL ? from->fake->Answer(message) : 0;
      },
      connection.get());
  CHECK(sd_bus_start(connection->bus) >= 0);
  connection->watch =
      loop_.WatchFd(fd, kReadable, [this, c = connection.get()](int) { Process(*c); });
  connections_.push_back(std::move(connection));
  // sd_bus_start may have read the client's greeting already.
  Process(*connections_.back());
}

void FakeSystemd::Process(Connection& connection) {
  int result;
  do {
    result = sd_bus_process(connection.bus, nullptr);
  } while (result > 0);
  if (result >= 0) return;
  loop_.UnwatchFd(connection.watch);
  sd_bus_unref(connection.bus);
  std::erase_if(connections_, [&](const auto& c) { return c.get() == &connection; });
}

int FakeSystemd::CountCalls(const std::string& call) const {
  return static_cast<int>(std::count(calls_.begin(), calls_.end(), call));
}

void FakeSystemd::Send(sd_bus_message* message, const std::string& sender) {
  sd_bus_message_set_sender(message, sender.empty() ? owner_.c_str() : sender.c_str());
  sd_bus_send(nullptr, message, nullptr);
  sd_bus_message_unref(message);
}

int FakeSystemd::Answer(sd_bus_message* call) {
  const std::string member = sd_bus_message_get_member(call);
  const absl::string_view signature = sd_bus_message_get_signature(call, 1);
  const char *first = "", *second = "";
  uint32_t number = 0;
  uint64_t flags = 0;
  if (signature == "s") sd_bus_message_read(call, "s", &first);
  if (signature == "ss") sd_bus_message_read(call, "ss", &first, &second);
  if (signature == "u") sd_bus_message_read(call, "u", &number);
  if (signature == "t") sd_bus_message_read(call, "t", &flags);
  if (signature == "as") sd_bus_message_read(call, "as", 1, &first);

  sd_bus_message* reply = nullptr;
  if (member == "Hello") {
    sd_bus_message_new_method_return(call, &reply);
    sd_bus_message_append(reply, "s", ":1.5");
    return Send(reply, "org.freedesktop.DBus"), 1;
  }
  if (member == "AddMatch" || member == "RemoveMatch") {
    sd_bus_message_new_method_return(call, &reply);
    return Send(reply, "org.freedesktop.DBus"), 1;
  }
  std::string text = member;
  if (*first != '\0') absl::StrAppend(&text, " ", first);
  if (*second != '\0') absl::StrAppend(&text, " ", second);
  if (signature == "u") absl::StrAppend(&text, " ", number);
  if (signature == "t") absl::StrAppend(&text, " ", flags);
  calls_.push_back(text);
  if (silent.contains(member)) {
    held_calls_.emplace_back(sd_bus_message_ref(call));
    return 1;
  }
  if (const auto error = errors.find(member); error != errors.end()) {
    const sd_bus_error bus_error =
        SD_BUS_ERROR_MAKE_CONST(error->second.c_str(), "as the test says");
    sd_bus_message_new_method_error(call, &reply, &bus_error);
    return Send(reply), 1;
  }
  if (member == "RestartUnit" || member == "ReloadUnit") return AnswerRestart(call), 1;
  if (member == "GetJob" && !running_jobs_.contains(number)) {
    const sd_bus_error none =
        SD_BUS_ERROR_MAKE_CONST("org.freedesktop.systemd1.NoSuchJob", "no such job");
    sd_bus_message_new_method_error(call, &reply, &none);
    return Send(reply), 1;
  }

  sd_bus_message_new_method_return(call, &reply);
  if (member == "LoadUnit") sd_bus_message_append(reply, "o", UnitPath(first).c_str());
  if (member == "GetJob") sd_bus_message_append(reply, "o", JobPath(number).c_str());
  if (member == "Get" && strcmp(second, "SystemState") == 0) {
    sd_bus_message_append(reply, "v", "s", system_state.c_str());
  }
  if (member == "Get" && strcmp(second, "PreparingForShutdown") == 0) {
    sd_bus_message_append(reply, "v", "b", static_cast<int>(preparing_for_shutdown));
  }
  if (member == "StartUnit") sd_bus_message_append(reply, "o", JobPath(++last_job_).c_str());
  if (member == "ListInhibitors") {
    sd_bus_message_open_container(reply, 'a', "(ssssuu)");
    for (const Inhibitor& one : inhibitors) {
      sd_bus_message_append(reply, "(ssssuu)", one.what.c_str(), one.who.c_str(), one.why.c_str(),
                            one.mode.c_str(), 0u, 71u);
    }
    sd_bus_message_close_container(reply);
  }
  if (member == "ListUnitsFiltered" && malformed_list) sd_bus_message_append(reply, "as", 1, "x");
  if (member == "ListUnitsFiltered" && !malformed_list) AppendList(reply, first);
  if (member == "GetAll") {
    UnitState unit = {.load_state = "not-found", .active_state = "inactive", .sub_state = "dead"};
    for (const auto& [name, state] : units) {
      if (UnitPath(name) == sd_bus_message_get_path(call)) unit = state;
    }
    sd_bus_message_open_container(reply, 'a', "{sv}");
    AppendConstants(reply, unit);
    AppendUnit(reply, unit);
    AppendService(reply, unit);
    sd_bus_message_close_container(reply);
  }
  Send(reply);
  return 1;
}

void FakeSystemd::AppendList(sd_bus_message* reply, const std::string& active_state) {
  sd_bus_message_open_container(reply, 'a', "(ssssssouso)");
  for (const auto& [name, unit] : units) {
    if (unit.active_state != active_state) continue;
    sd_bus_message_append(reply, "(ssssssouso)", name.c_str(), "not asked for",
                          unit.load_state.c_str(), unit.active_state.c_str(),
                          unit.sub_state.c_str(), "", UnitPath(name).c_str(), 0u, "", "/");
  }
  sd_bus_message_close_container(reply);
}

void FakeSystemd::AnswerRestart(sd_bus_message* call) {
  const char *unit = nullptr, *mode = nullptr;
  sd_bus_message_rewind(call, 1);
  sd_bus_message_read(call, "ss", &unit, &mode);
  const uint32_t job = ++last_job_;
  running_jobs_.insert(job);
  if (!early_result.empty()) EndJob(job, unit, early_result);
  sd_bus_message* reply = nullptr;
  sd_bus_message_new_method_return(call, &reply);
  sd_bus_message_append(reply, "o", JobPath(job).c_str());
  Send(reply);
}

void FakeSystemd::SendToAll(const std::string& path, const std::string& interface,
                            const std::string& member, const std::string& sender,
                            const std::function<void(sd_bus_message*)>& append) {
  for (auto& connection : connections_) {
    sd_bus_message* signal = nullptr;
    CHECK(sd_bus_message_new_signal(connection->bus, &signal, path.c_str(), interface.c_str(),
                                    member.c_str()) >= 0);
    append(signal);
    Send(signal, sender);
  }
}

void FakeSystemd::SignalUnit(const std::string& unit, const std::string& interface,
                             const std::string& sender) {
  const UnitState& state = units.at(unit);
  SendToAll(UnitPath(unit), kPropertiesInterface, "PropertiesChanged", sender,
            [&](sd_bus_message* m) {
              sd_bus_message_append(m, "s", absl::StrCat(kSystemd, ".", interface).c_str());
              sd_bus_message_open_container(m, 'a', "{sv}");
              if (interface == "Unit") AppendUnit(m, state);
              if (interface == "Service") AppendService(m, state);
              sd_bus_message_close_container(m);
              sd_bus_message_append(m, "as", 1, "Conditions");
            });
}

void FakeSystemd::SignalFailedCount(const std::string& sender) {
  uint32_t count = 0;
  for (const auto& [name, unit] : units) count += unit.active_state == "failed";
  SendToAll(kSystemdPath, kPropertiesInterface, "PropertiesChanged", sender,
            [&](sd_bus_message* m) {
              sd_bus_message_append(m, "s", kManagerInterface);
              sd_bus_message_append(m, "a{sv}", 1, "NFailedUnits", "u", count);
              sd_bus_message_append(m, "as", 0);
            });
}

void FakeSystemd::SignalJob(const std::string& member, uint32_t job, const std::string& unit,
                            const std::string& result) {
  SendToAll(kSystemdPath, kManagerInterface, member, "", [&](sd_bus_message* m) {
    sd_bus_message_append(m, "uos", job, JobPath(job).c_str(), unit.c_str());
    if (member == "JobRemoved") sd_bus_message_append(m, "s", result.c_str());
  });
}

void FakeSystemd::EndJob(uint32_t job, const std::string& unit, const std::string& result) {
  running_jobs_.erase(job);
  SignalJob("JobRemoved", job, unit, result);
}

void FakeSystemd::SignalReloading(bool begins) {
  SendToAll(kSystemdPath, kManagerInterface, "Reloading", "",
            [&](sd_bus_message* m) { sd_bus_message_append(m, "b", static_cast<int>(begins)); });
}

void FakeSystemd::SignalPrepareForShutdown() {
  SendToAll("/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForShutdown",
            ":1.2", [&](sd_bus_message* m) {
              sd_bus_message_append(m, "b", static_cast<int>(preparing_for_shutdown));
            });
}

void FakeSystemd::ChangeOwner(const std::string& owner) {
  SendToAll("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged",
            "org.freedesktop.DBus", [&](sd_bus_message* m) {
              sd_bus_message_append(m, "sss", kSystemd, owner_.c_str(), owner.c_str());
            });
  owner_ = owner;
}

}  // namespace salve

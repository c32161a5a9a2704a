#include "base/systemd_link.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/systemd_values.h"

namespace salve {

SystemdLink::SystemdLink(EventLoop& loop, std::vector<BusAddress> addresses,
                         std::vector<User*> users)
    : loop_(loop), addresses_(std::move(addresses)), users_(std::move(users)) {
  state_ = State::kConnecting;
  timer_ = loop_.CallAfter(absl::ZeroDuration(), [this] { Connect(); });
}

SystemdLink::~SystemdLink() { loop_.CancelTimer(timer_); }

void SystemdLink::Connect() {
  state_ = State::kConnecting;
  for (; address_ < addresses_.size(); ++address_) {
    auto bus = BusLink::Open(loop_, addresses_[address_], [this] { Fail(); });
    if (!bus.ok()) continue;
    bus_ = *std::move(bus);
    WatchSystemd();
    return Subscribe();
  }
  ConnectLater();
}

void SystemdLink::Subscribe() {
  bus_->Call({kSystemd, kSystemdPath, kManagerInterface, "Subscribe"},
             [this](const absl::StatusOr<sd_bus_message*>& reply) { Subscribed(reply); });
}

void SystemdLink::Subscribed(const absl::StatusOr<sd_bus_message*>& reply) {
  // Subscribing twice is an error of systemd's that does not matter; any other means that
  // there is no systemd at the end of this bus.
  if (!reply.ok() && !absl::IsAlreadyExists(reply.status())) {
    // Not from inside the bus' own call.
    loop_.CancelTimer(timer_);
    timer_ = loop_.CallAfter(absl::ZeroDuration(), [this] { Fail(); });
    return;
  }
  if (reply.ok() && is_message_bus()) owner_ = sd_bus_message_get_sender(*reply);
  state_ = State::kUp;
  back_off_ = kBackOffMin;
  for (User* user : users_) user->Up(*bus_);
}

void SystemdLink::WatchSystemd() {
  const std::string manager_rule =
      absl::StrCat("type='signal',sender='", kSystemd, "',path='", kSystemdPath, "',interface='",
                   kManagerInterface, "'");
  bus_->Match(absl::StrCat(manager_rule, ",member='Reloading'"), [this](sd_bus_message* signal) {
    int begins = 0;
    if (sd_bus_message_read(signal, "b", &begins) < 0 || begins || state_ != State::kUp) return;
    for (User* user : users_) user->Up(*bus_);
  });
  if (!is_message_bus()) return;
  bus_->Match(absl::StrCat("type='signal',sender='org.freedesktop.DBus',"
                           "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                           "member='NameOwnerChanged',arg0='",
                           kSystemd, "'"),
              [this](sd_bus_message* signal) {
                const char *name, *before, *now;
                if (sd_bus_message_read(signal, "sss", &name, &before, &now) < 0) return;
                owner_ = now;
                if (*now != '\0') Subscribe();
              });
}

BusMatchId SystemdLink::MatchSignal(const std::string& path, const std::string& interface,
                                    const std::string& more, BusSignal signal) {
  // The daemon lets anybody send us a signal directly; only the sender's own name, which the
  // daemon writes, tells systemd from another user's program.
  return bus_->Match(absl::StrCat("type='signal',sender='", kSystemd, "',path='", path,
                                  "',interface='", interface, "'", more),
                     [this, signal = std::move(signal)](sd_bus_message* message) mutable {
                       if (is_message_bus()) {
                         const char* sender = sd_bus_message_get_sender(message);
                         if (sender == nullptr || owner_ != sender) return;
                       }
                       signal(message);
                     });
}

void SystemdLink::Fail() {
  const bool was_up = state_ == State::kUp;
  loop_.CancelTimer(std::exchange(timer_, TimerId::kNone));
  bus_.reset();
  owner_.clear();
  if (was_up || ++address_ >= addresses_.size()) return ConnectLater();
  timer_ = loop_.CallAfter(absl::ZeroDuration(), [this] { Connect(); });
}

void SystemdLink::ConnectLater() {
  state_ = State::kDown;
  address_ = 0;
  timer_ = loop_.CallAfter(back_off_, [this] { Connect(); });
  back_off_ = std::min(back_off_ * 2, kBackOffMax);
  for (User* user : users_) user->Down();
}

}  // namespace salve

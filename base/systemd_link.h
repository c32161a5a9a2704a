// SystemdLink: keeps a connection to systemd up, subscribed to its signals, over the first of
// several addresses that works. Lives on the loop's thread.
#ifndef SALVE_BASE_SYSTEMD_LINK_H_
#define SALVE_BASE_SYSTEMD_LINK_H_

#include <systemd/sd-bus.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/bus_link.h"
#include "base/event_loop.h"

namespace salve {

// What is known of units while there is no link.
inline absl::Status NoBus() { return absl::UnavailableError("systemd cannot be asked now"); }

class SystemdLink {
 public:
  // Who works over the link. Neither call comes inside a call of the link's.
  class User {
   public:
    virtual ~User() = default;
    // The link is up: nothing is known of what happened before. Also without a Down before,
    // when systemd itself has come back to the bus or has read its units anew.
    virtual void Up(BusLink& bus) = 0;
    // The link, or another try for one, has failed: calls and matches over it are gone.
    virtual void Down() = 0;
  };

  static constexpr absl::Duration kBackOffMin = absl::Milliseconds(100);
  static constexpr absl::Duration kBackOffMax = absl::Seconds(5);

  // Requires: `users` outlive the link.
  SystemdLink(EventLoop& loop, std::vector<BusAddress> addresses, std::vector<User*> users);
  ~SystemdLink();
  SystemdLink(const SystemdLink&) = delete;
  SystemdLink& operator=(const SystemdLink&) = delete;

  // The bus, while the link is up; else null.
  BusLink* bus() { return state_ == State::kUp ? bus_.get() : nullptr; }
  // True between two tries: nothing will come of waiting.
  bool is_down() const { return state_ == State::kDown; }
  // True when logind and others can be reached too.
  bool is_message_bus() const { return addresses_[address_].is_message_bus; }

  // Calls `signal` for each signal of systemd's that fits; a signal that somebody else on the
  // bus made up does not. `more` is further parts of the rule: ",member='JobNew'".
  // Requires: bus() is not null.
  BusMatchId MatchSignal(const std::string& path, const std::string& interface,
                         const std::string& more, BusSignal signal);

 private:
  enum class State { kDown, kConnecting, kUp };

  void Connect();
  void Subscribe();
  void Subscribed(const absl::StatusOr<sd_bus_message*>& reply);
  void WatchSystemd();
  void Fail();
  void ConnectLater();

  EventLoop& loop_;
  const std::vector<BusAddress> addresses_;
  const std::vector<User*> users_;
  State state_ = State::kDown;
  size_t address_ = 0;  // Of bus_, or to be tried next.
  std::unique_ptr<BusLink> bus_;
  std::string owner_;  // systemd's own name on the bus: ":1.1".
  absl::Duration back_off_ = kBackOffMin;
  TimerId timer_ = TimerId::kNone;
};

}  // namespace salve

#endif  // SALVE_BASE_SYSTEMD_LINK_H_

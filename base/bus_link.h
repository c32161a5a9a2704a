// BusLink: one D-Bus connection on an EventLoop, over sd-bus. It lives from a successful
// Open until it is lost; who wants another opens a new one. No call blocks. Lives on the
// loop's thread.
#ifndef SALVE_BASE_BUS_LINK_H_
#define SALVE_BASE_BUS_LINK_H_

#include <systemd/sd-bus.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"

namespace salve {

struct BusAddress {
  std::string address;          // "unix:path=/run/dbus/system_bus_socket"
  bool is_message_bus = false;  // False: the peer itself is at the other end.
};

// A message, or a bus error as a Status (StatusFromBusError). The message is valid during the
// call only.
using BusReply = absl::AnyInvocable<void(absl::StatusOr<sd_bus_message*>)>;
using BusSignal = absl::AnyInvocable<void(sd_bus_message*)>;
enum class BusMatchId : uint64_t { kNone = 0 };

struct BusCall {
  const char* destination;
  const char* path;
  const char* interface;
  const char* member;
  absl::Duration timeout = absl::Seconds(5);  // Then it counts as not answered: kUnavailable.
};

struct MessageUnref {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using BusMessage = std::unique_ptr<sd_bus_message, MessageUnref>;

class BusLink {
 public:
  // Begins to connect; calls may be made at once. `lost` is called once when the connection
  // breaks; it may destroy the link. Errors: kUnavailable: nobody listens there.
  static absl::StatusOr<std::unique_ptr<BusLink>> Open(EventLoop& loop, const BusAddress& address,
                                                       Task lost);
  // Drops what is under way: no callback is called any more. Not inside a callback of it
  // other than `lost`.
  ~BusLink();
  BusLink(const BusLink&) = delete;
  BusLink& operator=(const BusLink&) = delete;

  // Sends a call with arguments as sd_bus_message_append takes them; never starts a service.
  // `reply` is called once, not inside this call: also when nothing could be sent.
  template <typename... Args>
  void Call(const BusCall& call, BusReply reply, const char* types, Args... args) {
    BusMessage message = NewCall(call);
    if (message == nullptr || sd_bus_message_append(message.get(), types, args...) < 0) {
      return Fail(std::move(reply));
    }
    Send(message.get(), call.timeout, std::move(reply));
  }
  void Call(const BusCall& call, BusReply reply) { Call(call, std::move(reply), ""); }

  // Calls `signal` for each message that fits the rule, until Unmatch.
  BusMatchId Match(const std::string& rule, BusSignal signal);
  // Allowed inside the match's own callback.
  void Unmatch(BusMatchId id);

 private:
  struct PendingCall;
  struct Matching;

  BusLink(EventLoop& loop, sd_bus* bus, Task lost);
  BusMessage NewCall(const BusCall& call);
  void Send(sd_bus_message* message, absl::Duration timeout, BusReply reply);
  void Fail(BusReply reply);
  void Finish(uint64_t id, absl::StatusOr<sd_bus_message*> result);
  void Process();
  void ProcessSoon();
  void WatchAgain();

  EventLoop& loop_;
  sd_bus* const bus_;
  Task lost_;
  WatchId watch_ = WatchId::kNone;
  int watched_events_ = 0;
  TimerId process_timer_ = TimerId::kNone;
  uint64_t last_id_ = 0;
  absl::flat_hash_map<uint64_t, std::unique_ptr<PendingCall>> calls_;
  absl::flat_hash_map<BusMatchId, std::unique_ptr<Matching>> matches_;
  // Ended ones, whose callback may be on the stack: freed before the next message.
  std::vector<std::unique_ptr<Matching>> ended_matches_;
};

}  // namespace salve

#endif  // SALVE_BASE_BUS_LINK_H_

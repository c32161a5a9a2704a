#include "base/bus_link.h"

#include <poll.h>
#include <string.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/systemd_values.h"

namespace salve {
namespace {

// What one turn of the loop reads of the bus, so that a storm of signals does not hold it.
constexpr int kMessagesATurnMax = 64;

absl::Status SdError(int error, absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", strerrordesc_np(-error)));
}

}  // namespace

struct BusLink::PendingCall {
  BusLink* link;
  uint64_t id;
  BusReply reply;
  TimerId timer = TimerId::kNone;
  sd_bus_slot* slot = nullptr;
  ~PendingCall() { sd_bus_slot_unref(slot); }

  static int Answered(sd_bus_message* message, void* data, sd_bus_error*) {
    auto* call = static_cast<PendingCall*>(data);
    const sd_bus_error* error = sd_bus_message_get_error(message);
    if (error != nullptr) {
      call->link->Finish(call->id, StatusFromBusError(error->name, error->message));
    } else {
      call->link->Finish(call->id, message);
    }
    return 1;
  }
};

struct BusLink::Matching {
  BusSignal signal;
  bool ended = false;
  sd_bus_slot* slot = nullptr;
  ~Matching() { sd_bus_slot_unref(slot); }

  static int Arrived(sd_bus_message* message, void* data, sd_bus_error*) {
    auto* match = static_cast<Matching*>(data);
    if (!match->ended) match->signal(message);
    return 0;  // Others may have the same rule.
  }
};

absl::StatusOr<std::unique_ptr<BusLink>> BusLink::Open(EventLoop& loop, const BusAddress& address,
                                                       Task lost) {
  sd_bus* bus = nullptr;
  int error = sd_bus_new(&bus);
  if (error >= 0) error = sd_bus_set_address(bus, address.address.c_str());
  if (error >= 0) error = sd_bus_set_bus_client(bus, address.is_message_bus);
  if (error >= 0) error = sd_bus_start(bus);
  if (error < 0) {
    sd_bus_unref(bus);
    return SdError(error, address.address);
  }
  std::unique_ptr<BusLink> link(new BusLink(loop, bus, std::move(lost)));
  link->WatchAgain();
  if (link->watch_ == WatchId::kNone) return SdError(-ENOMEM, address.address);
  link->ProcessSoon();  // sd_bus_start may have read something already.
  return link;
}

BusLink::BusLink(EventLoop& loop, sd_bus* bus, Task lost)
    : loop_(loop), bus_(bus), lost_(std::move(lost)) {}

BusLink::~BusLink() {
  // The watch first: the descriptor must not be closed under it.
  loop_.UnwatchFd(watch_);
  loop_.CancelTimer(process_timer_);
  for (auto& [id, call] : calls_) loop_.CancelTimer(call->timer);
  calls_.clear();
  matches_.clear();
  ended_matches_.clear();
  sd_bus_close(bus_);
  sd_bus_unref(bus_);
}

BusMessage BusLink::NewCall(const BusCall& call) {
  sd_bus_message* message = nullptr;
  if (sd_bus_message_new_method_call(bus_, &message, call.destination, call.path, call.interface,
                                     call.member) < 0) {
    return nullptr;
  }
  sd_bus_message_set_auto_start(message, 0);
  return BusMessage(message);
}

void BusLink::Send(sd_bus_message* message, absl::Duration timeout, BusReply reply) {
  auto call = std::make_unique<PendingCall>();
  call->link = this;
  call->id = ++last_id_;
  const uint64_t id = call->id;
  // sd-bus' own time limits run on another clock than the loop: ours take their place.
  if (sd_bus_call_async(bus_, &call->slot, message, &PendingCall::Answered, call.get(),
                        UINT64_MAX) < 0) {
    return Fail(std::move(reply));
  }
  call->reply = std::move(reply);
  call->timer = loop_.CallAfter(timeout, [this, id, timeout] {
    Finish(id, absl::UnavailableError(
                   absl::StrCat("no answer within ", absl::FormatDuration(timeout))));
  });
  calls_.emplace(id, std::move(call));
  WatchAgain();
}

void BusLink::Fail(BusReply reply) {
  auto call = std::make_unique<PendingCall>();
  const uint64_t id = ++last_id_;
  call->reply = std::move(reply);
  call->timer = loop_.CallAfter(absl::ZeroDuration(), [this, id] {
    Finish(id, absl::UnavailableError("the call cannot be sent"));
  });
  calls_.emplace(id, std::move(call));
}

void BusLink::Finish(uint64_t id, absl::StatusOr<sd_bus_message*> result) {
  auto node = calls_.extract(id);
  if (node.empty()) return;
  loop_.CancelTimer(node.mapped()->timer);
  node.mapped()->reply(result);
}

BusMatchId BusLink::Match(const std::string& rule, BusSignal signal) {
  auto match = std::make_unique<Matching>();
  match->signal = std::move(signal);
  // A bus that refuses the rule closes the connection then, which is what should happen.
  if (sd_bus_add_match_async(bus_, &match->slot, rule.c_str(), &Matching::Arrived, nullptr,
                             match.get()) < 0) {
    return BusMatchId::kNone;
  }
  const BusMatchId id{++last_id_};
  matches_.emplace(id, std::move(match));
  WatchAgain();
  return id;
}

void BusLink::Unmatch(BusMatchId id) {
  auto node = matches_.extract(id);
  if (node.empty()) return;
  node.mapped()->ended = true;
  ended_matches_.push_back(std::move(node.mapped()));
  ProcessSoon();
}

void BusLink::ProcessSoon() {
  loop_.CancelTimer(process_timer_);
  process_timer_ = loop_.CallAfter(absl::ZeroDuration(), [this] { Process(); });
}

void BusLink::Process() {
  loop_.CancelTimer(std::exchange(process_timer_, TimerId::kNone));
  int result = 1;
  for (int i = 0; i < kMessagesATurnMax && result > 0; ++i) {
    ended_matches_.clear();
    result = sd_bus_process(bus_, nullptr);
  }
  if (result < 0) {
    loop_.UnwatchFd(std::exchange(watch_, WatchId::kNone));
    Task lost = std::move(lost_);
    return lost();  // May have destroyed us.
  }
  if (result > 0) ProcessSoon();
  WatchAgain();
}

void BusLink::WatchAgain() {
  const int wanted = sd_bus_get_events(bus_);
  if (wanted < 0) return ProcessSoon();  // Closed: sd_bus_process will say so.
  const int events =
      kReadable | ((wanted & POLLOUT) ? kWritable : 0);  // Reading also sees the end.
  if (events == watched_events_ && watch_ != WatchId::kNone) return;
  loop_.UnwatchFd(watch_);
  watched_events_ = events;
  watch_ = loop_.WatchFd(sd_bus_get_fd(bus_), events, [this](int) { Process(); });
}

}  // namespace salve

// RebootCalls: asks for a reboot of the machine, from what inhibits it to its acceptance. Lives
// on the loop's thread.
#ifndef SALVE_BASE_REBOOT_CALLS_H_
#define SALVE_BASE_REBOOT_CALLS_H_

#include <systemd/sd-bus.h>

#include <cstdint>
#include <map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bus_link.h"
#include "base/event_loop.h"
#include "base/service_manager.h"
#include "base/systemd_link.h"

namespace salve {

class RebootCalls final : public SystemdLink::User {
 public:
  explicit RebootCalls(EventLoop& loop) : loop_(loop) {}
  ~RebootCalls() override;

  // Requires: `link` is this object's own and outlived by it.
  void SetLink(SystemdLink* link) { link_ = link; }

  // As ServiceManager::Reboot.
  void Reboot(bool force, Instant deadline, RebootDone done);

  void Up(BusLink& bus) override;
  void Down() override;

 private:
  struct Request {
    bool force = false;
    bool begun = false;
    bool asked = false;  // It may come, whatever becomes of the answer.
    RebootDone done;
    TimerId timer = TimerId::kNone;
  };
  using Reply = absl::StatusOr<sd_bus_message*>;

  // The steps of a request, in this order; each ends it or goes on.
  void Begin(uint64_t id);
  void TakeInhibitors(uint64_t id, const Reply& reply);
  void AskLogind(uint64_t id);
  void AskOldLogind(uint64_t id);
  void AskSystemd(uint64_t id);
  void TakeAnswer(uint64_t id, const Reply& reply);
  void End(uint64_t id, const absl::Status& answer);
  void Finish(uint64_t id, const absl::Status& status);

  EventLoop& loop_;
  SystemdLink* link_ = nullptr;
  uint64_t last_id_ = 0;
  std::map<uint64_t, Request> requests_;
};

}  // namespace salve

#endif  // SALVE_BASE_REBOOT_CALLS_H_

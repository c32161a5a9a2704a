#include "responders/actions/reboot_server.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

// Services may take their time to stop, and the firmware its to start.
constexpr absl::Duration kRebootTakes = absl::Minutes(15);
constexpr size_t kMessageBytesMax = 1024;

class RebootServerAction final : public Action {
 public:
  RebootServerAction(bool force, const ActionEnvironment& environment)
      : force_(force),
        server_(environment.server),
        loop_(environment.loop),
        services_(environment.services) {}
  ~RebootServerAction() override {
    *alive_ = false;
    loop_.CancelTimer(deadline_);
  }

  std::string id() const override { return "RebootServer"; }
  std::string resource() const override { return server_; }
  Readiness Check() const override {
    if (services_.IsStopping()) return {Readiness::Kind::kWait, "the system is stopping"};
    return {};
  }
  absl::Duration Needs() const override { return kRebootTakes; }
  std::string Plan() const override {
    return absl::StrCat(
        "reboots ", server_, " through logind, or where there is none through ", "systemd, ",
        force_ ? "in spite of what inhibits a shutdown" : "unless something inhibits a shutdown");
  }

  void Run(Instant deadline, RecordEffect record, ActionDone done) override {
    done_ = std::move(done);
    // By this the next start knows that a reboot may be under way.
    record("reboot", [this, alive = alive_, deadline](absl::Status recorded) {
      if (!*alive || !done_) return;
      if (!recorded.ok()) {
        return Finish(ActionResult::Kind::kFailed, "LedgerUnavailable", recorded, "not begun");
      }
      services_.Reboot(force_, deadline, [this, alive, deadline](absl::Status answer) {
        if (*alive && done_) Answered(answer, deadline);
      });
    });
  }

 private:
  void Answered(const absl::Status& answer, Instant deadline) {
    if (!answer.ok()) {
      const bool late = absl::IsDeadlineExceeded(answer);
      return Finish(late ? ActionResult::Kind::kTimedOut : ActionResult::Kind::kFailed,
                    NameOf(answer), answer, "the server goes on");
    }
    deadline_ = loop_.CallAt(deadline, [this] {
      Finish(ActionResult::Kind::kTimedOut, "NotRebooted",
             absl::DeadlineExceededError("the server is still up at the deadline"),
             "the reboot was accepted");
    });
  }

  static std::string NameOf(const absl::Status& status) {
    if (absl::IsFailedPrecondition(status)) return "Inhibited";
    if (absl::IsDeadlineExceeded(status)) return "TimedOut";
    if (absl::IsPermissionDenied(status)) return "PermissionDenied";
    return "CannotReboot";
  }

  void Finish(ActionResult::Kind kind, std::string name, const absl::Status& why,
              std::string context) {
    ActionDone done = std::exchange(done_, nullptr);
    if (!done) return;
    done({kind, std::move(name), std::string(why.message().substr(0, kMessageBytesMax)),
          std::move(context)});
  }

  const bool force_;
  const std::string server_;
  EventLoop& loop_;
  ServiceManager& services_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  TimerId deadline_ = TimerId::kNone;
  ActionDone done_;
};

}  // namespace

absl::Status CheckRebootServer(const config::RebootServer&) { return absl::OkStatus(); }

std::unique_ptr<Action> NewRebootServer(const config::RebootServer& config,
                                        const ActionEnvironment& environment) {
  return std::make_unique<RebootServerAction>(config.force(), environment);
}

}  // namespace salve

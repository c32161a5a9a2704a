#include "probes/notification_probe.h"

#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "probes/field_checks.h"

namespace salve {
namespace {

constexpr size_t kReportsMax = 64;

absl::StatusOr<absl::Duration> ParseExpectWithin(const config::NotificationProbe& config) {
  return ParseDurationField("notification.expect_within", config.expect_within(), absl::Seconds(1),
                            absl::Hours(720), absl::InfiniteDuration());
}

class NotificationProbe final : public Probe {
 public:
  NotificationProbe(absl::Duration expect_within, EventLoop& loop)
      : expect_within_(expect_within), loop_(loop) {
    AwaitReport();
  }
  ~NotificationProbe() override { loop_.CancelTimer(overdue_timer_); }

  void Start(Instant, ObservationDone done) override {
    if (!reports_.empty()) {
      last_ = std::move(reports_.front());
      reports_.pop_front();
      if (!reports_.empty()) look_now_();
    } else if (std::exchange(overdue_, false)) {
      last_ = Failed(absl::StrCat("no report for ", absl::FormatDuration(expect_within_)));
    }
    done(last_);
  }

  void Watch(std::function<void()> look_now) override { look_now_ = std::move(look_now); }
  bool IsRecurrent() const override { return false; }

  absl::Status Report(bool passed, std::string error) override {
    if (reports_.size() == kReportsMax) reports_.pop_front();
    if (!passed && error.empty()) error = "reported as failed";
    reports_.push_back(passed ? Observation{} : Failed(std::move(error)));
    overdue_ = false;
    AwaitReport();
    look_now_();
    return absl::OkStatus();
  }

 private:
  void AwaitReport() {
    if (expect_within_ == absl::InfiniteDuration()) return;
    loop_.CancelTimer(overdue_timer_);
    overdue_timer_ = loop_.CallAfter(expect_within_, [this] {
      overdue_ = true;
      AwaitReport();
      look_now_();
    });
  }

  const absl::Duration expect_within_;
  EventLoop& loop_;
  std::function<void()> look_now_ = [] {};
  TimerId overdue_timer_ = TimerId::kNone;
  bool overdue_ = false;
  std::deque<Observation> reports_;
  Observation last_ = Rejected("no report has come yet");  // Seen when a person asks for a look.
};

}  // namespace

absl::Status CheckNotificationProbe(const config::NotificationProbe& config) {
  return ParseExpectWithin(config).status();
}

absl::StatusOr<std::unique_ptr<Probe>> NewNotificationProbe(const config::NotificationProbe& config,
                                                            EventLoop& loop) {
  ASSIGN_OR_RETURN(const absl::Duration expect_within, ParseExpectWithin(config));
  return std::make_unique<NotificationProbe>(expect_within, loop);
}

}  // namespace salve

#include "responders/actions/kill_process.h"

#include <signal.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "base/unit_name.h"
#include "probes/field_checks.h"
#include "probes/process_stat.h"
#include "responders/actions/held_process.h"
#include "responders/actions/process_end.h"
#include "responders/actions/process_scan.h"
#include "responders/actions/watched_unit.h"

namespace salve {
namespace {

constexpr uint32_t kMaxCount = 10;
constexpr size_t kTargetsToldMax = 20;

absl::StatusOr<absl::Duration> GraceOf(const config::KillProcess& config) {
  return ParseDurationField("kill_process.grace", config.grace(), absl::ZeroDuration(),
                            absl::Minutes(10), absl::Seconds(10));
}

class KillProcessAction final : public Action {
 public:
  KillProcessAction(const config::KillProcess& config, const ActionEnvironment& environment)
      : config_(config),
        grace_(*GraceOf(config)),
        max_count_(config.max_count() == 0 ? kMaxCount : config.max_count()),
        host_(environment.host),
        services_(environment.services),
        scan_(environment.loop, environment.host),
        end_(environment.loop, environment.host) {
    if (!config.service().empty()) unit_.emplace(UnitName(config.service()), services_);
  }
  ~KillProcessAction() override { *alive_ = false; }

  std::string id() const override { return "KillProcess"; }
  std::string resource() const override {
    if (unit_.has_value()) return unit_->id();
    return config_.pid_file().empty() ? config_.process_name() : config_.pid_file();
  }
  void Watch(std::function<void()> changed) override {
    if (unit_.has_value()) unit_->OnChange(std::move(changed));
  }
  Readiness Check() const override {
    if (unit_.has_value()) return unit_->Check();
    if (services_.IsStopping()) return {Readiness::Kind::kLeave, "the system is stopping"};
    return {};
  }
  absl::Duration Needs() const override { return grace_ + absl::Seconds(5); }
  std::string Plan() const override {
    return absl::StrCat("ends ", What(), ": TERM, then KILL ", absl::FormatDuration(grace_),
                        " later",
                        config_.process_name().empty()
                            ? ""
                            : absl::StrCat("; nothing, if more than ", max_count_, " match"));
  }

  void Run(Instant deadline, RecordEffect record, ActionDone done) override {
    deadline_ = deadline;
    record_ = std::move(record);
    done_ = std::move(done);
    left_out_.clear();
    if (unit_.has_value()) {
      absl::StatusOr<HeldProcess> main = unit_->HoldMainProcess(host_);
      if (!main.ok()) return FinishWith(main.status());
      std::vector<HeldProcess> held;
      held.push_back(*std::move(main));
      return End(std::move(held));
    }
    if (!config_.pid_file().empty()) return TakeThoseOfThePidFile();
    scan_.Start(
        [this](const ProcessStat& stat) {
          return ProcessHasName(host_.proc(), stat.identity.pid, config_.process_name());
        },
        [this](absl::StatusOr<ProcessScan::Found> found) {
          if (!found.ok()) return FinishWith(found.status());
          Take(*found);
        });
  }

 private:
  std::string What() const {
    if (unit_.has_value()) return "the main process of " + unit_->id();
    if (!config_.pid_file().empty()) return "the process of " + config_.pid_file();
    return "processes named " + config_.process_name();
  }

  void TakeThoseOfThePidFile() {
    const absl::StatusOr<std::string> text = ReadFile(config_.pid_file(), 64);
    if (!text.ok()) return FinishWith(text.status());
    pid_t pid = 0;
    const std::string first_line = text->substr(0, text->find('\n'));
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(first_line), &pid) || pid <= 0) {
      return Fail("BadPidFile", absl::StrCat(config_.pid_file(), " holds no pid"));
    }
    const absl::StatusOr<ProcessStat> stat = ReadProcessStat(host_.proc(), pid);
    if (!stat.ok()) return FinishWith(stat.status());
    Take({*stat});
  }

  void Take(const ProcessScan::Found& found) {
    std::vector<ProcessIdentity> targets;
    for (const ProcessStat& stat : found) {
      std::string why = WhyProtected(host_.proc(), stat.identity.pid);
      if (stat.is_kernel_thread) why = "is a thread of the kernel";
      if (why.empty()) {
        targets.push_back(stat.identity);
      } else {
        left_out_.push_back(absl::StrCat(stat.identity.pid, " ", why));
      }
    }
    if (targets.size() > max_count_) {
      return Fail("TooMany", absl::StrCat(targets.size(), " ", What(), ", at most ", max_count_,
                                          " may be ended: nothing was done"));
    }
    std::vector<HeldProcess> held;
    for (const ProcessIdentity& identity : targets) {
      absl::StatusOr<HeldProcess> one = HoldProcess(host_, identity);
      if (absl::IsNotFound(one.status())) continue;  // It has ended meanwhile.
      if (!one.ok()) return FinishWith(one.status());
      held.push_back(*std::move(one));
    }
    End(std::move(held));
  }

  void End(std::vector<HeldProcess> held) {
    if (held.empty()) {
      return Fail(left_out_.empty() ? "NoSuchProcess" : "Protected",
                  absl::StrCat(What(), ": none that may be ended"));
    }
    std::vector<std::string> targets;
    for (size_t i = 0; i < held.size() && i < kTargetsToldMax; ++i) {
      targets.push_back(absl::StrCat(held[i].identity.pid, ":", held[i].identity.start_ticks));
    }
    // Not "pid=": an agent that finds this after a crash must neither await nor kill them.
    const std::string effect =
        absl::StrCat("targets=", absl::StrJoin(targets, ","), " count=", held.size());
    record_(effect, [this, alive = alive_, held = std::move(held)](absl::Status recorded) mutable {
      if (!*alive) return;
      if (!recorded.ok()) {
        return Finish({ActionResult::Kind::kFailed, "LedgerUnavailable",
                       std::string(recorded.message()), "not begun"});
      }
      end_.Start(std::move(held), {.signal = SIGTERM, .grace = grace_, .deadline = deadline_},
                 [this](ProcessEnd::Report report) { Ended(report); });
    });
  }

  void Ended(const ProcessEnd::Report& report) {
    const std::string context = WithLeftOut(ToText(report, "TERM"));
    if (report.left.empty()) return Finish({ActionResult::Kind::kSucceeded, "", "", context});
    if (!report.error.empty()) {
      return Finish({ActionResult::Kind::kFailed, "CannotSignal", report.error, context});
    }
    Finish({ActionResult::Kind::kTimedOut, "StillThere",
            absl::StrCat("not ended by TERM nor KILL: ", PidsText(report.left)), context});
  }

  std::string WithLeftOut(std::string context) const {
    if (left_out_.empty()) return context;
    if (!context.empty()) context += "; ";
    return absl::StrCat(context, "left out: ", absl::StrJoin(left_out_, ", "));
  }
  void FinishWith(const absl::Status& status) {
    Fail(absl::IsNotFound(status)           ? "NoSuchProcess"
         : absl::IsPermissionDenied(status) ? "Protected"
                                            : "CannotLook",
         std::string(status.message()));
  }
  void Fail(std::string name, std::string message) {
    Finish({ActionResult::Kind::kFailed, std::move(name), std::move(message), WithLeftOut("")});
  }
  void Finish(ActionResult result) {
    ActionDone done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

  const config::KillProcess config_;
  const absl::Duration grace_;
  const uint32_t max_count_;
  Host& host_;
  ServiceManager& services_;
  std::optional<WatchedUnit> unit_;
  ProcessScan scan_;
  ProcessEnd end_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  Instant deadline_;
  RecordEffect record_;
  ActionDone done_;
  std::vector<std::string> left_out_;
};

}  // namespace

absl::Status CheckKillProcess(const config::KillProcess& config) {
  const int given =
      !config.process_name().empty() + !config.pid_file().empty() + !config.service().empty();
  if (given != 1) {
    return BadField("kill_process.process_name",
                    "exactly one of process_name, pid_file and service must be set");
  }
  if (config.process_name().find('/') != std::string::npos) {
    return BadField("kill_process.process_name",
                    absl::StrCat("'", config.process_name(), "' is a path, not a name"));
  }
  RETURN_IF_ERROR(CheckLength("kill_process.process_name", config.process_name(), 255));
  if (!config.pid_file().empty() && config.pid_file()[0] != '/') {
    return BadField("kill_process.pid_file",
                    absl::StrCat("'", config.pid_file(), "' is no full path"));
  }
  if (!config.service().empty() && !IsUnitName(config.service())) {
    return BadField("kill_process.service",
                    absl::StrCat("no unit can be named '",
                                 absl::CHexEscape(config.service().substr(0, 64)), "'"));
  }
  RETURN_IF_ERROR(CheckRange("kill_process.max_count", config.max_count(), 0, 1000));
  return GraceOf(config).status();
}

std::unique_ptr<Action> NewKillProcess(const config::KillProcess& config,
                                       const ActionEnvironment& environment) {
  return std::make_unique<KillProcessAction>(config, environment);
}

}  // namespace salve

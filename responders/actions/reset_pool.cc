#include "responders/actions/reset_pool.h"

#include <signal.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "base/unit_name.h"
#include "probes/field_checks.h"
#include "probes/process_stat.h"
#include "responders/actions/fpm_config.h"
#include "responders/actions/fpm_status.h"
#include "responders/actions/held_process.h"
#include "responders/actions/job_end.h"
#include "responders/actions/pool_workers.h"
#include "responders/actions/process_end.h"
#include "responders/actions/uwsgi_door.h"
#include "responders/actions/watched_unit.h"

namespace salve {
namespace {

using config::PhpFpmPool;
using config::ResetPool;
using Kind = ActionResult::Kind;

// A status page waits in the queue of the pool: one that does not answer for so long never will.
constexpr absl::Duration kStatusTimeout = absl::Seconds(10);
// After a signal that changes no workers: a process without a handler for it has ended by then.
constexpr absl::Duration kLookAfterSignal = absl::Milliseconds(150);
constexpr size_t kFpmConfigBytesMax = 256 * 1024;

struct NamedSignal {
  absl::string_view name;
  int number;
  bool ends;  // It is there to end a process.
};
constexpr NamedSignal kSignals[] = {
    {"HUP", SIGHUP, false},     {"USR1", SIGUSR1, false}, {"USR2", SIGUSR2, false},
    {"WINCH", SIGWINCH, false}, {"QUIT", SIGQUIT, true},  {"TERM", SIGTERM, true},
    {"INT", SIGINT, true},
};

const NamedSignal* FindSignal(absl::string_view name) {
  const auto* found = std::find_if(std::begin(kSignals), std::end(kSignals),
                                   [&](const NamedSignal& signal) { return signal.name == name; });
  return found == std::end(kSignals) ? nullptr : found;
}

absl::StatusOr<absl::Duration> GraceOf(const PhpFpmPool& config) {
  return ParseDurationField("reset_pool.php_fpm.grace", config.grace(), absl::Milliseconds(100),
                            absl::Minutes(10), absl::Seconds(5));
}
absl::StatusOr<absl::Duration> PauseOf(const PhpFpmPool& config) {
  return ParseDurationField("reset_pool.php_fpm.pause", config.pause(), absl::ZeroDuration(),
                            absl::Seconds(10), absl::Milliseconds(50));
}

bool IsRolling(const ResetPool& config) {
  return config.has_php_fpm() && config.php_fpm().method() == PhpFpmPool::ROLLING;
}

// The signal that makes the main process renew its workers; null where it is not done by one.
const NamedSignal* SignalOf(const ResetPool& config) {
  switch (config.method_case()) {
    case ResetPool::kPhpFpm:
      return IsRolling(config) ? nullptr : FindSignal("USR2");
    case ResetPool::kGunicorn:
    case ResetPool::kNginx:
      return FindSignal("HUP");
    case ResetPool::kSignal:
      return FindSignal(config.signal().signal());
    default:
      return nullptr;
  }
}

class ResetPoolAction final : public Action {
 public:
  ResetPoolAction(const ResetPool& config, const ActionEnvironment& environment)
      : config_(config),
        grace_(*GraceOf(config.php_fpm())),
        pause_(*PauseOf(config.php_fpm())),
        loop_(environment.loop),
        host_(environment.host),
        services_(environment.services),
        unit_(UnitName(config.service()), environment.services),
        workers_(environment.loop, environment.host),
        end_(environment.loop, environment.host),
        status_(environment.loop) {}
  ~ResetPoolAction() override {
    *alive_ = false;
    loop_.CancelTimer(look_);
  }

  std::string id() const override { return "ResetPool"; }
  std::string resource() const override {
    return config_.pool().empty() ? unit_.id() : absl::StrCat(unit_.id(), "/", config_.pool());
  }
  // A pool is a part of its unit: no other action on either at the same time.
  std::string exclusion() const override { return unit_.id(); }
  void Watch(std::function<void()> changed) override { unit_.OnChange(std::move(changed)); }
  Readiness Check() const override { return unit_.Check(); }
  absl::Duration Needs() const override {
    return IsRolling(config_) ? grace_ + absl::Seconds(30) : absl::ZeroDuration();
  }

  std::string Plan() const override {
    if (IsRolling(config_)) {
      return absl::StrCat("sends QUIT to the workers of ", Name(), " one by one, ",
                          absl::FormatDuration(pause_),
                          " apart, and KILL to those that are still there ",
                          absl::FormatDuration(grace_), " later");
    }
    if (config_.has_reload()) return absl::StrCat("reloads ", unit_.id(), " over D-Bus");
    if (const NamedSignal* signal = SignalOf(config_)) {
      return absl::StrCat("sends ", signal->name, " to the main process of ", unit_.id());
    }
    const config::UwsgiPool& uwsgi = config_.uwsgi();
    return uwsgi.master_fifo().empty() ? absl::StrCat("touches ", uwsgi.touch_file())
                                       : absl::StrCat("writes \"r\" to ", uwsgi.master_fifo());
  }

  void Run(Instant deadline, RecordEffect record, ActionDone done) override {
    deadline_ = deadline;
    record_ = std::move(record);
    done_ = std::move(done);
    context_.clear();
    if (config_.has_reload()) return ReloadUnit();
    absl::StatusOr<HeldProcess> main = unit_.HoldMainProcess(host_);
    if (!main.ok()) {
      return Fail(absl::IsNotFound(main.status()) ? "NoMainProcess" : "CannotLook",
                  main.status().message());
    }
    main_ = *std::move(main);
    of_ = {.main_pid = main_.identity.pid, .all_below = config_.has_uwsgi()};
    if (config_.has_php_fpm() && !config_.pool().empty())
      of_.title = FpmWorkerTitle(config_.pool());
    workers_.List(of_, [this](absl::StatusOr<PoolWorkers::Workers> old) {
      if (!old.ok()) return Fail("CannotLook", old.status().message());
      Record(*std::move(old));
    });
  }

 private:
  std::string Name() const {
    return config_.pool().empty() ? unit_.id()
                                  : absl::StrCat("pool ", config_.pool(), " of ", unit_.id());
  }

  void Record(PoolWorkers::Workers old) {
    if (IsRolling(config_) && old.empty()) {
      return Fail("NoWorkers", absl::StrCat(Name(), " has no workers"));
    }
    old_ = std::move(old);
    Tell(absl::StrCat("main=", main_.identity.pid, " workers=", old_.size()));
    record_(context_, [this, alive = alive_](absl::Status recorded) {
      if (!*alive) return;
      if (!recorded.ok()) {
        context_ = "not begun";
        return Fail("LedgerUnavailable", recorded.message());
      }
      Act();
    });
  }

  void Act() {
    if (IsRolling(config_)) return Roll();
    if (const NamedSignal* signal = SignalOf(config_)) return SignalMain(*signal);
    const config::UwsgiPool& uwsgi = config_.uwsgi();
    const absl::Status told = uwsgi.master_fifo().empty() ? TouchFile(uwsgi.touch_file())
                                                          : WriteToFifo(uwsgi.master_fifo(), "r");
    if (!told.ok()) return Fail("CannotTell", told.message());
    AwaitNewWorkers();
  }

  // Worker by worker: while one ends its request and leaves, the others take what comes.
  void Roll() {
    std::vector<HeldProcess> held;
    for (const ProcessIdentity& worker : old_) {
      absl::StatusOr<HeldProcess> one = HoldProcess(host_, worker);
      if (absl::IsNotFound(one.status())) continue;  // It has ended meanwhile.
      if (!one.ok()) return Fail("CannotLook", one.status().message());
      held.push_back(*std::move(one));
    }
    end_.Start(std::move(held),
               {.signal = SIGQUIT, .pause = pause_, .grace = grace_, .deadline = deadline_},
               [this](const ProcessEnd::Report& report) { Rolled(report); });
  }

  void Rolled(const ProcessEnd::Report& report) {
    Tell(ToText(report, "QUIT"));
    if (!report.error.empty()) return Fail("CannotSignal", report.error);
    if (!report.left.empty()) {
      return Finish({Kind::kTimedOut, "StillThere",
                     absl::StrCat("not ended by the deadline: ", PidsText(report.left)), ""});
    }
    AwaitNewWorkers();
  }

  void SignalMain(const NamedSignal& signal) {
    if (config_.has_php_fpm()) WarnOfCutRequests();
    const absl::Status sent = host_.SignalProcess(main_.pidfd.get(), signal.number);
    if (!sent.ok()) {
      return Fail(absl::IsNotFound(sent) ? "MainProcessEnded" : "CannotSignal", sent.message());
    }
    Tell(absl::StrCat(signal.name, " sent"));
    if (!config_.has_signal() || config_.signal().workers_change()) return AwaitNewWorkers();
    look_ = loop_.CallAt(std::min(loop_.Now() + kLookAfterSignal, deadline_),
                         [this, ends = signal.ends] {
                           if (!ends && HasEnded(main_)) {
                             return Fail("MainProcessEnded", "the signal ended the main process");
                           }
                           Succeed();
                         });
  }

  // With php-fpm's own default, 0, a reload does not wait for the requests that are being served.
  void WarnOfCutRequests() {
    const std::string file = FpmConfigFile(ProcessTitle(host_.proc(), main_.identity.pid));
    if (file.empty()) return;
    const absl::StatusOr<std::string> ini = ReadFile(file, kFpmConfigBytesMax);
    if (ini.ok() && FpmProcessControlTimeout(*ini) == absl::ZeroDuration()) {
      Tell("warning: process_control_timeout is 0, requests in flight fail");
    }
  }

  void AwaitNewWorkers() {
    workers_.AwaitNew(of_, main_, old_, deadline_,
                      [this](absl::StatusOr<PoolWorkers::Renewed> renewed) { Renewed(renewed); });
  }

  void Renewed(const absl::StatusOr<PoolWorkers::Renewed>& renewed) {
    if (absl::IsDeadlineExceeded(renewed.status())) {
      return Finish({Kind::kTimedOut, "NoNewWorkers",
                     absl::StrCat(Name(), ": there is no new worker by the deadline"), ""});
    }
    if (!renewed.ok()) {
      return Fail(absl::IsNotFound(renewed.status()) ? "MainProcessEnded" : "CannotLook",
                  renewed.status().message());
    }
    Tell(absl::StrCat(renewed->fresh, " new"));
    if (renewed->old > 0) Tell(absl::StrCat(renewed->old, " old ones still end their requests"));
    if (!config_.has_php_fpm() || config_.php_fpm().status().empty()) return Succeed();
    const std::string& path = config_.php_fpm().status_path();
    status_.Ask(*ParseFpmAddress(config_.php_fpm().status()), path.empty() ? "/status" : path,
                std::min(deadline_, loop_.Now() + kStatusTimeout),
                [this](absl::StatusOr<std::string> page) { Answered(page); });
  }

  void Answered(const absl::StatusOr<std::string>& page) {
    if (!page.ok()) {
      return Fail("NoStatus",
                  absl::StrCat(config_.php_fpm().status(), ": ", page.status().message()));
    }
    Tell(absl::StrCat("status: ", FpmStatusText(*page)));
    Succeed();
  }

  void ReloadUnit() {
    services_.ReloadUnit(
        unit_.id(), deadline_,
        [this, alive = alive_](uint32_t job) {
          if (!*alive) return;
          Tell(absl::StrCat("job=", job, " unit=", unit_.id()));
          record_(context_, [](absl::Status) {});  // The attempt itself is on disk.
        },
        [this, alive = alive_](absl::StatusOr<JobResult> result) {
          if (*alive) Reloaded(result);
        });
  }

  void Reloaded(const absl::StatusOr<JobResult>& result) {
    if (!result.ok() || result->result != "done") {
      return Finish(BadJobEnd("reload", unit_.id(), result, ""));
    }
    Succeed();
  }

  void Tell(const std::string& what) {
    if (!context_.empty()) context_ += "; ";
    context_ += what;
  }
  void Succeed() { Finish({Kind::kSucceeded, "", "", ""}); }
  void Fail(std::string name, absl::string_view message) {
    Finish({Kind::kFailed, std::move(name), std::string(message), ""});
  }
  void Finish(ActionResult result) {
    main_ = HeldProcess{};
    result.context = context_;
    ActionDone done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

  const ResetPool config_;
  const absl::Duration grace_;
  const absl::Duration pause_;
  EventLoop& loop_;
  Host& host_;
  ServiceManager& services_;
  WatchedUnit unit_;
  PoolWorkers workers_;
  ProcessEnd end_;
  FpmStatus status_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  // Of the run.
  Instant deadline_;
  RecordEffect record_;
  ActionDone done_;
  std::string context_;
  HeldProcess main_;
  WorkersOf of_;
  PoolWorkers::Workers old_;
  TimerId look_ = TimerId::kNone;
};

absl::Status CheckPath(absl::string_view field, const std::string& path) {
  if (path.empty() || path[0] != '/') {
    return BadField(field, absl::StrCat("'", path, "' is no full path"));
  }
  return CheckLength(field, path, 1024);
}

absl::Status CheckPhpFpm(const ResetPool& config) {
  const PhpFpmPool& fpm = config.php_fpm();
  RETURN_IF_ERROR(GraceOf(fpm).status());
  RETURN_IF_ERROR(PauseOf(fpm).status());
  if (fpm.method() == PhpFpmPool::RELOAD && !config.pool().empty()) {
    return BadField("reset_pool.pool", "a RELOAD is of the whole service");
  }
  if (!fpm.status().empty()) {
    if (const auto address = ParseFpmAddress(fpm.status()); !address.ok()) {
      return BadField("reset_pool.php_fpm.status", address.status().message());
    }
  }
  if (fpm.status_path().empty()) return absl::OkStatus();
  return CheckPath("reset_pool.php_fpm.status_path", fpm.status_path());
}

absl::Status CheckUwsgi(const config::UwsgiPool& uwsgi) {
  if (uwsgi.master_fifo().empty() == uwsgi.touch_file().empty()) {
    return BadField("reset_pool.uwsgi.master_fifo",
                    "exactly one of master_fifo and touch_file must be set");
  }
  return uwsgi.touch_file().empty() ? CheckPath("reset_pool.uwsgi.master_fifo", uwsgi.master_fifo())
                                    : CheckPath("reset_pool.uwsgi.touch_file", uwsgi.touch_file());
}

}  // namespace

absl::Status CheckResetPool(const ResetPool& config) {
  if (config.service().empty()) return BadField("reset_pool.service", "names no service");
  if (!IsUnitName(config.service())) {
    return BadField("reset_pool.service",
                    absl::StrCat("no unit can be named '",
                                 absl::CHexEscape(config.service().substr(0, 64)), "'"));
  }
  if (config.method_case() == ResetPool::METHOD_NOT_SET) {
    return BadField("reset_pool.method",
                    "one of php_fpm, uwsgi, gunicorn, nginx, signal and reload must be set");
  }
  RETURN_IF_ERROR(CheckLength("reset_pool.pool", config.pool(), 128));
  if (absl::StrContains(config.pool(), '/')) {
    return BadField("reset_pool.pool", absl::StrCat("'", config.pool(), "' has a /"));
  }
  if (!config.pool().empty() && !config.has_php_fpm() && !config.has_uwsgi()) {
    return BadField("reset_pool.pool", "only php_fpm and uwsgi have named pools");
  }
  if (config.has_php_fpm()) return CheckPhpFpm(config);
  if (config.has_uwsgi()) return CheckUwsgi(config.uwsgi());
  if (config.has_signal() && FindSignal(config.signal().signal()) == nullptr) {
    return BadField("reset_pool.signal.signal",
                    absl::StrCat("'", absl::CHexEscape(config.signal().signal().substr(0, 16)),
                                 "' is not HUP, USR1, USR2, WINCH, QUIT, TERM or INT"));
  }
  return absl::OkStatus();
}

std::unique_ptr<Action> NewResetPool(const ResetPool& config,
                                     const ActionEnvironment& environment) {
  return std::make_unique<ResetPoolAction>(config, environment);
}

}  // namespace salve

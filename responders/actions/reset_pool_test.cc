#include "responders/actions/reset_pool.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>

#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "responders/actions/process_action_fixture.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = ActionResult::Kind;
using Signalled = FakeHost::Signalled;

constexpr absl::Duration kTick = absl::Nanoseconds(1);
constexpr char kUnit[] = "fpm.service";
constexpr pid_t kMain = 70;

class ResetPoolTest : public ProcessActionTest {
 protected:
  ResetPoolTest() {
    config_.set_service("fpm");
    processes_.Add(kMain, {.comm = "php-fpm", .title = Title(""), .unit = kUnit});
    UnitState state = services_.Unit(kUnit);
    state.main_pid = kMain;
    services_.SetUnit(kUnit, state);
    // As fpm does it: a worker that has ended is replaced at once.
    processes_.on_signal = [this](pid_t pid, int signal) {
      if (pid != kMain && respawns_) loop_.Post([this] { AddWorker(); });
      if (pid == kMain && signal == renews_on_) Renew();
    };
  }
  static std::string Title(const std::string& config_file) {
    return "php-fpm: master process (" + config_file + ")";
  }
  pid_t AddWorker(bool hangs = false, const std::string& pool = "www") {
    const pid_t pid = ++last_worker_;
    processes_.Add(pid, {.comm = "php-fpm",
                         .parent = kMain,
                         .title = "php-fpm: pool " + pool,
                         .unit = kUnit,
                         .ends_on_term = !hangs});
    return pid;
  }
  void Renew() {
    const pid_t last = last_worker_;
    for (pid_t pid = 101; pid <= last; ++pid) {
      if (processes_.IsThere(pid)) processes_.End(pid);
      AddWorker();
    }
  }
  void Make() {
    ASSERT_TRUE(CheckResetPool(config_).ok()) << CheckResetPool(config_);
    action_ = NewResetPool(config_, {loop_, processes_.host, services_});
    loop_.RunPending();
  }

  config::ResetPool config_;
  pid_t last_worker_ = 100;
  bool respawns_ = true;
  int renews_on_ = 0;  // What the main process answers with new workers.
};

TEST_F(ResetPoolTest, RollsWorkerByWorkerWithAPauseBetween) {
  for (int i = 0; i < 3; ++i) AddWorker();
  config_.mutable_php_fpm();
  Make();
  EXPECT_EQ(action_->id(), "ResetPool");
  EXPECT_EQ(action_->resource(), kUnit);
  EXPECT_EQ(action_->Plan(),
            "sends QUIT to the workers of fpm.service one by one, 50ms apart, and KILL to those "
            "that are still there 5s later");
  Run();
  EXPECT_EQ(effect_, "main=70 workers=3");
  EXPECT_THAT(Signals(), ElementsAre(Signalled{101, SIGQUIT}));
  loop_.RunFor(absl::Milliseconds(50) - kTick);
  EXPECT_EQ(Signals().size(), 1u);
  loop_.RunFor(kTick);
  EXPECT_EQ(Signals().size(), 2u);
  loop_.RunFor(absl::Milliseconds(100));
  EXPECT_THAT(Signals(), ElementsAre(Signalled{101, SIGQUIT}, Signalled{102, SIGQUIT},
                                     Signalled{103, SIGQUIT}));
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kSucceeded);
  EXPECT_EQ(result_->context, "main=70 workers=3; ended by QUIT: 101, 102, 103; 3 new");
}

TEST_F(ResetPoolTest, KillsOnlyTheWorkerThatStillHangsAfterTheGrace) {
  AddWorker(/*hangs=*/true);
  AddWorker();
  config_.mutable_php_fpm()->set_grace("2s");
  Make();
  Run();
  loop_.RunFor(absl::Seconds(2) - kTick);
  EXPECT_THAT(Signals(), ElementsAre(Signalled{101, SIGQUIT}, Signalled{102, SIGQUIT}));
  loop_.RunFor(kTick);
  EXPECT_EQ(Signals().back(), (Signalled{101, SIGKILL}));
  loop_.RunFor(absl::Milliseconds(100));
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kSucceeded);
  EXPECT_THAT(result_->context, HasSubstr("ended by QUIT: 102; ended by KILL: 101"));
}

TEST_F(ResetPoolTest, ANamedPoolIsRolledAloneAndExcludesItsUnit) {
  AddWorker();
  AddWorker(false, "shop");
  config_.mutable_php_fpm();
  config_.set_pool("shop");
  Make();
  EXPECT_EQ(action_->resource(), "fpm.service/shop");
  EXPECT_EQ(action_->exclusion(), "fpm.service");
  EXPECT_THAT(action_->Plan(), HasSubstr("workers of pool shop of fpm.service"));
  respawns_ = false;
  processes_.on_signal = [this](pid_t, int) { loop_.Post([this] { AddWorker(false, "shop"); }); };
  Run();
  loop_.RunFor(absl::Milliseconds(100));
  EXPECT_THAT(Signals(), ElementsAre(Signalled{102, SIGQUIT}));
  EXPECT_EQ(result_.value().kind, Kind::kSucceeded);
}

TEST_F(ResetPoolTest, APoolWithoutWorkersIsSaid) {
  AddWorker();
  config_.mutable_php_fpm();
  config_.set_pool("none");
  Make();
  Run();
  EXPECT_EQ(result_.value().kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "NoWorkers");
  EXPECT_EQ(result_->exception_message, "pool none of fpm.service has no workers");
}

TEST_F(ResetPoolTest, WithoutNewWorkersItHasTimedOutAtTheDeadline) {
  AddWorker();
  respawns_ = false;
  config_.mutable_php_fpm();
  Make();
  Run(absl::Seconds(30));
  loop_.RunFor(absl::Seconds(30) - kTick);
  EXPECT_FALSE(result_.has_value());
  loop_.RunFor(kTick);
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kTimedOut);
  EXPECT_EQ(result_->exception_name, "NoNewWorkers");
  EXPECT_EQ(result_->exception_message, "fpm.service: there is no new worker by the deadline");
}

TEST_F(ResetPoolTest, FewerNewWorkersThanBeforeMustStandForASecond) {
  AddWorker();
  AddWorker();
  config_.mutable_nginx();
  Make();
  Run();
  const pid_t fresh = AddWorker();
  loop_.RunFor(absl::Milliseconds(1000));
  EXPECT_FALSE(result_.has_value());
  loop_.RunFor(absl::Milliseconds(100));
  EXPECT_EQ(result_.value().kind, Kind::kSucceeded);
  EXPECT_EQ(result_->context,
            "main=70 workers=2; HUP sent; 1 new; 2 old ones still end their "
            "requests");
  EXPECT_TRUE(processes_.IsThere(fresh));
}

TEST_F(ResetPoolTest, AWorkerOutOfTheKernelsReachHasTimedOut) {
  AddWorker(true);
  config_.mutable_php_fpm();
  Make();
  processes_.host.SetOnSignal([](pid_t, int) {});
  Run(absl::Seconds(30));
  loop_.RunFor(absl::Seconds(30));
  EXPECT_EQ(result_.value().kind, Kind::kTimedOut);
  EXPECT_EQ(result_->exception_name, "StillThere");
}

TEST_F(ResetPoolTest, EachMethodSendsItsSignalToTheMainProcess) {
  const struct {
    std::function<void(config::ResetPool&)> set;
    int signal;
    const char* plan;
  } kMethods[] = {
      {[](auto& c) { c.mutable_php_fpm()->set_method(config::PhpFpmPool::RELOAD); }, SIGUSR2,
       "sends USR2 to the main process of fpm.service"},
      {[](auto& c) { c.mutable_gunicorn(); }, SIGHUP,
       "sends HUP to the main process of fpm.service"},
      {[](auto& c) { c.mutable_nginx(); }, SIGHUP, "sends HUP to the main process of fpm.service"},
      {[](auto& c) {
         c.mutable_signal()->set_signal("WINCH");
         c.mutable_signal()->set_workers_change(true);
       },
       SIGWINCH, "sends WINCH to the main process of fpm.service"}};
  AddWorker();
  for (const auto& method : kMethods) {
    method.set(config_);
    Make();
    EXPECT_EQ(action_->Plan(), method.plan);
    renews_on_ = method.signal;
    Run();
    loop_.RunFor(absl::Milliseconds(50));
    EXPECT_EQ(Signals().back(), (Signalled{kMain, method.signal}));
    ASSERT_TRUE(result_.has_value());
    EXPECT_EQ(result_->kind, Kind::kSucceeded) << result_->exception_message;
    renews_on_ = 0;  // One that ignores its signal.
    Run(absl::Seconds(10));
    loop_.RunFor(absl::Seconds(10));
    EXPECT_EQ(result_.value().exception_name, "NoNewWorkers");
  }
}

TEST_F(ResetPoolTest, AReloadOfFpmWarnsOfTheRequestsThatItCuts) {
  const std::string ini = ::testing::TempDir() + "/php-fpm.conf";
  processes_.End(kMain);
  processes_.Add(kMain, {.comm = "php-fpm", .title = Title(ini), .unit = kUnit});
  AddWorker();
  config_.mutable_php_fpm()->set_method(config::PhpFpmPool::RELOAD);
  Make();
  renews_on_ = SIGUSR2;
  for (const bool warns : {true, false}) {
    std::ofstream(ini) << (warns ? "[global]\n" : "process_control_timeout = 10s\n");
    Run();
    loop_.RunFor(absl::Milliseconds(50));
    ASSERT_TRUE(result_.has_value());
    EXPECT_EQ(result_->context.find("process_control_timeout is 0") != std::string::npos, warns)
        << result_->context;
  }
}

TEST_F(ResetPoolTest, AMainProcessThatEndsMeanwhileIsSaid) {
  AddWorker();
  config_.mutable_nginx();
  Make();
  Run();
  processes_.End(kMain);
  loop_.RunFor(absl::Milliseconds(50));
  EXPECT_EQ(result_.value().kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "MainProcessEnded");
}

TEST_F(ResetPoolTest, ASignalThatEndsTheMainProcessHasFailedUnlessItIsMeantTo) {
  for (const bool is_meant_to : {false, true}) {
    config_.mutable_signal()->set_signal(is_meant_to ? "TERM" : "USR1");
    Make();
    if (!processes_.IsThere(kMain)) processes_.Add(kMain, {.comm = "app", .unit = kUnit});
    Run();
    if (processes_.IsThere(kMain)) processes_.End(kMain);
    loop_.RunFor(absl::Milliseconds(150));
    ASSERT_TRUE(result_.has_value());
    EXPECT_EQ(result_->kind, is_meant_to ? Kind::kSucceeded : Kind::kFailed);
  }
}

TEST_F(ResetPoolTest, WritesToTheFifoOfUwsgiAndAwaitsItsWorkers) {
  const std::string fifo = ::testing::TempDir() + "/master.fifo";
  unlink(fifo.c_str());
  config_.mutable_uwsgi()->set_master_fifo(fifo);
  processes_.Add(90, {.comm = "uwsgi", .parent = kMain});  // The emperor's vassal,
  processes_.Add(91, {.comm = "uwsgi", .parent = 90});     // and its worker.
  Make();
  EXPECT_EQ(action_->Plan(), "writes \"r\" to " + fifo);
  Run();
  EXPECT_EQ(result_.value().exception_name, "CannotTell");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  Run();
  EXPECT_EQ(result_.value().exception_message, fifo + ": nobody reads it");
  UniqueFd reader(open(fifo.c_str(), O_RDONLY | O_NONBLOCK));
  Run();
  EXPECT_EQ(effect_, "main=70 workers=2");
  char written = 0;
  EXPECT_EQ(read(reader.get(), &written, 1), 1);
  EXPECT_EQ(written, 'r');
  EXPECT_FALSE(result_.has_value());
  processes_.End(91);
  processes_.Add(92, {.comm = "uwsgi", .parent = 90});
  loop_.RunFor(absl::Milliseconds(1100));
  EXPECT_EQ(result_.value().kind, Kind::kSucceeded);
}

TEST_F(ResetPoolTest, TouchesTheFileOfUwsgi) {
  const std::string file = ::testing::TempDir() + "/reload.me";
  std::ofstream(file) << "";
  AddWorker();
  config_.mutable_uwsgi()->set_touch_file(file);
  Make();
  EXPECT_EQ(action_->Plan(), "touches " + file);
  Run();
  AddWorker();
  loop_.RunFor(absl::Milliseconds(50));
  EXPECT_EQ(result_.value().kind, Kind::kSucceeded);
}

TEST_F(ResetPoolTest, ReloadsTheUnitOverDBus) {
  config_.mutable_reload();
  Make();
  EXPECT_EQ(action_->Plan(), "reloads fpm.service over D-Bus");
  Run();
  ASSERT_EQ(services_.reloads().size(), 1u);
  EXPECT_EQ(services_.reloads()[0].unit, kUnit);
  EXPECT_EQ(effect_, "job=1 unit=fpm.service");
  services_.EndJob(1, "done");
  loop_.RunPending();
  EXPECT_EQ(result_.value().kind, Kind::kSucceeded);
  Run();
  services_.EndJob(2, "failed", "exit-code");
  loop_.RunPending();
  EXPECT_EQ(result_.value().exception_name, "JobFailed");
  EXPECT_EQ(result_->exception_message,
            "the reload job of fpm.service ended as failed, unit result exit-code");
}

TEST_F(ResetPoolTest, AReloadThatHangsHasTimedOutAndItsJobIsCancelled) {
  config_.mutable_reload();
  Make();
  Run(absl::Seconds(30));
  loop_.RunFor(absl::Seconds(30));
  EXPECT_EQ(result_.value().kind, Kind::kTimedOut);
  EXPECT_EQ(result_->exception_name, "JobTimedOut");
  EXPECT_THAT(services_.cancelled_jobs(), ElementsAre(1u));
}

TEST_F(ResetPoolTest, WhatCannotBeRecordedNeverBegins) {
  AddWorker();
  recorded_ = absl::ResourceExhaustedError("the disk is full");
  config_.mutable_php_fpm();
  Make();
  Run();
  EXPECT_EQ(result_.value().exception_name, "LedgerUnavailable");
  EXPECT_EQ(result_->context, "not begun");
  EXPECT_THAT(Signals(), IsEmpty());
}

TEST_F(ResetPoolTest, NeverHitsAWorkersPidThatIsUsedAgain) {
  AddWorker();
  config_.mutable_php_fpm();
  Make();
  processes_.on_signal = nullptr;
  action_->Run(
      loop_.Now() + absl::Seconds(10),
      [this](std::string, absl::AnyInvocable<void(absl::Status)> then) {
        processes_.End(101);
        processes_.Add(101, {.comm = "database", .start_ticks = 9999});
        then(absl::OkStatus());
      },
      [](ActionResult) {});
  loop_.RunFor(absl::Seconds(10));
  EXPECT_THAT(Signals(), IsEmpty());
}

TEST_F(ResetPoolTest, AMainProcessThatIsNotThereOrNotTheUnits) {
  config_.mutable_nginx();
  Make();
  processes_.End(kMain);
  Run();
  EXPECT_EQ(result_.value().exception_name, "NoMainProcess");
  processes_.Add(kMain, {.comm = "database", .unit = "database.service"});
  Run();
  EXPECT_EQ(result_.value().exception_message, "process 70 is not of fpm.service any more");
  UnitState state = services_.Unit(kUnit);
  state.main_pid = 0;
  services_.SetUnit(kUnit, state);
  loop_.RunPending();
  Run();
  EXPECT_EQ(result_.value().exception_message, "fpm.service has no main process");
  state.main_pid = getpid();
  services_.SetUnit(kUnit, state);
  loop_.RunPending();
  Run();
  EXPECT_THAT(result_.value().exception_message, HasSubstr("is the agent itself"));
  EXPECT_THAT(Signals(), IsEmpty());
}

TEST_F(ResetPoolTest, NothingMoreComesOfOneThatWasDestroyedInARun) {
  AddWorker(true);
  AddWorker();
  config_.mutable_php_fpm();
  Make();
  Run();
  action_.reset();
  loop_.RunFor(absl::Minutes(5));
  EXPECT_THAT(Signals(), ElementsAre(Signalled{101, SIGQUIT}));
  EXPECT_FALSE(result_.has_value());
}

// As RestartService: systemd and people first.
TEST_F(ResetPoolTest, WaitsOrLeavesAsTheUnitIs) {
  const struct {
    const char *active, *sub, *result;
    uint32_t job;
    Readiness::Kind kind;
    const char* reason;
  } kStates[] = {
      {"active", "running", "success", 0, Readiness::Kind::kReady, ""},
      {"active", "running", "success", 7, Readiness::Kind::kWait,
       "systemd itself acts on fpm.service (active/running, job 7)"},
      {"activating", "auto-restart", "signal", 0, Readiness::Kind::kWait,
       "systemd itself acts on fpm.service (activating/auto-restart)"},
      {"activating", "start", "success", 0, Readiness::Kind::kWait,
       "systemd itself acts on fpm.service (activating/start)"},
      {"reloading", "reload", "success", 0, Readiness::Kind::kWait,
       "systemd itself acts on fpm.service (reloading/reload)"},
      {"deactivating", "stop-sigterm", "success", 0, Readiness::Kind::kWait,
       "systemd itself acts on fpm.service (deactivating/stop-sigterm)"},
      {"inactive", "dead", "success", 0, Readiness::Kind::kLeave,
       "fpm.service was stopped on purpose"},
      {"failed", "failed", "signal", 0, Readiness::Kind::kLeave,
       "fpm.service does not run: it is failed/failed"},
  };
  config_.mutable_nginx();
  Make();
  int changes = 0;
  action_->Watch([&] { ++changes; });
  for (const auto& state : kStates) {
    UnitState unit = services_.Unit(kUnit);
    unit.active_state = state.active;
    unit.sub_state = state.sub;
    unit.result = state.result;
    unit.job_id = state.job;
    services_.SetUnit(kUnit, unit);
    loop_.RunPending();
    EXPECT_EQ(action_->Check().kind, state.kind) << state.reason;
    EXPECT_EQ(action_->Check().reason, state.reason);
  }
  EXPECT_EQ(changes, 8);
  services_.SetUnit(kUnit, absl::NotFoundError("fpm.service: no such unit"));
  loop_.RunPending();
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kLeave);
  services_.SetConnected(false);
  loop_.RunPending();
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
  services_.SetStopping(true);
  EXPECT_EQ(action_->Check().reason, "the system is stopping");
}

std::string ErrorOf(const std::function<void(config::ResetPool&)>& fill) {
  config::ResetPool config;
  config.set_service("fpm");
  fill(config);
  return std::string(CheckResetPool(config).message());
}

TEST(CheckResetPoolTest, NamesTheFieldThatIsWrong) {
  EXPECT_EQ(ErrorOf([](auto& c) { c.set_service(""); }), "reset_pool.service: names no service");
  EXPECT_EQ(ErrorOf([](auto& c) { c.set_service("a*"); }),
            "reset_pool.service: no unit can be named 'a*'");
  EXPECT_EQ(ErrorOf([](auto&) {}),
            "reset_pool.method: one of php_fpm, uwsgi, gunicorn, nginx, signal and reload must be "
            "set");
  EXPECT_EQ(ErrorOf([](auto& c) {
              c.set_pool("www");
              c.mutable_nginx();
            }),
            "reset_pool.pool: only php_fpm and uwsgi have named pools");
  EXPECT_EQ(ErrorOf([](auto& c) {
              c.set_pool("a/b");
              c.mutable_php_fpm();
            }),
            "reset_pool.pool: 'a/b' has a /");
  EXPECT_EQ(ErrorOf([](auto& c) {
              c.set_pool("www");
              c.mutable_php_fpm()->set_method(config::PhpFpmPool::RELOAD);
            }),
            "reset_pool.pool: a RELOAD is of the whole service");
  EXPECT_EQ(ErrorOf([](auto& c) { c.mutable_signal(); }),
            "reset_pool.signal.signal: '' is not HUP, USR1, USR2, WINCH, QUIT, TERM or INT");
  EXPECT_EQ(ErrorOf([](auto& c) { c.mutable_uwsgi(); }),
            "reset_pool.uwsgi.master_fifo: exactly one of master_fifo and touch_file must be set");
  EXPECT_EQ(ErrorOf([](auto& c) { c.mutable_uwsgi()->set_touch_file("a"); }),
            "reset_pool.uwsgi.touch_file: 'a' is no full path");
  EXPECT_EQ(ErrorOf([](auto& c) { c.mutable_php_fpm()->set_status("/run/fpm.sock"); }),
            "reset_pool.php_fpm.status: '/run/fpm.sock' begins neither with unix: nor with tcp:");
  EXPECT_EQ(ErrorOf([](auto& c) { c.mutable_php_fpm()->set_status_path("status"); }),
            "reset_pool.php_fpm.status_path: 'status' is no full path");
}

TEST(CheckResetPoolTest, HoldsTheEdgesOfTheDurations) {
  const auto with = [](const std::string& grace, const std::string& pause) {
    return ErrorOf([&](auto& c) {
      c.mutable_php_fpm()->set_grace(grace);
      c.mutable_php_fpm()->set_pause(pause);
    });
  };
  EXPECT_EQ(with("", ""), "");
  EXPECT_EQ(with("100ms", "0s"), "");
  EXPECT_EQ(with("10m", "10s"), "");
  EXPECT_THAT(with("99ms", ""), HasSubstr("reset_pool.php_fpm.grace"));
  EXPECT_THAT(with("601s", ""), HasSubstr("reset_pool.php_fpm.grace"));
  EXPECT_THAT(with("", "10001ms"), HasSubstr("reset_pool.php_fpm.pause"));
}

}  // namespace
}  // namespace salve

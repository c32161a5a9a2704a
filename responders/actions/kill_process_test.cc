#include "responders/actions/kill_process.h"

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "responders/actions/process_action_fixture.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = ActionResult::Kind;
using Signalled = FakeHost::Signalled;

constexpr absl::Duration kTick = absl::Nanoseconds(1);

class KillProcessTest : public ProcessActionTest {
 protected:
  void MakeByName(const std::string& name, uint32_t max_count = 0) {
    config_.set_process_name(name);
    config_.set_max_count(max_count);
    Make();
  }
  void Make() {
    ASSERT_TRUE(CheckKillProcess(config_).ok()) << CheckKillProcess(config_);
    action_ = NewKillProcess(config_, {loop_, processes_.host, services_});
    loop_.RunPending();
  }

  config::KillProcess config_;
};

TEST_F(KillProcessTest, EndsThoseOfTheNameByTerm) {
  processes_.Add(70, {.comm = "php"});
  processes_.Add(71, {.comm = "php"});
  processes_.Add(72, {.comm = "cron"});
  MakeByName("php");
  EXPECT_EQ(action_->id(), "KillProcess");
  EXPECT_EQ(action_->resource(), "php");
  EXPECT_EQ(action_->Plan(),
            "ends processes named php: TERM, then KILL 10s later; nothing, if more than 10 match");
  Run();
  EXPECT_EQ(effect_, "targets=70:1070,71:1071 count=2");
  loop_.RunFor(absl::Milliseconds(20));
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kSucceeded);
  EXPECT_EQ(result_->context, "ended by TERM: 70, 71");
  EXPECT_THAT(Signals(), ElementsAre(Signalled{70, SIGTERM}, Signalled{71, SIGTERM}));
}

TEST_F(KillProcessTest, KillsThoseThatAreStillThereAfterTheGraceAndNotBefore) {
  processes_.Add(70, {.comm = "php", .ends_on_term = false});
  processes_.Add(71, {.comm = "php"});
  MakeByName("php");
  Run();
  loop_.RunFor(absl::Seconds(10) - kTick);
  EXPECT_THAT(Signals(), ElementsAre(Signalled{70, SIGTERM}, Signalled{71, SIGTERM}));
  EXPECT_FALSE(result_.has_value());
  loop_.RunFor(kTick);
  EXPECT_EQ(Signals().back(), (Signalled{70, SIGKILL}));
  loop_.RunFor(absl::Milliseconds(20));
  EXPECT_EQ(result_.value().kind, Kind::kSucceeded);
  EXPECT_EQ(result_->context, "ended by TERM: 71; ended by KILL: 70");
}

TEST_F(KillProcessTest, RefusesMoreThanTheMostAndKillsNone) {
  for (pid_t pid = 70; pid < 73; ++pid) processes_.Add(pid, {.comm = "php"});
  MakeByName("php", 2);
  Run();
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "TooMany");
  EXPECT_EQ(result_->exception_message,
            "3 processes named php, at most 2 may be ended: nothing was done");
  EXPECT_THAT(Signals(), IsEmpty());
  EXPECT_EQ(effect_, "");
  MakeByName("php", 3);  // As many as may.
  Run();
  EXPECT_EQ(Signals().size(), 3u);
}

TEST_F(KillProcessTest, NeverTouchesWhatItMustNot) {
  processes_.Add(2, {.comm = "kthreadd", .parent = 0, .flags = 0x00200000});
  for (const std::string name : {"systemd", "salved", "agent-starter", "kthreadd"}) {
    MakeByName(name);
    Run();
    ASSERT_TRUE(result_.has_value()) << name;
    EXPECT_EQ(result_->kind, Kind::kFailed) << name;
  }
  EXPECT_THAT(Signals(), IsEmpty());
}

TEST_F(KillProcessTest, SaysWhatItLeftOut) {
  processes_.Add(70, {.comm = "systemd"});
  MakeByName("systemd");
  Run();
  loop_.RunFor(absl::Milliseconds(20));
  EXPECT_EQ(result_.value().kind, Kind::kSucceeded);
  EXPECT_EQ(result_->context, "ended by TERM: 70; left out: 1 is the init process");
}

// Its number is another's by the time of the signal: nobody is hit.
TEST_F(KillProcessTest, NeverHitsAPidThatIsUsedAgain) {
  processes_.Add(70, {.comm = "php"});
  MakeByName("php");
  before_record_ = [this] {
    processes_.End(70);
    processes_.Add(70, {.comm = "database", .start_ticks = 9999});
  };
  Run();
  loop_.RunFor(absl::Minutes(1));
  EXPECT_THAT(Signals(), IsEmpty());
  EXPECT_TRUE(processes_.IsThere(70));
  EXPECT_EQ(result_.value().context, "ended before: 70");
}

TEST_F(KillProcessTest, LeavesOneAloneThatEndedByItself) {
  processes_.Add(70, {.comm = "php"});
  processes_.Add(71, {.comm = "php"});
  MakeByName("php");
  before_record_ = [this] { processes_.End(70); };
  Run();
  loop_.RunFor(absl::Milliseconds(20));
  EXPECT_EQ(result_.value().context, "ended by TERM: 71; ended before: 70");
}

TEST_F(KillProcessTest, WhatCannotBeRecordedNeverBegins) {
  processes_.Add(70, {.comm = "php"});
  recorded_ = absl::ResourceExhaustedError("the disk is full");
  MakeByName("php");
  Run();
  EXPECT_EQ(result_.value().exception_name, "LedgerUnavailable");
  EXPECT_EQ(result_->context, "not begun");
  EXPECT_THAT(Signals(), IsEmpty());
}

TEST_F(KillProcessTest, SaysThatThereIsNone) {
  MakeByName("php");
  Run();
  EXPECT_EQ(result_.value().kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "NoSuchProcess");
  EXPECT_EQ(result_->exception_message, "processes named php: none that may be ended");
}

TEST_F(KillProcessTest, OneThatOutlivesKillHasTimedOutAtTheDeadline) {
  processes_.Add(70, {.comm = "php", .ends_on_term = false});
  MakeByName("php");
  processes_.host.SetOnSignal([](pid_t, int) {});  // It hangs in the kernel.
  Run(absl::Seconds(20));
  loop_.RunFor(absl::Seconds(20) - kTick);
  EXPECT_FALSE(result_.has_value());
  loop_.RunFor(kTick);
  EXPECT_EQ(result_.value().kind, Kind::kTimedOut);
  EXPECT_EQ(result_->exception_name, "StillThere");
  EXPECT_EQ(result_->context, "still there: 70");
}

TEST_F(KillProcessTest, ADeadlineSoonerThanTheGraceStillLeavesTimeForKill) {
  processes_.Add(70, {.comm = "php", .ends_on_term = false});
  MakeByName("php");
  EXPECT_EQ(action_->Needs(), absl::Seconds(15));
  Run(absl::Seconds(5));
  loop_.RunFor(absl::Seconds(4) - kTick);
  EXPECT_TRUE(processes_.IsThere(70));
  loop_.RunFor(absl::Milliseconds(30));
  EXPECT_EQ(result_.value().context, "ended by KILL: 70");
}

TEST_F(KillProcessTest, SaysThatItMayNot) {
  processes_.Add(70, {.comm = "php"});
  MakeByName("php");
  processes_.host.SetSignalError(absl::PermissionDeniedError("signal 15: not permitted"));
  Run();
  EXPECT_EQ(result_.value().kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "CannotSignal");
  EXPECT_EQ(result_->exception_message, "process 70: signal 15: not permitted");
}

TEST_F(KillProcessTest, OneThatCannotBeOpenedLeavesAllAlone) {
  processes_.Add(70, {.comm = "php"});
  MakeByName("php");
  processes_.host.SetOpenError(absl::ResourceExhaustedError("no descriptors"));
  Run();
  EXPECT_EQ(result_.value().exception_name, "CannotLook");
  EXPECT_THAT(Signals(), IsEmpty());
}

TEST_F(KillProcessTest, TakesThePidOfAFile) {
  processes_.Add(70, {.comm = "php"});
  const std::string path = ::testing::TempDir() + "/kill.pid";
  config_.set_pid_file(path);
  Make();
  EXPECT_EQ(action_->resource(), path);
  std::ofstream(path) << "not a pid\n";
  Run();
  EXPECT_EQ(result_.value().exception_name, "BadPidFile");
  std::ofstream(path) << "1\n";
  Run();
  EXPECT_EQ(result_.value().exception_name, "Protected");
  EXPECT_EQ(result_->context, "left out: 1 is the init process");
  std::ofstream(path) << "71\n";
  Run();
  EXPECT_EQ(result_.value().exception_name, "NoSuchProcess");
  EXPECT_THAT(Signals(), IsEmpty());
  std::ofstream(path) << " 70\nmore\n";
  Run();
  EXPECT_THAT(Signals(), ElementsAre(Signalled{70, SIGTERM}));
  std::filesystem::remove(path);
  Run();
  EXPECT_EQ(result_.value().exception_name, "NoSuchProcess");
}

class KillMainProcessTest : public KillProcessTest {
 protected:
  KillMainProcessTest() {
    processes_.Add(70, {.comm = "php", .unit = "php.service"});
    UnitState state = services_.Unit("php.service");
    state.main_pid = 70;
    services_.SetUnit("php.service", state);
    config_.set_service("php");
    Make();
  }
};

TEST_F(KillMainProcessTest, EndsTheMainProcessOfTheUnit) {
  EXPECT_EQ(action_->resource(), "php.service");
  EXPECT_EQ(action_->Plan(), "ends the main process of php.service: TERM, then KILL 10s later");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  Run();
  loop_.RunFor(absl::Milliseconds(20));
  EXPECT_EQ(result_.value().context, "ended by TERM: 70");
}

TEST_F(KillMainProcessTest, LeavesOneAloneThatIsNotOfTheUnitAnyMore) {
  processes_.End(70);
  processes_.Add(70, {.comm = "database", .unit = "database.service"});
  Run();
  EXPECT_EQ(result_.value().exception_name, "NoSuchProcess");
  EXPECT_EQ(result_->exception_message, "process 70 is not of php.service any more");
  EXPECT_THAT(Signals(), IsEmpty());
}

TEST_F(KillMainProcessTest, WaitsForSystemdAndLeavesWhatWasStopped) {
  UnitState state = services_.Unit("php.service");
  state.job_id = 7;
  services_.SetUnit("php.service", state);
  loop_.RunPending();
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
  state.job_id = 0;
  state.active_state = "inactive";
  services_.SetUnit("php.service", state);
  loop_.RunPending();
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kLeave);
  EXPECT_EQ(action_->Check().reason, "php.service was stopped on purpose");
}

TEST_F(KillProcessTest, DoesNothingWhileTheSystemStops) {
  MakeByName("php");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  services_.SetStopping(true);
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kLeave);
}

TEST_F(KillProcessTest, NothingMoreComesOfOneThatWasDestroyedInARun) {
  processes_.Add(70, {.comm = "php", .ends_on_term = false});
  MakeByName("php");
  Run();
  action_.reset();
  loop_.RunFor(absl::Minutes(5));
  EXPECT_THAT(Signals(), ElementsAre(Signalled{70, SIGTERM}));
  EXPECT_FALSE(result_.has_value());
}

TEST(CheckKillProcessTest, NamesTheFieldThatIsWrong) {
  const auto error = [](auto fill) {
    config::KillProcess config;
    fill(config);
    return std::string(CheckKillProcess(config).message());
  };
  const std::string one =
      "kill_process.process_name: exactly one of process_name, pid_file and "
      "service must be set";
  EXPECT_EQ(error([](auto&) {}), one);
  EXPECT_EQ(error([](auto& c) {
              c.set_process_name("a");
              c.set_service("b");
            }),
            one);
  EXPECT_EQ(error([](auto& c) { c.set_process_name("/bin/a"); }),
            "kill_process.process_name: '/bin/a' is a path, not a name");
  EXPECT_EQ(error([](auto& c) { c.set_pid_file("a.pid"); }),
            "kill_process.pid_file: 'a.pid' is no full path");
  EXPECT_EQ(error([](auto& c) { c.set_service("a*"); }),
            "kill_process.service: no unit can be named 'a*'");
  const auto with = [&](const std::string& grace, uint32_t max_count) {
    return error([&](auto& c) {
      c.set_process_name("a");
      c.set_grace(grace);
      c.set_max_count(max_count);
    });
  };
  EXPECT_EQ(with("0s", 1000), "");
  EXPECT_EQ(with("10m", 1), "");
  EXPECT_NE(with("601s", 1), "");
  EXPECT_NE(with("1s", 1001), "");
}

}  // namespace
}  // namespace salve

// The client of systemd against a systemd that the test plays, once as a direct peer and once
// behind a message bus. The real systemd is in tests/machine.
#include "base/sd_bus_service_manager.h"

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/fake_systemd.h"
#include "base/uv_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

UnitState Nginx() {
  return {.id = "nginx.service",
          .load_state = "loaded",
          .active_state = "active",
          .sub_state = "running",
          .result = "success",
          .restart = "no",
          .invocation_id = "0123456789abcdef0123456789abcdef",
          .main_pid = 77,
          .timeout_start = absl::Seconds(90),
          .timeout_stop = absl::InfiniteDuration()};
}

// A folder of its own: the names of sockets must be short, so not in TempDir().
class SocketFolder {
 public:
  SocketFolder() : path_(mkdtemp(name_)) {}
  ~SocketFolder() { std::filesystem::remove_all(path_); }
  std::string Path(const std::string& name) const { return path_ + "/" + name; }

 private:
  char name_[32] = "/tmp/salve-bus-XXXXXX";
  const std::string path_;
};

class SdBusServiceManagerTest : public testing::TestWithParam<bool> {
 protected:
  SdBusServiceManagerTest() {
    systemd_.units["nginx.service"] = Nginx();
    manager_ =
        std::make_unique<SdBusServiceManager>(loop_, std::vector<BusAddress>{systemd_.address()});
  }
  void RunFor(absl::Duration d) {
    loop_.CallAfter(d, [this] { loop_.Stop(); });
    loop_.Run();
  }
  template <typename Condition>
  bool RunUntil(Condition condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i) RunFor(absl::Milliseconds(1));
    return condition();
  }
  UnitWatchId Watch(const std::string& unit) {
    return manager_->WatchUnit(
        unit, [this](const absl::StatusOr<UnitState>& state) { told_.push_back(state); });
  }
  // Watches nginx and waits until its state has been told.
  void WatchNginx() {
    Watch("nginx.service");
    ASSERT_TRUE(RunUntil([&] { return told_.size() == 1; }));
  }
  bool RunUntilTold(size_t times) {
    return RunUntil([&] { return told_.size() >= times; });
  }
  void Restart(const std::string& unit, absl::Duration timeout = absl::Seconds(20)) {
    manager_->RestartUnit(
        unit, loop_.Now() + timeout, [this](uint32_t job) { queued_.push_back(job); },
        [this](absl::StatusOr<JobResult> result) { TakeEnd(std::move(result)); });
  }
  void Reload(const std::string& unit, absl::Duration timeout = absl::Seconds(20)) {
    manager_->ReloadUnit(
        unit, loop_.Now() + timeout, [this](uint32_t job) { queued_.push_back(job); },
        [this](absl::StatusOr<JobResult> result) { TakeEnd(std::move(result)); });
  }
  void TakeEnd(absl::StatusOr<JobResult> result) {
    EXPECT_FALSE(done_.has_value()) << "done was called twice";
    done_ = std::move(result);
  }
  absl::StatusOr<JobResult> Done() {
    EXPECT_TRUE(RunUntil([&] { return done_.has_value(); }));
    return done_.value_or(absl::UnknownError("no answer"));
  }
  absl::Status Reboot(bool force = false, absl::Duration timeout = absl::Seconds(20)) {
    std::optional<absl::Status> answer;
    manager_->Reboot(force, loop_.Now() + timeout, [&](absl::Status status) {
      EXPECT_FALSE(answer.has_value()) << "done was called twice";
      answer = std::move(status);
    });
    EXPECT_FALSE(answer.has_value()) << "inside the call";
    EXPECT_TRUE(RunUntil([&] { return answer.has_value(); }));
    return answer.value_or(absl::UnknownError("no answer"));
  }
  // Asks for a restart and waits until its job is queued.
  void RestartAndWait() {
    Restart("nginx.service");
    ASSERT_TRUE(RunUntil([&] { return queued_.size() == 1; }));
  }
  UnitState& nginx() { return systemd_.units["nginx.service"]; }

  UvLoop loop_;
  SocketFolder folder_;
  FakeSystemd systemd_{loop_, folder_.Path("systemd"), GetParam()};
  std::unique_ptr<SdBusServiceManager> manager_;
  std::vector<absl::StatusOr<UnitState>> told_;
  std::vector<uint32_t> queued_;
  std::optional<absl::StatusOr<JobResult>> done_;
};

INSTANTIATE_TEST_SUITE_P(PeerAndBus, SdBusServiceManagerTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Bus" : "Peer"; });

TEST_P(SdBusServiceManagerTest, TellsTheWholeStateOfAUnitSoonAfterTheCall) {
  nginx().job_id = 5;
  nginx().n_restarts = 3;
  Watch("nginx.service");
  EXPECT_THAT(told_, IsEmpty());
  ASSERT_TRUE(RunUntilTold(1));
  EXPECT_EQ(told_[0].value(), nginx());
}

TEST_P(SdBusServiceManagerTest, SubscribesToTheSignals) {
  WatchNginx();
  EXPECT_EQ(systemd_.calls().front(), "Subscribe");
}

TEST_P(SdBusServiceManagerTest, TellsAUnitThatIsNotThereAndItsAppearance) {
  Watch("new.service");
  ASSERT_TRUE(RunUntilTold(1));
  EXPECT_EQ(told_[0].status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(told_[0].status().message()), HasSubstr("new.service"));
  systemd_.units["new.service"] = Nginx();
  systemd_.SignalUnit("new.service", "Unit");
  ASSERT_TRUE(RunUntilTold(2));
  EXPECT_EQ(told_[1].value().restart, "no");
}

TEST_P(SdBusServiceManagerTest, DecidesOnTheSignalOfTheUnitWithTheValuesOfTheService) {
  WatchNginx();
  nginx().result = "signal";
  nginx().main_pid = 0;
  systemd_.SignalUnit("nginx.service", "Service");
  nginx().active_state = "failed";
  nginx().sub_state = "failed";
  systemd_.SignalUnit("nginx.service", "Unit");
  ASSERT_TRUE(RunUntilTold(2));
  RunFor(absl::Milliseconds(60));
  ASSERT_EQ(told_.size(), 2);
  EXPECT_EQ(told_[1].value(), nginx());
}

TEST_P(SdBusServiceManagerTest, TellsAChangeOfTheServiceAloneAfterAWhile) {
  WatchNginx();
  nginx().main_pid = 78;
  systemd_.SignalUnit("nginx.service", "Service");
  ASSERT_TRUE(RunUntilTold(2));
  EXPECT_EQ(told_[1]->main_pid, 78);
}

TEST_P(SdBusServiceManagerTest, TellsNothingWhenNothingOfOursHasChanged) {
  WatchNginx();
  systemd_.SignalUnit("nginx.service", "Unit");
  systemd_.SignalReloading(false);
  RunFor(absl::Milliseconds(20));
  EXPECT_EQ(told_.size(), 1);
}

TEST_P(SdBusServiceManagerTest, ReadsTheConstantsAgainAfterAReloadAndAfterAStart) {
  WatchNginx();
  nginx().restart = "always";
  systemd_.SignalReloading(true);
  RunFor(absl::Milliseconds(10));
  EXPECT_EQ(told_.size(), 1);
  systemd_.SignalReloading(false);
  ASSERT_TRUE(RunUntilTold(2));
  EXPECT_EQ(told_[1]->restart, "always");
  nginx().restart = "on-failure";
  nginx().invocation_id = "ffffffffffffffffffffffffffffffff";
  systemd_.SignalUnit("nginx.service", "Unit");
  ASSERT_TRUE(RunUntilTold(4));
  EXPECT_EQ(told_[3]->restart, "on-failure");
}

TEST_P(SdBusServiceManagerTest, TellsEveryWatcherAndOnlyThoseThatAreLeft) {
  WatchNginx();
  int others = 0;
  UnitWatchId other{};
  other = manager_->WatchUnit("nginx.service", [&](const auto&) {
    ++others;
    manager_->UnwatchUnit(other);
  });
  ASSERT_TRUE(RunUntil([&] { return others == 1; }));
  EXPECT_EQ(told_.size(), 1);
  nginx().sub_state = "reload";
  systemd_.SignalUnit("nginx.service", "Unit");
  ASSERT_TRUE(RunUntilTold(2));
  EXPECT_EQ(others, 1);
}

TEST_P(SdBusServiceManagerTest, TellsNothingAfterTheLastWatchHasEnded) {
  const UnitWatchId id = Watch("nginx.service");
  ASSERT_TRUE(RunUntilTold(1));
  manager_->UnwatchUnit(id);
  manager_->UnwatchUnit(id);
  manager_->UnwatchUnit(UnitWatchId::kNone);
  nginx().sub_state = "reload";
  systemd_.SignalUnit("nginx.service", "Unit");
  RunFor(absl::Milliseconds(20));
  EXPECT_EQ(told_.size(), 1);
}

TEST_P(SdBusServiceManagerTest, ReadsAllAgainAfterALostConnection) {
  WatchNginx();
  systemd_.Drop();
  nginx().active_state = "failed";  // Nobody told.
  ASSERT_TRUE(RunUntilTold(3));
  EXPECT_EQ(told_[1].status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(told_[2]->active_state, "failed");
  nginx().active_state = "active";
  systemd_.SignalUnit("nginx.service", "Unit");
  EXPECT_TRUE(RunUntilTold(4));
}

TEST_P(SdBusServiceManagerTest, TriesAgainUntilThereIsABus) {
  systemd_.StopListening();
  Watch("nginx.service");
  ASSERT_TRUE(RunUntilTold(1));
  EXPECT_EQ(told_[0].status().code(), absl::StatusCode::kUnavailable);
  RunFor(absl::Milliseconds(350));  // At least the second try has failed.
  EXPECT_EQ(told_.size(), 1);
  systemd_.Listen();
  ASSERT_TRUE(RunUntilTold(2));
  EXPECT_TRUE(told_[1].ok());
}

TEST_P(SdBusServiceManagerTest, AnswersAtOnceWhileThereIsNoBus) {
  systemd_.StopListening();
  RunFor(absl::Milliseconds(5));
  Watch("nginx.service");
  Restart("nginx.service");
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_FALSE(done_.has_value());
  manager_->CancelJob(1);
  EXPECT_EQ(Done().status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(RunUntilTold(1));
  EXPECT_EQ(told_[0].status().code(), absl::StatusCode::kUnavailable);
}

TEST_P(SdBusServiceManagerTest, TakesTheNextAddressWhereThereIsNoSystemd) {
  FakeSystemd empty(loop_, folder_.Path("empty"), GetParam());
  empty.errors["Subscribe"] = "org.freedesktop.DBus.Error.ServiceUnknown";
  manager_ = std::make_unique<SdBusServiceManager>(
      loop_, std::vector<BusAddress>{
                 {"unix:path=/no/such/socket", GetParam()}, empty.address(), systemd_.address()});
  WatchNginx();
  EXPECT_TRUE(told_[0].ok());
}

TEST_P(SdBusServiceManagerTest, LivesWithBeingSubscribedAlready) {
  systemd_.errors["Subscribe"] = "org.freedesktop.systemd1.AlreadySubscribed";
  WatchNginx();
  EXPECT_TRUE(told_[0].ok());
}

TEST_P(SdBusServiceManagerTest, AwaitsTheEndOfARestart) {
  RestartAndWait();
  EXPECT_THAT(systemd_.calls(), Contains("RestartUnit nginx.service fail"));
  EXPECT_EQ(queued_[0], systemd_.last_job());
  RunFor(absl::Milliseconds(10));
  EXPECT_FALSE(done_.has_value());
  systemd_.EndJob(4711, "nginx.service", "canceled");  // Somebody else's.
  nginx().result = "start-limit-hit";
  systemd_.EndJob(queued_[0], "nginx.service", "failed");
  EXPECT_EQ(Done()->result, "failed");
  EXPECT_EQ(Done()->unit_result, "start-limit-hit");
  EXPECT_EQ(Done()->job_id, queued_[0]);
}

TEST_P(SdBusServiceManagerTest, AwaitsTheEndOfAReload) {
  Reload("nginx.service");
  ASSERT_TRUE(RunUntil([&] { return queued_.size() == 1; }));
  EXPECT_THAT(systemd_.calls(), Contains("ReloadUnit nginx.service fail"));
  systemd_.EndJob(queued_[0], "nginx.service", "done");
  EXPECT_EQ(Done()->result, "done");
}

TEST_P(SdBusServiceManagerTest, CancelsAReloadThatHangsAtItsDeadline) {
  Reload("nginx.service", absl::Milliseconds(50));
  EXPECT_EQ(Done().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Done().status().message(), "nginx.service: the reload did not end in time");
  const std::string cancel = absl::StrCat("CancelJob ", queued_.at(0));
  EXPECT_TRUE(RunUntil([&] { return systemd_.CountCalls(cancel) == 1; }));
}

TEST_P(SdBusServiceManagerTest, TellsThatAUnitCannotBeReloaded) {
  systemd_.errors["ReloadUnit"] = "org.freedesktop.systemd1.JobTypeNotApplicable";
  Reload("nginx.service");
  EXPECT_EQ(Done().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(SdBusServiceManagerTest, TakesTheEndOfAJobBeforeTheAnswerThatNamesIt) {
  systemd_.early_result = "done";
  Restart("nginx.service");
  EXPECT_EQ(Done()->result, "done");
  EXPECT_EQ(queued_.size(), 1);
}

TEST_P(SdBusServiceManagerTest, CancelsAJobAtItsDeadline) {
  Restart("nginx.service", absl::Milliseconds(50));
  EXPECT_EQ(Done().status().code(), absl::StatusCode::kDeadlineExceeded);
  const std::string cancel = absl::StrCat("CancelJob ", queued_.at(0));
  EXPECT_TRUE(RunUntil([&] { return systemd_.CountCalls(cancel) == 1; }));
}

TEST_P(SdBusServiceManagerTest, EndsARestartAtItsDeadlineWhenSystemdDoesNotAnswer) {
  systemd_.silent.insert("RestartUnit");
  Restart("nginx.service", absl::Milliseconds(50));
  EXPECT_EQ(Done().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(queued_, IsEmpty());
}

TEST_P(SdBusServiceManagerTest, CancelsAJobThatIsQueuedAfterItGaveUp) {
  systemd_.silent.insert("RestartUnit");
  Restart("nginx.service", absl::Milliseconds(50));
  EXPECT_EQ(Done().status().code(), absl::StatusCode::kDeadlineExceeded);
  systemd_.AnswerHeld();
  const std::string cancel = absl::StrCat("CancelJob ", systemd_.last_job());
  EXPECT_TRUE(RunUntil([&] { return systemd_.CountCalls(cancel) == 1; }));
  EXPECT_THAT(queued_, IsEmpty());
}

TEST_P(SdBusServiceManagerTest, TellsWhyARestartWasRefused) {
  const std::pair<const char*, absl::StatusCode> kCases[] = {
      {"org.freedesktop.systemd1.NoSuchUnit", absl::StatusCode::kNotFound},
      {"org.freedesktop.systemd1.UnitMasked", absl::StatusCode::kFailedPrecondition},
      {"org.freedesktop.systemd1.TransactionIsDestructive", absl::StatusCode::kFailedPrecondition},
      {"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
       absl::StatusCode::kPermissionDenied},
      {"org.freedesktop.DBus.Error.NoReply", absl::StatusCode::kUnavailable},
  };
  for (const auto& [error, code] : kCases) {
    done_.reset();
    systemd_.errors["RestartUnit"] = error;
    Restart("nginx.service");
    EXPECT_EQ(Done().status().code(), code) << error;
    EXPECT_THAT(std::string(Done().status().message()), HasSubstr(error));
  }
}

TEST_P(SdBusServiceManagerTest, FindsAJobAgainAfterALostConnection) {
  RestartAndWait();
  systemd_.Drop();
  ASSERT_TRUE(
      RunUntil([&] { return systemd_.CountCalls(absl::StrCat("GetJob ", queued_[0])) == 1; }));
  RunFor(absl::Milliseconds(10));
  EXPECT_FALSE(done_.has_value());
  systemd_.EndJob(queued_[0], "nginx.service", "done");
  EXPECT_EQ(Done()->result, "done");
}

TEST_P(SdBusServiceManagerTest, TakesTheUnitsWordForAJobThatEndedUnseen) {
  RestartAndWait();
  systemd_.Drop();
  systemd_.EndJob(queued_[0], "nginx.service", "failed");  // Nobody is connected.
  nginx().active_state = "failed";
  nginx().result = "exit-code";
  EXPECT_EQ(Done()->result, "failed");
  EXPECT_EQ(Done()->unit_result, "exit-code");
}

TEST_P(SdBusServiceManagerTest, EndsACallThatWasUnderWayWhenTheConnectionBroke) {
  systemd_.silent.insert("RestartUnit");
  Restart("nginx.service");
  ASSERT_TRUE(RunUntil([&] { return systemd_.CountCalls("RestartUnit nginx.service fail") == 1; }));
  systemd_.Drop();
  EXPECT_EQ(Done().status().code(), absl::StatusCode::kUnavailable);
}

TEST_P(SdBusServiceManagerTest, CancelsAJobByItsNumber) {
  WatchNginx();
  manager_->CancelJob(31);
  EXPECT_TRUE(RunUntil([&] { return systemd_.CountCalls("CancelJob 31") == 1; }));
}

TEST_P(SdBusServiceManagerTest, KnowsThatTheSystemStops) {
  WatchNginx();
  EXPECT_FALSE(manager_->IsStopping());
  systemd_.system_state = "stopping";
  systemd_.SignalJob("JobNew", 200, "nginx.service");
  systemd_.SignalJob("JobNew", 201, "shutdown.target");
  EXPECT_TRUE(RunUntil([&] { return manager_->IsStopping(); }));
  systemd_.system_state = "running";  // The administrator changed his mind.
  systemd_.EndJob(201, "shutdown.target", "canceled");
  EXPECT_TRUE(RunUntil([&] { return !manager_->IsStopping(); }));
}

TEST_P(SdBusServiceManagerTest, KnowsAtTheStartThatTheSystemStops) {
  systemd_.system_state = "stopping";
  EXPECT_TRUE(RunUntil([&] { return manager_->IsStopping(); }));
  systemd_.StopListening();
  systemd_.Drop();
  RunFor(absl::Milliseconds(10));
  EXPECT_TRUE(manager_->IsStopping());
}

TEST_P(SdBusServiceManagerTest, SaysAtOnceThatNobodyCanRebootWhileThereIsNoBus) {
  systemd_.StopListening();
  systemd_.Drop();
  RunFor(absl::Milliseconds(20));
  EXPECT_EQ(Reboot().code(), absl::StatusCode::kUnavailable);
}

TEST_P(SdBusServiceManagerTest, CallsNobodyOnceItIsGone) {
  Watch("nginx.service");
  Restart("nginx.service");
  RunFor(absl::Milliseconds(2));
  told_.clear();
  manager_.reset();
  RunFor(absl::Milliseconds(10));
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_FALSE(done_.has_value());
}

// What only a message bus has.
class SdBusServiceManagerOnABusTest : public SdBusServiceManagerTest {};
INSTANTIATE_TEST_SUITE_P(Bus, SdBusServiceManagerOnABusTest, testing::Values(true));

TEST_P(SdBusServiceManagerOnABusTest, DoesNotBelieveASignalOfAnotherProgram) {
  WatchNginx();
  nginx().active_state = "failed";
  systemd_.SignalUnit("nginx.service", "Unit", /*sender=*/":1.66");
  RunFor(absl::Milliseconds(20));
  EXPECT_EQ(told_.size(), 1);
  systemd_.SignalUnit("nginx.service", "Unit");
  EXPECT_TRUE(RunUntilTold(2));
}

TEST_P(SdBusServiceManagerOnABusTest, SubscribesAgainToASystemdThatComesBack) {
  WatchNginx();
  nginx().active_state = "failed";
  systemd_.ChangeOwner(":1.9");
  ASSERT_TRUE(RunUntilTold(2));
  EXPECT_EQ(systemd_.CountCalls("Subscribe"), 2);
  nginx().active_state = "active";
  systemd_.SignalUnit("nginx.service", "Unit");
  EXPECT_TRUE(RunUntilTold(3));
}

TEST_P(SdBusServiceManagerOnABusTest, AsksLogindWhetherItPreparesForShutdown) {
  WatchNginx();
  systemd_.SignalPrepareForShutdown();  // Somebody lies.
  RunFor(absl::Milliseconds(10));
  EXPECT_FALSE(manager_->IsStopping());
  systemd_.preparing_for_shutdown = true;
  systemd_.SignalPrepareForShutdown();
  EXPECT_TRUE(RunUntil([&] { return manager_->IsStopping(); }));
}

TEST_P(SdBusServiceManagerOnABusTest, RebootsThroughLogindWhenNobodyBlocksIt) {
  systemd_.inhibitors = {{"shutdown:sleep", "apt", "saves its state", "delay"},
                         {"sleep:idle", "a film", "is watched", "block"},
                         {"shutdowns", "nobody", "nothing", "block"}};
  EXPECT_EQ(Reboot(), absl::OkStatus());
  EXPECT_EQ(systemd_.CountCalls("ListInhibitors"), 1);
  EXPECT_EQ(systemd_.CountCalls("RebootWithFlags 1"), 1);
}

TEST_P(SdBusServiceManagerOnABusTest, NamesWhoBlocksAReboot) {
  systemd_.inhibitors = {{"sleep:shutdown", "dpkg", "upgrade", "block"},
                         {"shutdown", "backup", "runs", "block"}};
  const absl::Status refused = Reboot();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(refused.message(),
            "a reboot is inhibited by dpkg (upgrade, pid 71), backup (runs, pid 71)");
  EXPECT_EQ(systemd_.CountCalls("RebootWithFlags 1"), 0);
  EXPECT_EQ(systemd_.CountCalls("StartUnit reboot.target replace-irreversibly"), 0);
}

TEST_P(SdBusServiceManagerOnABusTest, NamesTenOfManyWhoBlockAReboot) {
  systemd_.inhibitors.assign(12, {"shutdown", "x", "y", "block"});
  EXPECT_THAT(std::string(Reboot().message()), HasSubstr("x (y, pid 71), 2 more"));
}

TEST_P(SdBusServiceManagerOnABusTest, ForceAsksNobodyWhoBlocksIt) {
  systemd_.inhibitors = {{"shutdown", "dpkg", "upgrade", "block"}};
  EXPECT_EQ(Reboot(/*force=*/true), absl::OkStatus());
  EXPECT_EQ(systemd_.CountCalls("ListInhibitors"), 0);
  EXPECT_EQ(systemd_.CountCalls("RebootWithFlags 0"), 1);
}

TEST_P(SdBusServiceManagerOnABusTest, AnOldLogindIsAskedInItsOwnWay) {
  systemd_.errors["RebootWithFlags"] = "org.freedesktop.DBus.Error.UnknownMethod";
  EXPECT_EQ(Reboot(), absl::OkStatus());
  EXPECT_EQ(systemd_.CountCalls("Reboot"), 1);
}

TEST_P(SdBusServiceManagerOnABusTest, WithoutLogindSystemdReboots) {
  systemd_.errors["ListInhibitors"] = "org.freedesktop.DBus.Error.ServiceUnknown";
  EXPECT_EQ(Reboot(), absl::OkStatus());
  systemd_.errors["RebootWithFlags"] = "org.freedesktop.DBus.Error.NameHasNoOwner";
  EXPECT_EQ(Reboot(/*force=*/true), absl::OkStatus());
  EXPECT_EQ(systemd_.CountCalls("StartUnit reboot.target replace-irreversibly"), 2);
}

// Whom it cannot ask may hold it off: that is no reason to go round him.
TEST_P(SdBusServiceManagerOnABusTest, ALogindThatDoesNotAnswerIsNotGoneRound) {
  systemd_.errors["ListInhibitors"] = "org.freedesktop.DBus.Error.Timeout";
  EXPECT_EQ(Reboot().code(), absl::StatusCode::kUnavailable);
  systemd_.errors.clear();
  systemd_.silent = {"ListInhibitors"};
  EXPECT_EQ(Reboot(false, absl::Milliseconds(20)).code(), absl::StatusCode::kDeadlineExceeded);
  systemd_.AnswerHeld();
  RunFor(absl::Milliseconds(20));
  EXPECT_EQ(systemd_.CountCalls("RebootWithFlags 1"), 0);
}

TEST_P(SdBusServiceManagerOnABusTest, TellsThatItMayNotReboot) {
  systemd_.errors["RebootWithFlags"] = "org.freedesktop.DBus.Error.AccessDenied";
  EXPECT_EQ(Reboot().code(), absl::StatusCode::kPermissionDenied);
}

TEST_P(SdBusServiceManagerOnABusTest, ARebootIsLostWithTheConnection) {
  systemd_.silent = {"ListInhibitors"};
  loop_.CallAfter(absl::Milliseconds(20), [this] { systemd_.Drop(); });
  EXPECT_EQ(Reboot().code(), absl::StatusCode::kUnavailable);
}

// logind and the bus go down with the server: the attempt must not be told as failed by then.
TEST_P(SdBusServiceManagerOnABusTest, ARebootWhoseAnswerIsLostMayCome) {
  systemd_.silent = {"RebootWithFlags"};
  loop_.CallAfter(absl::Milliseconds(20), [this] { systemd_.Drop(); });
  EXPECT_EQ(Reboot(), absl::OkStatus());
}

TEST_P(SdBusServiceManagerOnABusTest, ARebootThatNobodyIsLeftToAnswerMayCome) {
  for (const char* error : {"NoReply", "Disconnected", "Timeout"}) {
    systemd_.errors["RebootWithFlags"] = absl::StrCat("org.freedesktop.DBus.Error.", error);
    EXPECT_EQ(Reboot(), absl::OkStatus()) << error;
  }
}

// What only a peer has: no logind.
class SdBusServiceManagerOfAPeerTest : public SdBusServiceManagerTest {};
INSTANTIATE_TEST_SUITE_P(Peer, SdBusServiceManagerOfAPeerTest, testing::Values(false));

TEST_P(SdBusServiceManagerOfAPeerTest, RebootsThroughSystemd) {
  EXPECT_EQ(Reboot(), absl::OkStatus());
  EXPECT_EQ(systemd_.CountCalls("StartUnit reboot.target replace-irreversibly"), 1);
  EXPECT_EQ(systemd_.CountCalls("ListInhibitors"), 0);
}

}  // namespace
}  // namespace salve

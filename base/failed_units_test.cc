// The watch of failed units, against a systemd that the test plays.
#include "base/failed_units.h"

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fake_systemd.h"
#include "base/sd_bus_service_manager.h"
#include "base/uv_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FailedUnitsTest : public testing::TestWithParam<bool> {
 protected:
  FailedUnitsTest() {
    Set("nginx.service", "active");
    manager_ =
        std::make_unique<SdBusServiceManager>(loop_, std::vector<BusAddress>{systemd_.address()});
  }
  ~FailedUnitsTest() override { std::filesystem::remove_all(folder_); }

  void Set(const std::string& unit, const std::string& state) {
    systemd_.units[unit] = {.id = unit, .load_state = "loaded", .active_state = state};
  }
  void RunFor(absl::Duration d) {
    loop_.CallAfter(d, [this] { loop_.Stop(); });
    loop_.Run();
  }
  FailedUnitsWatchId Watch() {
    return manager_->WatchFailedUnits([this](const absl::StatusOr<FailedUnitsList>& failed) {
      told_.push_back(failed.ok() ? absl::StrJoin(*failed, " ")
                                  : std::string(absl::StatusCodeToString(failed.status().code())));
    });
  }
  bool RunUntilTold(size_t times) {
    for (int i = 0; i < 10'000 && told_.size() < times; ++i) RunFor(absl::Milliseconds(1));
    return told_.size() == times;
  }
  int Asked() const { return systemd_.CountCalls("ListUnitsFiltered failed"); }

  char name_[32] = "/tmp/salve-bus-XXXXXX";  // Names of sockets must be short.
  const std::string folder_ = mkdtemp(name_);
  UvLoop loop_;
  FakeSystemd systemd_{loop_, folder_ + "/systemd", GetParam()};
  std::unique_ptr<SdBusServiceManager> manager_;
  std::vector<std::string> told_;
};

INSTANTIATE_TEST_SUITE_P(PeerAndBus, FailedUnitsTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Bus" : "Peer"; });

TEST_P(FailedUnitsTest, TellsTheFailedOnesSortedSoonAfterTheCall) {
  Set("z.service", "failed");
  Set("a.mount", "failed");
  Watch();
  EXPECT_THAT(told_, IsEmpty());
  ASSERT_TRUE(RunUntilTold(1));
  EXPECT_EQ(told_[0], "a.mount z.service");
}

TEST_P(FailedUnitsTest, TellsWhenAUnitFailsAndWhenItNoLongerDoes) {
  Watch();
  ASSERT_TRUE(RunUntilTold(1));
  Set("nginx.service", "failed");
  systemd_.SignalFailedCount();
  ASSERT_TRUE(RunUntilTold(2));
  Set("nginx.service", "active");
  systemd_.SignalFailedCount();
  ASSERT_TRUE(RunUntilTold(3));
  EXPECT_THAT(told_, ElementsAre("", "nginx.service", ""));
}

TEST_P(FailedUnitsTest, AsksOnceForManySignalsAndTellsNoNewsTwice) {
  Watch();
  ASSERT_TRUE(RunUntilTold(1));
  for (int i = 0; i < 50; ++i) systemd_.SignalFailedCount();
  RunFor(absl::Milliseconds(250));
  EXPECT_EQ(Asked(), 2);
  EXPECT_EQ(told_.size(), 1);
}

TEST_P(FailedUnitsTest, AsksNothingWithoutAWatch) {
  RunFor(absl::Milliseconds(20));
  EXPECT_EQ(Asked(), 0);
  const FailedUnitsWatchId id = Watch();
  ASSERT_TRUE(RunUntilTold(1));
  manager_->UnwatchFailedUnits(id);
  systemd_.SignalFailedCount();
  RunFor(absl::Milliseconds(150));
  EXPECT_EQ(Asked(), 1);
  Watch();  // And begins anew.
  ASSERT_TRUE(RunUntilTold(2));
}

TEST_P(FailedUnitsTest, TellsASecondWatcherWhatIsKnown) {
  Set("z.service", "failed");
  Watch();
  ASSERT_TRUE(RunUntilTold(1));
  Watch();
  EXPECT_EQ(told_.size(), 1) << "inside the call";
  ASSERT_TRUE(RunUntilTold(2));
  EXPECT_EQ(told_[1], "z.service");
  EXPECT_EQ(Asked(), 1);
}

TEST_P(FailedUnitsTest, ACallbackMayEndAllWatches) {
  FailedUnitsWatchId ids[2];
  int calls = 0;
  for (FailedUnitsWatchId& id : ids) {
    id = manager_->WatchFailedUnits([&](const absl::StatusOr<FailedUnitsList>&) {
      ++calls;
      for (FailedUnitsWatchId each : ids) manager_->UnwatchFailedUnits(each);
    });
  }
  RunFor(absl::Milliseconds(50));
  EXPECT_EQ(calls, 1);
}

TEST_P(FailedUnitsTest, TellsThatTheBusIsGoneAndReadsAgainWhenItIsBack) {
  Watch();
  ASSERT_TRUE(RunUntilTold(1));
  Set("nginx.service", "failed");
  systemd_.Drop();
  ASSERT_TRUE(RunUntilTold(3));
  EXPECT_THAT(told_, ElementsAre("", "UNAVAILABLE", "nginx.service"));
  Set("nginx.service", "active");
  systemd_.SignalFailedCount();  // The new bus is listened to.
  ASSERT_TRUE(RunUntilTold(4));
}

TEST_P(FailedUnitsTest, TellsAtOnceThatThereIsNoBus) {
  systemd_.StopListening();
  systemd_.Drop();
  RunFor(absl::Milliseconds(20));
  Watch();
  ASSERT_TRUE(RunUntilTold(1));
  EXPECT_EQ(told_[0], "UNAVAILABLE");
}

TEST_P(FailedUnitsTest, TellsThatItMayNotAsk) {
  systemd_.errors["ListUnitsFiltered"] = "org.freedesktop.DBus.Error.AccessDenied";
  Watch();
  ASSERT_TRUE(RunUntilTold(1));
  EXPECT_EQ(told_[0], "PERMISSION_DENIED");
}

TEST_P(FailedUnitsTest, DoesNotTakeAListOfAnotherForm) {
  systemd_.malformed_list = true;
  Watch();
  ASSERT_TRUE(RunUntilTold(1));
  EXPECT_EQ(told_[0], "UNAVAILABLE");
}

TEST_P(FailedUnitsTest, ReadsAgainWhenSystemdHasReadItsUnitsAnew) {
  Watch();
  ASSERT_TRUE(RunUntilTold(1));
  Set("nginx.service", "failed");
  systemd_.SignalReloading(false);
  ASSERT_TRUE(RunUntilTold(2));
}

TEST_P(FailedUnitsTest, CallsNobodyOnceItIsGone) {
  Watch();
  RunFor(absl::Milliseconds(2));
  told_.clear();
  manager_.reset();
  RunFor(absl::Milliseconds(20));
  EXPECT_THAT(told_, IsEmpty());
}

// Else none of its answers would ever be taken: each would be too late for the next question.
TEST_P(FailedUnitsTest, ASlowSystemdUnderAStreamOfSignalsIsHeard) {
  systemd_.silent.insert("ListUnitsFiltered");
  Watch();
  for (int i = 0; i < 3; ++i) {
    systemd_.SignalFailedCount();
    RunFor(absl::Milliseconds(130));
  }
  EXPECT_EQ(Asked(), 1) << "one at a time";
  Set("nginx.service", "failed");
  systemd_.silent.clear();
  systemd_.AnswerHeld();
  ASSERT_TRUE(RunUntilTold(1));
  EXPECT_EQ(told_[0], "nginx.service");
}

TEST_P(FailedUnitsTest, ReadsOnceMoreAfterTheOneThatASignalCameDuring) {
  systemd_.silent.insert("ListUnitsFiltered");
  Watch();
  RunFor(absl::Milliseconds(20));
  systemd_.SignalFailedCount();
  RunFor(absl::Milliseconds(130));
  systemd_.silent.clear();
  systemd_.AnswerHeld();
  ASSERT_TRUE(RunUntilTold(1));
  Set("nginx.service", "failed");  // And no signal more.
  RunFor(absl::Milliseconds(300));
  EXPECT_THAT(told_, ElementsAre("", "nginx.service"));
  EXPECT_EQ(Asked(), 3);
}

TEST_P(FailedUnitsTest, AsksAgainFiveSecondsAfterAnError) {
  systemd_.malformed_list = true;
  Watch();
  ASSERT_TRUE(RunUntilTold(1));
  const Instant failed_at = loop_.Now();
  systemd_.malformed_list = false;
  ASSERT_TRUE(RunUntilTold(2));
  EXPECT_THAT(told_, ElementsAre("UNAVAILABLE", ""));
  EXPECT_GE(loop_.Now() - failed_at, absl::Seconds(4));
  EXPECT_EQ(Asked(), 2);
}

// Only a bus has others who could lie.
TEST(FailedUnitsOnABusTest, DoesNotBelieveASignalOfAnotherProgram) {
  char name[32] = "/tmp/salve-bus-XXXXXX";
  const std::string folder = mkdtemp(name);
  {
    UvLoop loop;
    FakeSystemd systemd(loop, folder + "/systemd", /*is_message_bus=*/true);
    SdBusServiceManager manager(loop, {systemd.address()});
    manager.WatchFailedUnits([&](const absl::StatusOr<FailedUnitsList>&) {
      systemd.SignalFailedCount(/*sender=*/":1.66");
      loop.CallAfter(absl::Milliseconds(250), [&] { loop.Stop(); });
    });
    loop.Run();
    EXPECT_EQ(systemd.CountCalls("ListUnitsFiltered failed"), 1);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace salve

#include "agent/set_execution.h"

#include <filesystem>
#include <memory>

#include "gtest/gtest.h"
#include "queue/crash_set.h"
#include "responders/escalation/fake_transport.h"
#include "throttling/fake_coordinator.h"
#include "throttling/ledger_fixture.h"

namespace salve {
namespace {

class NoEvents final : public EventLog {
 public:
  uint64_t Append(v1::Event) override { return 1; }
};

// A server whose agent died once; its next start made a crash set and was stopped.
class SetExecutionTest : public LedgerTest {
 protected:
  SetExecutionTest() {
    Open();
    gate_ =
        std::make_unique<Gate>(Gate::Parts{loop_.get(), ledger_.get(), &coordinator_, &events_});
    { const auto dies = OpenStore(); }
    const auto finding = SecureCrash(
        {.state_dir = folder_, .server = "web1", .boot_id = boot_id_, .now = Now()}, {});
    EXPECT_TRUE(finding.ok()) << finding.status();
    set_ = absl::StrCat(folder_, "/crash/", finding->set);
    EXPECT_TRUE(OpenStore()->Close().ok());
  }
  absl::Time Now() { return loop_->clock().WallNow(); }
  std::string QueuePath() const { return folder_ + "/queue.db"; }
  std::unique_ptr<MessageStore> OpenStore() {
    auto store = MessageStore::Open({.path = QueuePath(), .server = "web1", .now = Now()});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  absl::StatusOr<std::unique_ptr<SetExecution>> OpenRun(const std::string& server) {
    AgentDefinition agent;
    agent.server = server;
    return SetExecution::Open({.loop = *loop_,
                               .events = events_,
                               .ledger = *ledger_,
                               .gate = *gate_,
                               .resolver = resolver_,
                               .transport = transport_,
                               .state_dir = folder_,
                               .boot_id = boot_id_},
                              {.dir = set_}, agent);
  }
  // For the next start of salved nothing has happened.
  void ExpectNoTrace() {
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/recover.running"));
    EXPECT_EQ(MessageStore::WasLeftDirty(QueuePath()).value_or(true), false);
  }

  std::string set_;
  NoEvents events_;
  FakeCoordinator coordinator_{*loop_};
  std::unique_ptr<Gate> gate_;
  Resolver resolver_{*loop_};
  FakeTransport transport_{*loop_};
};

TEST_F(SetExecutionTest, ABugOneThatNeverBeganLeftTheQueueDirty) {
  auto run = OpenRun("web1");
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/recover.running"));
  ASSERT_TRUE((*run)->Close().ok());
  ExpectNoTrace();
}

TEST_F(SetExecutionTest, ABugOneWhoseQueueCantBeOpenedLeftItsMark) {
  EXPECT_EQ(OpenRun("web2").status().code(), absl::StatusCode::kFailedPrecondition);
  ExpectNoTrace();
}

// That one has to be ended first, whoever can.
TEST_F(SetExecutionTest, TheMarkOfOneThatWasKilledStays) {
  ASSERT_TRUE(BeginSetRun(folder_).ok());
  EXPECT_FALSE(OpenRun("web2").ok());
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/recover.running"));
}

}  // namespace
}  // namespace salve

// Kills a whole life of the throttle (ledger, gate, an action that leaves a mark) at every point
// where it writes, and looks at what the next life finds.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "throttling/gate.h"
#include "throttling/ledger_fixture.h"
#include "throttling/local_coordinator.h"

namespace salve {
namespace {

constexpr const char* kFaultPoints[] = {
    "ledger.begin.before",  "ledger.begin.after",   "gate.2050.before",     "gate.500.before",
    "gate.allowed",         "ledger.effect.before", "ledger.effect.after",  "effect.done",
    "ledger.finish.before", "ledger.finish.after",  "gate.finished.before", "gate.finished.after",
};

class NoEvents final : public EventLog {
 public:
  uint64_t Append(v1::Event) override { return 1; }
};

// One life on a machine that has been up for `uptime`.
class Life {
 public:
  Life(const std::string& folder, absl::Duration uptime, const Limits& limits)
      : folder_(folder),
        loop_(SimulatedClock(absl::FromUnixSeconds(1'800'000'000) + uptime,
                             Instant::FromNanosSinceBoot(absl::ToInt64Nanoseconds(uptime)))) {
    LedgerOptions options;
    options.path = folder + "/ledger.db";
    options.boot_id = "boot";
    options.clock_is_synchronised = [] { return true; };
    ledger_ = *Ledger::Open(options, loop_, worker_);
    coordinator_ = NewLocalCoordinator(loop_, *ledger_);
    gate_ =
        std::make_unique<Gate>(Gate::Parts{&loop_, ledger_.get(), coordinator_.get(), &events_});
    PolicyEntry entry;
    entry.action = RecoveryAction::kRestartService;
    entry.limits = limits;
    gate_->SetPolicy(*Policy::Create({entry}));
  }

  Ledger& ledger() { return *ledger_; }

  // What the engine does at its start with what an earlier life left.
  void Reconcile() {
    for (const Attempt* attempt : ledger_->Unfinished()) {
      const std::string id = attempt->id;
      gate_->Finish(id, {AttemptResult::kCrashed, "", "", ""}, [](absl::Status) {});
    }
    loop_.RunPending();
  }
  void Heal() {
    ActionRequest request;
    request.resource = "nginx.service";
    request.requester = "R";
    gate_->Ask(request, [this](GateAnswer answer) {
      if (answer.kind == GateAnswer::Kind::kAllowed) Act(answer.attempt.id);
    });
    loop_.RunPending();
  }

 private:
  void Act(const std::string& id) {
    gate_->SetEffect(id, "pid=1 start=2", [this, id](absl::Status status) {
      if (!status.ok()) return;
      // The effect: one byte a time.
      const int file = open((folder_ + "/effects").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      if (write(file, "x", 1) != 1) abort();
      close(file);
      FaultPoint("effect.done");
      gate_->Finish(id, {AttemptResult::kSucceeded, "", "", ""}, [](absl::Status) {});
    });
  }

  const std::string folder_;
  SimulatedLoop loop_;
  InlineWorker worker_;
  NoEvents events_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Gate> gate_;
};

// Lives once in a process of its own; returns whether it was killed.
bool LiveAndDie(const std::string& folder, absl::Duration uptime, const Limits& limits,
                const std::string& fault) {
  const pid_t child = fork();
  if (child == 0) {
    setenv("SALVE_FAULT", fault.c_str(), 1);
    Life life(folder, uptime, limits);
    life.Reconcile();
    life.Heal();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

size_t Effects(const std::string& folder) {
  std::error_code none;
  const auto size = std::filesystem::file_size(folder + "/effects", none);
  return none ? 0 : size;
}

constexpr Limits kNoLimits = {};

TEST(GateCrashTest, EveryFaultPointIsPassed) {
  for (const char* point : kFaultPoints) {
    EXPECT_TRUE(LiveAndDie(FreshFolder(), absl::Hours(1), kNoLimits, point)) << point;
  }
  EXPECT_FALSE(LiveAndDie(FreshFolder(), absl::Hours(1), kNoLimits, "no.such.point"));
}

TEST(GateCrashTest, AnEffectIsNeverMissingFromTheCount) {
  for (const char* point : kFaultPoints) {
    SCOPED_TRACE(point);
    const std::string folder = FreshFolder();
    LiveAndDie(folder, absl::Hours(1), kNoLimits, point);
    Life next(folder, absl::Hours(1) + absl::Seconds(1), kNoLimits);
    const auto attempts = next.ledger().List(nullptr, "", absl::InfinitePast(), 10);
    EXPECT_GE(attempts.size(), Effects(folder));
    EXPECT_LE(attempts.size(), 1u);
    // Only before the first write is there nothing to find.
    EXPECT_EQ(attempts.size(), std::string(point) == "ledger.begin.before" ? 0u : 1u);
  }
}

TEST(GateCrashTest, TheNextLifeClearsWhatIsInProgressAndDoesNotRepeatIt) {
  for (const char* point : kFaultPoints) {
    SCOPED_TRACE(point);
    const std::string folder = FreshFolder();
    LiveAndDie(folder, absl::Hours(1), kNoLimits, point);
    const size_t effects = Effects(folder);
    Life next(folder, absl::Hours(1) + absl::Seconds(1), kNoLimits);
    next.Reconcile();
    EXPECT_THAT(next.ledger().Unfinished(), testing::IsEmpty());
    EXPECT_EQ(Effects(folder), effects);
    const KeyHistory& history =
        next.ledger().History(RecoveryAction::kRestartService, "nginx.service");
    EXPECT_FALSE(CheckLocal(kNoLimits, history, next.ledger().Now()).recovery_in_progress);
  }
}

TEST(GateCrashTest, TheLimitHoldsOverAnyNumberOfCrashes) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  constexpr size_t kLimit = 3;
  const Limits limits = {true, -1, -1, kLimit, -1, -1};
  int crashes = 0;
  size_t effects = 0;
  while (crashes < 200) {
    const std::string folder = FreshFolder();
    for (int life = 0; life < 6; ++life) {
      const char* point = kFaultPoints[random() % std::size(kFaultPoints)];
      crashes += LiveAndDie(folder, absl::Hours(1) + absl::Minutes(life), limits,
                            absl::StrCat(point, ":", random() % 4 == 0 ? 2 : 1));
      ASSERT_LE(Effects(folder), kLimit);
    }
    effects += Effects(folder);
  }
  // Or nothing would have been tried at all.
  EXPECT_GT(effects, 20u);
}

}  // namespace
}  // namespace salve

// A ledger on a simulated machine, for tests: boots, crashes and clocks at will.
#ifndef SALVE_THROTTLING_LEDGER_FIXTURE_H_
#define SALVE_THROTTLING_LEDGER_FIXTURE_H_

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/simulated_loop.h"
#include "base/worker.h"
#include "gtest/gtest.h"
#include "throttling/ledger.h"

namespace salve {

// A fresh folder of this test.
inline std::string FreshFolder() {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string folder =
      absl::StrCat(testing::TempDir(), "/", test->test_suite_name(), ".", test->name());
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

// Copies a ledger as a crash would leave it: the files without a close.
inline void CopyLedger(const std::string& from, const std::string& to) {
  for (const char* part : {"", "-wal"}) {
    std::filesystem::copy_file(from + part, to + part,
                               std::filesystem::copy_options::overwrite_existing);
  }
}

class LedgerTest : public testing::Test {
 protected:
  LedgerTest() : folder_(FreshFolder()), path_(folder_ + "/ledger.db") {}

  absl::Status TryOpen() {
    ledger_.reset();
    LedgerOptions options;
    options.path = path_;
    options.boot_id = boot_id_;
    options.server = "web1";
    options.events_db_exists = events_db_exists_;
    options.accept_loss = accept_loss_;
    options.clock_is_synchronised = [this] { return synchronised_; };
    absl::StatusOr<std::unique_ptr<Ledger>> ledger = Ledger::Open(options, *loop_, worker_);
    if (ledger.ok()) ledger_ = *std::move(ledger);
    return ledger.status();
  }
  void Open() { ASSERT_TRUE(TryOpen().ok()) << TryOpen(); }

  // The agent dies; what it had written is found again by the next Open.
  void Crash() {
    const std::string next = path_ + "-next";
    CopyLedger(path_, next);
    ledger_.reset();
    path_ = next;
  }
  // The machine was off for `off`, its wall clock then shows `wall_error` more than it should.
  void Reboot(absl::Duration off, absl::Duration wall_error = absl::ZeroDuration()) {
    ledger_.reset();
    const absl::Time wall = loop_->clock().WallNow() + off + wall_error;
    boot_id_ = absl::StrCat("boot-", ++boots_);
    loop_ = std::make_unique<SimulatedLoop>(
        SimulatedClock(wall, Instant::FromNanosSinceBoot(10'000'000'000)));
  }

  absl::Status Run(absl::AnyInvocable<void(LedgerDone)> call) {
    absl::Status answer = absl::UnknownError("not answered");
    call([&answer](absl::Status status) { answer = std::move(status); });
    loop_->RunPending();
    return answer;
  }
  std::string Begin(const std::string& resource = "nginx.service",
                    absl::Duration timeout = absl::Minutes(2)) {
    const Attempt attempt =
        ledger_->NewAttempt(RecoveryAction::kRestartService, resource, "R", timeout);
    EXPECT_TRUE(Run([&](LedgerDone done) { ledger_->Begin(attempt, std::move(done)); }).ok());
    return attempt.id;
  }
  absl::Status Finish(const std::string& id, AttemptResult result = AttemptResult::kSucceeded) {
    return Run([&](LedgerDone done) { ledger_->Finish(id, result, std::move(done)); });
  }
  std::string BeginAndFinish(const std::string& resource = "nginx.service") {
    const std::string id = Begin(resource);
    EXPECT_TRUE(Finish(id).ok());
    return id;
  }
  absl::Status Heartbeat() {
    return Run([&](LedgerDone done) { ledger_->Heartbeat(std::move(done)); });
  }
  absl::Duration AgeOf(const std::string& id) { return ledger_->AgeOf(*ledger_->Find(id)); }
  const KeyHistory& History(const std::string& resource = "nginx.service") {
    return ledger_->History(RecoveryAction::kRestartService, resource);
  }
  void Pass(absl::Duration d) { loop_->RunFor(d); }

  const std::string folder_;
  std::string path_;
  std::string boot_id_ = "boot-0";
  int boots_ = 0;
  bool synchronised_ = true;
  bool events_db_exists_ = false;
  bool accept_loss_ = false;
  std::unique_ptr<SimulatedLoop> loop_ = std::make_unique<SimulatedLoop>();
  InlineWorker worker_;
  std::unique_ptr<Ledger> ledger_;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_LEDGER_FIXTURE_H_

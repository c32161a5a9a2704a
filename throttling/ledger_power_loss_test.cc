// The ledger's file after power losses at random moments: no attempt that was acknowledged is
// missing, and no file is called damaged that a power loss alone has made.
#include <algorithm>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "channels/power_loss_disk.h"
#include "gtest/gtest.h"
#include "throttling/ledger_store.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

AttemptRow Row(int64_t number, bool ended, size_t effect_bytes) {
  AttemptRow row;
  row.number = number;
  row.boot = 1;
  row.attempt.id = absl::StrCat("attempt-", number);
  row.attempt.resource = "nginx.service";
  row.attempt.effect = std::string(effect_bytes, 'x');
  row.attempt.timeout = absl::Minutes(2);
  row.attempt.start_wall = absl::FromUnixSeconds(1'800'000'000 + number);
  row.attempt.end_wall = row.attempt.start_wall;
  if (ended) row.attempt.result = AttemptResult::kSucceeded;
  return row;
}

class LedgerPowerLossTest : public testing::TestWithParam<int> {
 protected:
  LedgerPowerLossTest()
      : folder_(absl::StrCat(testing::TempDir(), "/power-", GetParam())),
        random_(static_cast<uint64_t>(GetParam())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~LedgerPowerLossTest() override { fs::remove_all(folder_); }

  int64_t Any(int64_t below) { return static_cast<int64_t>(random_() % below); }

  // Opens the ledger and asks it for all that was acknowledged.
  std::unique_ptr<LedgerStore> OpenAndCheck() {
    std::vector<BootRow> boots;
    std::vector<AttemptRow> attempts;
    auto store = LedgerStore::Open(folder_ + "/ledger.db", boots, attempts);
    EXPECT_TRUE(store.ok()) << store.status();
    if (!store.ok()) return nullptr;
    std::map<int64_t, bool> found;
    for (const AttemptRow& row : attempts) {
      found[row.number] = row.attempt.result == AttemptResult::kSucceeded;
    }
    for (const auto& [number, ended] : acknowledged_) {
      EXPECT_TRUE(found.contains(number)) << "attempt " << number << " is lost";
      EXPECT_TRUE(found[number] || !ended) << "the end of attempt " << number << " is lost";
    }
    // What was not acknowledged may be there: its write had begun.
    for (const auto& [number, ended] : found) acknowledged_[number] |= ended;
    return *std::move(store);
  }

  // Begins and ends attempts, with heartbeats, until the power is gone.
  void LiveUntilPowerIsLost(LedgerStore& store) {
    while (!disk_.is_off()) {
      const int64_t what = Any(8);
      const bool ends = what < 3 && !acknowledged_.empty();
      if (what == 7) {
        Upkeep upkeep;
        upkeep.boot = {.number = 1, .boot = {.boot_id = "boot-1"}};
        for (int64_t i = Any(12); i > 0; --i) upkeep.unwritten.push_back(Row(++last_, false, 900));
        upkeep.checkpoint = Any(3) == 0;
        if (!store.Keep(upkeep).ok() || disk_.is_off()) continue;
        for (const AttemptRow& row : upkeep.unwritten) acknowledged_[row.number] = false;
        continue;
      }
      const int64_t number = ends ? acknowledged_.rbegin()->first : ++last_;
      const absl::Status written = store.Write(Row(number, ends, Any(3) * 3'000));
      if (written.ok() && !disk_.is_off()) acknowledged_[number] = ends;
    }
  }

  const std::string folder_;
  PowerLossDisk disk_;
  std::mt19937_64 random_;
  int64_t last_ = 0;
  std::map<int64_t, bool> acknowledged_;  // By number: whether its end was, too.
};

TEST_P(LedgerPowerLossTest, KeepsEveryAcknowledgedAttemptThroughTwelveLosses) {
  for (int life = 0; life < 12; ++life) {
    SCOPED_TRACE(absl::StrCat("seed ", GetParam(), ", life ", life));
    // Mostly soon: while the ledger is made or opened, or in the first commits behind a torn one.
    disk_.LosePowerAfter(Any(4) == 0 ? Any(150) : Any(40), [] {});
    auto store = OpenAndCheck();
    ASSERT_NE(store, nullptr);
    if (!disk_.is_off()) LiveUntilPowerIsLost(*store);
    store.reset();
    disk_.Restore(folder_, random_());
  }
  ASSERT_NE(OpenAndCheck(), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LedgerPowerLossTest, testing::Range(1030, 1040));

}  // namespace
}  // namespace salve

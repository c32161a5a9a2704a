// state.db after power losses at random moments: what was acknowledged is there, and no file is
// set aside that a power loss alone has made.
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "agent/state_store.h"
#include "base/worker.h"
#include "channels/power_loss_disk.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

class StatePowerLossTest : public testing::TestWithParam<int> {
 protected:
  StatePowerLossTest()
      : folder_(absl::StrCat(testing::TempDir(), "/power-", GetParam())),
        random_(static_cast<uint64_t>(GetParam())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~StatePowerLossTest() override { fs::remove_all(folder_); }

  // The values are numbers that rise: a key has what was acknowledged of it, or what was written
  // last.
  void Check(const StateStore& store) {
    EXPECT_EQ(store.damage(), "");
    for (const auto& [key, number] : acknowledged_) {
      const std::string value = store.Get(key);
      ASSERT_NE(value, "") << key << " is lost";
      EXPECT_GE(std::stoll(value), number) << key;
    }
  }

  void LiveUntilPowerIsLost(StateStore& store) {
    while (!disk_.is_off()) {
      const std::string key = absl::StrCat("monitor/", random_() % 20);
      const int64_t number = ++last_;
      const std::string padding(random_() % 3 * 2'000, 'x');
      store.Put(key, absl::StrCat(number, " ", padding));
      if (!disk_.is_off()) acknowledged_[key] = number;
    }
  }

  const std::string folder_;
  PowerLossDisk disk_;
  std::mt19937_64 random_;
  InlineWorker worker_;
  int64_t last_ = 0;
  std::map<std::string, int64_t> acknowledged_;
};

TEST_P(StatePowerLossTest, KeepsWhatWasAcknowledgedThroughFourLosses) {
  for (int life = 0; life < 4; ++life) {
    SCOPED_TRACE(absl::StrCat("seed ", GetParam(), ", life ", life));
    disk_.LosePowerAfter(static_cast<int64_t>(random_() % (life == 0 ? 30 : 200)), [] {});
    auto store = StateStore::Open(folder_ + "/state.db", worker_);
    ASSERT_TRUE(store.ok()) << store.status();
    Check(**store);
    if (!disk_.is_off()) LiveUntilPowerIsLost(**store);
    store->reset();
    disk_.Restore(folder_, random_());
  }
  auto store = StateStore::Open(folder_ + "/state.db", worker_);
  ASSERT_TRUE(store.ok()) << store.status();
  Check(**store);
}

INSTANTIATE_TEST_SUITE_P(Seeds, StatePowerLossTest, testing::Range(0, 10));

}  // namespace
}  // namespace salve

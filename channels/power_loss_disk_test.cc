#include "channels/power_loss_disk.h"

#include <sqlite3.h>

#include <filesystem>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace salve {
namespace {

class PowerLossDiskTest : public testing::Test {
 protected:
  PowerLossDiskTest()
      : folder_(testing::TempDir() + "/" +
                testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  // Runs statements in a database; returns the first number of the last one's rows, -1 when it
  // failed.
  int64_t Run(const std::string& sql) {
    sqlite3* db = nullptr;
    sqlite3_open((folder_ + "/t.db").c_str(), &db);
    int64_t number = 0;
    const int code = sqlite3_exec(
        db, sql.c_str(),
        [](void* out, int, char** values, char**) {
          *static_cast<int64_t*>(out) = values[0] == nullptr ? 0 : atoll(values[0]);
          return 0;
        },
        &number, nullptr);
    sqlite3_close(db);
    return code == SQLITE_OK ? number : -1;
  }

  const std::string folder_;
};

TEST_F(PowerLossDiskTest, WhatWasSyncedStays) {
  PowerLossDisk disk;
  EXPECT_EQ(Run("PRAGMA synchronous=FULL; CREATE TABLE t(a); INSERT INTO t VALUES(7);"), 0);
  disk.LosePowerAfter(0, [] {});
  Run("INSERT INTO t VALUES(8);");
  EXPECT_TRUE(disk.is_off());
  disk.Restore(folder_, 1);
  EXPECT_FALSE(disk.is_off());
  EXPECT_EQ(Run("SELECT sum(a) FROM t;"), 7);
}

// That the disk loses anything at all: without a sync nothing is sure.
TEST_F(PowerLossDiskTest, WhatWasNotSyncedMayBeLostOrBroken) {
  std::set<int64_t> seen;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    PowerLossDisk disk;
    Run("PRAGMA synchronous=FULL; CREATE TABLE t(a);");
    Run("PRAGMA synchronous=OFF; INSERT INTO t VALUES(7);");
    disk.LosePowerAfter(0, [] {});
    Run("PRAGMA synchronous=OFF; DELETE FROM t;");
    disk.Restore(folder_, seed);
    seen.insert(Run("SELECT coalesce(sum(a), 0) FROM t;"));
  }
  EXPECT_TRUE(seen.contains(7));
  EXPECT_TRUE(seen.contains(0));
}

TEST_F(PowerLossDiskTest, LeavesFilesToSqliteAgainWhenItEnds) {
  sqlite3_vfs* const before = sqlite3_vfs_find(nullptr);
  { PowerLossDisk disk; }
  EXPECT_EQ(sqlite3_vfs_find(nullptr), before);
}

}  // namespace
}  // namespace salve

#include "queue/gathering_vfs.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "channels/sqlite.h"
#include "queue/failing_disk.h"

namespace salve {
namespace {

class GatheringVfsTest : public testing::Test {
 protected:
  GatheringVfsTest() : folder_(absl::StrCat(testing::TempDir(), "/gathering-", getpid())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    // Of a few pieces, and more than the cache, so that pages are written before their turn.
    const absl::Status made =
        Do(SqliteConnection::Mode::kReadWrite,
           "PRAGMA auto_vacuum=INCREMENTAL; CREATE TABLE t(id INTEGER PRIMARY KEY, body);"
           "CREATE INDEX i ON t(body); BEGIN;"
           "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 9000)"
           "INSERT INTO t SELECT k, printf('%0300d', k * 7919 % 9000) FROM n; COMMIT");
    EXPECT_TRUE(made.ok()) << made;
  }
  ~GatheringVfsTest() override { std::filesystem::remove_all(folder_); }

  std::string file() const { return folder_ + "/file"; }
  std::string copy() const { return folder_ + "/copy"; }
  absl::Status Do(SqliteConnection::Mode mode, const std::string& sql) {
    auto database = SqliteConnection::Open(file(), mode);
    if (!database.ok()) return database.status();
    return (*database)->Execute(sql);
  }
  absl::Status Gather() {
    const GatheringVfs vfs;
    return Do(SqliteConnection::Mode::kAsItStands,
              absl::StrCat("PRAGMA synchronous=OFF; VACUUM INTO 'file:", copy(),
                           "?vfs=", GatheringVfs::kName, "'"));
  }
  // What is said when one change of a file fails, or nothing when there are fewer.
  std::optional<absl::Status> GatherWithFailure(int64_t step, int error) {
    std::filesystem::remove(copy());
    FailingDisk disk;
    disk.FailAfter(step, error, 1);
    const absl::Status status = Gather();
    disk.Heal();
    if (!disk.has_failed()) return std::nullopt;
    return status;
  }
  static std::string Content(const std::string& path) {
    std::ifstream opened(path);
    return std::string(std::istreambuf_iterator<char>(opened), {});
  }

  const std::string folder_;
};

TEST_F(GatheringVfsTest, WritesTheBytesThatSqliteItselfWrites) {
  const std::string plain = folder_ + "/plain";
  ASSERT_TRUE(Do(SqliteConnection::Mode::kAsItStands, "VACUUM INTO '" + plain + "'").ok());
  const absl::Status gathered = Gather();
  ASSERT_TRUE(gathered.ok()) << gathered;
  EXPECT_GT(Content(copy()).size(), 5'000'000u);
  EXPECT_TRUE(Content(copy()) == Content(plain));
  EXPECT_FALSE(std::filesystem::exists(copy() + "-journal"));
}

TEST_F(GatheringVfsTest, WritesOverNothing) {
  std::ofstream(copy()) << "mine";
  EXPECT_FALSE(Gather().ok());
  EXPECT_EQ(Content(copy()), "mine");
}

TEST_F(GatheringVfsTest, WhatCanNotBeWrittenIsAnError) {
  int failures = 0;
  for (int64_t step = 0; const auto status = GatherWithFailure(step, EIO); ++step) {
    EXPECT_FALSE(status->ok()) << step;
    ++failures;
  }
  EXPECT_GT(failures, 20);
}

TEST_F(GatheringVfsTest, AFullDiskIsSaidToBeFull) {
  constexpr int64_t kFirstWrite = 2;  // After the file and its journal are made.
  int failures = 0;
  for (int64_t step = kFirstWrite; const auto status = GatherWithFailure(step, ENOSPC); ++step) {
    EXPECT_EQ(status->code(), absl::StatusCode::kResourceExhausted) << step << ": " << *status;
    ++failures;
  }
  EXPECT_GT(failures, 20);
}

TEST_F(GatheringVfsTest, IsUnknownToSqliteAfterwards) {
  { const GatheringVfs vfs; }
  EXPECT_EQ(sqlite3_vfs_find(GatheringVfs::kName), nullptr);
  EXPECT_TRUE(Gather().ok());
}

}  // namespace
}  // namespace salve

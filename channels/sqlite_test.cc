#include "channels/sqlite.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "channels/test_events.h"

namespace salve {
namespace {

using Mode = SqliteConnection::Mode;

class SqliteTest : public testing::Test {
 protected:
  std::unique_ptr<SqliteConnection> Open(Mode mode = Mode::kReadWrite) {
    auto connection = SqliteConnection::Open(path_, mode);
    EXPECT_TRUE(connection.ok()) << connection.status();
    return connection.ok() ? *std::move(connection) : nullptr;
  }
  TestFolder folder_;
  const std::string path_ = folder_.path("x.db");
};

TEST_F(SqliteTest, BindsAndReadsBack) {
  auto db = Open();
  auto select = db->Prepare("SELECT ?1, ?2, ?3, ?4");
  ASSERT_TRUE(select.ok());
  select->Bind(1, int64_t{-5});
  select->BindText(2, "text");
  select->BindBlob(3, absl::string_view("a\0b", 3));
  select->BindNull(4);
  ASSERT_TRUE(*select->Step());
  EXPECT_EQ(select->Integer(0), -5);
  EXPECT_EQ(select->Bytes(1), "text");
  EXPECT_EQ(select->Bytes(2), absl::string_view("a\0b", 3));
  EXPECT_TRUE(select->IsNull(3));
  EXPECT_FALSE(*select->Step());
}

TEST_F(SqliteTest, CountsChanges) {
  auto db = Open();
  ASSERT_TRUE(db->Execute("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)").ok());
  auto remove = db->Prepare("DELETE FROM t");
  ASSERT_TRUE(remove.ok());
  EXPECT_TRUE(remove->Run().ok());
  EXPECT_EQ(db->changes(), 2);
}

TEST_F(SqliteTest, AnIntegerOfNoRowIsZero) {
  auto db = Open();
  EXPECT_EQ(*db->QueryInteger("SELECT 1 WHERE 0"), 0);
  EXPECT_EQ(*db->QueryInteger("SELECT 7"), 7);
}

TEST_F(SqliteTest, WhatIsNoDatabaseIsDataLoss) {
  std::ofstream(path_) << std::string(8192, 'x');
  EXPECT_EQ(Open()->Execute("PRAGMA journal_mode=WAL").code(), absl::StatusCode::kDataLoss);
}

TEST_F(SqliteTest, AFullDiskIsResourceExhausted) {
  auto db = Open();
  ASSERT_TRUE(db->Execute("CREATE TABLE t (a); PRAGMA max_page_count=4").ok());
  EXPECT_EQ(db->Execute("INSERT INTO t VALUES (zeroblob(100000))").code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(SqliteTest, WhatCannotBeOpenedIsUnavailableAndSaysWhy) {
  const auto db = SqliteConnection::Open(folder_.path("none/x.db"), Mode::kReadWrite);
  EXPECT_EQ(db.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(db.status().message().find("No such file"), absl::string_view::npos) << db.status();
}

TEST_F(SqliteTest, AReadOnlyConnectionCannotWrite) {
  ASSERT_TRUE(Open()->Execute("CREATE TABLE t (a)").ok());
  EXPECT_EQ(Open(Mode::kReadOnly)->Execute("INSERT INTO t VALUES (1)").code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(SqliteTest, SeesThatItsFileWasMoved) {
  auto db = Open();
  ASSERT_TRUE(db->Execute("CREATE TABLE t (a)").ok());
  EXPECT_FALSE(db->moved());
  std::filesystem::rename(path_, path_ + ".old");
  EXPECT_TRUE(db->moved());
}

TEST_F(SqliteTest, ExaminingSeesWhatTheLogHoldsAndChangesNothing) {
  auto db = Open();
  ASSERT_TRUE(db->Execute("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; "
                          "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
                  .ok());
  const std::string copy = folder_.path("copy #%?.db");
  std::filesystem::copy_file(path_, copy);
  std::filesystem::copy_file(path_ + "-wal", copy + "-wal");
  const auto size = std::filesystem::file_size(copy + "-wal");
  {
    auto examined = SqliteConnection::Open(copy, Mode::kExamine);
    ASSERT_TRUE(examined.ok()) << examined.status();
    EXPECT_EQ(*(*examined)->QueryInteger("SELECT count(*) FROM t"), 2);
    EXPECT_FALSE((*examined)->Execute("DELETE FROM t").ok());
  }
  EXPECT_EQ(std::filesystem::file_size(copy + "-wal"), size);
  EXPECT_FALSE(std::filesystem::exists(copy + "-shm"));
}

TEST_F(SqliteTest, ABugAPathThatBeganWithTwoSlashesWasTakenForAHost) {
  ASSERT_TRUE(Open()->Execute("CREATE TABLE t (a)").ok());
  for (const std::string& path : {path_, "/" + path_}) {
    const auto db = SqliteConnection::Open(path, Mode::kAsItStands);
    ASSERT_TRUE(db.ok()) << db.status();
    EXPECT_EQ(*(*db)->QueryInteger("SELECT count(*) FROM t"), 0);
  }
}

}  // namespace
}  // namespace salve

#include "queue/same_content.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "channels/sqlite.h"
#include "queue/database_fixture.h"

namespace salve {
namespace {

class SameContentTest : public DatabaseTest {
 protected:
  SameContentTest() {
    Do(file_,
       "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, body BLOB) STRICT;"
       "CREATE UNIQUE INDEX by_name ON t(name);"
       "CREATE INDEX partial ON t(body) WHERE id % 3 = 0;"
       "CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
       "CREATE TABLE plain(x); CREATE VIEW v AS SELECT id FROM t; BEGIN;"
       "INSERT INTO plain(rowid, x) VALUES (3, 'a'), (7, 'b');"
       "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 1000)"
       "INSERT INTO t SELECT k, 'name ' || k, zeroblob(CASE k WHEN 501 THEN 20000 ELSE k END) FROM "
       "n;"
       "INSERT INTO settings SELECT name, 'value' FROM t WHERE id < 300; COMMIT;"
       "DELETE FROM t WHERE id % 2 = 0; PRAGMA user_version = 3;");
    Do(file_, absl::StrCat("VACUUM INTO '", copy(), "'"));
  }

  std::string copy() const { return file_ + "-copy"; }
  static void Do(const std::string& file, const std::string& sql) {
    auto database = SqliteConnection::Open(file, SqliteConnection::Mode::kReadWrite);
    ASSERT_TRUE(database.ok()) << database.status();
    const absl::Status done = (*database)->Execute(sql);
    ASSERT_TRUE(done.ok()) << done;
  }
  int64_t RootOf(const std::string& table) const {
    auto database = SqliteConnection::Open(file_, SqliteConnection::Mode::kReadOnly);
    return *(*database)->QueryInteger(
        absl::StrCat("SELECT rootpage FROM sqlite_master WHERE name='", table, "'"));
  }
  // All of two tables, as SQLite reads it.
  static std::string Rows(const std::string& path) {
    auto database = SqliteConnection::Open(path, SqliteConnection::Mode::kAsItStands);
    auto row = (*database)->Prepare(
        "SELECT id, name, hex(body) FROM t NOT INDEXED UNION ALL SELECT key, value, 0 FROM "
        "settings");
    std::string rows;
    for (auto found = row->Step(); found.value_or(false); found = row->Step()) {
      for (int i = 0; i < 3; ++i) absl::StrAppend(&rows, row->Bytes(i), ",");
    }
    return rows;
  }
  void ExpectDiffersAfter(const std::string& sql) {
    SCOPED_TRACE(sql);
    Do(copy(), sql);
    const absl::Status status = SameContent(file_, copy());
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_EQ(SameContent(copy(), file_).code(), absl::StatusCode::kDataLoss);
  }

  const std::string file_ = FileIn(state());
};

TEST_F(SameContentTest, OfAFileWithHolesAndItsCopyWithoutIsTheSame) {
  EXPECT_LT(std::filesystem::file_size(copy()), std::filesystem::file_size(file_));
  const absl::Status status = SameContent(file_, copy());
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(SameContentTest, SeesAnotherValue) {
  ExpectDiffersAfter("UPDATE t SET body = CAST(x'01' || substr(body, 2) AS BLOB) WHERE id = 999");
}
TEST_F(SameContentTest, SeesAnotherKey) {
  ExpectDiffersAfter("UPDATE t SET id = 2001 WHERE id = 999");
}
TEST_F(SameContentTest, SeesAnotherNumberOfARow) {
  ExpectDiffersAfter("UPDATE plain SET rowid = 8 WHERE rowid = 7");
}
TEST_F(SameContentTest, SeesALostRow) { ExpectDiffersAfter("DELETE FROM t WHERE id = 999"); }
TEST_F(SameContentTest, SeesAnAddedRow) { ExpectDiffersAfter("INSERT INTO plain VALUES (1)"); }
TEST_F(SameContentTest, SeesAnotherSetting) {
  ExpectDiffersAfter("UPDATE settings SET value = 'valuf' WHERE key = 'name 7'");
}
TEST_F(SameContentTest, SeesALostIndex) { ExpectDiffersAfter("DROP INDEX partial"); }
TEST_F(SameContentTest, SeesAnotherIndex) {
  ExpectDiffersAfter("DROP INDEX partial; CREATE INDEX partial ON t(body) WHERE id % 3 = 1");
}
TEST_F(SameContentTest, SeesAnotherView) {
  ExpectDiffersAfter("DROP VIEW v; CREATE VIEW v AS SELECT name FROM t");
}
TEST_F(SameContentTest, SeesAnotherVersion) { ExpectDiffersAfter("PRAGMA user_version = 4"); }
TEST_F(SameContentTest, SeesAnotherProgramsDatabase) {
  ExpectDiffersAfter("PRAGMA application_id = 1");
}
TEST_F(SameContentTest, TakesAnotherPageSizeForAnother) {
  ExpectDiffersAfter("PRAGMA page_size = 8192; VACUUM");
}

// What SQL does not see: the index is asked for nothing here.
TEST_F(SameContentTest, SeesAnIndexThatDoesNotFitItsTable) {
  ExpectDiffersAfter(
      "PRAGMA writable_schema = ON;"
      "UPDATE sqlite_master SET sql = replace(sql, '= 0', '= 1') WHERE name = 'partial';"
      "PRAGMA writable_schema = RESET; REINDEX partial; PRAGMA writable_schema = ON;"
      "UPDATE sqlite_master SET sql = replace(sql, '= 1', '= 0') WHERE name = 'partial'");
}

// Or the bit is in no entry, and SQLite reads the same from it.
TEST_F(SameContentTest, SeesAFlippedBitWhereverItIs) {
  const auto size = static_cast<int64_t>(std::filesystem::file_size(copy()));
  const std::string rows = Rows(copy());
  int seen = 0;
  int unseen = 0;
  for (int64_t at = 4096 + 17; at < size; at += 997) {
    Flip(copy(), at);
    if (!SameContent(file_, copy()).ok()) {
      ++seen;
    } else {
      ++unseen;
      EXPECT_TRUE(Rows(copy()) == rows) << at;
    }
    Flip(copy(), at);
  }
  EXPECT_TRUE(SameContent(file_, copy()).ok());
  EXPECT_GT(seen, unseen);
}

TEST_F(SameContentTest, OfTwoThatAreBrokenAlikeNothingIsKnown) {
  const int64_t root = RootOf("plain");
  std::filesystem::copy_file(file_, copy(), std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(SameContent(file_, copy()).ok());
  for (const std::string& file : {file_, copy()}) Flip(file, (root - 1) * 4096);
  EXPECT_EQ(SameContent(file_, copy()).code(), absl::StatusCode::kDataLoss);
}

TEST_F(SameContentTest, SaysWhatCanNotBeRead) {
  EXPECT_EQ(SameContent(file_, file_ + "-missing").code(), absl::StatusCode::kNotFound);
  std::ofstream(copy(), std::ios::trunc).flush();
  EXPECT_EQ(SameContent(file_, copy()).code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace salve

#include "queue/btree_cells.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "channels/sqlite.h"

namespace salve {
namespace {

constexpr int kRows = 3000;

class BtreeCellsTest : public testing::TestWithParam<int> {
 protected:
  BtreeCellsTest() : path_(absl::StrCat(testing::TempDir(), "/btree-cells-", getpid())) {
    std::filesystem::remove(path_);
    auto database = SqliteConnection::Open(path_, SqliteConnection::Mode::kReadWrite);
    EXPECT_TRUE(database.ok()) << database.status();
    const absl::Status made = (*database)->Execute(absl::StrCat(
        "PRAGMA page_size=", GetParam(), "; PRAGMA journal_mode=MEMORY; PRAGMA user_version=7; ",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB); CREATE INDEX i ON t(body); BEGIN; ",
        // Some of 20,000 bytes, some empty, most in between.
        "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < ", kRows, ") ",
        "INSERT INTO t SELECT k, zeroblob(CASE k % 50 WHEN 0 THEN 20000 ELSE k % 50 - 1 END) ",
        "FROM n; COMMIT"));
    EXPECT_TRUE(made.ok()) << made;
    root_of_table_ = Root(**database, "t");
    root_of_index_ = Root(**database, "i");
    database->reset();
    std::ifstream file(path_);
    bytes_ = std::string(std::istreambuf_iterator<char>(file), {});
  }
  ~BtreeCellsTest() override { std::filesystem::remove(path_); }

  static int64_t Root(SqliteConnection& database, const std::string& name) {
    const auto root = database.QueryInteger(
        absl::StrCat("SELECT rootpage FROM sqlite_master WHERE name='", name, "'"));
    EXPECT_TRUE(root.ok()) << root.status();
    return root.value_or(0);
  }

  // The number of cells; -1: it is broken.
  int CountIn(const std::string& bytes, uint64_t root) {
    const auto pages = DatabasePages::Of(bytes);
    EXPECT_TRUE(pages.ok()) << pages.status();
    BtreeCells cells(*pages, root);
    int count = 0;
    while (cells.Next()) ++count;
    return cells.broken() ? -1 : count;
  }

  const std::string path_;
  std::string bytes_;
  uint64_t root_of_table_ = 0;
  uint64_t root_of_index_ = 0;
};

INSTANTIATE_TEST_SUITE_P(AtEachPageSize, BtreeCellsTest, testing::Values(512, 4096, 65536));

TEST_P(BtreeCellsTest, GivesTheHeader) {
  const auto pages = DatabasePages::Of(bytes_);
  ASSERT_TRUE(pages.ok()) << pages.status();
  EXPECT_EQ(pages->header().page_size, static_cast<uint64_t>(GetParam()));
  EXPECT_EQ(pages->header().user_version, 7u);
  EXPECT_EQ(pages->count() * GetParam(), bytes_.size());
  EXPECT_FALSE(pages->At(pages->count()).empty());
  EXPECT_TRUE(pages->At(pages->count() + 1).empty());
  EXPECT_TRUE(pages->At(0).empty());
}

TEST_P(BtreeCellsTest, GivesATableInTheOrderOfItsKey) {
  const auto pages = DatabasePages::Of(bytes_);
  BtreeCells cells(*pages, root_of_table_);
  for (uint64_t id = 1; id <= kRows; ++id) {
    const auto cell = cells.Next();
    ASSERT_TRUE(cell.has_value()) << id;
    EXPECT_EQ(cell->rowid, id);
    EXPECT_GE(cell->size, id % 50 == 0 ? 20000u : id % 50 - 1);
    EXPECT_EQ(cell->overflow != 0, cell->local.size() < cell->size);
  }
  EXPECT_FALSE(cells.Next().has_value());
  EXPECT_FALSE(cells.broken());
}

TEST_P(BtreeCellsTest, GivesAnIndexWithWhatIsBetweenItsLeaves) {
  EXPECT_EQ(CountIn(bytes_, root_of_index_), kRows);
}

TEST_P(BtreeCellsTest, EachRecordIsLikeItselfAndUnlikeTheNext) {
  const auto pages = DatabasePages::Of(bytes_);
  BtreeCells cells(*pages, root_of_table_);
  auto before = cells.Next();
  for (auto cell = cells.Next(); cell; cell = cells.Next()) {
    EXPECT_TRUE(SameRecord(*pages, *cell, *pages, *cell));
    EXPECT_FALSE(SameRecord(*pages, *cell, *pages, *before));
    before = cell;
  }
}

TEST_P(BtreeCellsTest, SeesABitThatDiffersAtTheEndOfALongRecord) {
  const auto pages = DatabasePages::Of(bytes_);
  BtreeCells cells(*pages, root_of_table_);
  auto cell = cells.Next();
  while (cell->size < 20000) cell = cells.Next();
  const auto unlike = [&](size_t at) {
    std::string changed = bytes_;
    changed[at] ^= 1;
    const auto other_pages = DatabasePages::Of(changed);
    BtreeCells others(*other_pages, root_of_table_);
    auto other = others.Next();
    while (other && other->rowid != cell->rowid) other = others.Next();
    return !other || !SameRecord(*pages, *cell, *other_pages, *other);
  };
  const auto offset = [&](absl::string_view bytes) { return bytes.data() - bytes_.data(); };
  EXPECT_TRUE(unlike(offset(cell->local) + cell->local.size() - 1));
  if (cell->overflow == 0) return;
  absl::string_view page = pages->At(cell->overflow);
  size_t left = cell->size - cell->local.size();
  while (left > page.size() - 4) {
    left -= page.size() - 4;
    EXPECT_TRUE(unlike(offset(page) + page.size() - 1));
    page = pages->At((page[2] & 0xff) << 8 | (page[3] & 0xff));
  }
  EXPECT_TRUE(unlike(offset(page) + 4 + left - 1));
}

TEST_P(BtreeCellsTest, ATreeThatIsNoneIsBroken) {
  EXPECT_EQ(CountIn(bytes_, 0), -1);
  EXPECT_EQ(CountIn(bytes_, 1), -1) << "the schema's";
  EXPECT_EQ(CountIn(bytes_, 1'000'000), -1);
  EXPECT_EQ(CountIn(std::string(bytes_, 0, bytes_.size() / 2), root_of_table_), -1);
}

TEST_P(BtreeCellsTest, ACircleEnds) {
  std::string circle = bytes_;
  const size_t page = (root_of_table_ - 1) * GetParam();
  ASSERT_EQ(circle[page], 5) << "has no children";
  for (int i = 0; i < 4; ++i)
    circle[page + 8 + i] = static_cast<char>(root_of_table_ >> (24 - 8 * i));
  EXPECT_EQ(CountIn(circle, root_of_table_), -1);
}

TEST_P(BtreeCellsTest, WhatIsNoDatabaseIsRefused) {
  for (const std::string& bytes : {std::string(), std::string(bytes_, 0, 99),
                                   std::string(4096, '\0'), std::string(4096, '\xff')}) {
    EXPECT_EQ(DatabasePages::Of(bytes).status().code(), absl::StatusCode::kDataLoss);
  }
}

}  // namespace
}  // namespace salve

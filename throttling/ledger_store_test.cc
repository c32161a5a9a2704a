#include "throttling/ledger_store.h"

#include <errno.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <tuple>

#include "channels/wal_check.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A full disk: the calls by which SQLite writes fail while `full` is set.
bool disk_is_full = false;
int writes_that_fail = 0;
ssize_t FullPwrite(int file, const void* bytes, size_t count, off_t at) {
  if (disk_is_full && writes_that_fail > 0) {
    --writes_that_fail;
    errno = ENOSPC;
    return -1;
  }
  return pwrite(file, bytes, count, at);
}
void FillDisk(int failing_writes) {
  sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
  for (const char* call : {"pwrite", "pwrite64"}) {
    vfs->xSetSystemCall(vfs, call, reinterpret_cast<sqlite3_syscall_ptr>(FullPwrite));
  }
  writes_that_fail = failing_writes;
  disk_is_full = true;
}

class LedgerStoreTest : public testing::Test {
 protected:
  LedgerStoreTest()
      : folder_(testing::TempDir() + "/" +
                testing::UnitTest::GetInstance()->current_test_info()->name()),
        path_(folder_ + "/ledger.db") {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~LedgerStoreTest() override { disk_is_full = false; }

  absl::Status Open() {
    boots_.clear();
    attempts_.clear();
    store_.reset();
    absl::StatusOr<std::unique_ptr<LedgerStore>> store =
        LedgerStore::Open(path_, boots_, attempts_);
    if (store.ok()) store_ = *std::move(store);
    return store.status();
  }
  static AttemptRow Row(int64_t number) {
    AttemptRow row;
    row.number = number;
    row.boot = 1;
    row.attempt.id = "id-" + std::to_string(number);
    row.attempt.resource = "nginx.service";
    row.attempt.requester = "R";
    row.attempt.start_wall = absl::FromUnixSeconds(1'000'000 + number);
    row.attempt.start = Instant::FromNanosSinceBoot(number * 1000);
    row.attempt.timeout = absl::Minutes(2);
    return row;
  }
  void WriteRows(int64_t count) {
    ASSERT_TRUE(Open().ok());
    ASSERT_TRUE(store_->WriteBoot({1, {"boot", Instant(), Instant(), absl::Time(), true}}).ok());
    for (int64_t i = 1; i <= count; ++i) ASSERT_TRUE(store_->Write(Row(i)).ok());
  }
  void Sql(const std::string& sql) {
    store_.reset();
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(db);
  }

  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  static void Write(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }

  const std::string folder_;
  const std::string path_;
  std::vector<BootRow> boots_;
  std::vector<AttemptRow> attempts_;
  std::unique_ptr<LedgerStore> store_;
};

TEST_F(LedgerStoreTest, ANewOneIsEmptyAndHasItsLogAndReserve) {
  EXPECT_TRUE(Open().ok());
  EXPECT_THAT(attempts_, IsEmpty());
  EXPECT_GE(fs::file_size(path_ + "-wal"), 4u << 20);
  EXPECT_EQ(fs::file_size(path_ + "-reserve"), 1u << 20);
}

TEST_F(LedgerStoreTest, TheLogStaysAtACleanClose) {
  WriteRows(3);
  store_.reset();
  EXPECT_GE(fs::file_size(path_ + "-wal"), 4u << 20);
  EXPECT_TRUE(Open().ok());
  EXPECT_THAT(attempts_, SizeIs(3));
}

TEST_F(LedgerStoreTest, ARowIsReplacedByItsNumber) {
  WriteRows(2);
  AttemptRow row = Row(1);
  row.attempt.effect = "pid=1 start=2";
  EXPECT_TRUE(store_->Write(row).ok());
  EXPECT_TRUE(Open().ok());
  ASSERT_THAT(attempts_, SizeIs(2));
  EXPECT_EQ(attempts_[0].attempt.effect, "pid=1 start=2");
}

TEST_F(LedgerStoreTest, UpkeepIsOneTransaction) {
  WriteRows(3);
  Upkeep upkeep;
  upkeep.boot = {2, {"next", Instant(), Instant(), absl::Time(), false}};
  upkeep.unwritten = {Row(9)};
  upkeep.drop = {1, 2};
  upkeep.checkpoint = true;
  EXPECT_TRUE(store_->Keep(upkeep).ok());
  EXPECT_TRUE(Open().ok());
  ASSERT_THAT(attempts_, SizeIs(2));
  EXPECT_EQ(attempts_[0].number, 3);
  EXPECT_EQ(attempts_[1].number, 9);
  EXPECT_THAT(boots_, SizeIs(2));
}

TEST_F(LedgerStoreTest, TheNewestThousandBootsAreKept) {
  WriteRows(0);
  Upkeep upkeep;
  upkeep.boot = {1'000, {"boot", Instant(), Instant(), absl::Time(), false}};
  EXPECT_TRUE(store_->Keep(upkeep).ok());
  EXPECT_TRUE(Open().ok());
  EXPECT_THAT(boots_, SizeIs(2));
  upkeep.boot.number = 1'001;
  EXPECT_TRUE(store_->Keep(upkeep).ok());
  EXPECT_TRUE(Open().ok());
  EXPECT_THAT(boots_, SizeIs(2));
  EXPECT_EQ(boots_[0].number, 1'000);
}

TEST_F(LedgerStoreTest, AFullDiskIsMetWithTheReserveAndTheReserveIsMadeAgain) {
  WriteRows(1);
  FillDisk(/*failing_writes=*/1);
  EXPECT_TRUE(store_->Write(Row(2)).ok());
  EXPECT_FALSE(fs::exists(path_ + "-reserve"));
  FillDisk(/*failing_writes=*/1);
  EXPECT_EQ(store_->Write(Row(3)).code(), absl::StatusCode::kResourceExhausted);
  disk_is_full = false;
  EXPECT_TRUE(store_->Keep({{1, {"boot", Instant(), Instant(), absl::Time(), true}}, {}, {}}).ok());
  EXPECT_EQ(fs::file_size(path_ + "-reserve"), 1u << 20);
  EXPECT_TRUE(Open().ok());
  EXPECT_THAT(attempts_, SizeIs(2));
}

TEST_F(LedgerStoreTest, AnUpkeepThatFailsLeavesNoTransactionOpen) {
  WriteRows(1);
  FillDisk(/*failing_writes=*/1000);
  Upkeep upkeep;
  upkeep.boot = {1, {"boot", Instant(), Instant(), absl::Time(), true}};
  EXPECT_EQ(store_->Keep(upkeep).code(), absl::StatusCode::kResourceExhausted);
  disk_is_full = false;
  EXPECT_TRUE(store_->Write(Row(2)).ok());
  EXPECT_TRUE(store_->Keep(upkeep).ok());
}

TEST_F(LedgerStoreTest, ANewerSchemaIsNotTouched) {
  WriteRows(1);
  Sql("PRAGMA user_version = 2");
  const absl::Status status = Open();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("written by a newer one"));
}

TEST_F(LedgerStoreTest, AnotherProgramsDatabaseIsNoLedger) {
  Sql("CREATE TABLE t(x); PRAGMA application_id = 7");
  EXPECT_EQ(Open().code(), absl::StatusCode::kDataLoss);
}

TEST_F(LedgerStoreTest, AChangedValueDoesNotFitItsCheckSum) {
  WriteRows(2);
  Sql("UPDATE attempts SET start = start - 1 WHERE number = 2");
  const absl::Status status = Open();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("row 2 of attempts"));
}

TEST_F(LedgerStoreTest, APersonMayLookIntoItWithSqlite) {
  WriteRows(2);
  Sql("SELECT * FROM attempts");  // Takes the log with it at its close.
  EXPECT_TRUE(Open().ok());
  EXPECT_THAT(attempts_, SizeIs(2));
}

// What is loaded, to be compared.
std::vector<std::tuple<int64_t, std::string, std::string, Instant, absl::Time>> Keys(
    const std::vector<AttemptRow>& rows) {
  std::vector<std::tuple<int64_t, std::string, std::string, Instant, absl::Time>> keys;
  for (const AttemptRow& row : rows) {
    keys.emplace_back(row.number, row.attempt.id, row.attempt.resource, row.attempt.start,
                      row.attempt.start_wall);
  }
  return keys;
}

TEST_F(LedgerStoreTest, AFlippedByteOfTheDatabaseIsRefusedOrHarmless) {
  WriteRows(20);
  Sql("VACUUM");  // Without a log: every byte of the file counts.
  ASSERT_TRUE(Open().ok());
  const auto sound = Keys(attempts_);
  store_.reset();
  const std::string content = Read(path_);
  int refused = 0;
  for (size_t i = 0; i < content.size(); i += i < 100 ? 1 : 41) {
    std::string flipped = content;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x55);
    Write(path_, flipped);
    fs::resize_file(path_ + "-wal", 0);
    fs::resize_file(path_ + "-wal", 4 << 20);
    if (!Open().ok()) {
      ++refused;
    } else {
      EXPECT_EQ(Keys(attempts_), sound) << "byte " << i;
    }
    store_.reset();
  }
  EXPECT_GT(refused, 30);
}

TEST_F(LedgerStoreTest, AFlippedByteOfTheLogForgetsAtMostTheLastCommit) {
  WriteRows(20);
  // As a crash leaves them: the log holds what the database does not.
  const std::string database = Read(path_), log = Read(path_ + "-wal");
  store_.reset();
  int refused = 0;
  for (size_t i = 0; i < size_t{32} + 21 * 4120; i += i < 60 ? 1 : 577) {
    std::string flipped = log;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x55);
    Write(path_, database);
    Write(path_ + "-wal", flipped);
    if (Open().ok()) {
      EXPECT_GE(attempts_.size(), 19u) << "byte " << i;
    } else {
      ++refused;
    }
    store_.reset();
  }
  EXPECT_GT(refused, 100);
}

TEST_F(LedgerStoreTest, ATornLastCommitIsNoDamage) {
  WriteRows(20);
  const std::string database = Read(path_), log = Read(path_ + "-wal");
  store_.reset();
  const size_t end_of_log = log.find_last_not_of('\0');
  std::string torn = log;
  torn.replace(end_of_log - 100, 101, 101, '\0');
  Write(path_, database);
  Write(path_ + "-wal", torn);
  EXPECT_TRUE(Open().ok());
  EXPECT_THAT(attempts_, SizeIs(19));
}

TEST_F(LedgerStoreTest, ALogThatWasBegunAnewIsNoDamage) {
  WriteRows(20);
  EXPECT_TRUE(store_->Keep({{1, {"b", Instant(), Instant(), absl::Time(), true}}, {}, {}, true})
                  .ok());  // A checkpoint: the next write begins the log anew.
  for (int64_t i = 21; i < 25; ++i) EXPECT_TRUE(store_->Write(Row(i)).ok());
  const std::string database = Read(path_), log = Read(path_ + "-wal");
  store_.reset();
  Write(path_, database);
  Write(path_ + "-wal", log);
  EXPECT_TRUE(Open().ok());
  EXPECT_THAT(attempts_, SizeIs(24));
}

TEST_F(LedgerStoreTest, ALogThatIsMissingOrEmptyOrZerosIsSound) {
  EXPECT_TRUE(CheckWal(folder_ + "/none").ok());
  Write(folder_ + "/empty", "");
  EXPECT_TRUE(CheckWal(folder_ + "/empty").ok());
  Write(folder_ + "/zeros", std::string(10'000, '\0'));
  EXPECT_TRUE(CheckWal(folder_ + "/zeros").ok());
  Write(folder_ + "/other", std::string(10'000, 'x'));
  EXPECT_EQ(CheckWal(folder_ + "/other").code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace salve

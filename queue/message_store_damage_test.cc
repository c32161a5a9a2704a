// What is done to the files behind the store's back: the verdict is "whole", and then every row is
// there, or "damaged", and then nothing was changed. Never silently fewer.
#include <filesystem>
#include <functional>
#include <random>
#include <set>

#include "channels/sqlite.h"
#include "gmock/gmock.h"
#include "queue/mark.h"
#include "queue/store_fixture.h"
#include "queue/verify.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;
using testing::HasSubstr;

class MessageStoreDamageTest : public StoreFixture {
 protected:
  // Letters, ends, settings, moves, some of it in the file and some in the log alone.
  void Fill() {
    ASSERT_TRUE(Open().ok());
    Changes changes;
    for (int i = 0; i < 60; ++i) {
      const queue::Message letter = NewLetter(store_->NewMid(kStoreTestNow));
      changes.puts.push_back({letter, "remote/ops", false, kStoreTestNow});
    }
    changes.settings = {{"mode", "REMOTELY"}};
    ASSERT_TRUE(store_->Apply(changes).ok());
    for (int64_t sequence = 1; sequence <= 10; ++sequence) {
      ASSERT_TRUE(store_->Apply(EndOf(sequence, Final::kDone)).ok());
    }
    ASSERT_TRUE(store_->Keep(kStoreTestNow, 10).ok());  // A checkpoint.
    for (int64_t sequence = 11; sequence <= 20; ++sequence) {
      ASSERT_TRUE(store_->Apply(UpdateOf({.sequence = sequence, .delivering = true})).ok());
      Accept(NewAction(absl::StrCat("up-", sequence)), "local/nginx.service");
    }
    expected_ = Rows();
    ASSERT_EQ(expected_.size(), 60u);
    store_.reset();
    whole_ = StoreFiles::Of(path_);
    // Zeros behind its end are no part of a log; without them all goes faster.
    whole_.log.resize(whole_.log.find_last_not_of('\0') + 1);
    whole_.Restore(path_);
  }

  // What is there, with all that a row says.
  std::set<std::string> Rows() {
    std::set<std::string> rows;
    const auto listed = store_->List("", 1'000);
    if (!listed.ok()) return rows;
    for (const StoredMessage& stored : *listed) {
      rows.insert(absl::StrCat(stored.sequence, stored.queue, stored.delivering,
                               absl::ToUnixNanos(stored.due), stored.message.SerializeAsString()));
    }
    return rows;
  }

  // Requires: the files were damaged. Whether damage is said; else all is there.
  bool IsFoundDamaged(const std::string& what) {
    const StoreFiles before = StoreFiles::Of(path_);
    VerifyReport report;
    const absl::Status verified = VerifyMessages(path_, report);
    EXPECT_TRUE(StoreFiles::Of(path_) == before) << "changed by a look: " << what;
    EXPECT_TRUE(verified.ok() || absl::IsDataLoss(verified)) << what << verified;
    const absl::Status opened = Open();
    if (!opened.ok()) {
      EXPECT_EQ(opened.code(), StatusCode::kDataLoss) << what << opened;
      EXPECT_TRUE(StoreFiles::Of(path_) == before) << "changed by a refusal: " << what;
    }
    const bool damaged = !opened.ok() || !verified.ok();
    if (!damaged) {
      EXPECT_EQ(Rows(), expected_) << what;
      EXPECT_EQ(report.messages, 60) << what;
    }
    store_.reset();
    return damaged;
  }

  // Restores, changes one file, looks.
  bool AfterChange(const std::string& suffix, const std::function<void(std::string&)>& change,
                   const std::string& what) {
    whole_.Restore(path_);
    std::string bytes = ReadBytes(path_ + suffix);
    change(bytes);
    WriteBytes(path_ + suffix, bytes);
    return IsFoundDamaged(what);
  }

  int FlipsFound(const std::string& suffix, size_t bytes_used, int flips) {
    std::mt19937_64 random(20261129);
    int found = 0;
    for (int flip = 0; flip < flips; ++flip) {
      const size_t at = random() % bytes_used;
      const auto bit = static_cast<char>(1 + random() % 255);
      found += AfterChange(
          suffix, [&](std::string& bytes) { bytes[at] = static_cast<char>(bytes[at] ^ bit); },
          absl::StrCat("byte ", at, " of ", suffix));
    }
    return found;
  }

  std::set<std::string> expected_;
  StoreFiles whole_;
};

TEST_F(MessageStoreDamageTest, UntouchedItIsWhole) {
  Fill();
  EXPECT_FALSE(IsFoundDamaged("nothing"));
}

TEST_F(MessageStoreDamageTest, AForgottenLogIsDamage) {
  Fill();
  fs::remove(path_ + "-wal");
  const absl::Status status = Open();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("its log is missing"));
  EXPECT_EQ(MessageStore::WasLeftDirty(path_).status().code(), StatusCode::kDataLoss);
  EXPECT_FALSE(fs::exists(path_ + "-wal"));
  EXPECT_EQ(ReadBytes(path_), whole_.database);
}

TEST_F(MessageStoreDamageTest, AnEmptyLogAndOneOfZerosAreDamage) {
  Fill();
  EXPECT_TRUE(AfterChange(
      "-wal", [](std::string& log) { log.clear(); }, "empty"));
  EXPECT_TRUE(AfterChange(
      "-wal", [](std::string& log) { log.assign(log.size(), '\0'); }, "zeros"));
}

TEST_F(MessageStoreDamageTest, ALogThatIsCutAtAny4KiBIsDamageUnlessAllIsThere) {
  Fill();
  // Frames of an earlier log may stand behind the end of this one: those are not missed.
  bool is_whole = false;
  int found = 0;
  for (size_t size = 0; size < whole_.log.size(); size += 4096) {
    const bool is_found = AfterChange(
        "-wal", [&](std::string& log) { log.resize(size); }, absl::StrCat(size));
    EXPECT_FALSE(is_found && is_whole) << size;
    is_whole = !is_found;
    found += is_found;
  }
  EXPECT_GT(found, 50);
}

TEST_F(MessageStoreDamageTest, AFlippedByteOfTheLogIsFoundOrHarmless) {
  Fill();
  const int found = FlipsFound("-wal", whole_.log.size(), 1'000);
  EXPECT_GT(found, 300);
}

TEST_F(MessageStoreDamageTest, AFlippedByteOfTheFileIsFoundOrHarmless) {
  Fill();
  FlipsFound("", whole_.database.size(), 1'000);
}

TEST_F(MessageStoreDamageTest, AFlippedByteOfACleanFileIsFoundOrHarmless) {
  Fill();
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Close().ok());
  whole_ = StoreFiles::Of(path_);
  const int found = FlipsFound("", whole_.database.size(), 1'000);
  EXPECT_GT(found, 150);
}

TEST_F(MessageStoreDamageTest, AFlippedByteOfTheMarkIsFoundOrHarmless) {
  Fill();
  FlipsFound(".mark", whole_.mark.size(), 1'000);
}

// A bug: a look at a file that was cut to nothing removed its log, which may hold all of it.
TEST_F(MessageStoreDamageTest, AnEmptyFileIsDamageAndItsLogStays) {
  Fill();
  EXPECT_TRUE(AfterChange(
      "", [](std::string& bytes) { bytes.clear(); }, "empty"));
  EXPECT_TRUE(ReadBytes(path_ + "-wal") == whole_.log);
}

// A bug: a damaged name in the schema was no damage for `verify`, and for Open an I/O error, after
// the log was replayed.
TEST_F(MessageStoreDamageTest, ADamagedSchemaIsDamage) {
  Fill();
  for (const std::string name : {"ended_digest", "body BLOB", "by_queue ON", "dmid IS NOT"}) {
    ASSERT_NE(whole_.database.find(name), std::string::npos);
    EXPECT_TRUE(AfterChange(
        "", [&](std::string& bytes) { bytes[bytes.find(name) + 3] = 'x'; }, name));
  }
}

TEST_F(MessageStoreDamageTest, ADamagedOrMissingMarkIsDamage) {
  Fill();
  EXPECT_TRUE(AfterChange(
      ".mark", [](std::string& mark) { mark.assign(mark.size(), 'x'); }, "all x"));
  EXPECT_TRUE(AfterChange(
      ".mark", [](std::string& mark) { mark.clear(); }, "empty"));
  whole_.Restore(path_);
  fs::remove(path_ + ".mark");
  EXPECT_EQ(Open().code(), StatusCode::kDataLoss);
  EXPECT_FALSE(fs::exists(path_ + ".mark"));
}

TEST_F(MessageStoreDamageTest, AHigherMarkIsDamageAndALowerOneIsNot) {
  Fill();
  ASSERT_TRUE(Open().ok());
  const int64_t commits = store_->commits();
  const std::string signature = store_->signature();
  store_.reset();
  const auto with_mark = [&](const Mark& mark) {
    whole_.Restore(path_);
    EXPECT_TRUE((*MarkFile::Open(path_ + ".mark"))->WriteSynced(mark).ok());
    return IsFoundDamaged(absl::StrCat(mark.commits));
  };
  EXPECT_TRUE(with_mark({.commits = commits + 1, .signature = signature}));
  EXPECT_FALSE(with_mark({.commits = commits, .signature = signature}));
  EXPECT_FALSE(with_mark({.commits = commits - 5, .signature = signature}));
  EXPECT_TRUE(with_mark({.commits = commits, .signature = std::string(32, 'a')}));
}

TEST_F(MessageStoreDamageTest, ACleanFileWithAnotherLogIsDamage) {
  Fill();
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Close().ok());
  WriteBytes(path_ + "-wal", whole_.log);
  const absl::Status status = Open();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not its own"));
}

TEST_F(MessageStoreDamageTest, AFileThatIsGoneWhileItsMarkOrLogIsThereIsDamage) {
  Fill();
  fs::remove(path_);
  EXPECT_EQ(Open().code(), StatusCode::kDataLoss);
  fs::remove(path_ + "-wal");
  EXPECT_EQ(Open().code(), StatusCode::kDataLoss);
  EXPECT_EQ(MessageStore::WasLeftDirty(path_).status().code(), StatusCode::kDataLoss);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(MessageStoreDamageTest, AnOlderFileBesideANewerMarkIsDamage) {
  FillWith(5);
  ASSERT_TRUE(Close().ok());
  const StoreFiles old = StoreFiles::Of(path_);
  ASSERT_TRUE(Open().ok());
  Accept(NewLetter("newer"));
  ASSERT_TRUE(Close().ok());
  WriteBytes(path_, old.database);
  EXPECT_THAT(std::string(Open().message()), HasSubstr("commits are missing"));
}

TEST_F(MessageStoreDamageTest, AnotherProgramsFileAndANewerSchemaAreSaidToBeSo) {
  FillWith(1);
  ASSERT_TRUE(Close().ok());
  const StoreFiles good = StoreFiles::Of(path_);
  std::string newer = good.database;
  newer[63] = 2;  // user_version
  WriteBytes(path_, newer);
  EXPECT_EQ(Open().code(), StatusCode::kFailedPrecondition);
  VerifyReport report;
  EXPECT_EQ(VerifyMessages(path_, report).code(), StatusCode::kFailedPrecondition);
  std::string other = good.database;
  other[68] = 'X';  // application_id
  WriteBytes(path_, other);
  EXPECT_EQ(Open().code(), StatusCode::kDataLoss);
  WriteBytes(path_, "");
  EXPECT_EQ(Open().code(), StatusCode::kDataLoss);
  WriteBytes(path_, std::string(8192, 'x'));
  EXPECT_EQ(Open().code(), StatusCode::kDataLoss);
}

TEST_F(MessageStoreDamageTest, TheReportCountsWhatIsDamagedAndWhatIsMissing) {
  Fill();
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Close().ok());
  VerifyReport report;
  ASSERT_TRUE(VerifyMessages(path_, report).ok());
  EXPECT_EQ(report.messages, 60);
  EXPECT_EQ(report.ended, 10);
  EXPECT_EQ(report.server, "web1");
  EXPECT_TRUE(report.mark->clean);
  EXPECT_FALSE(report.has_log);
  std::string bytes = ReadBytes(path_);
  const size_t at = bytes.find("HttpProbe");
  bytes[at] = 'h';
  WriteBytes(path_, bytes);
  EXPECT_EQ(VerifyMessages(path_, report).code(), StatusCode::kDataLoss);
  EXPECT_EQ(report.damaged_rows, 1);
  ASSERT_EQ(report.damaged.size(), 1u);
  EXPECT_THAT(report.damaged[0].mid, HasSubstr("web1-"));
  EXPECT_EQ(report.missing_rows, 0);
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(store_->Get(report.damaged[0].sequence).status().code(), StatusCode::kDataLoss);
}

// Rows that are sound by themselves: only what adds up tells that they are not all, or not the
// last.
TEST_F(MessageStoreDamageTest, ARowThatIsGoneOrOlderIsFoundByTheDigests) {
  Fill();
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Close().ok());
  const StoreFiles old = StoreFiles::Of(path_);
  const std::string old_path = folder_ + "/old.db";
  WriteBytes(old_path, old.database);
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(store_->Apply(UpdateOf({.sequence = 30, .delivering = true})).ok());
  ASSERT_TRUE(Close().ok());
  const StoreFiles good = StoreFiles::Of(path_);
  const std::pair<std::string, std::string> changes[] = {
      {"DELETE FROM messages WHERE sequence=30", "queue remote/ops: holds 49 good messages of 50"},
      {"DELETE FROM ended WHERE number=3", "of 10 messages that ended 9 are known"},
      {absl::StrCat("ATTACH '", old_path, "' AS old; INSERT OR REPLACE INTO messages ",
                    "SELECT * FROM old.messages WHERE sequence=30"),
       "queue remote/ops: holds 50 good messages of 50"},
  };
  for (const auto& [sql, problem] : changes) {
    good.Restore(path_);
    {
      auto db = SqliteConnection::Open(path_, SqliteConnection::Mode::kReadWrite);
      ASSERT_TRUE((*db)->Execute(sql).ok()) << sql;
    }
    VerifyReport report;
    EXPECT_EQ(VerifyMessages(path_, report).code(), StatusCode::kDataLoss) << sql;
    EXPECT_THAT(report.problems, testing::Contains(problem));
    EXPECT_EQ(report.missing_rows, sql.find("messages WHERE sequence=30") == 12 ? 1 : 0) << sql;
  }
}

}  // namespace
}  // namespace salve

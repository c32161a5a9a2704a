#include "queue/mark.h"

#include <signal.h>
#include <sys/resource.h>

#include <filesystem>

#include "gtest/gtest.h"
#include "queue/store_fixture.h"

namespace salve {
namespace {

const std::string kSignature = "0123456789abcdef0123456789abcdef";

class MarkTest : public testing::Test {
 protected:
  MarkTest() { std::filesystem::remove(path_); }
  void Write(int64_t commits, bool clean = false) {
    auto file = MarkFile::Open(path_);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Write({.clean = clean, .commits = commits, .signature = kSignature}).ok());
  }
  int64_t Commits() {
    const auto mark = ReadMark(path_);
    return mark.ok() ? mark->commits : -1;
  }

  const std::string path_ = testing::TempDir() + "/queue.db.mark";
};

TEST_F(MarkTest, WhatWasWrittenLastIsRead) {
  for (int64_t commits = 0; commits < 5; ++commits) {
    Write(commits);
    EXPECT_EQ(*ReadMark(path_), (Mark{.commits = commits, .signature = kSignature}));
  }
  Write(5, /*clean=*/true);
  EXPECT_EQ(*ReadMark(path_), (Mark{.clean = true, .commits = 5, .signature = kSignature}));
}

TEST_F(MarkTest, ItsLastWriteCountsAlsoWhenItTellsOfLess) {
  Write(7);
  Write(3);
  EXPECT_EQ(Commits(), 3);
}

TEST_F(MarkTest, ASyncedOneStandsInBothSlots) {
  auto file = MarkFile::Open(path_);
  ASSERT_TRUE((*file)->Write({.clean = false, .commits = 1, .signature = kSignature}).ok());
  ASSERT_TRUE((*file)->WriteSynced({.clean = true, .commits = 2, .signature = kSignature}).ok());
  const std::string bytes = ReadBytes(path_);
  for (const size_t slot : {size_t{0}, size_t{4096}}) {
    std::string one = bytes;
    one[slot + 30] ^= 1;
    EXPECT_EQ(*ParseMark(one), (Mark{.clean = true, .commits = 2, .signature = kSignature}));
  }
}

TEST_F(MarkTest, ATornSlotLeavesTheOther) {
  Write(1);
  Write(2);
  Write(3);
  const std::string bytes = ReadBytes(path_);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string torn = bytes;
    torn[i] = static_cast<char>(torn[i] ^ 0x55);
    const auto mark = ParseMark(torn);
    ASSERT_TRUE(mark.ok()) << i;
    EXPECT_TRUE(mark->commits == 2 || mark->commits == 3) << i;
  }
}

TEST_F(MarkTest, SaysWhatTheOtherSlotTellsOfAnotherDatabase) {
  const std::string other(32, 'b');
  auto file = MarkFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Write({.clean = true, .commits = 7, .signature = kSignature}).ok());
  ASSERT_TRUE((*file)->Write({.clean = true, .commits = 1, .signature = other}).ok());
  EXPECT_EQ(*ReadMark(path_), (Mark{.clean = true,
                                    .commits = 1,
                                    .signature = other,
                                    .other_signature = kSignature,
                                    .other_commits = 7}));
  ASSERT_TRUE((*file)->WriteSynced({.clean = true, .commits = 1, .signature = other}).ok());
  EXPECT_EQ(ReadMark(path_)->other_signature, "");
}

TEST_F(MarkTest, ClosingIsAStateOfItsOwn) {
  auto file = MarkFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Write({.closing = true, .commits = 7, .signature = kSignature}).ok());
  EXPECT_TRUE(ReadMark(path_)->closing);
  EXPECT_FALSE(ReadMark(path_)->clean);
}

TEST_F(MarkTest, WithBothSlotsDamagedItIsDataLoss) {
  Write(1);
  Write(2);
  std::string bytes = ReadBytes(path_);
  bytes[20] ^= 1;
  bytes[4096 + 20] ^= 1;
  WriteBytes(path_, bytes);
  EXPECT_EQ(ReadMark(path_).status().code(), absl::StatusCode::kDataLoss);
  WriteBytes(path_, "");
  EXPECT_EQ(ReadMark(path_).status().code(), absl::StatusCode::kDataLoss);
  std::filesystem::remove(path_);
  EXPECT_EQ(ReadMark(path_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(MarkTest, ACutFileLeavesAtMostItsFirstSlot) {
  Write(1);
  Write(2);
  const std::string bytes = ReadBytes(path_);
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto mark = ParseMark(bytes.substr(0, size));
    if (mark.ok()) {
      EXPECT_EQ(mark->commits, 2);
      EXPECT_GE(size, 72u);
    }
  }
}

TEST_F(MarkTest, AWriteThatFailsSaysSoAndTheNextOneSucceeds) {
  auto file = MarkFile::Open(path_);
  ASSERT_TRUE((*file)->WriteSynced({.clean = false, .commits = 1, .signature = kSignature}).ok());
  signal(SIGXFSZ, SIG_IGN);
  rlimit old;
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit none = {0, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &none);
  const absl::Status status =
      (*file)->Write({.clean = false, .commits = 2, .signature = kSignature});
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(Commits(), 1);
  EXPECT_TRUE((*file)->Write({.clean = false, .commits = 3, .signature = kSignature}).ok());
  EXPECT_EQ(Commits(), 3);
}

TEST_F(MarkTest, AFolderThatIsMissingIsNamed) {
  const auto file = MarkFile::Open(testing::TempDir() + "/none/mark");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace salve

#include "queue/database.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

using For = FolderLock::For;

class DatabaseFilesTest : public testing::Test {
 protected:
  DatabaseFilesTest() : folder_(absl::StrCat(testing::TempDir(), "/files-", getpid())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~DatabaseFilesTest() override { std::filesystem::remove_all(folder_); }
  absl::StatusCode Take(For purpose) { return FolderLock::Take(folder_, purpose).status().code(); }
  const std::string folder_;
};

TEST_F(DatabaseFilesTest, NamesTheFileOfAFolderAndTheFolderOfAFile) {
  EXPECT_EQ(DatabaseFileOf(folder_), folder_ + "/queue.db");
  EXPECT_EQ(DatabaseFileOf(folder_ + "/queue.db"), folder_ + "/queue.db");
  EXPECT_EQ(FolderOf("/var/lib/salve/queue.db"), "/var/lib/salve");
  EXPECT_EQ(FolderOf("/queue.db"), "/");
  EXPECT_EQ(FolderOf("queue.db"), ".");
}

TEST_F(DatabaseFilesTest, TwoMayLookButOnlyOneMayChange) {
  const auto look = FolderLock::Take(folder_, For::kLook);
  EXPECT_TRUE(look.ok());
  EXPECT_EQ(Take(For::kLook), absl::StatusCode::kOk);
  EXPECT_EQ(Take(For::kChange), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(FileExists(folder_ + "/salved.lock"));
}

TEST_F(DatabaseFilesTest, AStateFolderIsLockedBeforeItsFirstAgent) {
  const auto change = FolderLock::Take(folder_, For::kState);
  EXPECT_TRUE(change.ok());
  EXPECT_TRUE(FileExists(folder_ + "/salved.lock"));
  EXPECT_EQ(Take(For::kLook), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DatabaseFilesTest, TheLockEndsWithItsObject) {
  { const auto change = FolderLock::Take(folder_, For::kState); }
  EXPECT_EQ(Take(For::kState), absl::StatusCode::kOk);
  EXPECT_EQ(FolderLock::Take(folder_ + "/none", For::kLook).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(DatabaseFilesTest, ACopyHasTheSameHashAndIsNeverWrittenOver) {
  const std::string from = folder_ + "/a";
  std::ofstream(from) << "abc";
  const auto copied = CopyFile(from, folder_ + "/b");
  ASSERT_TRUE(copied.ok()) << copied.status();
  EXPECT_EQ(copied->bytes, 3);
  EXPECT_EQ(copied->sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HashFile(folder_ + "/b")->sha256, copied->sha256);
  EXPECT_EQ(CopyFile(from, folder_ + "/b").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(CopyFile(folder_ + "/none", folder_ + "/c").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(DatabaseFilesTest, RemovesAndRenames) {
  std::ofstream(folder_ + "/a") << "abc";
  EXPECT_TRUE(RenameFile(folder_ + "/a", folder_ + "/b").ok());
  EXPECT_EQ(RenameFile(folder_ + "/a", folder_ + "/b").code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(RemoveFile(folder_ + "/b").ok());
  EXPECT_TRUE(RemoveFile(folder_ + "/b").ok());
  EXPECT_GT(FreeBytes(folder_).value_or(0), 0);
  EXPECT_EQ(FreeBytes(folder_ + "/none").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace salve

#include "probes/log_tail.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

class LogTailTest : public ::testing::Test {
 protected:
  LogTailTest() { std::filesystem::remove_all(path_), std::filesystem::remove_all(path_ + ".1"); }
  void Append(const std::string& text) {
    std::ofstream(path_, std::ios::app | std::ios::binary) << text;
  }
  void Rewrite(const std::string& text) {
    std::ofstream(path_, std::ios::trunc | std::ios::binary) << text;
  }
  void Rotate() { std::filesystem::rename(path_, path_ + ".1"); }
  // The lines of one pass, joined by commas.
  std::string Pass(LogTail& tail, size_t bytes_a_turn = 1 << 20) {
    status_ = tail.BeginPass();
    std::string lines;
    turns_ = 1;
    while (tail.ReadSome(bytes_a_turn,
                         [&](absl::string_view line) { absl::StrAppend(&lines, line, ","); })) {
      ++turns_;
    }
    return lines;
  }

  const std::string path_ =
      absl::StrCat(::testing::TempDir(), "/",
                   ::testing::UnitTest::GetInstance()->current_test_info()->name(), ".log");
  absl::Status status_;
  int turns_ = 0;
};

TEST_F(LogTailTest, BeginsAtTheEndAndReadsWhatIsAppended) {
  Append("old\n");
  LogTail tail(path_, 1024);
  EXPECT_EQ(Pass(tail), "");
  Append("a\n\nb\n");
  EXPECT_EQ(Pass(tail), "a,,b,");
  EXPECT_EQ(Pass(tail), "");
}

TEST_F(LogTailTest, KeepsTheLastLineUntilItsNewlineComes) {
  LogTail tail(path_, 1024);
  Append("a\nbe");
  EXPECT_EQ(Pass(tail), "a,");
  Append("gin");
  EXPECT_EQ(Pass(tail), "");
  Append("ning\nc\n");
  EXPECT_EQ(Pass(tail), "beginning,c,");
}

TEST_F(LogTailTest, CutsALongLineAndLosesNothingAfterIt) {
  LogTail tail(path_, 256);
  Append(std::string(256, 'x') + "\n" + std::string(257, 'y') + "\nz\n");
  EXPECT_EQ(Pass(tail), std::string(256, 'x') + "," + std::string(256, 'y') + ",z,");
}

TEST_F(LogTailTest, HoldsNoMoreOfATenMegabyteLineThanItsBound) {
  LogTail tail(path_, 64 * 1024);
  Append(std::string(10 << 20, 'x'));
  EXPECT_EQ(Pass(tail, 1 << 20), "");
  EXPECT_EQ(turns_, 10);
  Append("\nnext\n");
  EXPECT_EQ(Pass(tail), std::string(64 * 1024, 'x') + ",next,");
}

TEST_F(LogTailTest, ReadsNoMoreATurnThanItWasTold) {
  LogTail tail(path_, 1024);
  Append("aaaa\nbbbb\n");
  ASSERT_TRUE(tail.BeginPass().ok());
  EXPECT_EQ(tail.unread_bytes(), 10u);
  EXPECT_TRUE(tail.ReadSome(9, [](absl::string_view) {}));
  EXPECT_EQ(tail.unread_bytes(), 1u);
  EXPECT_FALSE(tail.ReadSome(9, [](absl::string_view) {}));
}

TEST_F(LogTailTest, APassEndsWhereTheFileEndedWhenItBegan) {
  LogTail tail(path_, 1024);
  Append("a\n");
  ASSERT_TRUE(tail.BeginPass().ok());
  Append("b\n");
  std::string seen;
  EXPECT_FALSE(tail.ReadSome(100, [&](absl::string_view line) { absl::StrAppend(&seen, line); }));
  EXPECT_EQ(seen, "a");
}

TEST_F(LogTailTest, FollowsARotationWithoutLosingTheOldFilesEnd) {
  Append("");
  LogTail tail(path_, 1024);
  Append("before\n");
  Rotate();
  Append("after\n");
  EXPECT_EQ(Pass(tail), "before,after,");
}

TEST_F(LogTailTest, ReadsWhatIsWrittenToTheOldFileUntilItsWriterLetsGo) {
  Append("");
  LogTail tail(path_, 1024);
  std::ofstream writer(path_, std::ios::app);
  Rotate();
  writer << "gap\n" << std::flush;
  EXPECT_EQ(Pass(tail), "gap,");  // Renamed, no new file yet.
  EXPECT_EQ(status_.code(), absl::StatusCode::kNotFound);
  Append("new\n");
  writer << "late\n" << std::flush;
  EXPECT_EQ(Pass(tail), "late,new,");
  writer << "later\nlast, unfinished" << std::flush;
  EXPECT_EQ(Pass(tail), "later,last, unfinished,");
  writer << "\ntoo late\n" << std::flush;
  EXPECT_EQ(Pass(tail), "");
}

TEST_F(LogTailTest, StartsOverWhenTheFileIsTruncated) {
  Append("old line\n");
  LogTail tail(path_, 1024);
  Append("part");
  EXPECT_EQ(Pass(tail), "");
  Rewrite("new\n");
  EXPECT_EQ(Pass(tail), "new,");
}

TEST_F(LogTailTest, SeesATruncationAlsoWhenTheFileHasGrownBeyondTheOldPlace) {
  Append("0123456789\n");
  LogTail tail(path_, 1024);
  EXPECT_EQ(Pass(tail), "");
  Rewrite("abcdefghijklmnop\nq\n");
  EXPECT_EQ(Pass(tail), "abcdefghijklmnop,q,");
}

TEST_F(LogTailTest, ReadsAFileThatAppearsLaterFromItsBeginning) {
  LogTail tail(path_, 1024);
  EXPECT_EQ(Pass(tail), "");
  EXPECT_EQ(status_.code(), absl::StatusCode::kNotFound);
  Append("first\n");
  EXPECT_EQ(Pass(tail), "first,");
  EXPECT_TRUE(status_.ok());
}

TEST_F(LogTailTest, RefusesWhatIsNoRegularFileWithoutWaitingForIt) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  LogTail tail(path_, 1024);
  EXPECT_EQ(Pass(tail), "");
  EXPECT_EQ(status_.code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace salve

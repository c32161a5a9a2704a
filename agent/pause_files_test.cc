#include "agent/pause_files.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/simulated_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

class PauseFilesTest : public testing::Test {
 protected:
  PauseFilesTest() {
    const char* tmp = getenv("TEST_TMPDIR");
    dir_ = std::string(tmp == nullptr ? "/tmp" : tmp) + "/pause-XXXXXX";
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
    one_ = dir_ + "/actions.paused";
    two_ = dir_ + "/nowhere/actions.paused";  // Its folder is not there.
    files_ = std::make_unique<PauseFiles>(loop_, worker_, std::vector<std::string>{one_, two_},
                                          [this](std::map<std::string, Guard> files) {
                                            ++changes_;
                                            seen_ = std::move(files);
                                          });
  }
  ~PauseFilesTest() override {
    files_.reset();
    std::filesystem::remove_all(dir_);
  }
  void Write(const std::string& text) { std::ofstream(one_) << text; }
  void Look() { loop_.RunFor(kPauseLookInterval); }

  std::string dir_, one_, two_;
  SimulatedLoop loop_;
  InlineWorker worker_;
  std::unique_ptr<PauseFiles> files_;
  std::map<std::string, Guard> seen_;
  int changes_ = 0;
};

TEST_F(PauseFilesTest, AFileThatIsThereAtTheStartPausesAtOnce) {
  Write("  storm in cell 7\nmore\n");
  files_->Load();
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[one_].reason, "storm in cell 7");
  EXPECT_EQ(seen_[one_].who, one_);
  EXPECT_EQ(seen_[one_].until, absl::InfiniteFuture());
}

TEST_F(PauseFilesTest, WithoutFilesNothingIsSaid) {
  files_->Load();
  loop_.RunFor(absl::Minutes(1));
  EXPECT_EQ(changes_, 0);
}

TEST_F(PauseFilesTest, IsSeenAtTheNextLookAndItsEndAtTheSecond) {
  files_->Load();
  Write("");
  Look();
  EXPECT_EQ(seen_.size(), 1u);
  std::filesystem::remove(one_);
  Look();
  EXPECT_EQ(changes_, 1);
  Look();
  EXPECT_EQ(changes_, 2);
  EXPECT_TRUE(seen_.empty());
}

TEST_F(PauseFilesTest, AnEditorThatReplacesItDoesNotResume) {
  Write("one");
  files_->Load();
  std::filesystem::remove(one_);
  Look();
  Write("two");
  Look();
  EXPECT_EQ(changes_, 2);
  EXPECT_EQ(seen_[one_].reason, "two");
}

TEST_F(PauseFilesTest, WhateverIsAtThePathPauses) {
  files_->Load();
  ASSERT_EQ(symlink("/nowhere/at/all", one_.c_str()), 0);
  Look();
  EXPECT_EQ(seen_.size(), 1u);
  std::filesystem::remove(one_);
  ASSERT_EQ(mkfifo(one_.c_str(), 0600), 0);  // Opening it would wait for ever.
  Look();
  EXPECT_EQ(seen_.size(), 1u);
  std::filesystem::remove(one_);
  std::filesystem::create_directory(one_);
  Look();
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(PauseFilesTest, AFileWithoutAnEndIsReadInPart) {
  Write(std::string(100'000, 'x'));
  files_->Load();
  EXPECT_EQ(seen_.size(), 1u);
  EXPECT_LE(seen_[one_].reason.size(), kGuardTextMax);
}

}  // namespace
}  // namespace salve

#include "cli/ready_made_folder.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "config/ready_made_sets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class ReadyMadeFolderTest : public ::testing::Test {
 protected:
  ReadyMadeFolderTest() : dir_(std::string(::testing::TempDir()) + "/ready-made") {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void Write(const std::string& name, const std::string& text) {
    fs::create_directories(dir_ + "/conf.d");
    std::ofstream(dir_ + "/conf.d/" + name) << text;
  }
  std::string Read(const std::string& name = "nginx.textproto") {
    std::ostringstream text;
    text << std::ifstream(dir_ + "/conf.d/" + name).rdbuf();
    return text.str();
  }
  bool Exists(const std::string& name) { return fs::exists(dir_ + "/conf.d/" + name); }

  const std::string dir_;
  absl::Status says_;  // What the check says.
  std::vector<SourceFile> checked_;
  ReadyMadeFolder folder_{dir_, [this](const std::string& dir, SourceFile file) {
                            EXPECT_EQ(dir, dir_);
                            checked_.push_back(std::move(file));
                            return says_;
                          }};
};

TEST_F(ReadyMadeFolderTest, EnableWritesTheTextThatShips) {
  EXPECT_EQ(*folder_.StateOf("nginx"), ReadyMadeState::kNotEnabled);
  ASSERT_TRUE(folder_.Enable("nginx", false).ok());
  EXPECT_EQ(Read(), *FindReadyMadeSet("nginx"));
  EXPECT_EQ(*folder_.StateOf("nginx"), ReadyMadeState::kActs);
  struct stat status;
  ASSERT_EQ(stat(folder_.FileOf("nginx").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0644u);
}

TEST_F(ReadyMadeFolderTest, EnableMakesTheFolder) {
  fs::remove_all(dir_);
  ASSERT_TRUE(folder_.Enable("nginx", false).ok());
  EXPECT_TRUE(Exists("nginx.textproto"));
}

TEST_F(ReadyMadeFolderTest, FirstObservesThenActs) {
  ASSERT_TRUE(folder_.Enable("nginx", true).ok());
  EXPECT_EQ(*folder_.StateOf("nginx"), ReadyMadeState::kObserves);
  EXPECT_THAT(Read(), HasSubstr("mode: OBSERVE"));
  ASSERT_TRUE(folder_.Enable("nginx", false).ok());
  EXPECT_EQ(*folder_.StateOf("nginx"), ReadyMadeState::kActs);
  ASSERT_TRUE(folder_.TakeBack().ok());
  EXPECT_EQ(*folder_.StateOf("nginx"), ReadyMadeState::kObserves);
}

TEST_F(ReadyMadeFolderTest, WhatIsRefusedChangesNothing) {
  says_ = absl::InvalidArgumentError("other.textproto:1:2: bad");
  EXPECT_EQ(folder_.Enable("nginx", false), says_);
  ASSERT_THAT(checked_, SizeIs(1));
  EXPECT_EQ(checked_[0].name, "nginx.textproto");
  EXPECT_EQ(checked_[0].text, *FindReadyMadeSet("nginx"));
  EXPECT_FALSE(Exists("nginx.textproto"));
}

TEST_F(ReadyMadeFolderTest, AFileThatSaysSomethingElseStays) {
  Write("nginx.textproto", "# mine");
  EXPECT_EQ(*folder_.StateOf("nginx"), ReadyMadeState::kChanged);
  const absl::Status status = folder_.Enable("nginx", false);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("nginx.textproto is there and is not as it ships"));
  EXPECT_EQ(Read(), "# mine");
}

TEST_F(ReadyMadeFolderTest, EnableIsTakenBackByRemovingTheFile) {
  ASSERT_TRUE(folder_.Enable("nginx", false).ok());
  ASSERT_TRUE(folder_.TakeBack().ok());
  EXPECT_FALSE(Exists("nginx.textproto"));
  EXPECT_TRUE(folder_.TakeBack().ok());  // Nothing more to take back.
}

TEST_F(ReadyMadeFolderTest, AFolderThatCannotBeWrittenIsAnError) {
  Write("nginx.textproto", "");
  fs::remove_all(dir_ + "/conf.d");
  std::ofstream(dir_ + "/conf.d") << "no folder";
  EXPECT_FALSE(folder_.Enable("nginx", false).ok());
}

TEST_F(ReadyMadeFolderTest, DisableRemovesWhatIsAsItShips) {
  for (const bool observe : {false, true}) {
    ASSERT_TRUE(folder_.Enable("nginx", observe).ok());
    ASSERT_TRUE(folder_.Disable("nginx", false).ok());
    EXPECT_FALSE(Exists("nginx.textproto"));
    EXPECT_EQ(checked_.back().text, "");
    ASSERT_TRUE(folder_.TakeBack().ok());
    EXPECT_EQ(*folder_.StateOf("nginx"),
              observe ? ReadyMadeState::kObserves : ReadyMadeState::kActs);
  }
}

TEST_F(ReadyMadeFolderTest, DisableOfWhatIsNotEnabledIsNotFound) {
  EXPECT_EQ(folder_.Disable("nginx", true).code(), absl::StatusCode::kNotFound);
}

TEST_F(ReadyMadeFolderTest, WhatWasChangedIsDisabledByForceAndKept) {
  Write("nginx.textproto", "# mine");
  const absl::Status status = folder_.Disable("nginx", false);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("enabled: false"));
  ASSERT_TRUE(folder_.Disable("nginx", true).ok());
  EXPECT_FALSE(Exists("nginx.textproto"));
  EXPECT_EQ(Read("nginx.textproto.disabled"), "# mine");
  ASSERT_TRUE(folder_.TakeBack().ok());
  EXPECT_EQ(Read(), "# mine");
}

TEST_F(ReadyMadeFolderTest, WhatWasKeptEarlierIsNotLost) {
  Write("nginx.textproto", "# mine");
  Write("nginx.textproto.disabled", "# older");
  EXPECT_EQ(folder_.Disable("nginx", true).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Read(), "# mine");
  EXPECT_EQ(Read("nginx.textproto.disabled"), "# older");
}

TEST_F(ReadyMadeFolderTest, DisableIsRefusedWhileAnotherFileNeedsIt) {
  ASSERT_TRUE(folder_.Enable("nginx", false).ok());
  says_ = absl::InvalidArgumentError("web.textproto:1:2: there is no health set 'Nginx'");
  EXPECT_EQ(folder_.Disable("nginx", false), says_);
  EXPECT_TRUE(Exists("nginx.textproto"));
}

TEST(ReadyMadeTest, TheServerItselfIsEverywhere) { EXPECT_TRUE(*AppliesHere("system")); }

TEST(ReadyMadeTest, EachSaysWhatItWatches) {
  for (const std::string& name : ReadyMadeSetNames()) {
    EXPECT_TRUE(AppliesHere(name).ok()) << name;
    EXPECT_THAT(WhatItWatches(name), Not(Contains(""))) << name;
  }
  EXPECT_THAT(WhatItWatches("postgresql"), SizeIs(2));
}

}  // namespace
}  // namespace salve

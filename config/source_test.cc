#include "config/source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SourceTest : public ::testing::Test {
 protected:
  SourceTest() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    dir_ = absl::StrCat(::testing::TempDir(), "/", info->name());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void Write(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(dir_ + "/" + name).parent_path());
    std::ofstream(dir_ + "/" + name) << text;
  }
  absl::StatusOr<ConfigurationSource> Read() { return ReadConfigurationSource(dir_); }
  absl::Status Error() { return Read().status(); }

  std::string dir_;
};

TEST_F(SourceTest, AnEmptyFolderIsAnEmptySource) {
  const auto source = Read();
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->agent.text, "");
  EXPECT_THAT(source->health_sets, IsEmpty());
}

TEST_F(SourceTest, ReadsTheFilesInTheOrderOfTheirNames) {
  Write("salve.textproto", "agent");
  Write("conf.d/10-b.textproto", "b");
  Write("conf.d/05-a.textproto", "a");
  const auto source = Read();
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->agent.text, "agent");
  ASSERT_EQ(source->health_sets.size(), 2u);
  EXPECT_EQ(source->health_sets[0].name, "05-a.textproto");
  EXPECT_EQ(source->health_sets[0].text, "a");
  EXPECT_EQ(source->health_sets[1].name, "10-b.textproto");
}

TEST_F(SourceTest, PassesOverWhatIsNoConfiguration) {
  for (const char* name :
       {".hidden.textproto", ".#web.textproto", "#web.textproto#", "#a.textproto", "web.textproto~",
        "web.textproto.swp", "README", "web.txt", ".textproto"}) {
    Write(absl::StrCat("conf.d/", name), "x");
  }
  const auto source = Read();
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT(source->health_sets, IsEmpty());
}

TEST_F(SourceTest, SaysWhetherThereIsNoFileAtAll) {
  EXPECT_TRUE(Read()->no_file);
  Write("throttle.xml", "x");
  Write("conf.d/README", "x");
  EXPECT_TRUE(Read()->no_file);
  Write("conf.d/a.textproto", "");
  EXPECT_FALSE(Read()->no_file);
  fs::remove_all(dir_ + "/conf.d");
  Write("salve.textproto", "");
  EXPECT_FALSE(Read()->no_file);
}

TEST_F(SourceTest, FindsTheThrottlePolicy) {
  EXPECT_EQ(ThrottlePolicyFileIn(dir_), "");
  Write("throttle.xml", "x");
  EXPECT_EQ(ThrottlePolicyFileIn(dir_), dir_ + "/throttle.xml");
}

TEST_F(SourceTest, FollowsLinks) {
  Write("shared.textproto", "x");
  fs::create_directories(dir_ + "/conf.d");
  fs::create_symlink(dir_ + "/shared.textproto", dir_ + "/conf.d/web.textproto");
  EXPECT_EQ(Read()->health_sets.at(0).text, "x");
}

TEST_F(SourceTest, AFolderThatIsNotThereIsNotFound) {
  const absl::Status status = ReadConfigurationSource(dir_ + "/none").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(dir_ + "/none"));
}

TEST_F(SourceTest, AFileIsNoFolder) {
  Write("file", "");
  EXPECT_EQ(ReadConfigurationSource(dir_ + "/file").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(SourceTest, ALinkToNothingIsAnErrorThatNamesTheFile) {
  fs::create_directories(dir_ + "/conf.d");
  fs::create_symlink(dir_ + "/none", dir_ + "/conf.d/web.textproto");
  EXPECT_EQ(Error().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Error().message()), HasSubstr("conf.d/web.textproto"));
}

TEST_F(SourceTest, WhatMayNotBeReadIsPermissionDenied) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  Write("conf.d/web.textproto", "x");
  chmod((dir_ + "/conf.d/web.textproto").c_str(), 0);
  EXPECT_EQ(Error().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(Error().message()), HasSubstr("conf.d/web.textproto"));
}

TEST_F(SourceTest, AFolderOrAPipeInPlaceOfAFileIsRefused) {
  fs::create_directories(dir_ + "/conf.d/web.textproto");
  EXPECT_EQ(Error().code(), absl::StatusCode::kInvalidArgument);
  fs::remove(dir_ + "/conf.d/web.textproto");
  ASSERT_EQ(mkfifo((dir_ + "/conf.d/web.textproto").c_str(), 0600), 0);
  EXPECT_THAT(std::string(Error().message()), HasSubstr("web.textproto: is no regular file"));
}

TEST_F(SourceTest, AFileHasAtMostFourMebibytes) {
  Write("conf.d/web.textproto", std::string(4 << 20, '#'));
  EXPECT_TRUE(Read().ok());
  Write("conf.d/web.textproto", std::string((4 << 20) + 1, '#'));
  EXPECT_EQ(Error().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Error().message()), HasSubstr("web.textproto: is larger than 4 MiB"));
}

TEST_F(SourceTest, AllFilesTogetherHaveAtMost64Mebibytes) {
  for (int i = 0; i < 16; ++i) {
    Write(absl::StrCat("conf.d/", i, ".textproto"), std::string(4 << 20, '#'));
  }
  EXPECT_TRUE(Read().ok());
  Write("conf.d/z.textproto", "#");
  EXPECT_EQ(Error().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(SourceTest, TenThousandFilesAreReadAndOneMoreIsNot) {
  for (int i = 0; i < 10000; ++i) Write(absl::StrCat("conf.d/", i, ".textproto"), "");
  EXPECT_TRUE(Read().ok());
  Write("conf.d/z.textproto", "");
  EXPECT_EQ(Error().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace salve

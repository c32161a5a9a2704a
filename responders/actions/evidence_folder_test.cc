#include "responders/actions/evidence_folder.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

class EvidenceFolderTest : public ::testing::Test {
 protected:
  static mode_t ModeOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }
  size_t Count() const {
    return std::distance(fs::directory_iterator(dir_ + "/evidence"), fs::directory_iterator());
  }
  static std::string Name(int second) {
    return absl::StrCat("20270115T0800", second / 10, second % 10, "Z-aa");
  }
  const std::string dir_ = [] {
    std::string dir = absl::StrCat(getenv("TEST_TMPDIR"), "/evidence-XXXXXX");
    EXPECT_NE(mkdtemp(dir.data()), nullptr);
    return dir;
  }();
};

TEST_F(EvidenceFolderTest, IsForItsOwnerAlone) {
  const auto folder = EvidenceFolder::Make(dir_, Name(1));
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ((*folder)->path(), fs::canonical(dir_).string() + "/evidence/" + Name(1));
  ASSERT_TRUE((*folder)->Write("a.txt", "text").ok());
  EXPECT_EQ(ModeOf((*folder)->path()), 0700);
  EXPECT_EQ(ModeOf(dir_ + "/evidence"), 0700);
  EXPECT_EQ(ModeOf((*folder)->path() + "/a.txt"), 0600);
}

TEST_F(EvidenceFolderTest, ReplacesNothing) {
  const auto folder = EvidenceFolder::Make(dir_, Name(1));
  ASSERT_TRUE((*folder)->Write("a.txt", "text").ok());
  EXPECT_EQ((*folder)->Write("a.txt", "other").code(), absl::StatusCode::kAlreadyExists);
  const auto second = EvidenceFolder::Make(dir_, Name(1));
  EXPECT_TRUE(absl::EndsWith((*second)->path(), Name(1) + "-2"));
}

TEST_F(EvidenceFolderTest, FollowsNoLink) {
  fs::create_directory(dir_ + "/elsewhere");
  fs::create_directory_symlink(dir_ + "/elsewhere", dir_ + "/evidence");
  EXPECT_EQ(EvidenceFolder::Make(dir_, Name(1)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(fs::is_empty(dir_ + "/elsewhere"));
  fs::remove(dir_ + "/evidence");
  std::ofstream(dir_ + "/evidence") << "a file";
  EXPECT_EQ(EvidenceFolder::Make(dir_, Name(1)).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(EvidenceFolderTest, SaysThatThereIsNoStateFolder) {
  EXPECT_EQ(EvidenceFolder::Make(dir_ + "/none", Name(1)).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(EvidenceFolderTest, KeepsTheNewest) {
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE((*EvidenceFolder::Make(dir_, Name(i)))->Write("a.txt", "text").ok());
  }
  const auto folder = EvidenceFolder::Make(dir_, Name(4));
  EXPECT_TRUE((*folder)->Prune(5).ok());
  EXPECT_EQ(Count(), 5u);
  EXPECT_TRUE((*folder)->Prune(2).ok());
  EXPECT_EQ(Count(), 2u);
  EXPECT_TRUE(fs::exists(dir_ + "/evidence/" + Name(3)));
  EXPECT_TRUE(fs::exists(dir_ + "/evidence/" + Name(4)));
}

TEST_F(EvidenceFolderTest, NeverRemovesItselfThoughTheClockWentBack) {
  ASSERT_TRUE(EvidenceFolder::Make(dir_, Name(9)).ok());
  const auto folder = EvidenceFolder::Make(dir_, Name(1));
  EXPECT_TRUE((*folder)->Prune(1).ok());
  EXPECT_EQ(Count(), 1u);
  EXPECT_TRUE(fs::exists((*folder)->path()));
}

TEST_F(EvidenceFolderTest, RemovesNothingBehindALinkAndNothingThatIsNotItsOwn) {
  fs::create_directory(dir_ + "/victim");
  std::ofstream(dir_ + "/victim/file") << "x";
  const auto old = EvidenceFolder::Make(dir_, Name(1));
  fs::create_symlink(dir_ + "/victim/file", (*old)->path() + "/link");
  const auto folder = EvidenceFolder::Make(dir_, Name(3));
  fs::create_directory_symlink(dir_ + "/victim", dir_ + "/evidence/" + Name(2));
  fs::create_directory(dir_ + "/evidence/notes of a person");
  EXPECT_FALSE((*folder)->Prune(1).ok());
  EXPECT_FALSE(fs::exists(dir_ + "/evidence/" + Name(1)));
  EXPECT_TRUE(fs::exists(dir_ + "/victim/file"));
  EXPECT_TRUE(fs::exists(dir_ + "/evidence/notes of a person"));
}

}  // namespace
}  // namespace salve

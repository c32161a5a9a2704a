#include "cli/message_file.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace salve {
namespace {

class MessageFileTest : public testing::Test {
 protected:
  MessageFileTest() { std::filesystem::create_directories(dir_); }
  ~MessageFileTest() override { std::filesystem::remove_all(dir_); }

  std::string Path(const std::string& name) const { return dir_ + "/" + name; }

  const std::string dir_ = testing::TempDir() + "/message_file_" +
                           testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(MessageFileTest, TheNameIsTheInternalId) {
  EXPECT_EQ(MessageFileOf("/var/tmp", 4711), "/var/tmp/4711.msg");
}

TEST_F(MessageFileTest, WritesAFileForItsOwnerAlone) {
  ASSERT_TRUE(WriteMessageFile(Path("1.msg"), std::string("a\0b", 3)).ok());

  EXPECT_EQ(ReadMessageFile(Path("1.msg")).value(), std::string("a\0b", 3));
  struct stat info;
  ASSERT_EQ(stat(Path("1.msg").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(MessageFileTest, NeverWritesOverAFileNorFollowsALink) {
  ASSERT_TRUE(WriteMessageFile(Path("1.msg"), "first").ok());
  std::filesystem::create_symlink(Path("elsewhere"), Path("2.msg"));

  const absl::Status there = WriteMessageFile(Path("1.msg"), "second");

  EXPECT_EQ(there.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(there.message().find("never written over"), std::string::npos) << there;
  EXPECT_EQ(ReadMessageFile(Path("1.msg")).value(), "first");
  EXPECT_EQ(WriteMessageFile(Path("2.msg"), "x").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(std::filesystem::exists(Path("elsewhere")));
}

TEST_F(MessageFileTest, SaysThatThereIsNoSuchFolder) {
  EXPECT_EQ(WriteMessageFile(Path("no/1.msg"), "x").code(), absl::StatusCode::kNotFound);
}

TEST_F(MessageFileTest, ReadsUpToItsBoundAndNoMore) {
  std::ofstream(Path("large")) << std::string(kMessageFileBytesMax, 'x');
  EXPECT_EQ(ReadMessageFile(Path("large")).value().size(), kMessageFileBytesMax);

  std::ofstream(Path("large"), std::ios::app) << "x";
  EXPECT_EQ(ReadMessageFile(Path("large")).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(MessageFileTest, RefusesWhatIsNoFile) {
  std::ofstream(Path("empty")).flush();
  EXPECT_EQ(ReadMessageFile(Path("empty")).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadMessageFile("/dev/zero").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadMessageFile(dir_).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadMessageFile(Path("gone")).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace salve

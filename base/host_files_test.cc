#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "base/host.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::HasSubstr;

class HostFilesTest : public testing::Test {
 protected:
  HostFilesTest() {
    std::string name = testing::TempDir() + "/files.XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~HostFilesTest() override { std::filesystem::remove_all(folder_); }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  int FilesInFolder() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      count += entry.exists();
    }
    return count;
  }

  std::string folder_;
};

TEST_F(HostFilesTest, ReadsWhatWasWritten) {
  const std::string content = std::string(100'000, 'x') + '\0' + "end";
  ASSERT_TRUE(WriteFileAtomically(Path("f"), content).ok());
  EXPECT_EQ(ReadFile(Path("f")).value(), content);
}

TEST_F(HostFilesTest, ReadsAtMostSoManyBytes) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "12345").ok());
  EXPECT_EQ(ReadFile(Path("f"), 4).value(), "1234");
  EXPECT_EQ(ReadFile(Path("f"), 5).value(), "12345");
  EXPECT_EQ(ReadFile(Path("f"), 6).value(), "12345");
}

TEST_F(HostFilesTest, ReadsFilesOfProcThatHaveNoSize) {
  EXPECT_THAT(ReadFile("/proc/self/status").value(), HasSubstr("Pid:"));
}

TEST_F(HostFilesTest, NamesThePathOfAFileThatIsNotThere) {
  const auto content = ReadFile(Path("nothing"));
  EXPECT_EQ(content.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(content.status().message(), Path("nothing") + ": No such file or directory");
}

TEST_F(HostFilesTest, CannotReadAFolder) {
  EXPECT_EQ(ReadFile(folder_).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(HostFilesTest, DoesNotWaitForTheWriterOfANamedPipe) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(ReadFile(Path("pipe")).value(), "");
}

TEST_F(HostFilesTest, AFileIsMadeOnceAndNotReplaced) {
  EXPECT_TRUE(*MakeFileAtomically(Path("f"), "first"));
  EXPECT_FALSE(*MakeFileAtomically(Path("f"), "second"));
  EXPECT_EQ(*ReadFile(Path("f")), "first");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(Path("")), {}), 1);
  EXPECT_EQ(MakeFileAtomically(Path("no/f"), "x").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(HostFilesTest, ReplacesAFileWithItsModeAndLeavesNothingBeside) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "old", 0600).ok());
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "new", 0640).ok());
  struct stat info;
  ASSERT_EQ(stat(Path("f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640);
  EXPECT_EQ(ReadFile(Path("f")).value(), "new");
  EXPECT_EQ(FilesInFolder(), 1);
}

TEST_F(HostFilesTest, CannotWriteWithoutTheFolder) {
  EXPECT_EQ(WriteFileAtomically(Path("no/f"), "x").code(), absl::StatusCode::kNotFound);
}

TEST_F(HostFilesTest, LeavesNothingBesideAFolderThatItCannotReplace) {
  ASSERT_EQ(mkdir(Path("taken").c_str(), 0755), 0);
  EXPECT_FALSE(WriteFileAtomically(Path("taken"), "x").ok());
  EXPECT_EQ(FilesInFolder(), 1);
}

class IdentifyProcessTest : public HostFilesTest {
 protected:
  // A /proc in which process 7 has this `stat`.
  absl::StatusOr<ProcessIdentity> Identify(const std::string& stat) {
    std::filesystem::create_directory(Path("7"));
    EXPECT_TRUE(WriteFileAtomically(Path("7/stat"), stat).ok());
    return IdentifyProcess(folder_, 7);
  }
};

TEST_F(IdentifyProcessTest, TakesTheStartTimeAfterAnyName) {
  const ProcessIdentity expected = {.pid = 7, .start_ticks = 1234};
  EXPECT_EQ(Identify("7 (sh) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 1234 99 1").value(), expected);
  EXPECT_EQ(Identify("7 (a b) c) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 1234 99").value(),
            expected);
}

TEST_F(IdentifyProcessTest, DoesNotFindAProcessInACutStat) {
  EXPECT_EQ(Identify("7 (sh) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Identify("").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(IdentifyProcess(folder_, 8).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(IdentifyProcessTest, KnowsThisProcess) {
  EXPECT_EQ(IdentifyProcess("/proc", getpid())->pid, getpid());
}

TEST(ErrnoStatusTest, TellsWhatIsFullAndWhatIsForbidden) {
  EXPECT_EQ(ErrnoStatus(ENOSPC, "f"), absl::ResourceExhaustedError("f: No space left on device"));
  EXPECT_EQ(ErrnoStatus(EACCES, "f"), absl::PermissionDeniedError("f: Permission denied"));
  EXPECT_EQ(ErrnoStatus(EIO, "f"), absl::UnavailableError("f: Input/output error"));
  EXPECT_EQ(ErrnoStatus(99'999, "f"), absl::UnavailableError("f: error 99999"));
}

}  // namespace
}  // namespace salve

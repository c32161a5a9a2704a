#include "channels/export_jsonl.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "channels/event_json.h"
#include "channels/test_events.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

class ExportJsonlTest : public testing::Test {
 protected:
  std::unique_ptr<EventExport> New(uint64_t bytes_max = 1 << 20, uint32_t files_max = 2) {
    return NewJsonlExport({.path = path_, .bytes_max = bytes_max, .files_max = files_max});
  }
  static std::vector<std::string> Lines(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  TestFolder folder_;
  const std::string path_ = folder_.path("events.jsonl");
  const std::string line_ = EventToJson(AgentEvent("0"));
};

TEST_F(ExportJsonlTest, WritesALineAnEvent) {
  auto target = New();
  EXPECT_TRUE(target->Write(AgentEvent("one\ntwo")).ok());
  EXPECT_TRUE(target->Write(ActionEvent(2050)).ok());
  const std::vector<std::string> lines = Lines(path_);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], EventToJson(AgentEvent("one\ntwo")));
  EXPECT_EQ(target->name(), path_);
}

TEST_F(ExportJsonlTest, GoesOnInAFileThatIsThereAndIsNotForAll) {
  ASSERT_TRUE(New()->Write(AgentEvent("0")).ok());
  ASSERT_TRUE(New()->Write(AgentEvent("1")).ok());
  EXPECT_EQ(Lines(path_).size(), 2u);
  struct stat file;
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07, 0u);
}

TEST_F(ExportJsonlTest, RotatesBeforeTheSizeIsExceeded) {
  auto target = New(2 * (line_.size() + 1));
  for (const char* text : {"0", "1"}) ASSERT_TRUE(target->Write(AgentEvent(text)).ok());
  EXPECT_FALSE(fs::exists(path_ + ".1")) << "just full";
  ASSERT_TRUE(target->Write(AgentEvent("2")).ok());
  EXPECT_EQ(Lines(path_ + ".1").size(), 2u);
  EXPECT_EQ(Lines(path_), (std::vector<std::string>{EventToJson(AgentEvent("2"))}));
}

TEST_F(ExportJsonlTest, KeepsSoManyRotatedFiles) {
  auto target = New(1, 2);
  for (const char* text : {"0", "1", "2", "3"}) ASSERT_TRUE(target->Write(AgentEvent(text)).ok());
  EXPECT_EQ(Lines(path_)[0], EventToJson(AgentEvent("3")));
  EXPECT_EQ(Lines(path_ + ".1")[0], EventToJson(AgentEvent("2")));
  EXPECT_EQ(Lines(path_ + ".2")[0], EventToJson(AgentEvent("1")));
  EXPECT_FALSE(fs::exists(path_ + ".3"));
}

TEST_F(ExportJsonlTest, BeginsAnewWhenTheFileIsRemovedOrMoved) {
  auto target = New();
  ASSERT_TRUE(target->Write(AgentEvent("0")).ok());
  fs::remove(path_);
  ASSERT_TRUE(target->Write(AgentEvent("1")).ok());
  EXPECT_EQ(Lines(path_).size(), 1u);
  fs::rename(path_, path_ + ".away");
  ASSERT_TRUE(target->Write(AgentEvent("2")).ok());
  EXPECT_EQ(Lines(path_), (std::vector<std::string>{EventToJson(AgentEvent("2"))}));
}

TEST_F(ExportJsonlTest, ATruncatedFileHasNoHole) {
  auto target = New();
  ASSERT_TRUE(target->Write(AgentEvent("0")).ok());
  fs::resize_file(path_, 0);
  ASSERT_TRUE(target->Write(AgentEvent("1")).ok());
  EXPECT_EQ(fs::file_size(path_), line_.size() + 1);
}

TEST_F(ExportJsonlTest, AFolderThatIsMissingIsAnErrorUntilItIsThere) {
  const std::string path = folder_.path("later/events.jsonl");
  auto target = NewJsonlExport({.path = path});
  const absl::Status status = target->Write(AgentEvent("0"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(status.message().find(path), absl::string_view::npos);
  fs::create_directory(folder_.path("later"));
  EXPECT_TRUE(target->Write(AgentEvent("0")).ok());
}

TEST_F(ExportJsonlTest, NoRoomLeavesNoHalfLine) {
  auto target = New();
  ASSERT_TRUE(target->Write(AgentEvent("0")).ok());
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit limit = {.rlim_cur = line_.size() + 10, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_FALSE(target->Write(AgentEvent("1")).ok());
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(Lines(path_).size(), 1u);
  ASSERT_TRUE(target->Write(AgentEvent("2")).ok());
  EXPECT_EQ(Lines(path_)[1], EventToJson(AgentEvent("2")));
}

}  // namespace
}  // namespace salve

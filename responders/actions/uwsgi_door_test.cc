#include "responders/actions/uwsgi_door.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

class UwsgiDoorTest : public ::testing::Test {
 protected:
  UwsgiDoorTest() {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  std::string Fifo() const {
    const std::string path = dir_ + "/fifo";
    EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
    return path;
  }
  std::string File() const {
    std::ofstream(dir_ + "/file") << "content";
    return dir_ + "/file";
  }

  const std::string dir_ = ::testing::TempDir() + "/uwsgi_" +
                           ::testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(UwsgiDoorTest, WritesToTheReader) {
  const std::string path = Fifo();
  UniqueFd reader(open(path.c_str(), O_RDONLY | O_NONBLOCK));
  EXPECT_TRUE(WriteToFifo(path, "r").ok());
  char read_back[2];
  EXPECT_EQ(read(reader.get(), read_back, 2), 1);
  EXPECT_EQ(read_back[0], 'r');
}

TEST_F(UwsgiDoorTest, DoesNotWaitForAReader) {
  const std::string path = Fifo();
  EXPECT_EQ(WriteToFifo(path, "r").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(WriteToFifo(path, "r").message(), path + ": nobody reads it");
}

TEST_F(UwsgiDoorTest, DoesNotWaitForAFullFifo) {
  const std::string path = Fifo();
  UniqueFd reader(open(path.c_str(), O_RDONLY | O_NONBLOCK));
  UniqueFd writer(open(path.c_str(), O_WRONLY | O_NONBLOCK));
  const std::string block(4096, 'x');
  while (write(writer.get(), block.data(), block.size()) > 0) continue;
  EXPECT_EQ(WriteToFifo(path, "r").message(), path + " is full: nobody reads it");
}

TEST_F(UwsgiDoorTest, TakesNothingButAFifo) {
  EXPECT_EQ(WriteToFifo(dir_ + "/none", "r").code(), absl::StatusCode::kNotFound);
  const std::string file = File(), fifo = Fifo(), link = dir_ + "/link";
  EXPECT_EQ(WriteToFifo(file, "r").message(), file + " is no FIFO");
  EXPECT_EQ(fs::file_size(file), 7u);
  UniqueFd reader(open(fifo.c_str(), O_RDONLY | O_NONBLOCK));
  fs::create_symlink(fifo, link);
  EXPECT_EQ(WriteToFifo(link, "r").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(WriteToFifo("/dev/null", "r").code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(UwsgiDoorTest, TouchesARegularFile) {
  const std::string file = File();
  fs::last_write_time(file, fs::file_time_type::min() + std::chrono::hours(24));
  const auto before = fs::last_write_time(file);
  EXPECT_TRUE(TouchFile(file).ok());
  EXPECT_GT(fs::last_write_time(file), before);
  EXPECT_EQ(fs::file_size(file), 7u);
}

TEST_F(UwsgiDoorTest, TouchesNothingElseAndMakesNothing) {
  const std::string link = dir_ + "/link";
  EXPECT_EQ(TouchFile(dir_ + "/none").code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(fs::exists(dir_ + "/none"));
  fs::create_symlink(File(), link);
  EXPECT_EQ(TouchFile(link).message(), link + " is no regular file");
  EXPECT_EQ(TouchFile(Fifo()).code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace salve

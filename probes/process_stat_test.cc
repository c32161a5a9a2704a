#include "probes/process_stat.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

class ProcessStatTest : public ::testing::Test {
 protected:
  void Write(pid_t pid, const std::string& file, const std::string& content) {
    const std::string folder = absl::StrCat(proc_, "/", pid);
    std::filesystem::create_directories(folder);
    std::ofstream(absl::StrCat(folder, "/", file), std::ios::binary) << content;
  }

  const std::string proc_ =
      absl::StrCat(::testing::TempDir(), "/proc_",
                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(ProcessStatTest, ReadsTheFieldsBehindAnAwkwardName) {
  Write(7, "stat",
        "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 150 0 0 20 0 1 0 12345 1000000 50 0 0\n");
  const auto stat = ReadProcessStat(proc_, 7);
  ASSERT_TRUE(stat.ok()) << stat.status();
  EXPECT_EQ(stat->comm, "a) b (c");
  EXPECT_EQ(stat->identity.start_ticks, 12345u);
  EXPECT_EQ(stat->cpu_time, absl::Seconds(400) / sysconf(_SC_CLK_TCK));
  EXPECT_EQ(stat->rss_bytes, 50u * sysconf(_SC_PAGESIZE));
  EXPECT_FALSE(stat->is_zombie);
  EXPECT_EQ(stat->parent, 1);
  EXPECT_FALSE(stat->is_kernel_thread);
}

TEST_F(ProcessStatTest, KnowsAThreadOfTheKernel) {
  Write(9, "stat", "9 (kworker/0:0) I 2 0 0 0 -1 69238880 0 0 0 0 0 7 0 0 20 0 1 0 3 0 0 0 0\n");
  EXPECT_TRUE(ReadProcessStat(proc_, 9)->is_kernel_thread);
  EXPECT_EQ(ReadProcessStat(proc_, 9)->parent, 2);
}

TEST_F(ProcessStatTest, GivesTheTitleThatAProcessShows) {
  Write(10, "cmdline", std::string("php-fpm: pool www\0\0\0", 20));
  EXPECT_EQ(ProcessTitle(proc_, 10), "php-fpm: pool www");
  Write(10, "cmdline", std::string("nginx\0-g\0daemon off;\0", 21));
  EXPECT_EQ(ProcessTitle(proc_, 10), "nginx -g daemon off;");
  EXPECT_EQ(ProcessTitle(proc_, 11), "");
}

TEST_F(ProcessStatTest, ToldApartAreNoProcessAndNoStat) {
  Write(8, "stat", "8 (short) S 1 8\n");
  EXPECT_EQ(ReadProcessStat(proc_, 7).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadProcessStat(proc_, 8).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ProcessStatTest, AProcessHasTheNameOfItsCommOrOfItsProgram) {
  Write(7, "comm", "nginx\n");
  Write(7, "cmdline", std::string("/usr/sbin/nginx-debug\0-g\0", 25));
  EXPECT_TRUE(ProcessHasName(proc_, 7, "nginx"));
  EXPECT_TRUE(ProcessHasName(proc_, 7, "nginx-debug"));
  EXPECT_FALSE(ProcessHasName(proc_, 7, "ngin"));
  EXPECT_FALSE(ProcessHasName(proc_, 7, "-g"));
  EXPECT_FALSE(ProcessHasName(proc_, 8, "nginx"));
}

TEST_F(ProcessStatTest, ANameLongerThanACommIsComparedWhole) {
  Write(7, "comm", "gunicorn-worker\n");
  Write(7, "cmdline", std::string("gunicorn-worker-b\0", 18));
  EXPECT_TRUE(ProcessHasName(proc_, 7, "gunicorn-worker-b"));
  EXPECT_FALSE(ProcessHasName(proc_, 7, "gunicorn-worker-a"));
}

TEST_F(ProcessStatTest, CountsDescriptorsInAFolder) {
  Write(7, "comm", "x");
  std::filesystem::create_directories(proc_ + "/7/fd");
  for (int i = 0; i < 3; ++i) std::ofstream(absl::StrCat(proc_, "/7/fd/", i)) << "";
  EXPECT_EQ(CountDescriptors(proc_, 7), 3u);
  EXPECT_EQ(CountDescriptors(proc_, 8), std::nullopt);
}

TEST_F(ProcessStatTest, CountsItsOwnDescriptorsInTheRealProc) {
  const auto before = CountDescriptors("/proc", getpid());
  ASSERT_TRUE(before.has_value());
  const int fd = dup(0);
  EXPECT_EQ(CountDescriptors("/proc", getpid()), *before + 1);
  close(fd);
}

}  // namespace
}  // namespace salve

#include "responders/actions/machine_text.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::absl::StrContains;

class MachineTextTest : public ::testing::Test {
 protected:
  void AddProcess(int pid, const std::string& comm, const std::string& unit) {
    const std::string folder = absl::StrCat(proc_, "/", pid);
    std::filesystem::create_directories(folder + "/fd");
    std::filesystem::create_symlink("socket:[7]", folder + "/fd/3");
    std::ofstream(folder + "/comm") << comm << "\n";
    std::ofstream(folder + "/stat")
        << pid << " (" << comm << ") S 1 1 1 0 -1 0 0 0 0 0 100 50 0 0 20 0 4 0 99 1000 25 0 0\n";
    std::ofstream(folder + "/cmdline") << "/usr/sbin/" << comm << std::string("\0--x\ny\0", 7);
    std::ofstream(folder + "/cgroup") << "0::/system.slice/" << unit << "\n";
  }
  MachineView View(std::vector<std::string> units = {}) {
    return {.proc = proc_, .units = std::move(units)};
  }
  const std::string proc_ = [] {
    std::string dir = absl::StrCat(getenv("TEST_TMPDIR"), "/proc-XXXXXX");
    EXPECT_NE(mkdtemp(dir.data()), nullptr);
    return dir;
  }();
};

TEST_F(MachineTextTest, TellsEachProcessThoseOfTheUnitFirst) {
  AddProcess(7, "a) b", "other.service");
  AddProcess(20, "nginx", "nginx.service");
  std::filesystem::create_directory(proc_ + "/sys");
  const std::string text = ProcessesText(View({"nginx.service"}));
  const size_t nginx = text.find("nginx.service: /usr/sbin/nginx --x y\n");
  const size_t other = text.find("/usr/sbin/a) b --x y\n");
  ASSERT_NE(nginx, std::string::npos) << text;
  ASSERT_NE(other, std::string::npos) << text;
  EXPECT_LT(nginx, other);
  EXPECT_TRUE(StrContains(text, "     20       1 S        100       1.50     4 ")) << text;
}

TEST_F(MachineTextTest, TellsTheDescriptorsOfTheUnitAlone) {
  AddProcess(7, "other", "other.service");
  AddProcess(20, "nginx", "nginx.service");
  EXPECT_EQ(DescriptorsText(View({"nginx.service"})),
            "20 nginx of nginx.service: 1 open\n  3 -> socket:[7]\n");
  EXPECT_EQ(DescriptorsText(View()), "7 other: 1 open\n20 nginx: 1 open\n");
}

TEST_F(MachineTextTest, AProcessThatEndsMeanwhileIsLeftOut) {
  std::filesystem::create_directories(proc_ + "/9");
  std::ofstream(proc_ + "/8");
  EXPECT_EQ(ProcessesText(View()), "    pid  parent s    rss_kib      cpu_s threads command\n");
}

TEST_F(MachineTextTest, KeepsItsBounds) {
  for (int pid = 1; pid <= 100; ++pid) AddProcess(pid, "nginx", "nginx.service");
  MachineView view = View({"nginx.service"});
  view.bytes_max = 500;
  for (auto* text : {ProcessesText, DescriptorsText, PressureText, SocketsText}) {
    EXPECT_LE(text(view).size(), 500u);
  }
  EXPECT_TRUE(absl::EndsWith(ProcessesText(view), "\n# more was left out\n"));
}

TEST_F(MachineTextTest, StopsWhenTimeIsOver) {
  for (int pid = 1; pid <= 100; ++pid) AddProcess(pid, "nginx", "nginx.service");
  MachineView view = View();
  int asked = 0;
  view.stop = [&] { return ++asked > 10; };
  EXPECT_TRUE(absl::EndsWith(ProcessesText(view), "# time was over\n"));
  EXPECT_EQ(asked, 11);
}

TEST_F(MachineTextTest, SaysWhatIsNotThere) {
  std::ofstream(proc_ + "/loadavg") << "1 2 3\n";
  const std::string text = PressureText(View());
  EXPECT_TRUE(StrContains(text, "/loadavg\n1 2 3\n"));
  EXPECT_TRUE(StrContains(text, "meminfo: No such file or directory"));
}

TEST(CutTextTest, CutsAtTheEndOfALine) {
  EXPECT_EQ(CutText("abc\n", 4), "abc\n");
  EXPECT_EQ(CutText(std::string(30, 'a') + "\n" + std::string(30, 'b'), 60),
            std::string(30, 'a') + "\n# more was left out\n");
  EXPECT_EQ(CutText(std::string(100, 'a'), 40), "# more was left out\n");
}

}  // namespace
}  // namespace salve

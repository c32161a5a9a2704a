// Programs that run as another user, for real.
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/real_host.h"
#include "base/uv_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

#define NEEDS_ROOT() \
  if (geteuid() != 0) GTEST_SKIP() << "only root may become another user"

class SpawnUserTest : public testing::Test {
 protected:
  void SetUp() override { host_.users().Learn({"root", "nobody", "daemon", "no-such-user"}); }

  absl::StatusOr<CommandResult> Try(const Command& command) {
    std::optional<absl::StatusOr<CommandResult>> ended;
    const auto started = host_.RunCommand(command, loop_.Now() + absl::Seconds(30), [&](auto end) {
      ended = std::move(end);
      loop_.Stop();
    });
    if (!started.ok()) return started.status();
    host_.ReleaseCommand(started->id);
    loop_.Run();
    return *ended;
  }
  std::string OutputOf(std::vector<std::string> argv, const std::string& user, bool held = false) {
    const auto result = Try({.argv = std::move(argv), .held = held, .user = user});
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return "";
    EXPECT_EQ(result->exit_code, 0) << result->error_output;
    return result->output;
  }
  static std::string OwnName() { return getpwuid(geteuid())->pw_name; }

  UvLoop loop_;
  RealHost host_{loop_};
};

TEST_F(SpawnUserTest, RunsAsTheUserWithItsGroupsAlone) {
  NEEDS_ROOT();
  for (const bool held : {false, true}) {
    EXPECT_EQ(OutputOf({"sh", "-c", "id -un; id -ru; id -gn; id -Gn"}, "nobody", held),
              "nobody\n65534\nnogroup\nnogroup\n");
  }
}

TEST_F(SpawnUserTest, HasNoCapabilityAndNoWayToANewOne) {
  NEEDS_ROOT();
  const std::string status = OutputOf({"cat", "/proc/self/status"}, "nobody");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
    EXPECT_THAT(status, HasSubstr(absl::StrCat(set, ":\t0000000000000000\n")));
  }
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1\n"));
}

// A copy of `id` that root lets everybody run as root.
TEST_F(SpawnUserTest, ASetuidProgramOfRootDoesNotMakeItRoot) {
  NEEDS_ROOT();
  std::string folder = "/tmp/salve-setuid-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  chmod(folder.c_str(), 0755);
  const std::string program = folder + "/id";
  std::filesystem::copy_file("/usr/bin/id", program);
  ASSERT_EQ(chmod(program.c_str(), 04755), 0);
  const std::string without = OutputOf({program, "-u"}, "nobody");
  // Against itself: without our care it does.
  const auto with = Try(
      {.argv = {"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", program, "-u"}});
  std::filesystem::remove_all(folder);
  EXPECT_EQ(without, "65534\n");
  ASSERT_TRUE(with.ok());
  if (with->output != "0\n") GTEST_SKIP() << "/tmp takes the setuid bit away: nothing was shown";
}

TEST_F(SpawnUserTest, HasTheHomeAndTheNameOfTheUserUnlessToldOtherwise) {
  NEEDS_ROOT();
  Command command = {.argv = {"sh", "-c", "echo $HOME $USER $LOGNAME; umask"},
                     .environment = {"USER=told"},
                     .user = "daemon"};
  EXPECT_EQ(Try(command)->output, "/usr/sbin told daemon\n0022\n");
}

TEST_F(SpawnUserTest, MayBeKilledByTheAgentAtItsDeadline) {
  NEEDS_ROOT();
  std::optional<CommandResult> ended;
  const auto started = host_.RunCommand({.argv = {"sleep", "1000"}, .user = "nobody"},
                                        loop_.Now() + absl::Milliseconds(50), [&](auto end) {
                                          ended = *std::move(end);
                                          loop_.Stop();
                                        });
  ASSERT_TRUE(started.ok()) << started.status();
  loop_.Run();
  EXPECT_TRUE(ended->timed_out);
}

TEST_F(SpawnUserTest, WhatTheUserMayNotRunIsSaidAtOnce) {
  NEEDS_ROOT();
  std::string folder = "/tmp/salve-closed-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);  // Mode 0700.
  std::filesystem::copy_file("/usr/bin/true", folder + "/true");
  const auto result = Try({.argv = {folder + "/true"}, .user = "nobody"});
  std::filesystem::remove_all(folder);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("true' as user 'nobody': Permission denied"));
}

TEST_F(SpawnUserTest, ItsOwnUserKeepsItsRightsAndGetsNoNewOnes) {
  host_.users().Learn({OwnName()});
  EXPECT_EQ(OutputOf({"id", "-u"}, OwnName()), absl::StrCat(geteuid(), "\n"));
  const std::string status = OutputOf({"cat", "/proc/self/status"}, OwnName());
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1\n"));
  NEEDS_ROOT();
  EXPECT_THAT(status, Not(HasSubstr("CapEff:\t0000000000000000\n")));
}

TEST_F(SpawnUserTest, WithoutAUserNothingIsTakenAway) {
  const std::string status = OutputOf({"cat", "/proc/self/status"}, "");
  const int ours = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
  EXPECT_THAT(status, HasSubstr(absl::StrCat("NoNewPrivs:\t", ours, "\n")));
}

TEST_F(SpawnUserTest, OnlyRootMayBecomeAnotherUser) {
  if (geteuid() == 0) GTEST_SKIP() << "root may";
  const auto result = Try({.argv = {"true"}, .user = "daemon"});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("cannot run 'true' as user 'daemon'"));
}

TEST_F(SpawnUserTest, AUserWhoIsNotThereIsNotFound) {
  const auto result = Try({.argv = {"true"}, .user = "no-such-user"});
  EXPECT_EQ(result.status().message(), "there is no user 'no-such-user' on this server");
}

TEST_F(SpawnUserTest, AProgramThatIsNotThereIsNotFoundAlsoForAUser) {
  EXPECT_TRUE(absl::IsNotFound(Try({.argv = {"no-such-program"}, .user = OwnName()}).status()));
}

}  // namespace
}  // namespace salve

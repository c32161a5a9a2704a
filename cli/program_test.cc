#include "cli/program.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(RunProgramTest, GivesTheExitStatusAndTheErrors) {
  const auto end = RunProgram({"/bin/sh", "-c", "echo out; echo why >&2; exit 3"});
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->exit_code, 3);
  EXPECT_EQ(end->error_output, "why\n");
}

TEST(RunProgramTest, CutsLongErrors) {
  const auto end =
      RunProgram({"/bin/sh", "-c", "echo first >&2; head -c 200000 /dev/zero | tr '\\0' x >&2"});
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->error_output.size(), 64u << 10);
  EXPECT_EQ(end->error_output.substr(0, 6), "first\n");
}

TEST(RunProgramTest, HandsAnInterruptOn) {
  const auto end =
      RunProgram({"/bin/sh", "-c",
                  "trap 'echo asked >&2; exit 1' TERM; kill -INT $PPID; while :; do :; done"});
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->error_output, "asked\n");
  EXPECT_EQ(end->exit_code, 1);
}

TEST(RunProgramTest, TellsTheSignalThatEndedIt) {
  const auto end = RunProgram({"/bin/sh", "-c", "kill -9 $$"});
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->exit_code, -9);
}

TEST(RunProgramTest, OneThatIsNotThereIsNotFound) {
  EXPECT_EQ(RunProgram({"/nonexistent/salved"}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace salve

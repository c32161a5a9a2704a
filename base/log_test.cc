#include "base/log.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/log_mute.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(LogTest, WritesThePriorityThatJournaldReads) {
  testing::internal::CaptureStderr();
  Log(Severity::kWarning, "first {} %s");
  LogError("second");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "<4>first {} %s\n<3>second\n");
}

TEST(LogTest, WritesEveryPriority) {
  testing::internal::CaptureStderr();
  Log(Severity::kCritical, "a");
  Log(Severity::kNotice, "b");
  LogInfo("c");
  Log(Severity::kDebug, "d");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "<2>a\n<5>b\n<6>c\n<7>d\n");
}

TEST(LogTest, WritesNothingWhileThereIsAMute) {
  testing::internal::CaptureStderr();
  {
    const LogMute outer;
    { const LogMute inner; }
    LogError("unheard");
  }
  LogError("heard");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "<3>heard\n");
}

TEST(LogTest, WritesNoPriorityToATerminal) {
  EXPECT_EQ(LogLine(Severity::kError, "text", /*to_terminal=*/true), "text");
}

TEST(LogTest, MakesOneLineOfMany) {
  EXPECT_EQ(LogLine(Severity::kInfo, "a\nb\r\n\x1b[31mc\td", false), "<6>a b   [31mc d");
}

TEST(LogTest, CutsWhatIsBeyondTwoKibibytes) {
  const std::string fits(2048, 'x');
  EXPECT_EQ(LogLine(Severity::kInfo, fits, true), fits);
  EXPECT_EQ(LogLine(Severity::kInfo, fits + "y", true), fits + "…");
}

TEST(LogTest, CutsBetweenCharacters) {
  const std::string text = std::string(2047, 'x') + "é";
  EXPECT_EQ(LogLine(Severity::kInfo, text, true), std::string(2047, 'x') + "…");
}

}  // namespace
}  // namespace salve

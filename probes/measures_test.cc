#include "probes/measures.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace salve {
namespace {

TEST(CheckNumberTest, TakesBothEndsAndNothingBeyond) {
  EXPECT_TRUE(CheckNumber("x", 0, 0, 100).ok());
  EXPECT_TRUE(CheckNumber("x", 100, 0, 100).ok());
  EXPECT_EQ(CheckNumber("x.y", 100.5, 0, 100).message(), "x.y: 100.5 is not in [0, 100]");
  EXPECT_FALSE(CheckNumber("x", -0.1, 0, 100).ok());
  EXPECT_FALSE(CheckNumber("x", std::nan(""), 0, 100).ok());
  EXPECT_FALSE(CheckNumber("x", std::numeric_limits<double>::infinity(), 0, 100).ok());
}

TEST(CheckFullPathTest, WantsAPathFromTheRoot) {
  EXPECT_TRUE(CheckFullPath("x", "/a").ok());
  EXPECT_EQ(CheckFullPath("x", "").message(), "x: missing");
  EXPECT_EQ(CheckFullPath("x", "a").message(), "x: 'a' is no full path");
  EXPECT_EQ(CheckFullPath("x", std::string("/a\0b", 4)).message(), "x: has a NUL in it");
  EXPECT_TRUE(CheckFullPath("x", "/" + std::string(4095, 'a')).ok());
  EXPECT_FALSE(CheckFullPath("x", "/" + std::string(4096, 'a')).ok());
}

TEST(MeasuresTest, WordsBytes) {
  EXPECT_EQ(BytesText(0), "0 bytes");
  EXPECT_EQ(BytesText(1023), "1023 bytes");
  EXPECT_EQ(BytesText(1024), "1.0 KiB");
  EXPECT_EQ(BytesText(120 << 20), "120 MiB");
  EXPECT_EQ(BytesText(std::numeric_limits<uint64_t>::max()), "16 EiB");
}

TEST(MeasuresTest, WordsPercents) {
  EXPECT_EQ(PercentText(0), "0 %");
  EXPECT_EQ(PercentText(5), "5 %");
  EXPECT_EQ(PercentText(1.24), "1.2 %");
  EXPECT_EQ(PercentText(0.03), "0.03 %");
}

TEST(MeasuresTest, WordsAges) {
  EXPECT_EQ(AgeText(absl::Milliseconds(999)), "0s");
  EXPECT_EQ(AgeText(absl::Milliseconds(1500)), "1s");
  EXPECT_EQ(AgeText(absl::Seconds(90)), "1m30s");
  EXPECT_EQ(AgeText(absl::Hours(26) + absl::Seconds(200)), "26h3m");
}

TEST(FileErrorTest, TellsWhoseFaultItIs) {
  EXPECT_EQ(FileError(absl::NotFoundError("x")).outcome, Outcome::kRejected);
  EXPECT_EQ(FileError(absl::PermissionDeniedError("x")).outcome, Outcome::kRejected);
  EXPECT_EQ(FileError(absl::ResourceExhaustedError("x")).outcome, Outcome::kRejected);
  EXPECT_EQ(FileError(absl::UnavailableError("/x: Input/output error")).outcome, Outcome::kFailed);
  EXPECT_EQ(FileError(absl::DeadlineExceededError("x")).outcome, Outcome::kTimedOut);
  EXPECT_EQ(FileError(absl::AlreadyExistsError("x: hangs")).error, "x: hangs");
  EXPECT_EQ(FileError(absl::AlreadyExistsError("x: hangs")).outcome, Outcome::kTimedOut);
}

TEST(JoinFindingsTest, PutsTheWorstFirst) {
  EXPECT_EQ(JoinFindings({}).outcome, Outcome::kSucceeded);
  const Observation seen = JoinFindings({{Outcome::kRejected, "a"},
                                         {Outcome::kTimedOut, "b"},
                                         {Outcome::kFailed, "c"},
                                         {Outcome::kFailed, "d"}});
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "c; d; b; a");
  EXPECT_EQ(JoinFindings({{Outcome::kRejected, "a"}, {Outcome::kTimedOut, "b"}}).outcome,
            Outcome::kTimedOut);
}

TEST(JoinFindingsTest, CutsWhatIsTooLong) {
  const Observation seen =
      JoinFindings(std::vector<Finding>(64, {Outcome::kFailed, std::string(100, 'x')}));
  EXPECT_EQ(seen.error.size(), kErrorBytesMax);
}

}  // namespace
}  // namespace salve

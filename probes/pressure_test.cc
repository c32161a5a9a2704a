#include "probes/pressure.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace salve {
namespace {

TEST(PressureTest, TakesTheShareOfTenSeconds) {
  const Pressure pressure = ParsePressure(
      "some avg10=1.53 avg60=0.87 avg300=0.38 total=1234567\n"
      "full avg10=0.25 avg60=0.11 avg300=0.02 total=345\n");
  EXPECT_EQ(pressure.some, 1.53);
  EXPECT_EQ(pressure.full, 0.25);
}

TEST(PressureTest, AnOldKernelHasNoFullOfTheProcessors) {
  const Pressure pressure = ParsePressure("some avg10=100.00 avg60=0 avg300=0 total=0\n");
  EXPECT_EQ(pressure.some, 100);
  EXPECT_EQ(pressure.full, std::nullopt);
}

TEST(PressureTest, PassesOverWhatIsNoShare) {
  for (const char* text : {"", "some", "some avg10=", "some avg10=x avg60=1", "some avg10=-1",
                           "some avg10=100.1", "some avg10=nan", "some avg60=1", "most avg10=1"}) {
    EXPECT_EQ(ParsePressure(text).some, std::nullopt) << text;
  }
}

TEST(PressureTest, ReadsTheFileOfAResource) {
  const std::string proc = ::testing::TempDir() + "/pressure";
  std::filesystem::create_directories(proc + "/pressure");
  std::ofstream(proc + "/pressure/memory") << "some avg10=2.00 avg60=0.00 avg300=0.00 total=0\n";
  EXPECT_EQ(ReadPressure(proc, "memory").some, 2);
  EXPECT_EQ(ReadPressure(proc, "cpu").some, std::nullopt);
}

}  // namespace
}  // namespace salve

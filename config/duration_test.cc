#include "config/duration.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(DurationTest, ReadsEachUnit) {
  EXPECT_EQ(*ParseDuration("300ms"), absl::Milliseconds(300));
  EXPECT_EQ(*ParseDuration("10s"), absl::Seconds(10));
  EXPECT_EQ(*ParseDuration("5m"), absl::Minutes(5));
  EXPECT_EQ(*ParseDuration("87600h"), absl::Hours(87600));
  EXPECT_EQ(*ParseDuration("0s"), absl::ZeroDuration());
}

TEST(DurationTest, AddsTheUnitsUp) {
  EXPECT_EQ(*ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("1h2m3s4ms"), absl::Milliseconds(3723004));
}

TEST(DurationTest, RefusesWhatIsNotOne) {
  for (const char* text : {"",     "0",    "10",   "-10s",  "+10s", "inf",        "s",  "10 s",
                           " 10s", "10s ", "1.5s", "1e3s",  "10S",  "10us",       "7d", "10sec",
                           "1s1s", "1m1h", "1s1m", "5ms1s", "10s5", "1234567890s"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(DurationTest, NineDigitsAreReadAndTenAreNot) {
  EXPECT_EQ(*ParseDuration("999999999h"), absl::Hours(999999999));
  EXPECT_FALSE(ParseDuration("1000000000h").ok());
}

TEST(DurationTest, TheErrorHasTheValueAndAnExample) {
  EXPECT_EQ(ParseDuration("10").status().message(),
            "'10' is no duration: write e.g. \"300ms\", \"10s\" or \"1h30m\"");
}

TEST(DurationTest, WritesWhatItReads) {
  for (const char* text : {"0s", "1ms", "999ms", "1s", "59s999ms", "1m", "1h30m", "24h", "720h"}) {
    EXPECT_EQ(DurationText(*ParseDuration(text)), text);
  }
}

TEST(DurationTest, LeavesPartsOfAMillisecondOut) {
  EXPECT_EQ(DurationText(absl::Microseconds(1999)), "1ms");
  EXPECT_EQ(DurationText(absl::Microseconds(999)), "0s");
}

}  // namespace
}  // namespace salve

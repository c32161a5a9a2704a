#include "cli/when.h"

#include <string>

#include "gtest/gtest.h"

namespace salve {
namespace {

const absl::TimeZone kUtc = absl::UTCTimeZone();
const absl::TimeZone kTwoHoursEast = absl::FixedTimeZone(2 * 3600);
const absl::Time kNow = absl::FromCivil(absl::CivilSecond(2026, 11, 21, 10, 0, 0), kUtc);

TEST(WhenTest, ReadsHowLongAgo) {
  EXPECT_EQ(ParseWhen("10s", kNow, kUtc).value(), kNow - absl::Seconds(10));
  EXPECT_EQ(ParseWhen("10m", kNow, kUtc).value(), kNow - absl::Minutes(10));
  EXPECT_EQ(ParseWhen("2h", kNow, kUtc).value(), kNow - absl::Hours(2));
  EXPECT_EQ(ParseWhen("7d", kNow, kUtc).value(), kNow - absl::Hours(7 * 24));
  EXPECT_EQ(ParseWhen("1w", kNow, kUtc).value(), kNow - absl::Hours(7 * 24));
  EXPECT_EQ(ParseWhen("1h30m", kNow, kUtc).value(), kNow - absl::Minutes(90));
}

TEST(WhenTest, ReadsDatesInTheGivenZone) {
  const absl::Time eight = kNow - absl::Hours(2);
  EXPECT_EQ(ParseWhen("2026-11-21 10:00", kNow, kTwoHoursEast).value(), eight);
  EXPECT_EQ(ParseWhen("2026-11-21 10:00:07.5", kNow, kTwoHoursEast).value(),
            eight + absl::Milliseconds(7500));
  EXPECT_EQ(ParseWhen("2026-11-21", kNow, kTwoHoursEast).value(), eight - absl::Hours(10));
}

TEST(WhenTest, ReadsRfc3339InItsOwnZone) {
  EXPECT_EQ(ParseWhen("2026-11-21T10:00:00Z", kNow, kTwoHoursEast).value(), kNow);
  EXPECT_EQ(ParseWhen("2026-11-21T10:00:00-08:00", kNow, kUtc).value(), kNow + absl::Hours(8));
  EXPECT_EQ(ParseWhen("2026-11-21T10:00:00.25Z", kNow, kUtc).value(),
            kNow + absl::Milliseconds(250));
}

TEST(WhenTest, RefusesEverythingElseWithExamples) {
  for (const char* text : {"", "10", "m", "10x", "-10m", "10m ", "1.5h", "tomorrow", "2026-13-01",
                           "infinite-past", " 2026-11-21", "10:00", "99999999999999999999s"}) {
    const auto t = ParseWhen(text, kNow, kUtc);
    EXPECT_EQ(t.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(ParseWhen("soon", kNow, kUtc).status().message(),
            "'soon' is not a time; write 10m, 7d, 2026-11-21, '2026-11-21 10:00' or "
            "2026-11-21T10:00:00Z");
}

TEST(WhenTest, GoesBackAtMostAHundredYears) {
  EXPECT_TRUE(ParseWhen("36600d", kNow, kUtc).ok());
  EXPECT_FALSE(ParseWhen("36601d", kNow, kUtc).ok());
  EXPECT_FALSE(ParseWhen("36600d1s", kNow, kUtc).ok());
}

TEST(WhenTest, WritesTheTwoLargestUnitsOfADuration) {
  EXPECT_EQ(ShortDuration(absl::ZeroDuration()), "0ms");
  EXPECT_EQ(ShortDuration(absl::Milliseconds(999)), "999ms");
  EXPECT_EQ(ShortDuration(absl::Seconds(1)), "1s");
  EXPECT_EQ(ShortDuration(absl::Seconds(60) - absl::Nanoseconds(1)), "59s");
  EXPECT_EQ(ShortDuration(absl::Seconds(60)), "1m 0s");
  EXPECT_EQ(ShortDuration(absl::Seconds(192)), "3m 12s");
  EXPECT_EQ(ShortDuration(absl::Hours(1) - absl::Nanoseconds(1)), "59m 59s");
  EXPECT_EQ(ShortDuration(absl::Hours(1)), "1h 0m");
  EXPECT_EQ(ShortDuration(absl::Hours(24) - absl::Nanoseconds(1)), "23h 59m");
  EXPECT_EQ(ShortDuration(absl::Hours(24)), "1d 0h");
  EXPECT_EQ(ShortDuration(absl::Hours(24 * 400 + 5)), "400d 5h");
}

TEST(WhenTest, SaysHowFarAwayATimeIsInBothDirections) {
  EXPECT_EQ(RelativeTime(kNow - absl::Seconds(192), kNow), "3m 12s ago");
  EXPECT_EQ(RelativeTime(kNow + absl::Seconds(192), kNow), "in 3m 12s");
  EXPECT_EQ(RelativeTime(kNow, kNow), "now");
  EXPECT_EQ(RelativeTime(kNow - absl::Milliseconds(999), kNow), "now");
  EXPECT_EQ(RelativeTime(kNow + absl::Milliseconds(999), kNow), "now");
  EXPECT_EQ(RelativeTime(kNow - absl::Seconds(1), kNow), "1s ago");
  EXPECT_EQ(RelativeTime(kNow + absl::Seconds(1), kNow), "in 1s");
}

TEST(WhenTest, WritesLocalTimes) {
  EXPECT_EQ(LocalTime(kNow, kTwoHoursEast), "2026-11-21 12:00:00");
  EXPECT_EQ(LocalAndRelativeTime(kNow + absl::Seconds(61), kNow, kUtc),
            "2026-11-21 10:01:01 (in 1m 1s)");
}

TEST(WhenTest, TheLastDayOfTheYear9999IsNever) {
  const absl::Time last_day = absl::FromCivil(absl::CivilSecond(9999, 12, 31, 0, 0, 0), kUtc);
  EXPECT_EQ(LocalTime(last_day, kUtc), "never");
  EXPECT_EQ(LocalAndRelativeTime(last_day + absl::Hours(23), kNow, kUtc), "never");
  EXPECT_EQ(LocalTime(last_day - absl::Seconds(1), kUtc), "9999-12-30 23:59:59");
}

TEST(WhenTest, TimestampsKeepEachNanosecondAlsoBefore1970) {
  for (absl::Time t : {kNow + absl::Nanoseconds(1), absl::FromUnixNanos(-1), absl::UnixEpoch()}) {
    EXPECT_EQ(TimeOf(TimestampOf(t)), t);
    EXPECT_GE(TimestampOf(t).nanos(), 0);
  }
}

}  // namespace
}  // namespace salve

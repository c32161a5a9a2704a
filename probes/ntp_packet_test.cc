#include "probes/ntp_packet.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

using std::string_literals::operator""s;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

std::string Wire(uint64_t number) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift);
  return bytes;
}

// Leap 0, version 4, mode 4, stratum 2.
std::string Answer() {
  return "\x24\2"s + std::string(10, '\0') + "GPS\0"s + std::string(8, '\0') + Wire(7) +
         Wire(NtpOfTime(kNow)) + Wire(NtpOfTime(kNow + absl::Milliseconds(250)));
}

std::string ErrorOf(const std::string& packet) {
  return std::string(ParseNtpAnswer(packet).status().message());
}

TEST(NtpPacketTest, AsksWithACookieOnly) {
  const std::string question = NtpQuestion(0x0102030405060708);
  ASSERT_EQ(question.size(), 48u);
  EXPECT_EQ(question[0], '\x23');
  EXPECT_EQ(question.substr(40), "\1\2\3\4\5\6\7\x08"s);
  EXPECT_EQ(question.substr(1, 39), std::string(39, '\0'));
}

TEST(NtpPacketTest, ReadsAnAnswer) {
  const auto answer = ParseNtpAnswer(Answer() + "more");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->leap, 0);
  EXPECT_EQ(answer->stratum, 2);
  EXPECT_EQ(answer->kiss_code, "");
  EXPECT_EQ(answer->origin, 7u);
  EXPECT_EQ(TimeOfNtp(answer->receive, kNow), kNow);
  EXPECT_EQ(TimeOfNtp(answer->transmit, kNow), kNow + absl::Milliseconds(250));
  EXPECT_EQ(NtpOriginOf(Answer()), 7u);
}

TEST(NtpPacketTest, ReadsAKissOfDeath) {
  std::string packet = Answer();
  packet[0] = '\xe4';
  packet[1] = 0;
  packet.replace(12, 4, "RATE");
  packet.replace(32, 16, std::string(16, '\0'));
  const auto answer = ParseNtpAnswer(packet);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->leap, 3);
  EXPECT_EQ(answer->kiss_code, "RATE");
  packet.replace(12, 4, "X\n\0\xff"s);
  EXPECT_EQ(ParseNtpAnswer(packet)->kiss_code, "X");
}

TEST(NtpPacketTest, RefusesWhatIsNoAnswer) {
  EXPECT_EQ(ErrorOf(Answer().substr(0, 47)), "it has 47 bytes, expected 48");
  EXPECT_EQ(NtpOriginOf(Answer().substr(0, 47)), 0u);
  EXPECT_EQ(ErrorOf(""), "it has 0 bytes, expected 48");
  std::string packet = Answer();
  packet[0] = '\x23';
  EXPECT_EQ(ErrorOf(packet), "its mode is 3, expected 4");
  packet[0] = '\x04';
  EXPECT_EQ(ErrorOf(packet), "its version is 0");
  packet[0] = '\x2c';
  EXPECT_EQ(ErrorOf(packet), "its version is 5");
  packet[0] = '\x0c';
  EXPECT_EQ(ErrorOf(packet), "");
  packet.replace(40, 8, std::string(8, '\0'));
  EXPECT_EQ(ErrorOf(packet), "it tells no time");
}

TEST(NtpTimeTest, IsReadInTheEraOfNow) {
  EXPECT_EQ(NtpOfTime(absl::UnixEpoch()), 2'208'988'800ull << 32);
  EXPECT_EQ(NtpOfTime(absl::UnixEpoch() + absl::Milliseconds(500)) & 0xffffffff, 0x80000000u);
  // The seconds of 32 bits end on 7 February 2036, 06:28:16.
  const absl::Time end = absl::FromUnixSeconds(2'085'978'496);
  EXPECT_EQ(NtpOfTime(end), 0u);
  for (const absl::Duration d : {absl::Seconds(-1), absl::ZeroDuration(), absl::Seconds(1)}) {
    EXPECT_EQ(TimeOfNtp(NtpOfTime(end + d), end - absl::Hours(1)), end + d);
    EXPECT_EQ(TimeOfNtp(NtpOfTime(end + d), end + absl::Hours(1)), end + d);
  }
}

ClockDifference Difference(absl::Duration ahead, absl::Duration way, absl::Duration work) {
  const absl::Time sent = kNow, received = kNow + 2 * way + work;
  NtpAnswer answer;
  answer.receive = NtpOfTime(sent - ahead + way);
  answer.transmit = NtpOfTime(sent - ahead + way + work);
  return DifferenceOf(answer, sent, received);
}

TEST(ClockDifferenceTest, IsPositiveWhenOursIsAhead) {
  const auto near = [](absl::Duration a, absl::Duration b) {
    return absl::AbsDuration(a - b) < absl::Microseconds(1);
  };
  for (const absl::Duration ahead :
       {absl::Hours(-24), absl::Milliseconds(-3), absl::ZeroDuration(), absl::Seconds(90)}) {
    const ClockDifference d = Difference(ahead, absl::Milliseconds(20), absl::Milliseconds(5));
    EXPECT_TRUE(near(d.offset, ahead)) << d.offset;
    EXPECT_TRUE(near(d.delay, absl::Milliseconds(40))) << d.delay;
  }
}

TEST(ClockDifferenceTest, ALieAboutTheServersTimesGivesNoAllowance) {
  const ClockDifference back =
      Difference(absl::ZeroDuration(), absl::Seconds(1), absl::Seconds(-1));
  EXPECT_EQ(back.delay, absl::Seconds(1)) << "no more than has gone by";
  const ClockDifference long_work =
      Difference(absl::ZeroDuration(), absl::Seconds(-1), absl::Seconds(3));
  EXPECT_EQ(long_work.delay, absl::ZeroDuration());
}

}  // namespace
}  // namespace salve

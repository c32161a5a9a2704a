#include "base/ids.h"

#include <set>

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(NewIdTest, IsTheTimeInMillisecondsThenTheRandomNumbers) {
  RandomSource random = [] { return uint64_t{0xabcdef}; };
  EXPECT_EQ(NewId(absl::FromUnixMillis(0x123456789ab), random), "0123456789abcdef0000000000abcdef");
}

TEST(NewIdTest, SortsByTime) {
  RandomSource high = [] { return ~uint64_t{0}; };
  RandomSource low = [] { return uint64_t{0}; };
  EXPECT_LT(NewId(absl::FromUnixMillis(1000), high), NewId(absl::FromUnixMillis(1001), low));
}

TEST(NewIdTest, AnyTimeGivesThirtyTwoHexDigits) {
  RandomSource random = SystemRandom();
  for (absl::Time time : {absl::UnixEpoch() - absl::Hours(1), absl::UnixEpoch(),
                          absl::FromUnixSeconds(1'800'000'000), absl::InfiniteFuture()}) {
    const std::string id = NewId(time, random);
    EXPECT_EQ(id.size(), 32u) << id;
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos) << id;
  }
}

TEST(SystemRandomTest, DoesNotRepeatItself) {
  RandomSource random = SystemRandom();
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random());
  EXPECT_EQ(seen.size(), 1000u);
}

}  // namespace
}  // namespace salve

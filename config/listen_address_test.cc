#include "config/listen_address.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(ListenAddressTest, TakesNumbersOfBothKinds) {
  const ListenAddress four = ParseListenAddress("0.0.0.0:7443").value();
  EXPECT_EQ(four.address, "0.0.0.0");
  EXPECT_EQ(four.port, 7443);
  EXPECT_FALSE(four.is_ipv6);
  const ListenAddress six = ParseListenAddress("[::1]:65535").value();
  EXPECT_EQ(six.address, "::1");
  EXPECT_EQ(six.port, 65535);
  EXPECT_TRUE(six.is_ipv6);
}

TEST(ListenAddressTest, RefusesWhatIsNoAddress) {
  for (const char* text : {"", "7443", ":7443", "localhost:7443", "::1:7443", "[::1]", "[::1]7443",
                           "1.2.3:7443", "[1.2.3.4]:7443", "1.2.3.4"}) {
    EXPECT_EQ(ParseListenAddress(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(ParseListenAddress("localhost:7443").status().message(),
            "'localhost:7443' is no ADDRESS:PORT, as 0.0.0.0:7443 or [::]:7443");
}

TEST(ListenAddressTest, RefusesAPortOutOfRange) {
  EXPECT_TRUE(ParseListenAddress("127.0.0.1:1").ok());
  EXPECT_TRUE(ParseListenAddress("127.0.0.1:65535").ok());
  for (const char* text : {"127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:", "127.0.0.1:+1",
                           "127.0.0.1: 1", "127.0.0.1:x"}) {
    EXPECT_FALSE(ParseListenAddress(text).ok()) << text;
  }
}

}  // namespace
}  // namespace salve

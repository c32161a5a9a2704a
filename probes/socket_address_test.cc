#include "probes/socket_address.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <string>

namespace salve {
namespace {

TEST(SocketAddressTest, HasTheFamilyThePortAndTheInterface) {
  SocketAddress address = IpAddress("127.0.0.2", 80);
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(address.get());
  EXPECT_EQ(v4->sin_family, AF_INET);
  EXPECT_EQ(v4->sin_port, htons(80));
  EXPECT_EQ(v4->sin_addr.s_addr, htonl(0x7f000002));
  EXPECT_EQ(address.size, sizeof *v4);
  address = IpAddress("fe80::1%lo", 443);
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address.get());
  EXPECT_EQ(v6->sin6_family, AF_INET6);
  EXPECT_EQ(v6->sin6_port, htons(443));
  EXPECT_EQ(v6->sin6_addr.s6_addr[15], 1);
  EXPECT_EQ(v6->sin6_scope_id, 1u);
  EXPECT_EQ(address.size, sizeof *v6);
}

TEST(SocketAddressTest, AUnixPathFitsWhole) {
  const std::string path(kUnixPathBytesMax, 'p');
  const SocketAddress address = UnixAddress(path);
  EXPECT_EQ(reinterpret_cast<const sockaddr_un*>(address.get())->sun_path, path);
}

TEST(IsLoopbackTest, KnowsAllOfThisMachinesOwn) {
  for (const char* address : {"127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address : {"128.0.0.1", "126.255.255.255", "0.0.0.0", "::", "::2", "fe80::1%lo",
                              "::ffff:10.0.0.1", "localhost", ""}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

}  // namespace
}  // namespace salve

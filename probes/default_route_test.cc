#include "probes/default_route.h"

#include <gtest/gtest.h>

namespace salve {
namespace {

constexpr char kHeader[] =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
constexpr char kZeros[] = "00000000000000000000000000000000";

std::string V6(const std::string& metric, const std::string& flags, const std::string& interface) {
  return std::string(kZeros) + " 00 " + kZeros + " 00 fe800000000000000000000000000001 " + metric +
         " 00000001 00000000 " + flags + " " + interface + "\n";
}

TEST(DefaultInterfaceTest, TakesTheRouteWithTheLowestMetric) {
  const std::string route = std::string(kHeader) +
                            "eth1\t00000000\t0100A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0\n"
                            "eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
                            "eth2\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
  EXPECT_EQ(DefaultInterface(route, V6("00000001", "00450003", "eth9")), "eth0");
}

TEST(DefaultInterfaceTest, TakesThatOfIpv6WhereThereIsNoOther) {
  EXPECT_EQ(DefaultInterface(kHeader, V6("00000400", "00450003", "eth0") +
                                          V6("00000100", "00450003", "eth1") +
                                          V6("ffffffff", "00200200", "lo")),
            "eth1");
}

TEST(DefaultInterfaceTest, PassesOverWhatIsNoUsableDefaultRoute) {
  for (const char* line : {
           "eth0\t00000000\t0\t0002\t0\t0\t0\t00000000\n",  // Down.
           "eth0\t00000000\t0\t0201\t0\t0\t0\t00000000\n",  // Rejects.
           "eth0\t00000000\t0\t0003\t0\t0\t0\t00000080\n",  // Half of the addresses.
           "eth0\t00000001\t0\t0003\t0\t0\t0\t00000000\n",
           "eth0\t00000000\t0\t0003\t0\t0\tx\t00000000\n",
           "eth0\t00000000\t0\t0003\t0\t0\t0\n",
           "../x\t00000000\t0\t0003\t0\t0\t0\t00000000\n",
           "",
       }) {
    EXPECT_EQ(DefaultInterface(line, ""), "") << line;
  }
  EXPECT_EQ(DefaultInterface("", V6("00000400", "00450003", "lo")), "");
  EXPECT_EQ(DefaultInterface("", V6("0000000x", "00450003", "eth0")), "");
  EXPECT_EQ(DefaultInterface("", V6("00000400", "00450002", "eth0")), "");
}

TEST(IsInterfaceNameTest, TakesWhatTheKernelTakes) {
  for (const char* name : {"eth0", "br-lan.5", "a", "fifteen_bytes_x"}) {
    EXPECT_TRUE(IsInterfaceName(name)) << name;
  }
  for (const char* name : {"", ".", "..", "a/b", "a b", "eth0:1", "sixteen_bytes_xx", "a\n"}) {
    EXPECT_FALSE(IsInterfaceName(name)) << name;
  }
}

}  // namespace
}  // namespace salve

#include "probes/network_interface_probe.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/fake_host.h"
#include "base/simulated_loop.h"

namespace salve {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;

class NetworkInterfaceProbeTest : public ::testing::Test {
 protected:
  NetworkInterfaceProbeTest() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/proc/net");
    AddInterface("eth0");
    config_.set_interface("eth0");
  }
  void Set(const std::string& interface, const std::string& file, const std::string& text) {
    std::ofstream(absl::StrCat(root_, "/sys/class/net/", interface, "/", file)) << text << "\n";
  }
  void AddInterface(const std::string& name) {
    std::filesystem::create_directories(root_ + "/sys/class/net/" + name + "/statistics");
    Set(name, "operstate", "up");
    Set(name, "carrier", "1");
    Set(name, "speed", "1000");
    Set(name, "duplex", "full");
    for (const char* file :
         {"rx_bytes", "tx_bytes", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped"}) {
      Set(name, absl::StrCat("statistics/", file), "1000");
    }
  }
  void SetDefaultRoute(const std::string& interface) {
    std::ofstream(root_ + "/proc/net/route")
        << "Iface\tDestination\tGateway\n"
        << interface << "\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
  }
  void Make() {
    auto probe = NewNetworkInterfaceProbe(
        config_, loop_, host_,
        {.sys = root_ + "/sys", .has_address = [this](const std::string& interface) {
           asked_ = interface;
           return has_address_;
         }});
    ASSERT_TRUE(probe.ok()) << probe.status();
    probe_ = *std::move(probe);
  }
  Observation Look() {
    if (probe_ == nullptr) Make();
    std::optional<Observation> seen;
    probe_->Start(loop_.Now() + absl::Seconds(1), [&](Observation o) { seen = std::move(o); });
    EXPECT_TRUE(seen.has_value());
    return seen.value_or(Observation{});
  }
  static std::optional<double> Value(const Observation& seen, const std::string& name) {
    for (const ProbeValue& value : seen.values) {
      if (value.name == name) return value.number;
    }
    return std::nullopt;
  }

  const std::string root_ = absl::StrCat(
      ::testing::TempDir(), "/", ::testing::UnitTest::GetInstance()->current_test_info()->name());
  SimulatedLoop loop_;
  FakeHost host_{loop_, root_ + "/proc"};
  config::NetworkInterfaceProbe config_;
  absl::StatusOr<bool> has_address_ = true;
  std::string asked_;
  std::unique_ptr<Probe> probe_;
};

TEST_F(NetworkInterfaceProbeTest, PassesWhileItIsUp) {
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_EQ(Value(seen, "speed_mbit"), 1000);
  EXPECT_EQ(Value(seen, "rx_bytes_per_second"), std::nullopt);
  EXPECT_THAT(seen.attributes, Contains(Pair("oper_state", "up")));
  EXPECT_THAT(seen.attributes, Contains(Pair("duplex", "full")));
  EXPECT_THAT(seen.attributes, Contains(Pair("interface", "eth0")));
}

TEST_F(NetworkInterfaceProbeTest, FailsWhenItIsDownOrGone) {
  Set("eth0", "operstate", "down");
  EXPECT_EQ(Look().error, "eth0 is down");
  Set("eth0", "operstate", "lowerlayerdown");
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
  std::filesystem::remove(root_ + "/sys/class/net/eth0/operstate");
  EXPECT_EQ(Look().error, "eth0 is of no known state");
  std::filesystem::remove_all(root_ + "/sys/class/net/eth0");
  EXPECT_EQ(Look().error, "there is no interface eth0");
}

TEST_F(NetworkInterfaceProbeTest, WhereTheStateIsNotKnownTheCarrierDecides) {
  Set("eth0", "operstate", "unknown");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Set("eth0", "carrier", "0");
  EXPECT_EQ(Look().error, "eth0 is unknown");
  std::filesystem::remove(root_ + "/sys/class/net/eth0/carrier");
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
}

TEST_F(NetworkInterfaceProbeTest, TakesTheOneOfTheDefaultRoute) {
  config_.clear_interface();
  AddInterface("eth1");
  Set("eth1", "operstate", "down");
  SetDefaultRoute("eth0");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  SetDefaultRoute("eth1");
  EXPECT_EQ(Look().error, "eth1 is down");
  std::ofstream(root_ + "/proc/net/route") << "Iface\n";
  EXPECT_EQ(Look().error, "there is no default route");
  std::filesystem::remove(root_ + "/proc/net/route");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_THAT(seen.error, HasSubstr("/net/route: No such file"));
}

TEST_F(NetworkInterfaceProbeTest, NoDescriptorLeftIsRejected) {
  Make();
  rlimit old_limit, none = {};
  getrlimit(RLIMIT_NOFILE, &old_limit);
  none.rlim_max = old_limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &none);
  const Observation seen = Look();
  setrlimit(RLIMIT_NOFILE, &old_limit);
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, root_ + "/sys/class/net/eth0/operstate: Too many open files");
}

TEST_F(NetworkInterfaceProbeTest, ACarrierThatMayNotBeReadIsRejected) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  Set("eth0", "operstate", "unknown");
  chmod((root_ + "/sys/class/net/eth0/carrier").c_str(), 0);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_THAT(seen.error, HasSubstr("/carrier: Permission denied"));
}

TEST_F(NetworkInterfaceProbeTest, TheRoutesOfIpv6AreReadOnlyWhereIpv4HasNoDefault) {
  config_.clear_interface();
  std::filesystem::create_directories(root_ + "/proc/net/ipv6_route");  // Reading it is an error.
  SetDefaultRoute("eth0");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  std::ofstream(root_ + "/proc/net/route") << "Iface\n";
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_THAT(seen.error, HasSubstr("/net/ipv6_route: Is a directory"));
}

TEST_F(NetworkInterfaceProbeTest, ATableOfRoutesThatIsCutIsRejectedUnlessTheDefaultIsInIt) {
  config_.clear_interface();
  const std::string zeros(32, '0');
  const std::string ipv6_default =
      zeros + " 00 " + zeros + " 00 " + zeros + " 00000400 00000001 00000000 00450003 eth0\n";
  const auto set = [this](const char* table, const std::string& text) {
    std::ofstream(root_ + "/proc/net/" + table) << text;
  };
  set("route", "Iface\n");
  set("ipv6_route", std::string((1 << 20) - 1, '\n'));
  EXPECT_EQ(Look().error, "there is no default route") << "not cut";
  set("ipv6_route", std::string(1 << 20, '\n') + ipv6_default);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error,
            "there are too many routes to look for the default one: name the interface");
  set("ipv6_route", ipv6_default + std::string(1 << 20, '\n'));
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  std::filesystem::remove(root_ + "/proc/net/ipv6_route");
  set("route", std::string(256 << 10, '\n'));
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
}

TEST_F(NetworkInterfaceProbeTest, TellsRatesSinceTheLookBefore) {
  Look();
  loop_.RunFor(absl::Seconds(10));
  Set("eth0", "statistics/rx_bytes", "6000");
  Set("eth0", "statistics/tx_bytes", "2000");
  Set("eth0", "statistics/rx_errors", "1010");
  Set("eth0", "statistics/tx_errors", "1010");
  Set("eth0", "statistics/rx_dropped", "1030");
  const Observation seen = Look();
  EXPECT_EQ(Value(seen, "rx_bytes_per_second"), 500);
  EXPECT_EQ(Value(seen, "tx_bytes_per_second"), 100);
  EXPECT_EQ(Value(seen, "errors_per_second"), 2);
  EXPECT_EQ(Value(seen, "drops_per_second"), 3);
  loop_.RunFor(absl::Milliseconds(999));
  Set("eth0", "statistics/rx_bytes", "9000");
  EXPECT_EQ(Value(Look(), "rx_bytes_per_second"), 500) << "too soon to say";
}

TEST_F(NetworkInterfaceProbeTest, FailsAboveARateAndNotAtIt) {
  config_.set_max_errors_per_second(1);
  config_.set_max_drops_per_second(2);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded) << "the first look";
  loop_.RunFor(absl::Seconds(1));
  Set("eth0", "statistics/rx_errors", "1001");
  Set("eth0", "statistics/tx_dropped", "1002");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  loop_.RunFor(absl::Seconds(1));
  Set("eth0", "statistics/rx_errors", "1003");
  Set("eth0", "statistics/tx_dropped", "1005");
  EXPECT_EQ(Look().error,
            "eth0 has 2.0 errors a second, expected at most 1; "
            "eth0 has 3.0 drops a second, expected at most 2");
}

TEST_F(NetworkInterfaceProbeTest, CountersThatBeginAnewSayNothing) {
  Look();
  loop_.RunFor(absl::Seconds(1));
  Set("eth0", "statistics/rx_bytes", "5");
  EXPECT_EQ(Value(Look(), "rx_bytes_per_second"), std::nullopt);
  loop_.RunFor(absl::Seconds(1));
  Set("eth0", "statistics/rx_bytes", "10");
  EXPECT_EQ(Value(Look(), "rx_bytes_per_second"), 5);
}

TEST_F(NetworkInterfaceProbeTest, AnotherDefaultInterfaceHasItsOwnCounters) {
  config_.clear_interface();
  AddInterface("eth1");
  Set("eth1", "statistics/rx_bytes", "1000000");
  SetDefaultRoute("eth0");
  Look();
  loop_.RunFor(absl::Seconds(1));
  SetDefaultRoute("eth1");
  EXPECT_EQ(Value(Look(), "rx_bytes_per_second"), std::nullopt);
}

TEST_F(NetworkInterfaceProbeTest, FailsBelowTheSpeedAndNotAtIt) {
  config_.set_min_speed_mbit(1000);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Set("eth0", "speed", "100");
  EXPECT_EQ(Look().error, "eth0 runs at 100 Mbit/s, expected 1000");
  for (const char* unknown : {"-1", "4294967295", "0", "x"}) {
    Set("eth0", "speed", unknown);
    const Observation seen = Look();
    EXPECT_EQ(seen.outcome, Outcome::kRejected) << unknown;
    EXPECT_EQ(Value(seen, "speed_mbit"), std::nullopt);
  }
}

TEST_F(NetworkInterfaceProbeTest, FailsWithoutAnAddressWhenItNeedsOne) {
  has_address_ = false;
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  config_.set_need_address(true);
  Make();
  EXPECT_EQ(Look().error, "eth0 has no address that is not link-local");
  EXPECT_EQ(asked_, "eth0");
  has_address_ = true;
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  has_address_ = absl::ResourceExhaustedError("no descriptor");
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
}

TEST_F(NetworkInterfaceProbeTest, ChecksItsFields) {
  config_.set_interface("../eth0");
  EXPECT_EQ(CheckNetworkInterfaceProbe(config_).message(),
            "network_interface.interface: '../eth0' is no name of an interface");
  config_.clear_interface();
  EXPECT_TRUE(CheckNetworkInterfaceProbe(config_).ok());
  config_.set_max_errors_per_second(-1);
  EXPECT_FALSE(CheckNetworkInterfaceProbe(config_).ok());
  config_.set_max_errors_per_second(0);
  config_.set_max_drops_per_second(-1);
  EXPECT_FALSE(CheckNetworkInterfaceProbe(config_).ok());
}

TEST(IsLinkLocalTest, KnowsThemInBothFamilies) {
  const auto v4 = [](const char* text) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    EXPECT_EQ(inet_pton(AF_INET, text, &address.sin_addr), 1);
    return IsLinkLocal(reinterpret_cast<sockaddr*>(&address));
  };
  const auto v6 = [](const char* text) {
    sockaddr_in6 address = {};
    address.sin6_family = AF_INET6;
    EXPECT_EQ(inet_pton(AF_INET6, text, &address.sin6_addr), 1);
    return IsLinkLocal(reinterpret_cast<sockaddr*>(&address));
  };
  EXPECT_TRUE(v4("169.254.0.1"));
  EXPECT_FALSE(v4("169.253.255.255"));
  EXPECT_FALSE(v4("10.0.0.1"));
  EXPECT_TRUE(v6("fe80::1"));
  EXPECT_TRUE(v6("febf::1"));
  EXPECT_FALSE(v6("fec0::1"));
  EXPECT_FALSE(v6("2001:db8::1"));
  const sockaddr packet = {.sa_family = AF_PACKET, .sa_data = {}};
  EXPECT_TRUE(IsLinkLocal(&packet));
}

TEST(HasAddressTest, AsksTheKernel) {
  const auto none = HasAddress("no-such-if");
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(*none);
}

}  // namespace
}  // namespace salve

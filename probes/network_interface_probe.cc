#include "probes/network_interface_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "probes/default_route.h"
#include "probes/field_checks.h"
#include "probes/measures.h"

namespace salve {
namespace {

// They are read on the loop: routers have many thousands of routes, and shall name the interface.
// The kernel writes the default routes of IPv4 first, so that table is needed less.
constexpr size_t kRouteBytesMax = 256 << 10;
constexpr size_t kIpv6RouteBytesMax = 1 << 20;
constexpr double kRateMax = 1e12;
// Over less time than this a rate is mostly chance.
constexpr absl::Duration kRateWindowMin = absl::Seconds(1);

struct Counters {
  uint64_t rx_bytes = 0;
  uint64_t tx_bytes = 0;
  uint64_t errors = 0;  // Of both directions, as the next.
  uint64_t drops = 0;
};

struct Rates {
  double rx_bytes = 0;
  double tx_bytes = 0;
  double errors = 0;
  double drops = 0;
};

class NetworkInterfaceProbe final : public Probe {
 public:
  NetworkInterfaceProbe(const config::NetworkInterfaceProbe& config, EventLoop& loop, Host& host,
                        NetworkSources sources)
      : config_(config), loop_(loop), host_(host), sources_(std::move(sources)) {}

  void Start(Instant, ObservationDone done) override { done(Look()); }

 private:
  Observation Look() {
    std::string name = config_.interface();
    if (name.empty()) {
      absl::StatusOr<std::string> found = OfDefaultRoute();
      if (!found.ok()) return Rejected(std::string(found.status().message()));
      if (found->empty()) return Failed("there is no default route");
      name = *std::move(found);
    }
    if (name != name_) {  // The default route has moved.
      before_.reset();
      rates_.reset();
      name_ = name;
    }
    struct stat folder;
    if (stat(Path("").c_str(), &folder) != 0) {
      if (errno == ENOENT) return Failed(absl::StrCat("there is no interface ", name));
      return Rejected(std::string(ErrnoStatus(errno, Path("")).message()));
    }
    return Judge();
  }

  absl::StatusOr<std::string> OfDefaultRoute() const {
    ASSIGN_OR_RETURN(const std::string route,
                     ReadFile(host_.proc() + "/net/route", kRouteBytesMax));
    std::string found = DefaultInterface(route, "");
    if (!found.empty()) return found;
    const auto ipv6 = ReadFile(host_.proc() + "/net/ipv6_route", kIpv6RouteBytesMax);
    // A kernel without IPv6 does not have it.
    if (!ipv6.ok() && !absl::IsNotFound(ipv6.status())) return ipv6.status();
    if (ipv6.ok()) found = DefaultInterface("", *ipv6);
    if (found.empty() &&
        (route.size() >= kRouteBytesMax || (ipv6.ok() && ipv6->size() >= kIpv6RouteBytesMax))) {
      return absl::ResourceExhaustedError(
          "there are too many routes to look for the default one: name the interface");
    }
    return found;
  }

  Observation Judge() {
    std::vector<Finding> findings;
    // What is missing on our side (a descriptor, a right) says nothing about the interface.
    const auto read = ReadFile(Path("operstate"), 64);
    if (!read.ok() && !absl::IsNotFound(read.status())) {
      return Rejected(std::string(read.status().message()));
    }
    const std::string state(absl::StripAsciiWhitespace(read.ok() ? *read : ""));
    bool is_up = state == "up";
    if (state == "unknown") {
      // Those that do not say whether they are up (tunnels, loopback) have a carrier when they are.
      // One that is down has none to read: kUnavailable.
      const auto carrier = ReadFile(Path("carrier"), 64);
      if (absl::IsResourceExhausted(carrier.status()) ||
          absl::IsPermissionDenied(carrier.status())) {
        return Rejected(std::string(carrier.status().message()));
      }
      is_up = carrier.ok() && absl::StripAsciiWhitespace(*carrier) == "1";
    }
    if (!is_up) Fail(findings, absl::StrCat("is ", state.empty() ? "of no known state" : state));
    const std::optional<uint64_t> speed = Speed();
    if (config_.min_speed_mbit() > 0 && is_up) {
      if (!speed.has_value()) {
        findings.push_back({Outcome::kRejected, name_ + " does not tell its speed"});
      } else if (*speed < config_.min_speed_mbit()) {
        Fail(findings,
             absl::StrCat("runs at ", *speed, " Mbit/s, expected ", config_.min_speed_mbit()));
      }
    }
    if (config_.need_address()) JudgeAddress(findings);
    const std::optional<Rates> rates = TakeRates();
    if (rates.has_value()) {
      JudgeRate("errors", rates->errors, config_.max_errors_per_second(), findings);
      JudgeRate("drops", rates->drops, config_.max_drops_per_second(), findings);
    }
    Observation observation = JoinFindings(std::move(findings));
    if (rates.has_value()) {
      observation.values = {{"rx_bytes_per_second", rates->rx_bytes, "bytes"},
                            {"tx_bytes_per_second", rates->tx_bytes, "bytes"},
                            {"errors_per_second", rates->errors, ""},
                            {"drops_per_second", rates->drops, ""}};
    }
    if (speed.has_value()) {
      observation.values.push_back({"speed_mbit", static_cast<double>(*speed), ""});
    }
    observation.attributes.emplace_back("interface", name_);
    observation.attributes.emplace_back("oper_state", state);
    const std::string duplex = Text("duplex");
    if (!duplex.empty()) observation.attributes.emplace_back("duplex", duplex);
    return observation;
  }

  void JudgeAddress(std::vector<Finding>& findings) const {
    const absl::StatusOr<bool> has = sources_.has_address(name_);
    if (!has.ok()) {
      findings.push_back({Outcome::kRejected, std::string(has.status().message())});
    } else if (!*has) {
      Fail(findings, "has no address that is not link-local");
    }
  }

  void JudgeRate(const char* what, double rate, double max, std::vector<Finding>& findings) const {
    if (max <= 0 || rate <= max) return;
    Fail(findings, absl::StrFormat("has %.1f %s a second, expected at most %g", rate, what, max));
  }

  void Fail(std::vector<Finding>& findings, absl::string_view what) const {
    findings.push_back({Outcome::kFailed, absl::StrCat(name_, " ", what)});
  }

  // Since the look before that is long enough ago.
  std::optional<Rates> TakeRates() {
    const Instant now = loop_.Now();
    if (before_.has_value() && now - before_at_ < kRateWindowMin) return rates_;
    const std::optional<Counters> counters = ReadCounters();
    const std::optional<Counters> before = std::exchange(before_, counters);
    const double seconds = absl::ToDoubleSeconds(now - std::exchange(before_at_, now));
    rates_.reset();
    if (!before.has_value() || !counters.has_value()) return rates_;
    // An interface that was made anew counts from 0: that look says nothing.
    if (counters->rx_bytes < before->rx_bytes || counters->tx_bytes < before->tx_bytes ||
        counters->errors < before->errors || counters->drops < before->drops) {
      return rates_;
    }
    const auto rate = [seconds](uint64_t now, uint64_t then) {
      return static_cast<double>(now - then) / seconds;
    };
    rates_ = Rates{.rx_bytes = rate(counters->rx_bytes, before->rx_bytes),
                   .tx_bytes = rate(counters->tx_bytes, before->tx_bytes),
                   .errors = rate(counters->errors, before->errors),
                   .drops = rate(counters->drops, before->drops)};
    return rates_;
  }

  std::optional<Counters> ReadCounters() const {
    const auto rx_bytes = Number("statistics/rx_bytes"), tx_bytes = Number("statistics/tx_bytes");
    const auto rx_errors = Number("statistics/rx_errors"),
               tx_errors = Number("statistics/tx_errors");
    const auto rx_drops = Number("statistics/rx_dropped"),
               tx_drops = Number("statistics/tx_dropped");
    if (!rx_bytes || !tx_bytes || !rx_errors || !tx_errors || !rx_drops || !tx_drops) {
      return std::nullopt;
    }
    return Counters{.rx_bytes = *rx_bytes,
                    .tx_bytes = *tx_bytes,
                    .errors = *rx_errors + *tx_errors,
                    .drops = *rx_drops + *tx_drops};
  }

  // Virtual ones say -1, or nothing at all.
  std::optional<uint64_t> Speed() const {
    const std::optional<uint64_t> speed = Number("speed");
    return speed.has_value() && *speed > 0 && *speed < UINT32_MAX ? speed : std::nullopt;
  }

  std::string Path(absl::string_view file) const {
    return absl::StrCat(sources_.sys, "/class/net/", name_, file.empty() ? "" : "/", file);
  }
  // Empty when the kernel does not say it. Only for what is told, or Rejected without.
  std::string Text(absl::string_view file) const {
    const auto text = ReadFile(Path(file), 64);
    return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
  }
  std::optional<uint64_t> Number(absl::string_view file) const {
    uint64_t number = 0;
    return absl::SimpleAtoi(Text(file), &number) ? std::optional(number) : std::nullopt;
  }

  const config::NetworkInterfaceProbe config_;
  EventLoop& loop_;
  Host& host_;
  const NetworkSources sources_;
  std::string name_;  // Of the interface that was looked at last.
  std::optional<Counters> before_;
  Instant before_at_;
  std::optional<Rates> rates_;
};

}  // namespace

bool IsLinkLocal(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const uint32_t v4 = ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr);
    return (v4 >> 16) == ((169u << 8) | 254u);
  }
  if (address->sa_family == AF_INET6) {
    return IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
  }
  return true;
}

absl::StatusOr<bool> HasAddress(const std::string& interface) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return ErrnoStatus(errno, "addresses of the interfaces");
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owned(list, &freeifaddrs);
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr != nullptr && interface == one->ifa_name && !IsLinkLocal(one->ifa_addr)) {
      return true;
    }
  }
  return false;
}

absl::Status CheckNetworkInterfaceProbe(const config::NetworkInterfaceProbe& config) {
  if (!config.interface().empty() && !IsInterfaceName(config.interface())) {
    return BadField("network_interface.interface",
                    absl::StrCat("'", config.interface(), "' is no name of an interface"));
  }
  RETURN_IF_ERROR(CheckNumber("network_interface.max_errors_per_second",
                              config.max_errors_per_second(), 0, kRateMax));
  return CheckNumber("network_interface.max_drops_per_second", config.max_drops_per_second(), 0,
                     kRateMax);
}

absl::StatusOr<std::unique_ptr<Probe>> NewNetworkInterfaceProbe(
    const config::NetworkInterfaceProbe& config, EventLoop& loop, Host& host,
    NetworkSources sources) {
  RETURN_IF_ERROR(CheckNetworkInterfaceProbe(config));
  return std::make_unique<NetworkInterfaceProbe>(config, loop, host, std::move(sources));
}

}  // namespace salve

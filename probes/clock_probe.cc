#include "probes/clock_probe.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "probes/field_checks.h"
#include "probes/network_errors.h"
#include "probes/ntp_packet.h"
#include "probes/numeric_address.h"

namespace salve {
namespace {

constexpr uint32_t kPortDefault = 123;
constexpr absl::Duration kOffsetDefault = absl::Seconds(1);
// A datagram may get lost: the question is sent so often in the time there is, at least.
constexpr size_t kQuestionsMin = 3;
// Who sends without an end must not hold the loop.
constexpr int kReceivesPerTurn = 32;
constexpr size_t kDatagramBytes = 512;

absl::StatusOr<absl::Duration> MaxOffsetOf(const config::ClockProbe& config) {
  return ParseDurationField("clock.max_offset", config.max_offset(), absl::Milliseconds(1),
                            absl::Hours(1), kOffsetDefault);
}

double Milliseconds(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

// A datagram socket that hears of one address only. On failure closed, and errno says why.
UniqueFd ConnectedTo(const std::string& address, uint32_t port) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;  // So this asks nobody.
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.c_str(), absl::StrCat(port).c_str(), &hints, &found) != 0) {
    errno = EADDRNOTAVAIL;
    return {};
  }
  const absl::Cleanup free = [found] { freeaddrinfo(found); };
  UniqueFd fd(socket(found->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open() || connect(fd.get(), found->ai_addr, found->ai_addrlen) == 0) return fd;
  const int error = errno;
  fd.reset();
  errno = error;
  return fd;
}

class ClockProbe final : public Probe {
 public:
  ClockProbe(const config::ClockProbe& config, absl::Duration max_offset, EventLoop& loop,
             Resolver& resolver, ClockSources sources)
      : ntp_server_(config.ntp_server()),
        port_(config.port() == 0 ? kPortDefault : config.port()),
        max_offset_(max_offset),
        need_synchronised_(config.has_need_synchronised() ? config.need_synchronised()
                                                          : ntp_server_.empty()),
        loop_(loop),
        resolver_(resolver),
        sources_(std::move(sources)) {}

  ~ClockProbe() override { StopAsking(); }

  void Start(Instant deadline, ObservationDone done) override {
    start_ = loop_.Now();
    deadline_ = deadline;
    done_ = std::move(done);
    remote_.clear();
    stratum_.reset();
    offset_.reset();
    kernel_ = sources_.kernel();
    if (need_synchronised_ && !kernel_.ok()) {
      Finish(Rejected(std::string(kernel_.status().message())));
    } else if (ntp_server_.empty()) {
      Finish(JudgeKernel());
    } else if (IsNumericAddress(ntp_server_)) {
      AskAt({ntp_server_});
    } else {
      Resolve();
    }
  }

 private:
  struct Question {
    uint64_t cookie;
    Instant sent;
  };

  void Resolve() {
    SetTimer(deadline_, [this] { TimeOut("resolving " + ntp_server_); });
    resolving_ = resolver_.Resolve(
        ntp_server_, [this](const absl::StatusOr<std::vector<std::string>>& addresses) {
          resolving_ = ResolveId::kNone;
          if (addresses.ok()) {
            AskAt(*addresses);
          } else {
            Finish(ResolveError(addresses.status(), loop_.Now() - start_));
          }
        });
  }

  void AskAt(std::vector<std::string> addresses) {
    addresses_ = std::move(addresses);
    asked_ = 0;
    times_ = std::max(kQuestionsMin, addresses_.size());
    ignored_ = 0;
    AskNext();
  }

  // The addresses in turn, each for its share of the time; one alone is asked again, and may
  // still answer what it was asked before.
  void AskNext() {
    if (asked_ == times_) {
      TimeOut(absl::StrCat("waiting for the answer of ", remote_,
                           ignored_ == 0 ? "" : absl::StrCat(" (", ignored_, " others ignored)")));
      return;
    }
    const Instant now = loop_.Now();
    SetTimer(now + (deadline_ - now) / static_cast<int64_t>(times_ - asked_),
             [this] { AskNext(); });
    const std::string& address = addresses_[asked_++ % addresses_.size()];
    if (addresses_.size() > 1 || !fd_.is_open()) {
      CloseSocket();
      remote_ = HostAndPort(address, static_cast<int>(port_));
      fd_ = ConnectedTo(address, port_);
      if (!fd_.is_open()) {
        AddressFailed(errno);
        return;
      }
      watch_ = loop_.WatchFd(fd_.get(), kReadable, [this](int) { Receive(); });
      if (watch_ == WatchId::kNone) {
        Finish(Rejected("the socket cannot be watched"));
        return;
      }
    }
    questions_.push_back({sources_.random(), now});
    const std::string packet = NtpQuestion(questions_.back().cookie);
    if (send(fd_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
      AddressFailed(errno);
    }
  }

  // It is not asked again, so that another one gets its turns: an address that cannot be reached
  // (IPv6 where there is none) must not end a look because a datagram to the other was lost.
  void AddressFailed(int error) {
    CloseSocket();
    addresses_.erase(addresses_.begin() +
                     static_cast<std::ptrdiff_t>((asked_ - 1) % addresses_.size()));
    --asked_;
    if (addresses_.empty()) {
      Finish(SocketError(error, "cannot ask " + remote_));
    } else {
      AskNext();
    }
  }

  void Receive() {
    for (int i = 0; i < kReceivesPerTurn; ++i) {
      char bytes[kDatagramBytes];
      const ssize_t n = recv(fd_.get(), bytes, sizeof bytes, 0);
      if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) AddressFailed(errno);
        return;
      }
      const absl::string_view packet(bytes, static_cast<size_t>(n));
      const uint64_t origin = NtpOriginOf(packet);
      const auto question =
          std::find_if(questions_.begin(), questions_.end(), [&](const Question& q) {
            return packet.size() >= kNtpPacketBytes && q.cookie == origin;
          });
      if (question != questions_.end()) {
        Finish(Judge(packet, loop_.Now() - question->sent));
        return;
      }
      ++ignored_;
    }
  }

  Observation Judge(absl::string_view packet, absl::Duration elapsed) {
    const absl::StatusOr<NtpAnswer> answer = ParseNtpAnswer(packet);
    if (!answer.ok()) {
      return Failed(
          absl::StrCat("the answer of ", remote_, " is none of NTP: ", answer.status().message()));
    }
    stratum_ = answer->stratum;
    if (answer->stratum == 0) {
      const std::string& code = answer->kiss_code;
      return Failed(absl::StrCat(remote_, " does not serve: ",
                                 code.empty() ? "stratum 0" : absl::StrCat("kiss code ", code)));
    }
    if (answer->leap == 3) {
      return Failed(absl::StrCat(remote_, " is not synchronised (leap indicator 3)"));
    }
    if (answer->stratum >= kNtpStratumUnsynchronised) {
      return Failed(absl::StrCat(remote_, " is not synchronised (stratum ", answer->stratum, ")"));
    }
    // Our wall clock may have been set in between: so the interval is measured by the other one.
    const absl::Time received = loop_.clock().WallNow();
    const ClockDifference difference = DifferenceOf(*answer, received - elapsed, received);
    offset_ = difference.offset;
    const absl::Duration allowance = difference.delay / 2;
    if (absl::AbsDuration(difference.offset) - allowance > max_offset_) {
      return Failed(
          absl::StrFormat("our clock is %.1f ms %s %s, expected at most %s and %.1f ms for the way",
                          Milliseconds(absl::AbsDuration(difference.offset)),
                          difference.offset > absl::ZeroDuration() ? "ahead of" : "behind", remote_,
                          absl::FormatDuration(max_offset_), Milliseconds(allowance)));
    }
    return JudgeKernel();
  }

  Observation JudgeKernel() const {
    if (need_synchronised_ && !kernel_->is_synchronised) {
      return Failed("the kernel calls its clock not synchronised");
    }
    return Observation{};
  }

  void TimeOut(absl::string_view phase) { Finish(TimedOutWhile(loop_.Now() - start_, phase)); }

  void SetTimer(Instant when, Task task) {
    loop_.CancelTimer(timer_);
    timer_ = loop_.CallAt(when, [this, task = std::move(task)]() mutable {
      timer_ = TimerId::kNone;
      task();
    });
  }

  void CloseSocket() {
    loop_.UnwatchFd(std::exchange(watch_, WatchId::kNone));
    fd_.reset();
    questions_.clear();
  }

  void StopAsking() {
    resolver_.Cancel(std::exchange(resolving_, ResolveId::kNone));
    loop_.CancelTimer(std::exchange(timer_, TimerId::kNone));
    CloseSocket();
  }

  void Finish(Observation observation) {
    StopAsking();
    auto& values = observation.values;
    auto& attributes = observation.attributes;
    if (offset_.has_value()) values.push_back({"offset_ms", Milliseconds(*offset_), "ms"});
    if (kernel_.ok()) {
      values.push_back({"estimated_error_ms", Milliseconds(kernel_->estimated_error), "ms"});
      attributes.emplace_back("synchronised", kernel_->is_synchronised ? "true" : "false");
    }
    if (stratum_.has_value()) values.push_back({"stratum", static_cast<double>(*stratum_), ""});
    if (!ntp_server_.empty()) {
      values.push_back({"latency_ms", Milliseconds(loop_.Now() - start_), "ms"});
    }
    if (!remote_.empty()) attributes.emplace_back("ntp_server", remote_);
    std::exchange(done_, nullptr)(std::move(observation));
  }

  const std::string ntp_server_;
  const uint32_t port_;
  const absl::Duration max_offset_;
  const bool need_synchronised_;
  EventLoop& loop_;
  Resolver& resolver_;
  ClockSources sources_;

  // Of the running look.
  Instant start_, deadline_;
  ObservationDone done_;
  absl::StatusOr<KernelClock> kernel_ = KernelClock{};
  ResolveId resolving_ = ResolveId::kNone;
  std::vector<std::string> addresses_;
  size_t asked_ = 0;  // Questions, without those to addresses that failed.
  size_t times_ = 0;  // How often is asked at most.
  int ignored_ = 0;
  std::string remote_;
  UniqueFd fd_;
  WatchId watch_ = WatchId::kNone;
  std::vector<Question> questions_;  // Of this socket.
  TimerId timer_ = TimerId::kNone;
  std::optional<int> stratum_;
  std::optional<absl::Duration> offset_;
};

}  // namespace

absl::Status CheckClockProbe(const config::ClockProbe& config) {
  RETURN_IF_ERROR(CheckLength("clock.ntp_server", config.ntp_server(), 253));
  RETURN_IF_ERROR(CheckRange("clock.port", config.port(), 0, 65535));
  RETURN_IF_ERROR(MaxOffsetOf(config).status());
  if (!config.ntp_server().empty()) return absl::OkStatus();
  if (config.port() != 0) return BadField("clock.port", "needs ntp_server");
  if (!config.max_offset().empty()) return BadField("clock.max_offset", "needs ntp_server");
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Probe>> NewClockProbe(const config::ClockProbe& config,
                                                     EventLoop& loop, Resolver& resolver,
                                                     ClockSources sources) {
  RETURN_IF_ERROR(CheckClockProbe(config));
  ASSIGN_OR_RETURN(const absl::Duration max_offset, MaxOffsetOf(config));
  return std::make_unique<ClockProbe>(config, max_offset, loop, resolver, std::move(sources));
}

}  // namespace salve

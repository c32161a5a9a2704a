#include "probes/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "probes/ares_channel.h"

namespace salve {
namespace {

constexpr size_t kNamesMax = 1000;
constexpr size_t kAddressesMax = 16;
constexpr absl::Duration kTtlMin = absl::Seconds(1);
constexpr absl::Duration kTtlMax = absl::Minutes(5);
constexpr char kResolvConf[] = "/etc/resolv.conf";

using Addresses = absl::StatusOr<std::vector<std::string>>;

// c-ares ends a query with ECONNREFUSED also when a server says that it failed or refuses.
absl::Status StatusOf(int ares_status, bool reached, const std::string& name) {
  if (ares_status == ARES_ECONNREFUSED && reached) {
    return absl::AbortedError(
        absl::StrCat("name '", name, "': the name server failed or refused to answer"));
  }
  const std::string what = absl::StrCat("name '", name, "': ", ares_strerror(ares_status));
  switch (ares_status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME:
    case ARES_EBADNAME:
      return absl::NotFoundError(absl::StrCat("name '", name, "' does not exist"));
    case ARES_ETIMEOUT:
      return absl::DeadlineExceededError(absl::StrCat("name '", name, "': no server answered"));
    case ARES_ENOMEM:
      return absl::ResourceExhaustedError(what);
    case ARES_EFORMERR:
    case ARES_ESERVFAIL:
    case ARES_ENOTIMP:
    case ARES_EREFUSED:
    case ARES_EBADRESP:
      return absl::AbortedError(what);
    default:
      return absl::UnavailableError(what);
  }
}

std::vector<std::string> AddressesOf(const ares_addrinfo& info) {
  std::vector<std::string> addresses;
  for (const ares_addrinfo_node* node = info.nodes; node != nullptr; node = node->ai_next) {
    const void* address = nullptr;
    if (node->ai_family == AF_INET) {
      address = &reinterpret_cast<const sockaddr_in*>(node->ai_addr)->sin_addr;
    } else if (node->ai_family == AF_INET6) {
      address = &reinterpret_cast<const sockaddr_in6*>(node->ai_addr)->sin6_addr;
    }
    char text[INET6_ADDRSTRLEN];
    if (address == nullptr || inet_ntop(node->ai_family, address, text, sizeof text) == nullptr) {
      continue;
    }
    if (std::find(addresses.begin(), addresses.end(), text) == addresses.end()) {
      addresses.emplace_back(text);
    }
    if (addresses.size() == kAddressesMax) break;
  }
  return addresses;
}

// An answer holds for the shortest TTL in it; those of /etc/hosts have none, and so the least.
absl::Duration TtlOf(const ares_addrinfo& info) {
  int seconds = static_cast<int>(absl::ToInt64Seconds(kTtlMax));
  for (const ares_addrinfo_node* node = info.nodes; node != nullptr; node = node->ai_next) {
    seconds = std::min(seconds, node->ai_ttl);
  }
  return std::clamp(absl::Seconds(seconds), kTtlMin, kTtlMax);
}

}  // namespace

struct Resolver::State {
  struct Waiter {
    ResolveId id;
    Done done;
  };
  // One name: asked for, or known.
  struct Name {
    bool asking = false;
    std::vector<Waiter> waiters;
    std::vector<std::string> addresses;  // Of the last good answer.
    uint64_t socket_errors_before = 0;   // When it was last asked for.
    Instant fresh_until = Instant::FromNanosSinceBoot(0);
  };
  struct Question {
    State* state;
    std::string name;
    uint64_t channel;
  };

  State(EventLoop& loop, ResolverOptions options)
      : loop(loop),
        channel(loop, {.servers = std::move(options.servers),
                       .server_timeout = options.server_timeout,
                       .tries = options.tries}) {}

  void Close();
  void ReopenIfConfigured();
  void Ask(const std::string& name);
  void Answered(const std::string& name, int status, const ares_addrinfo* info);
  void Deliver(const std::string& name, Addresses addresses);
  void DeliverSoon(const std::string& name);
  void MakeRoom();

  EventLoop& loop;
  AresChannel channel;
  uint64_t channel_number = 0;  // Answers of a closed channel are told apart by it.
  timespec configured_at = {};  // Of /etc/resolv.conf, when the channel was opened.
  uint64_t last_id = 0;
  absl::flat_hash_map<std::string, Name> names;
  absl::flat_hash_map<ResolveId, std::string> asked;  // Which name a caller waits for.
  absl::flat_hash_map<std::string, TimerId> deliveries;
  absl::flat_hash_map<ResolveId, TimerId> refusals;
};

void Resolver::State::Close() {
  ++channel_number;
  channel.Close();
}

// A laptop that changed its network, a DHCP lease: c-ares of this version reads its
// configuration only once, and an agent lives for months.
void Resolver::State::ReopenIfConfigured() {
  struct stat status = {};
  stat(kResolvConf, &status);
  const timespec changed = status.st_mtim;
  if (channel.get() != nullptr && changed.tv_sec == configured_at.tv_sec &&
      changed.tv_nsec == configured_at.tv_nsec) {
    return;
  }
  configured_at = changed;
  Close();
  channel.Open();  // When it can't, whoever asks is told so.
  std::vector<std::string> again;
  for (auto& [name, entry] : names) {
    if (entry.asking) again.push_back(name);
  }
  for (const std::string& name : again) Ask(name);
}

void Resolver::State::Ask(const std::string& name) {
  names[name].asking = true;
  names[name].socket_errors_before = channel.socket_errors();
  if (channel.get() == nullptr) {
    DeliverSoon(name);
    return;
  }
  ares_addrinfo_hints hints = {};
  hints.ai_family = AF_UNSPEC;
  auto* question = new Question{this, name, channel_number};
  ares_getaddrinfo(
      channel.get(), name.c_str(), nullptr, &hints,
      [](void* argument, int status, int, ares_addrinfo* info) {
        std::unique_ptr<Question> question(static_cast<Question*>(argument));
        State& state = *question->state;
        if (question->channel == state.channel_number) {
          state.Answered(question->name, status, info);
        }
        if (info != nullptr) ares_freeaddrinfo(info);
      },
      question);
  channel.Begun();
}

// Inside c-ares, perhaps inside Ask: whoever waits is told later.
void Resolver::State::Answered(const std::string& name, int status, const ares_addrinfo* info) {
  Addresses answer =
      StatusOf(status, names[name].socket_errors_before == channel.socket_errors(), name);
  if (status == ARES_SUCCESS) {
    answer = AddressesOf(*info);
    if (answer->empty()) {
      answer = absl::NotFoundError(absl::StrCat("name '", name, "' has no address"));
    } else {
      names[name].addresses = *answer;
      names[name].fresh_until = loop.Now() + TtlOf(*info);
    }
  }
  names[name].asking = false;
  loop.CancelTimer(deliveries[name]);
  deliveries[name] = loop.CallAt(loop.Now(), [this, name, answer = std::move(answer)]() mutable {
    deliveries.erase(name);
    Deliver(name, std::move(answer));
  });
}

// What is known of the name, or that nobody can be asked.
void Resolver::State::DeliverSoon(const std::string& name) {
  if (deliveries.contains(name)) return;
  deliveries[name] = loop.CallAt(loop.Now(), [this, name] {
    deliveries.erase(name);
    Name& entry = names[name];
    entry.asking = false;
    if (entry.addresses.empty() || entry.fresh_until <= loop.Now()) {
      Deliver(name, absl::UnavailableError(
                        absl::StrCat("name '", name, "': no name server could be asked")));
    } else {
      Deliver(name, entry.addresses);
    }
  });
}

void Resolver::State::Deliver(const std::string& name, Addresses addresses) {
  auto it = names.find(name);
  if (it == names.end()) return;
  std::vector<Waiter> waiters = std::exchange(it->second.waiters, {});
  if (it->second.fresh_until <= loop.Now()) names.erase(it);
  for (Waiter& waiter : waiters) {
    // A caller before this one may have cancelled it.
    if (asked.erase(waiter.id) > 0) waiter.done(addresses);
  }
}

// Drops what is stale, and of known names the one that is stale soonest.
void Resolver::State::MakeRoom() {
  if (names.size() < kNamesMax) return;
  const Instant now = loop.Now();
  auto idle = [](const auto& entry) {
    return !entry.second.asking && entry.second.waiters.empty();
  };
  absl::erase_if(names,
                 [&](const auto& entry) { return idle(entry) && entry.second.fresh_until <= now; });
  if (names.size() < kNamesMax) return;
  auto oldest = names.end();
  for (auto it = names.begin(); it != names.end(); ++it) {
    if (!idle(*it)) continue;
    if (oldest == names.end() || it->second.fresh_until < oldest->second.fresh_until) oldest = it;
  }
  if (oldest != names.end()) names.erase(oldest);
}

Resolver::Resolver(EventLoop& loop, ResolverOptions options)
    : state_(std::make_unique<State>(loop, std::move(options))) {}

Resolver::~Resolver() {
  state_->Close();
  for (auto& [name, timer] : state_->deliveries) state_->loop.CancelTimer(timer);
  for (auto& [id, timer] : state_->refusals) state_->loop.CancelTimer(timer);
}

ResolveId Resolver::Resolve(const std::string& raw_name, Done done) {
  State& state = *state_;
  const std::string name = absl::AsciiStrToLower(raw_name);
  const ResolveId id{++state.last_id};
  state.ReopenIfConfigured();
  if (!state.names.contains(name)) state.MakeRoom();
  if (!state.names.contains(name) && state.names.size() >= kNamesMax) {
    state.refusals[id] =
        state.loop.CallAt(state.loop.Now(), [&state, id, name, done = std::move(done)]() mutable {
          state.refusals.erase(id);
          done(absl::ResourceExhaustedError(absl::StrCat("name '", name, "': ", kNamesMax,
                                                         " names are being asked for already")));
        });
    return id;
  }
  State::Name& entry = state.names[name];
  entry.waiters.push_back({id, std::move(done)});
  state.asked[id] = name;
  if (entry.fresh_until > state.loop.Now()) {
    state.DeliverSoon(name);
  } else if (!entry.asking && !state.deliveries.contains(name)) {
    state.Ask(name);
  }
  return id;
}

void Resolver::Cancel(ResolveId id) {
  if (auto refusal = state_->refusals.find(id); refusal != state_->refusals.end()) {
    state_->loop.CancelTimer(refusal->second);
    state_->refusals.erase(refusal);
    return;
  }
  auto it = state_->asked.find(id);
  if (it == state_->asked.end()) return;
  auto name = state_->names.find(it->second);
  if (name != state_->names.end()) {
    std::erase_if(name->second.waiters, [id](const State::Waiter& w) { return w.id == id; });
  }
  state_->asked.erase(it);
}

}  // namespace salve

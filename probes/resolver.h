// Resolver: names to addresses without ever blocking the loop (c-ares). /etc/hosts is honoured
// and /etc/resolv.conf read again when it has changed. Answers are kept for their TTL, at least
// 1 s and at most 5 min, the newest 1,000 of them; those who ask for one name share a query.
// Lives on the loop's thread.
#ifndef SALVE_PROBES_RESOLVER_H_
#define SALVE_PROBES_RESOLVER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"

namespace salve {

struct ResolverOptions {
  std::string servers;  // "ADDRESS:PORT,…" instead of those of /etc/resolv.conf.
  absl::Duration server_timeout = absl::Seconds(2);  // Of the first try; later ones wait longer.
  int tries = 3;                                     // Of each server.
};

enum class ResolveId : uint64_t { kNone = 0 };

class Resolver {
 public:
  // Numeric addresses, the preferred one first; at least one, at most 16.
  using Done = absl::AnyInvocable<void(const absl::StatusOr<std::vector<std::string>>&)>;

  explicit Resolver(EventLoop& loop, ResolverOptions options = {});
  // Drops what is still asked, without `done`.
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Calls `done` once, never inside this call. Sets no deadline: who has waited long enough
  // cancels. Errors in `done`, each naming the name:
  //   kNotFound: it does not exist, or has no address;
  //   kDeadlineExceeded: no server answered;
  //   kAborted: the server answered that it failed or refuses;
  //   kUnavailable: no server could be asked;
  //   kResourceExhausted: 1,000 names are being asked for already, or there is no memory.
  ResolveId Resolve(const std::string& name, Done done);
  // Forgets who asked. An ended one, or kNone, is ignored.
  void Cancel(ResolveId id);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salve

#endif  // SALVE_PROBES_RESOLVER_H_

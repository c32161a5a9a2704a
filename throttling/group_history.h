// The history of one key of the group as etcd holds it, and what its limits say. Pure. Everyone
// who reads the same history comes to the same verdict about every attempt in it, also of those
// whose asker has not acted on its verdict yet: that is what makes one transaction enough
// (docs/GROUP.md). Times are group time.
#ifndef SALVE_THROTTLING_GROUP_HISTORY_H_
#define SALVE_THROTTLING_GROUP_HISTORY_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "throttling/coordinator.h"
#include "throttling/etcd.pb.h"
#include "throttling/group.pb.h"
#include "throttling/group_json.h"

namespace salve {

// The keys of a group (docs/GROUP.md). Names are escaped: a resource may hold any byte.
class GroupKeys {
 public:
  // `prefix`: "/salve"; `group`: a name.
  GroupKeys(absl::string_view prefix, absl::string_view group);

  std::string server(absl::string_view name) const;                 // …/servers/NAME
  std::string alive(absl::string_view name) const;                  // …/alive/NAME
  std::string version(int protocol, absl::string_view name) const;  // …/version/1/NAME
  // …/attempts/ACTION/RESOURCE/ and …/running/ACTION/RESOURCE/. Of an action on the server itself
  // RESOURCE is "*": a reboot of any server counts for all.
  std::string attempts(RecoveryAction action, absl::string_view resource) const;
  std::string running(RecoveryAction action, absl::string_view resource) const;
  std::string youngest(RecoveryAction action, absl::string_view resource) const;  // One key.

  std::string healthy(absl::string_view name) const;   // …/healthy/NAME
  std::string acceptor(absl::string_view name) const;  // …/acceptors/NAME

  std::string servers() const { return root_ + "servers/"; }
  std::string alives() const { return root_ + "alive/"; }
  std::string healthies() const { return root_ + "healthy/"; }
  std::string acceptors() const { return root_ + "acceptors/"; }
  std::string versions(int protocol) const;
  std::string all_running() const { return root_ + "running/"; }

  // The key of an attempt from that of its running key (…/running/A/R/ID).
  std::string AttemptOfRunning(absl::string_view running_key) const;

 private:
  std::string root_;
};
// '%', '/' and what is not printable as %XX.
std::string EscapeKeyPart(absl::string_view text);
std::string UnescapeKeyPart(absl::string_view text);

struct GroupQuestion {
  std::string server;  // Who asks.
  absl::Time asked;    // The group's time, at the earliest.
  Limits limits;       // In force.
  // Its own attempt's create revision: what came later does not count.
  int64_t revision = std::numeric_limits<int64_t>::max();
};

class GroupHistory {
 public:
  // What etcd holds below keys.attempts(…) and keys.running(…) and at keys.youngest(…), read at one
  // revision.
  // Errors: kDataLoss: names the key whose value can't be read; kResourceExhausted: too many.
  static absl::StatusOr<GroupHistory> Read(RecoveryAction action,
                                           const etcdserverpb::RangeResponse& attempts,
                                           const etcdserverpb::RangeResponse& running,
                                           const etcdserverpb::RangeResponse& youngest);
  static constexpr int kAttemptsMax = 20'000;

  // Fills in passed, failed, totals, retry_in, most_recent and explained. Another server's attempt
  // is in progress until it is marked finished, or its deadline is over and its lease has lapsed.
  GroupVerdict Judge(const GroupQuestion& question) const;

  // The attempt as it was reserved, or null.
  struct Entry {
    group::Attempt value;
    Attempt attempt;  // The same for people.
    int64_t created = 0;
    int64_t changed = 0;
    bool held = false;   // Its running key lives under a lease.
    bool ghost = false;  // Was withdrawn before it arrived: it never counted for anybody.
    bool counts =
        false;  // It ran, or may have, or may still; or might have, before it was withdrawn.
    bool copy = false;  // Its own key has lapsed.
    std::string key;
  };
  const Entry* Find(absl::string_view id) const;
  // Those that count, oldest first.
  std::vector<Attempt> Counting() const;

  // Keys that nobody needs any more: of attempts that never counted, a while after they asked; of
  // those older than 24 h and every minimum they were asked with, but never the youngest. At
  // most 40.
  std::vector<std::string> Stale(absl::Time now) const;

 private:
  absl::Status AddYoungest(RecoveryAction action, const etcdserverpb::RangeResponse& youngest);
  // As an attempt of this create revision saw them.
  std::vector<const Entry*> CountingFor(int64_t revision) const;

  std::vector<Entry> entries_;  // By `created`.
};

}  // namespace salve

#endif  // SALVE_THROTTLING_GROUP_HISTORY_H_

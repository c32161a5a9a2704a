#include "responders/actions/pool_workers.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

constexpr absl::Duration kLookEvery = absl::Milliseconds(50);
constexpr int kGenerationsMax = 16;

// Whether `pid` descends from `main_pid`, by the parents of `processes`.
bool IsBelow(const std::map<pid_t, pid_t>& parents, pid_t pid, pid_t main_pid) {
  for (int i = 0; i < kGenerationsMax; ++i) {
    const auto found = parents.find(pid);
    if (found == parents.end()) return false;
    pid = found->second;
    if (pid == main_pid) return true;
  }
  return false;
}

}  // namespace

void PoolWorkers::List(const WorkersOf& of,
                       absl::AnyInvocable<void(absl::StatusOr<Workers>)> done) {
  of_ = of;
  scan_.Start(
      [this](const ProcessStat& stat) {
        if (of_.all_below) return true;  // Whose they are shows when all are known.
        return stat.parent == of_.main_pid &&
               (of_.title.empty() || ProcessTitle(host_.proc(), stat.identity.pid) == of_.title);
      },
      [this, done = std::move(done)](absl::StatusOr<ProcessScan::Found> found) mutable {
        if (!found.ok()) return done(found.status());
        std::map<pid_t, pid_t> parents;
        for (const ProcessStat& stat : *found) parents[stat.identity.pid] = stat.parent;
        Workers workers;
        for (const ProcessStat& stat : *found) {
          if (of_.all_below && !IsBelow(parents, stat.identity.pid, of_.main_pid)) continue;
          workers.push_back(stat.identity);
        }
        done(std::move(workers));
      });
}

void PoolWorkers::AwaitNew(const WorkersOf& of, const HeldProcess& main, Workers old,
                           Instant deadline,
                           absl::AnyInvocable<void(absl::StatusOr<Renewed>)> done) {
  of_ = of;
  main_ = &main;
  old_ = std::move(old);
  deadline_ = deadline;
  fresh_ = 0;
  done_ = std::move(done);
  Look();
}

void PoolWorkers::Look() {
  List(of_, [this](absl::StatusOr<Workers> workers) {
    if (!workers.ok()) return Finish(workers.status());
    Judge(*workers);
  });
}

void PoolWorkers::Judge(const Workers& now) {
  if (HasEnded(*main_)) {
    return Finish(absl::NotFoundError(
        absl::StrCat("the main process, ", main_->identity.pid, ", has ended")));
  }
  const size_t old = std::count_if(now.begin(), now.end(), [&](const ProcessIdentity& worker) {
    return std::find(old_.begin(), old_.end(), worker) != old_.end();
  });
  const size_t fresh = now.size() - old;
  if (fresh != fresh_) fresh_since_ = loop_.Now();
  fresh_ = fresh;
  if (fresh > 0 && (fresh >= old_.size() || loop_.Now() - fresh_since_ >= kStandsFor)) {
    return Finish(Renewed{.fresh = fresh, .old = old});
  }
  if (loop_.Now() >= deadline_) {
    return Finish(absl::DeadlineExceededError("there is no new worker"));
  }
  again_ = loop_.CallAt(std::min(loop_.Now() + kLookEvery, deadline_), [this] { Look(); });
}

void PoolWorkers::Finish(absl::StatusOr<Renewed> renewed) {
  auto done = std::exchange(done_, nullptr);
  done(std::move(renewed));
}

}  // namespace salve

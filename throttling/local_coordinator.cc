#include "throttling/local_coordinator.h"

#include <utility>

#include "throttling/local_throttle.h"

namespace salve {
namespace {

class LocalCoordinator final : public Coordinator {
 public:
  LocalCoordinator(EventLoop& loop, const Ledger& ledger) : loop_(loop), ledger_(ledger) {}

  void Reserve(const GroupRequest& request, GroupDone done) override {
    Answer(Decide(request, /*real_attempt=*/true), std::move(done));
  }
  void Check(const GroupRequest& request, GroupDone done) override {
    Answer(Decide(request, /*real_attempt=*/false), std::move(done));
  }
  // The gate writes every attempt into the ledger: there is nothing else to keep.
  void Release(const Attempt&) override {}

 private:
  void Answer(GroupVerdict verdict, GroupDone done) {
    loop_.Post([verdict = std::move(verdict), done = std::move(done)]() mutable {
      done(std::move(verdict));
    });
  }

  GroupVerdict Decide(const GroupRequest& request, bool real_attempt) const {
    GroupVerdict verdict;
    verdict.servers_in_group = 1;
    verdict.servers_in_compatible_version = 1;
    const Limits limits = request.limits.InForce();
    if (!limits.HasGroupLimit()) {
      verdict.xml = "<not configured>";
      return verdict;
    }
    // The group's limits are the local ones over the group's attempts. Nobody else's action can
    // be in progress in a group of one; our own is the local check's affair.
    const Limits as_local = {true, limits.group_minimum_minutes, -1, limits.group_max_in_day, -1,
                             -1};
    const LocalVerdict local = CheckLocal(as_local, GroupHistory(request), ledger_.Now());
    for (const ::salve::Check check : local.failed) {
      verdict.failed.push_back(check == ::salve::Check::kLocalMinimumMinutes
                                   ? ::salve::Check::kGroupMinimumMinutes
                                   : ::salve::Check::kGroupMaxInDay);
    }
    verdict.passed = local.passed;
    verdict.total_in_day = local.total_in_day;
    if (!local.passed) verdict.retry_in = local.retry_at - ledger_.Now();
    if (local.most_recent != nullptr) verdict.most_recent = *local.most_recent;
    verdict.xml = GroupResultXml(limits, verdict, loop_.clock().WallNow(), real_attempt);
    return verdict;
  }

  // The attempts of the key, all of them as if finished where they count.
  KeyHistory GroupHistory(const GroupRequest& request) const {
    const RecoveryAction action = request.attempt.action;
    KeyHistory merged;
    if (action != RecoveryAction::kRebootServer) {
      AddTo(merged, ledger_.History(action, request.attempt.resource));
      return merged;
    }
    // Of an action on the server itself any resource counts.
    for (const Ledger::Key& key : ledger_.Keys()) {
      if (key.action == action) AddTo(merged, ledger_.History(action, key.resource));
    }
    return merged;
  }

  void AddTo(KeyHistory& merged, const KeyHistory& history) const {
    for (const KeyHistory::Entry& entry : history.finished()) {
      merged.AddFinished(entry.start, entry.t, entry.attempt);
    }
    for (const KeyHistory::Running& running : history.running()) {
      const bool is_over = running.deadline <= ledger_.Now();
      merged.AddFinished(running.start, is_over ? running.deadline : running.start,
                         running.attempt);
    }
  }

  EventLoop& loop_;
  const Ledger& ledger_;
};

}  // namespace

std::unique_ptr<Coordinator> NewLocalCoordinator(EventLoop& loop, const Ledger& ledger) {
  return std::make_unique<LocalCoordinator>(loop, ledger);
}

}  // namespace salve

#include "throttling/local_coordinator.h"

#include <utility>

#include "throttling/local_throttle.h"

namespace salve {
namespace {

absl::Status NoGroup() {
  return absl::FailedPreconditionError(
      "this server is in no group: salve.textproto has no group and no shared coordinator");
}

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

  void ListServers(
      absl::AnyInvocable<void(absl::StatusOr<std::vector<GroupMember>>)> done) override {
    loop_.Post([done = std::move(done)]() mutable { done(NoGroup()); });
  }
  void ForgetServer(const std::string&, absl::AnyInvocable<void(absl::Status)> done) override {
    loop_.Post([done = std::move(done)]() mutable { done(NoGroup()); });
  }
  void ReportHealth(bool, absl::AnyInvocable<void(absl::StatusOr<GroupHealth>)> done) override {
    loop_.Post([done = std::move(done)]() mutable { done(NoGroup()); });
  }
  void Leave(std::function<void()> done) override { loop_.Post(std::move(done)); }
  void OnFreed(Freed) override {}
  absl::Status Health() const override { return absl::OkStatus(); }

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
    // Nobody else's action can be in progress in a group of one; our own is the local check's
    // affair.
    const KeyHistory history = GroupHistory(request);
    JudgeGroupLimits(limits, history, ledger_.Now(), verdict);
    if (!real_attempt) {
      for (const KeyHistory::Entry& entry : history.finished()) {
        verdict.attempts.push_back(*entry.attempt);
      }
    }
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

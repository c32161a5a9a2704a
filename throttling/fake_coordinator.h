// A coordinator that answers what the test tells it, when the test lets it.
#ifndef SALVE_THROTTLING_FAKE_COORDINATOR_H_
#define SALVE_THROTTLING_FAKE_COORDINATOR_H_

#include <string>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "throttling/coordinator.h"

namespace salve {

class FakeCoordinator final : public Coordinator {
 public:
  explicit FakeCoordinator(EventLoop& loop) : loop_(loop) { verdict.xml = "<group />"; }

  GroupVerdict verdict;                         // What it says.
  absl::Duration answer_after;                  // How long it thinks.
  std::vector<std::string> reserved, released;  // Ids of attempts.
  int checks = 0;
  std::vector<GroupMember> members;
  Freed freed;
  absl::StatusOr<GroupHealth> health = GroupHealth{.servers = 1, .healthy_others = 0};
  std::vector<bool> reported;  // What this server said of its health.

  void Reserve(const GroupRequest& request, GroupDone done) override {
    if (verdict.passed) reserved.push_back(request.attempt.id);
    Answer(std::move(done));
  }
  void Check(const GroupRequest&, GroupDone done) override {
    ++checks;
    Answer(std::move(done));
  }
  void Release(const Attempt& attempt) override { released.push_back(attempt.id); }
  void ListServers(
      absl::AnyInvocable<void(absl::StatusOr<std::vector<GroupMember>>)> done) override {
    loop_.Post([done = std::move(done), members = members]() mutable { done(std::move(members)); });
  }
  void ForgetServer(const std::string& name, absl::AnyInvocable<void(absl::Status)> done) override {
    std::erase_if(members, [&](const GroupMember& member) { return member.name == name; });
    loop_.Post([done = std::move(done)]() mutable { done(absl::OkStatus()); });
  }
  void ReportHealth(bool healthy,
                    absl::AnyInvocable<void(absl::StatusOr<GroupHealth>)> done) override {
    reported.push_back(healthy);
    loop_.CallAfter(answer_after,
                    [done = std::move(done), health = health]() mutable { done(health); });
  }
  void Leave(std::function<void()> done) override { loop_.Post(std::move(done)); }
  void OnFreed(Freed listener) override { freed = std::move(listener); }
  absl::Status Health() const override { return absl::OkStatus(); }

 private:
  void Answer(GroupDone done) {
    loop_.CallAfter(answer_after, [verdict = verdict, done = std::move(done)]() mutable {
      done(std::move(verdict));
    });
  }

  EventLoop& loop_;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_FAKE_COORDINATOR_H_

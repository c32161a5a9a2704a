// FakeDeliverer: keeps what it is handed, and answers as the test says. What it delivered outlives
// a dispatcher that dies, as a peer would.
#ifndef SALVE_QUEUE_FAKE_DELIVERER_H_
#define SALVE_QUEUE_FAKE_DELIVERER_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/event_loop.h"
#include "queue/deliverer.h"

namespace salve {

class FakeDeliverer final : public Deliverer {
 public:
  struct Attempt {
    std::string queue;
    std::vector<queue::Message> messages;
    Instant at;
    Instant deadline;
  };

  explicit FakeDeliverer(EventLoop& loop) : loop_(loop) {}
  ~FakeDeliverer() override {
    for (const auto& [id, timer] : running_) loop_.CancelTimer(timer);
  }

  // What a queue's peer answers from now on, and how long it takes. Others deliver at once.
  void Answer(const std::string& queue, DeliveryResult result,
              absl::Duration takes = absl::Milliseconds(10)) {
    answers_[queue] = {std::move(result), takes};
  }
  void Answer(const std::string& queue, DeliveryResult::Kind kind, const std::string& detail = "",
              absl::Duration takes = absl::Milliseconds(10)) {
    Answer(queue, DeliveryResult{.kind = kind, .detail = detail}, takes);
  }
  // Decides instead of the answers.
  std::function<DeliveryResult(const Attempt&)> decide;

  Id Start(const std::string& queue, const std::vector<queue::Message>& messages, Instant deadline,
           Done done) override {
    attempts.push_back({queue, messages, loop_.Now(), deadline});
    const Id id{++last_id_};
    const auto found = answers_.find(queue);
    Scripted scripted = found == answers_.end() ? Scripted() : found->second;
    if (decide) scripted.result = decide(attempts.back());
    Instant end = loop_.Now() + scripted.takes;
    if (end > deadline) {
      end = deadline;
      scripted.result = {.kind = DeliveryResult::Kind::kNotReached, .detail = "timed out"};
    }
    if (scripted.result.kind == DeliveryResult::Kind::kDelivered) {
      for (const queue::Message& message : messages) ++taken[message.mid()];
    }
    running_[id] =
        loop_.CallAt(end, [this, id, result = scripted.result, done = std::move(done)]() mutable {
          running_.erase(id);
          done(std::move(result));
        });
    return id;
  }
  void Cancel(Id id) override {
    const auto found = running_.find(id);
    if (found == running_.end()) return;
    loop_.CancelTimer(found->second);
    running_.erase(found);
  }

  size_t running() const { return running_.size(); }
  // Attempts on one queue.
  std::vector<Attempt> On(const std::string& queue) const {
    std::vector<Attempt> found;
    for (const Attempt& attempt : attempts) {
      if (attempt.queue == queue) found.push_back(attempt);
    }
    return found;
  }
  // The subjects in the order in which they were tried; those of a digest joined by "+".
  std::vector<std::string> Subjects(const std::string& queue) const {
    std::vector<std::string> subjects;
    for (const Attempt& attempt : On(queue)) {
      std::string line;
      for (const queue::Message& message : attempt.messages) {
        line += (line.empty() ? "" : "+") + message.subject();
      }
      subjects.push_back(std::move(line));
    }
    return subjects;
  }

  std::vector<Attempt> attempts;
  std::map<std::string, int> taken;  // How often the peer took it, by MID.

 private:
  struct Scripted {
    DeliveryResult result;
    absl::Duration takes = absl::Milliseconds(10);
  };
  EventLoop& loop_;
  std::map<std::string, Scripted> answers_;
  std::map<Id, TimerId> running_;
  uint64_t last_id_ = 0;
};

}  // namespace salve

#endif  // SALVE_QUEUE_FAKE_DELIVERER_H_

// FakeTransport: keeps what it is handed, and answers as the test says.
#ifndef SALVE_RESPONDERS_ESCALATION_FAKE_TRANSPORT_H_
#define SALVE_RESPONDERS_ESCALATION_FAKE_TRANSPORT_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/event_loop.h"
#include "responders/escalation/transport.h"

namespace salve {

class FakeTransport final : public Transport {
 public:
  struct Attempt {
    std::string destination;
    Letter letter;
    Instant at;
    Instant deadline;
  };

  explicit FakeTransport(EventLoop& loop) : loop_(loop) {}
  ~FakeTransport() override {
    for (const auto& [id, timer] : running_) loop_.CancelTimer(timer);
  }

  // What a destination answers from now on, and how long it takes.
  void Answer(const std::string& destination, absl::StatusOr<std::string> answer,
              absl::Duration takes = absl::Milliseconds(10)) {
    answers_[destination] = {std::move(answer), takes};
  }

  DeliveryId Start(const config::Destination& destination, const Letter& letter, Instant deadline,
                   Done done) override {
    attempts.push_back({destination.name(), letter, loop_.Now(), deadline});
    const DeliveryId id{++last_id_};
    const auto found = answers_.find(destination.name());
    const Scripted scripted = found == answers_.end() ? Scripted() : found->second;
    Instant end = loop_.Now() + scripted.takes;
    absl::StatusOr<std::string> answer = scripted.answer;
    if (end > deadline) {
      end = deadline;
      answer = absl::DeadlineExceededError("timed out");
    }
    running_[id] = loop_.CallAt(end, [this, id, answer, done = std::move(done)]() mutable {
      running_.erase(id);
      done(std::move(answer));
    });
    return id;
  }
  void Cancel(DeliveryId id) override {
    const auto found = running_.find(id);
    if (found == running_.end()) return;
    loop_.CancelTimer(found->second);
    running_.erase(found);
  }

  // Attempts for one destination.
  std::vector<Attempt> To(const std::string& destination) const {
    std::vector<Attempt> found;
    for (const Attempt& attempt : attempts) {
      if (attempt.destination == destination) found.push_back(attempt);
    }
    return found;
  }
  size_t running() const { return running_.size(); }

  std::vector<Attempt> attempts;

 private:
  struct Scripted {
    absl::StatusOr<std::string> answer = std::string();
    absl::Duration takes = absl::Milliseconds(10);
  };
  EventLoop& loop_;
  std::map<std::string, Scripted> answers_;
  std::map<DeliveryId, TimerId> running_;
  uint64_t last_id_ = 0;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ESCALATION_FAKE_TRANSPORT_H_

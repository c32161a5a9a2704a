// QueueNotifier: turns a notice into one message of the durable queue a destination. Until the
// queue has it, the notice is kept in state.db, so that one that was decided on is not lost when
// the agent dies before it was accepted; the key of each makes that it is accepted once.
//
// While the queue takes nothing (a full disk, a damaged file) up to kWaitingMax messages wait here
// and are offered again every kRetry; what comes beyond is not told, and that is said. Letters that
// an agent before the queue left in state.db are taken over. Lives on the loop's thread.
#ifndef SALVE_AGENT_QUEUE_NOTIFIER_H_
#define SALVE_AGENT_QUEUE_NOTIFIER_H_

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "queue/submission.h"
#include "responders/escalation/notifier.h"

namespace salve {

class QueueNotifier final : public Notifier {
 public:
  static constexpr size_t kWaitingMax = 1000;
  static constexpr absl::Duration kRetry = absl::Seconds(10);

  struct Parts {
    EventLoop& loop;
    // As Dispatcher::Accept: calls back on the loop, never inside the call.
    std::function<void(Submission, absl::AnyInvocable<void(absl::StatusOr<std::string>)>)> accept;
    // Keeps bytes under a key beyond the agent's life; empty bytes remove it.
    std::function<void(const std::string& key, std::string bytes)> keep;
    // Told when the queue takes nothing, and when it does again.
    std::function<void(bool is_trouble, const std::string& message)> say;
  };

  explicit QueueNotifier(Parts parts);
  ~QueueNotifier() override;  // What is not accepted stays kept.
  QueueNotifier(const QueueNotifier&) = delete;
  QueueNotifier& operator=(const QueueNotifier&) = delete;

  // Offers what an earlier life has kept; keys of others are passed over.
  void Restore(const std::map<std::string, std::string>& kept);

  void Configure(const AgentDefinition& agent) override;
  std::vector<std::string> Send(const Notice& notice) override;

  // Messages that the queue has not taken yet.
  size_t waiting() const { return waiting_.size(); }

 private:
  struct Waiting {
    Submission submission;
    std::string kept;  // Its key in state.db.
    bool offered = false;
  };

  void Drop(const Submission& submission);
  void Offer();
  void OnAnswer(std::list<Waiting>::iterator one, const absl::Status& status);

  const Parts parts_;
  std::string group_;
  std::vector<std::string> destinations_;
  std::list<Waiting> waiting_;
  bool in_trouble_ = false;
  uint64_t dropped_ = 0;  // Since the trouble began.
  uint64_t unnamed_ = 0;  // Notices without a key.
  TimerId retry_ = TimerId::kNone;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace salve

#endif  // SALVE_AGENT_QUEUE_NOTIFIER_H_

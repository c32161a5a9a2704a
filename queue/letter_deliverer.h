// The Deliverer of letters: a message, or a digest of several, as one letter to an SMTP or webhook
// destination. Lives on the loop's thread.
#ifndef SALVE_QUEUE_LETTER_DELIVERER_H_
#define SALVE_QUEUE_LETTER_DELIVERER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "config/definition.h"
#include "queue/deliverer.h"
#include "responders/escalation/transport.h"

namespace salve {

class LetterDeliverer final : public Deliverer {
 public:
  // Both must outlive it.
  LetterDeliverer(EventLoop& loop, Transport& transport);
  ~LetterDeliverer() override;

  // Takes up the destinations. Deliveries under way go on to where they went.
  void Configure(const AgentDefinition& agent);

  // `queue`: "remote/<destination>". One that there is not is not reached.
  Id Start(const std::string& queue, const std::vector<queue::Message>& messages, Instant deadline,
           Done done) override;
  void Cancel(Id id) override;

 private:
  EventLoop& loop_;
  Transport& transport_;
  std::map<std::string, config::Destination> destinations_;
  std::string server_;
  std::string group_;
  uint64_t last_id_ = 0;
  std::map<Id, DeliveryId> running_;  // kNone: it ends in the next turn.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// The letter that `messages` are. Its id is the message's MID, or the digest's. `server`, `group`:
// this server's, whose digest it is; a message names its own.
Letter LetterOf(const std::vector<queue::Message>& messages, const std::string& server,
                const std::string& group);

// What a transport's answer means for the message.
DeliveryResult ResultOf(const absl::StatusOr<std::string>& answer);

}  // namespace salve

#endif  // SALVE_QUEUE_LETTER_DELIVERER_H_

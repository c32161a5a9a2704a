// Submission: what somebody gives to the durable queue, before it is a message of it.
#ifndef SALVE_QUEUE_SUBMISSION_H_
#define SALVE_QUEUE_SUBMISSION_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "queue/message.pb.h"

namespace salve {

// What a submitter gives; the rest of the message is the queue's.
struct Submission {
  queue::Type type = queue::AF;
  std::string destination;  // AF and AR.
  std::string subject;
  queue::Letter letter;
  queue::Deferred deferred;  // UP.
  int priority = 0;
  std::string correlation;
  std::string key;                       // The same one is accepted once; may be empty.
  std::optional<absl::Duration> expire;  // Default: the configuration's.
};

}  // namespace salve

#endif  // SALVE_QUEUE_SUBMISSION_H_

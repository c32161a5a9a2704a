#include "queue/letter_deliverer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "queue/digest.h"
#include "queue/transition.h"

namespace salve {
namespace {

Notice::Kind KindOf(queue::Letter::Kind kind) {
  return kind == queue::Letter::HEALTHY_AGAIN ? Notice::Kind::kHealthyAgain
                                              : Notice::Kind::kEscalation;
}

}  // namespace

Letter LetterOf(const std::vector<queue::Message>& messages, const std::string& server,
                const std::string& group) {
  Letter letter;
  Notice& notice = letter.notice;
  const queue::Message& first = messages.front();
  if (messages.size() == 1) {
    letter.id = first.origin_mid();
    notice.kind = KindOf(first.letter().kind());
    notice.subject = first.subject();
    notice.message = first.letter().message();
    notice.health_set = first.letter().health_set();
    notice.monitor = first.letter().monitor();
    notice.state = first.letter().state();
    notice.error = first.letter().error();
    notice.incident_id = first.correlation();
    notice.server = first.origin_server();
    notice.group = first.letter().group();
    notice.time = absl::FromUnixNanos(first.letter().time_ns() != 0 ? first.letter().time_ns()
                                                                    : first.created_ns());
    return letter;
  }
  std::vector<std::string> mids;
  notice.kind = Notice::Kind::kDigest;
  notice.subject = absl::StrCat(messages.size(), " messages of ", server);
  notice.server = server;
  notice.group = group;
  for (const queue::Message& message : messages) {
    mids.push_back(message.mid());
    // Others' messages, taken over from them, say whose they are.
    if (message.origin_server() != server) {
      absl::StrAppend(&notice.message, "[", message.origin_server(), "] ");
    }
    notice.message += DigestLine(message);
    notice.time = absl::FromUnixNanos(message.created_ns());
  }
  letter.id = DigestId(mids);
  return letter;
}

DeliveryResult ResultOf(const absl::StatusOr<std::string>& answer) {
  using Kind = DeliveryResult::Kind;
  if (answer.ok()) return {.kind = Kind::kDelivered, .detail = *answer};
  DeliveryResult result{.kind = Kind::kNotReached,
                        .detail = std::string(answer.status().message())};
  if (absl::IsAborted(answer.status())) result.kind = Kind::kFailedOn;
  if (absl::IsFailedPrecondition(answer.status())) result.kind = Kind::kRefused;
  return result;
}

LetterDeliverer::LetterDeliverer(EventLoop& loop, Transport& transport)
    : loop_(loop), transport_(transport) {}

LetterDeliverer::~LetterDeliverer() {
  *alive_ = false;
  for (const auto& [id, delivery] : running_) transport_.Cancel(delivery);
}

void LetterDeliverer::Configure(const AgentDefinition& agent) {
  server_ = agent.server;
  group_ = agent.group;
  destinations_.clear();
  for (const config::Destination& destination : agent.config.destination()) {
    destinations_[destination.name()] = destination;
  }
}

Deliverer::Id LetterDeliverer::Start(const std::string& queue,
                                     const std::vector<queue::Message>& messages, Instant deadline,
                                     Done done) {
  const Id id{++last_id_};
  const auto destination = destinations_.find(std::string(QueueTarget(queue)));
  if (destination == destinations_.end() || messages.empty()) {
    running_[id] = DeliveryId::kNone;
    loop_.Post([this, alive = alive_, id, queue, done = std::move(done)]() mutable {
      if (!*alive || running_.erase(id) == 0) return;
      done({.kind = DeliveryResult::Kind::kNotReached,
            .detail = absl::StrCat("there is no destination of ", queue)});
    });
    return id;
  }
  running_[id] = transport_.Start(
      destination->second, LetterOf(messages, server_, group_), deadline,
      [this, id, done = std::move(done)](absl::StatusOr<std::string> answer) mutable {
        running_.erase(id);
        done(ResultOf(answer));
      });
  return id;
}

void LetterDeliverer::Cancel(Id id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  transport_.Cancel(found->second);
  running_.erase(found);
}

}  // namespace salve

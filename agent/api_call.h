// What the services share: how a handler, on a thread of gRPC's, asks the engine on the loop.
// Private to agent/*_service.cc and api_server.
#ifndef SALVE_AGENT_API_CALL_H_
#define SALVE_AGENT_API_CALL_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/api_door.h"
#include "agent/api_parts.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace salve {

inline constexpr absl::Duration kAnswerTime = absl::Seconds(10);
// The longest action and its queue.
inline constexpr absl::Duration kActionTime = absl::Hours(2);

// What the handlers of one listener share.
struct ApiShared {
  ApiParts parts;
  const ApiDoor* door;  // Has let the call in before the handler sees it.
  std::atomic<bool> closing = false;
  std::atomic<int> followers = 0;

  // Who makes the change of this call, for the records.
  std::string Who(grpc::ServerContext& context, const std::string& user) const {
    grpc_auth_context* peer = grpc_call_auth_context(context.c_call());
    const std::string who = door->Who(peer, user);
    grpc_auth_context_release(peer);
    return who;
  }
};

inline grpc::Status ToGrpc(const absl::Status& status) {
  // The codes of the two are the same by definition.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

// Puts a question to the loop and waits for its answer. `question` gets a function to answer
// with, which may be called later and from any thread.
template <typename T>
absl::StatusOr<T> Ask(ApiShared& shared, grpc::ServerContext& context, absl::Duration timeout,
                      std::function<void(std::function<void(absl::StatusOr<T>)>)> question) {
  struct Slot {
    Mutex mu;
    CondVar answered;
    std::optional<absl::StatusOr<T>> answer ABSL_GUARDED_BY(mu);
  };
  auto slot = std::make_shared<Slot>();
  shared.parts.loop.Post([slot, question = std::move(question)] {
    question([slot](absl::StatusOr<T> answer) {
      MutexLock lock(&slot->mu);
      if (!slot->answer.has_value()) slot->answer = std::move(answer);
      slot->answered.SignalAll();
    });
  });
  const SystemClock clock;
  const Instant deadline = clock.Now() + timeout;
  MutexLock lock(&slot->mu);
  while (!slot->answer.has_value()) {
    if (shared.closing) return absl::UnavailableError("the agent is stopping");
    if (context.IsCancelled()) return absl::CancelledError("the client went away");
    if (clock.Now() >= deadline) return absl::DeadlineExceededError("the engine did not answer");
    slot->answered.WaitFor(&slot->mu, absl::Milliseconds(100));
  }
  return *std::move(slot->answer);
}

// The same, with the answer as a handler gives it.
template <typename T>
grpc::Status AskInto(ApiShared& shared, grpc::ServerContext& context, absl::Duration timeout,
                     T* response,
                     std::function<void(std::function<void(absl::StatusOr<T>)>)> question) {
  absl::StatusOr<T> answer = Ask<T>(shared, context, timeout, std::move(question));
  if (!answer.ok()) return ToGrpc(answer.status());
  *response = *std::move(answer);
  return grpc::Status::OK;
}

// For answers that the engine has at once.
template <typename T, typename Question>
grpc::Status AskNow(ApiShared& shared, grpc::ServerContext& context, T* response,
                    Question question) {
  return AskInto<T>(
      shared, context, kAnswerTime, response,
      [question](std::function<void(absl::StatusOr<T>)> reply) { reply(question()); });
}

}  // namespace salve

#endif  // SALVE_AGENT_API_CALL_H_

// What the services share: how a handler, on a thread of gRPC's, asks the engine on the loop.
// Private to agent/*_service.cc and api_server.
#ifndef SALVE_AGENT_API_CALL_H_
#define SALVE_AGENT_API_CALL_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <map>
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

inline grpc::Status ToGrpc(const absl::Status& status) {
  // The codes of the two are the same by definition.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

// A call whose answer is awaited and that no thread waits for.
class PendingCall {
 public:
  virtual ~PendingCall() = default;
  // Ends it with this error, unless it has ended.
  virtual void GiveUp(const absl::Status& why) = 0;
};

// What the handlers of one listener share.
class ApiShared {
 public:
  // `door` lets calls in before a handler sees them. It must outlive this.
  ApiShared(ApiParts parts, const ApiDoor& door)
      : parts(std::make_shared<const ApiParts>(std::move(parts))), door(&door) {}

  // Who makes the change of this call, for the records.
  template <typename Context>  // Of a waiting handler, or of the callback API.
  std::string Who(Context& context, const std::string& user) const {
    grpc_auth_context* peer = grpc_call_auth_context(context.c_call());
    const std::string who = door->Who(peer, user);
    grpc_auth_context_release(peer);
    return who;
  }

  // From now on all calls end soon: gRPC waits for each.
  void Close() ABSL_LOCKS_EXCLUDED(mu_) {
    closing = true;
    std::map<PendingCall*, std::shared_ptr<PendingCall>> calls;
    {
      MutexLock lock(&mu_);
      calls.swap(pending_);
    }
    for (const auto& [key, call] : calls) {
      call->GiveUp(absl::UnavailableError("the agent is stopping"));
    }
  }
  void Add(const std::shared_ptr<PendingCall>& call) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(&mu_);
      pending_[call.get()] = call;
    }
    if (closing) Close();
  }
  void Remove(PendingCall* call) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    pending_.erase(call);
  }

  // Shared with questions on their way to the loop, which may arrive when the server is gone.
  const std::shared_ptr<const ApiParts> parts;
  const ApiDoor* const door;
  std::atomic<bool> closing = false;
  std::atomic<int> followers = 0;

 private:
  Mutex mu_;
  std::map<PendingCall*, std::shared_ptr<PendingCall>> pending_ ABSL_GUARDED_BY(mu_);
};

// What is asked on the loop: it gets the parts and a function to answer with, which may be called
// later and from any thread. It may run when the call and the server are gone, so it must hold
// nothing of theirs.
template <typename T>
using Question = std::function<void(const ApiParts&, std::function<void(absl::StatusOr<T>)>)>;

// Puts a question to the loop and waits for its answer.
template <typename T>
absl::StatusOr<T> Ask(ApiShared& shared, grpc::ServerContext& context, absl::Duration timeout,
                      Question<T> question) {
  struct Slot {
    Mutex mu;
    CondVar answered;
    std::optional<absl::StatusOr<T>> answer ABSL_GUARDED_BY(mu);
  };
  auto slot = std::make_shared<Slot>();
  shared.parts->loop.Post([slot, parts = shared.parts, question = std::move(question)] {
    question(*parts, [slot](absl::StatusOr<T> answer) {
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
                     T* response, Question<T> question) {
  absl::StatusOr<T> answer = Ask<T>(shared, context, timeout, std::move(question));
  if (!answer.ok()) return ToGrpc(answer.status());
  *response = *std::move(answer);
  return grpc::Status::OK;
}

// For answers that the engine has at once.
template <typename T, typename Now>
grpc::Status AskNow(ApiShared& shared, grpc::ServerContext& context, T* response, Now question) {
  return AskInto<T>(
      shared, context, kAnswerTime, response,
      [question](const ApiParts& parts, std::function<void(absl::StatusOr<T>)> reply) {
        reply(question(parts));
      });
}

// As AskInto for a method of gRPC's callback API: for what many may ask at once, since no thread
// waits meanwhile. `response` is of the call.
template <typename T>
grpc::ServerUnaryReactor* AskWithoutWaiting(ApiShared& shared, grpc::CallbackServerContext& context,
                                            T* response, Question<T> question) {
  struct Call final : PendingCall {
    Call(ApiShared& shared, grpc::ServerUnaryReactor* reactor, T* response)
        : shared(shared), reactor(reactor), response(response) {}
    void End(absl::StatusOr<T> answer) ABSL_LOCKS_EXCLUDED(mu) {
      MutexLock lock(&mu);
      if (reactor == nullptr) return;
      const grpc::Status status = ToGrpc(answer.status());
      if (answer.ok()) *response = *std::move(answer);
      shared.Remove(this);  // Now: with the call's end the server may end.
      std::exchange(reactor, nullptr)->Finish(status);
    }
    void GiveUp(const absl::Status& why) override { End(why); }
    ApiShared& shared;  // There until the call has ended.
    Mutex mu;
    grpc::ServerUnaryReactor* reactor ABSL_GUARDED_BY(mu);  // Null: it has ended.
    T* const response ABSL_PT_GUARDED_BY(mu);
  };
  grpc::ServerUnaryReactor* const reactor = context.DefaultReactor();
  const auto call = std::make_shared<Call>(shared, reactor, response);
  const auto parts = shared.parts;
  shared.Add(call);  // From here on the call may end, and `shared` with it.
  parts->loop.Post([call, parts, question = std::move(question)] {
    // An answer that nobody gives any more is one too.
    const std::shared_ptr<void> dropped(nullptr, [call](void*) {
      call->GiveUp(absl::UnavailableError("the engine did not answer"));
    });
    question(*parts, [call, dropped](absl::StatusOr<T> answer) { call->End(std::move(answer)); });
  });
  return reactor;
}

}  // namespace salve

#endif  // SALVE_AGENT_API_CALL_H_

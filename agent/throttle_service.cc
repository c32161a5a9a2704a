#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "agent/api_call.h"
#include "agent/api_follow.h"
#include "agent/api_services.h"
#include "api/salve.grpc.pb.h"
#include "throttling/limits.h"

namespace salve {
namespace {

constexpr int kPastDecisionsMax = 10'000;

// What is asked of the events.
struct Decisions {
  std::optional<RecoveryAction> action;
  std::string resource;  // Empty: all.
  uint64_t after = 0;    // Record ids up to this one are not wanted.

  bool Has(const v1::Event& event) const {
    const v1::RecoveryActionLogEvent& log = event.recovery_action_log();
    return event.record_id() > after &&
           (!action.has_value() || log.action_id() == ActionName(*action)) &&
           (resource.empty() || absl::EqualsIgnoreCase(log.resource_name(), resource));
  }
};

class ThrottleService final
    : public v1::ThrottleService::WithCallbackMethod_CheckThrottle<v1::ThrottleService::Service> {
 public:
  explicit ThrottleService(ApiShared& shared) : shared_(shared) {}
  grpc::Status GetThrottleState(grpc::ServerContext* context,
                                const v1::GetThrottleStateRequest* request,
                                v1::GetThrottleStateResponse* response) override {
    return AskInto<v1::GetThrottleStateResponse>(
        shared_, *context, kAnswerTime, response,
        [asked = *request](const ApiParts& parts, auto reply) {
          parts.engine.ThrottleState(asked, std::move(reply));
        });
  }
  grpc::Status ListServers(grpc::ServerContext* context, const v1::ListServersRequest*,
                           v1::ListServersResponse* response) override {
    return AskInto<v1::ListServersResponse>(
        shared_, *context, kAnswerTime, response,
        [](const ApiParts& parts, auto reply) { parts.engine.ListServers(std::move(reply)); });
  }
  grpc::Status ForgetServer(grpc::ServerContext* context, const v1::ForgetServerRequest* request,
                            v1::ForgetServerResponse* response) override {
    v1::ForgetServerRequest asked = *request;
    asked.set_user(shared_.Who(*context, request->user()));
    return AskInto<v1::ForgetServerResponse>(shared_, *context, kAnswerTime, response,
                                             [asked](const ApiParts& parts, auto reply) {
                                               parts.engine.ForgetServer(asked, std::move(reply));
                                             });
  }
  grpc::ServerUnaryReactor* CheckThrottle(grpc::CallbackServerContext* context,
                                          const v1::CheckThrottleRequest* request,
                                          v1::CheckThrottleResponse* response) override {
    return AskWithoutWaiting<v1::CheckThrottleResponse>(
        shared_, *context, response, [asked = *request](const ApiParts& parts, auto reply) {
          parts.engine.CheckThrottle(asked, std::move(reply));
        });
  }
  grpc::Status ListThrottleConfig(grpc::ServerContext* context,
                                  const v1::ListThrottleConfigRequest*,
                                  v1::ListThrottleConfigResponse* response) override {
    return AskNow(shared_, *context, response,
                  [](const ApiParts& parts) -> absl::StatusOr<v1::ListThrottleConfigResponse> {
                    return parts.engine.ThrottleConfig();
                  });
  }
  grpc::Status WatchDecisions(grpc::ServerContext* context,
                              const v1::WatchDecisionsRequest* request,
                              grpc::ServerWriter<v1::Event>* writer) override {
    Decisions decisions;
    decisions.resource = request->resource();
    if (!request->action().empty()) {
      const absl::StatusOr<RecoveryAction> action = ParseAction(request->action());
      if (!action.ok()) return ToGrpc(action.status());
      decisions.action = *action;
    }
    FollowOptions follow = {.method = "/salve.v1.ThrottleService/WatchDecisions",
                            .ends_when_missed = true};
    follow.request.add_channel(v1::RecoveryActionLogs);
    follow.request.add_event_id(2050);
    follow.request.add_event_id(2051);
    if (request->has_since()) {
      *follow.request.mutable_since() = request->since();
      follow.request.set_limit(kPastDecisionsMax);
    } else {
      // Not by the time of now: a clock that is set back would hide what comes.
      v1::QueryEventsRequest last = follow.request;
      last.set_limit(1);
      const auto newest = shared_.parts->reader.Query(last);
      if (!newest.ok()) return ToGrpc(newest.status());
      if (!newest->empty()) decisions.after = newest->back().record_id();
    }
    follow.wanted = [&decisions](const v1::Event& event) { return decisions.Has(event); };
    return Follow(shared_, *context, follow, *writer);
  }

 private:
  ApiShared& shared_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewThrottleService(ApiShared& shared) {
  return std::make_unique<ThrottleService>(shared);
}

}  // namespace salve

#include <memory>
#include <utility>

#include "agent/api_call.h"
#include "agent/api_services.h"
#include "api/salve.grpc.pb.h"

namespace salve {
namespace {

class ActionService final : public v1::ActionService::Service {
 public:
  explicit ActionService(ApiShared& shared) : shared_(shared) {}
  grpc::Status Run(grpc::ServerContext* context, const v1::RunActionRequest* request,
                   v1::RunActionResponse* response) override {
    v1::RunActionRequest known = *request;
    known.set_user(shared_.Who(*context, request->user()));
    return AskInto<v1::RunActionResponse>(
        shared_, *context, kActionTime, response,
        [asked = std::move(known)](const ApiParts& parts, auto reply) {
          parts.engine.RunManually(asked, std::move(reply));
        });
  }
  grpc::Status List(grpc::ServerContext* context, const v1::ListActionsRequest* request,
                    v1::ListActionsResponse* response) override {
    return AskNow(shared_, *context, response, [asked = *request](const ApiParts& parts) {
      return parts.engine.Actions(asked);
    });
  }
  grpc::Status Pause(grpc::ServerContext* context, const v1::PauseRequest* request,
                     v1::PauseResponse* response) override {
    v1::PauseRequest asked = *request;
    asked.set_user(shared_.Who(*context, request->user()));
    return AskInto<v1::PauseResponse>(shared_, *context, kAnswerTime, response,
                                      [asked](const ApiParts& parts, auto reply) {
                                        parts.engine.PauseActions(asked, std::move(reply));
                                      });
  }

 private:
  ApiShared& shared_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewActionService(ApiShared& shared) {
  return std::make_unique<ActionService>(shared);
}

}  // namespace salve

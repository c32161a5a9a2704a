#include <memory>

#include "agent/api_call.h"
#include "agent/api_services.h"
#include "api/salve.grpc.pb.h"

namespace salve {
namespace {

class ComponentService final : public v1::ComponentService::Service {
 public:
  explicit ComponentService(ApiShared& shared) : shared_(shared) {}
  grpc::Status List(grpc::ServerContext* context, const v1::ListComponentsRequest*,
                    v1::ListComponentsResponse* response) override {
    return AskNow(shared_, *context, response,
                  [](const ApiParts& parts) -> absl::StatusOr<v1::ListComponentsResponse> {
                    return parts.components.List();
                  });
  }
  grpc::Status Vote(grpc::ServerContext* context, const v1::VoteRequest* request,
                    v1::VoteResponse* response) override {
    v1::VoteRequest asked = *request;
    asked.set_user(shared_.Who(*context, request->user()));
    return AskNow(shared_, *context, response,
                  [asked](const ApiParts& parts) { return parts.components.Vote(asked); });
  }

 private:
  ApiShared& shared_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewComponentService(ApiShared& shared) {
  return std::make_unique<ComponentService>(shared);
}

}  // namespace salve

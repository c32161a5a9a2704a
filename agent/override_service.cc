#include <memory>
#include <utility>

#include "agent/api_call.h"
#include "agent/api_services.h"
#include "api/salve.grpc.pb.h"

namespace salve {
namespace {

class OverrideService final : public v1::OverrideService::Service {
 public:
  explicit OverrideService(ApiShared& shared) : shared_(shared) {}
  grpc::Status Add(grpc::ServerContext* context, const v1::AddOverrideRequest* request,
                   v1::AddOverrideResponse* response) override {
    v1::AddOverrideRequest asked = *request;
    asked.set_user(shared_.Who(*context, request->user()));
    return AskInto<v1::AddOverrideResponse>(shared_, *context, kAnswerTime, response,
                                            [asked](const ApiParts& parts, auto reply) {
                                              parts.overrides.Add(asked, std::move(reply));
                                            });
  }
  grpc::Status Remove(grpc::ServerContext* context, const v1::RemoveOverrideRequest* request,
                      v1::RemoveOverrideResponse* response) override {
    v1::RemoveOverrideRequest asked = *request;
    asked.set_user(shared_.Who(*context, request->user()));
    return AskInto<v1::RemoveOverrideResponse>(shared_, *context, kAnswerTime, response,
                                               [asked](const ApiParts& parts, auto reply) {
                                                 parts.overrides.Remove(asked, std::move(reply));
                                               });
  }
  grpc::Status List(grpc::ServerContext* context, const v1::ListOverridesRequest*,
                    v1::ListOverridesResponse* response) override {
    return AskNow(shared_, *context, response,
                  [](const ApiParts& parts) -> absl::StatusOr<v1::ListOverridesResponse> {
                    return parts.overrides.List();
                  });
  }

 private:
  ApiShared& shared_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewOverrideService(ApiShared& shared) {
  return std::make_unique<OverrideService>(shared);
}

}  // namespace salve

#include <memory>
#include <string>
#include <utility>

#include "agent/api_call.h"
#include "agent/api_services.h"
#include "api/salve.grpc.pb.h"
#include "config/effective.h"

namespace salve {
namespace {

class AgentService final : public v1::AgentService::Service {
 public:
  explicit AgentService(ApiShared& shared) : shared_(shared) {}
  grpc::Status GetInfo(grpc::ServerContext* context, const v1::GetInfoRequest*,
                       v1::GetInfoResponse* response) override {
    return AskNow(shared_, *context, response,
                  [](const ApiParts& parts) -> absl::StatusOr<v1::GetInfoResponse> {
                    v1::GetInfoResponse info;
                    parts.info(info);
                    return info;
                  });
  }
  grpc::Status Reload(grpc::ServerContext* context, const v1::ReloadRequest* request,
                      v1::ReloadResponse* response) override {
    return AskInto<v1::ReloadResponse>(
        shared_, *context, kAnswerTime, response,
        [who = shared_.Who(*context, request->user())](const ApiParts& parts, auto reply) {
          parts.reload(who, [reply](absl::Status status) {
            if (!status.ok()) return reply(status);
            v1::ReloadResponse done;
            done.set_message("the configuration was reloaded");
            reply(done);
          });
        });
  }
  grpc::Status GetConfig(grpc::ServerContext* context, const v1::GetConfigRequest*,
                         v1::GetConfigResponse* response) override {
    return AskNow(shared_, *context, response,
                  [](const ApiParts& parts) -> absl::StatusOr<v1::GetConfigResponse> {
                    v1::GetConfigResponse config;
                    config.set_text(EffectiveConfigText(parts.engine.configuration()));
                    return config;
                  });
  }
  grpc::Status Maintenance(grpc::ServerContext* context, const v1::MaintenanceRequest* request,
                           v1::MaintenanceResponse* response) override {
    v1::MaintenanceRequest asked = *request;
    asked.set_user(shared_.Who(*context, request->user()));
    return AskInto<v1::MaintenanceResponse>(shared_, *context, kAnswerTime, response,
                                            [asked](const ApiParts& parts, auto reply) {
                                              parts.engine.Maintain(asked, std::move(reply));
                                            });
  }

 private:
  ApiShared& shared_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewAgentService(ApiShared& shared) {
  return std::make_unique<AgentService>(shared);
}

}  // namespace salve

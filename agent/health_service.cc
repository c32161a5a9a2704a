#include <memory>
#include <utility>

#include "agent/api_call.h"
#include "agent/api_services.h"
#include "api/salve.grpc.pb.h"

namespace salve {
namespace {

class HealthService final : public v1::HealthService::Service {
 public:
  explicit HealthService(ApiShared& shared) : shared_(shared) {}
  grpc::Status GetServerHealth(grpc::ServerContext* context,
                               const v1::GetServerHealthRequest* request,
                               v1::GetServerHealthResponse* response) override {
    return AskNow(
        shared_, *context, response,
        [set = request->health_set()](const ApiParts& parts) { return parts.engine.Health(set); });
  }
  grpc::Status RunProbe(grpc::ServerContext* context, const v1::RunProbeRequest* request,
                        v1::RunProbeResponse* response) override {
    return AskInto<v1::RunProbeResponse>(shared_, *context, kActionTime, response,
                                         [asked = *request](const ApiParts& parts, auto reply) {
                                           parts.engine.RunProbe(asked.health_set(), asked.name(),
                                                                 std::move(reply));
                                         });
  }
  grpc::Status ListProbes(grpc::ServerContext* context, const v1::ListRequest* request,
                          v1::ListProbesResponse* response) override {
    return AskNow(shared_, *context, response,
                  [asked = *request](const ApiParts& parts) { return parts.engine.Probes(asked); });
  }
  grpc::Status ListMonitors(grpc::ServerContext* context, const v1::ListRequest* request,
                            v1::ListMonitorsResponse* response) override {
    return AskNow(shared_, *context, response, [asked = *request](const ApiParts& parts) {
      return parts.engine.Monitors(asked);
    });
  }
  grpc::Status ListResponders(grpc::ServerContext* context, const v1::ListRequest* request,
                              v1::ListRespondersResponse* response) override {
    return AskNow(shared_, *context, response, [asked = *request](const ApiParts& parts) {
      return parts.engine.Responders(asked);
    });
  }
  grpc::Status Notify(grpc::ServerContext* context, const v1::NotifyRequest* request,
                      v1::NotifyResponse* response) override {
    v1::NotifyRequest known = *request;
    known.set_user(shared_.Who(*context, request->user()));
    return AskNow(
        shared_, *context, response,
        [asked = std::move(known)](const ApiParts& parts) -> absl::StatusOr<v1::NotifyResponse> {
          absl::Status status = parts.engine.Notify(asked);
          if (!status.ok()) return status;
          return v1::NotifyResponse();
        });
  }
  grpc::Status SetMonitorState(grpc::ServerContext* context,
                               const v1::SetMonitorStateRequest* request,
                               v1::SetMonitorStateResponse* response) override {
    v1::SetMonitorStateRequest known = *request;
    known.set_user(shared_.Who(*context, request->user()));
    return AskNow(shared_, *context, response, [asked = std::move(known)](const ApiParts& parts) {
      return parts.engine.SetMonitorState(asked);
    });
  }

 private:
  ApiShared& shared_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewHealthService(ApiShared& shared) {
  return std::make_unique<HealthService>(shared);
}

}  // namespace salve

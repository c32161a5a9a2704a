#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/api_call.h"
#include "agent/api_follow.h"
#include "agent/api_services.h"
#include "api/salve.grpc.pb.h"
#include "base/clock.h"
#include "channels/explain.h"

namespace salve {
namespace {

class EventService final : public v1::EventService::Service {
 public:
  explicit EventService(ApiShared& shared) : shared_(shared) {}
  grpc::Status Query(grpc::ServerContext*, const v1::QueryEventsRequest* request,
                     v1::QueryEventsResponse* response) override {
    auto events = shared_.parts->reader.Query(*request);
    if (!events.ok()) return ToGrpc(events.status());
    for (v1::Event& event : *events) *response->add_events() = std::move(event);
    return grpc::Status::OK;
  }
  grpc::Status Tail(grpc::ServerContext* context, const v1::QueryEventsRequest* request,
                    grpc::ServerWriter<v1::Event>* writer) override {
    return Follow(shared_, *context, {.method = "/salve.v1.EventService/Tail", .request = *request},
                  *writer);
  }
  grpc::Status Explain(grpc::ServerContext* context, const v1::ExplainRequest* request,
                       v1::ExplainResponse* response) override {
    auto story = salve::Explain(shared_.parts->reader, *request, SystemClock().WallNow());
    if (!story.ok()) return ToGrpc(story.status());
    *response = *std::move(story);
    auto next = Ask<std::vector<std::string>>(
        shared_, *context, kAnswerTime,
        [id = response->incident_id()](const ApiParts& parts, auto reply) {
          reply(parts.engine.NextSteps(id));
        });
    if (!next.ok()) return ToGrpc(next.status());
    for (std::string& step : *next) response->add_next(std::move(step));
    return grpc::Status::OK;
  }

 private:
  ApiShared& shared_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewEventService(ApiShared& shared) {
  return std::make_unique<EventService>(shared);
}

}  // namespace salve

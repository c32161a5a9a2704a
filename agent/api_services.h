// The services of api/salve.proto and api/queue.proto, a source file each. Handlers run on gRPC's
// threads, at most as many at once as the listener allows; what concerns the engine they ask on the
// loop, and wait for the answer with a deadline. `shared` must outlive a service.
#ifndef SALVE_AGENT_API_SERVICES_H_
#define SALVE_AGENT_API_SERVICES_H_

#include <grpcpp/impl/service_type.h>

#include <memory>

namespace salve {

class ApiShared;

std::unique_ptr<grpc::Service> NewThrottleService(ApiShared& shared);
std::unique_ptr<grpc::Service> NewHealthService(ApiShared& shared);
std::unique_ptr<grpc::Service> NewActionService(ApiShared& shared);
std::unique_ptr<grpc::Service> NewComponentService(ApiShared& shared);
std::unique_ptr<grpc::Service> NewEventService(ApiShared& shared);
std::unique_ptr<grpc::Service> NewAgentService(ApiShared& shared);
std::unique_ptr<grpc::Service> NewOverrideService(ApiShared& shared);
std::unique_ptr<grpc::Service> NewQueueService(ApiShared& shared);

}  // namespace salve

#endif  // SALVE_AGENT_API_SERVICES_H_

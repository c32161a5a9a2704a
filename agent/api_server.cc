#include "agent/api_server.h"

#include <utility>
#include <vector>

#include "agent/api_call.h"
#include "agent/api_listener.h"
#include "agent/api_services.h"

namespace salve {

struct ApiServer::State {
  State(ApiParts parts, std::unique_ptr<ApiDoor> own, ApiDoor& door)
      : own_door(std::move(own)), shared(std::move(parts), door) {
    services.push_back(NewThrottleService(shared));
    services.push_back(NewHealthService(shared));
    services.push_back(NewActionService(shared));
    services.push_back(NewComponentService(shared));
    services.push_back(NewEventService(shared));
    services.push_back(NewAgentService(shared));
    services.push_back(NewOverrideService(shared));
    services.push_back(NewQueueService(shared));
  }

  ApiListener::Parts ListenerParts(ApiDoor& door) {
    ApiListener::Parts listener_parts{.door = door};
    for (const auto& service : services) listener_parts.services.push_back(service.get());
    return listener_parts;
  }

  const std::unique_ptr<ApiDoor> own_door;
  ApiShared shared;
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::unique_ptr<ApiListener> listener;
};

ApiServer::ApiServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(const ApiSocket& socket,
                                                            ApiParts parts) {
  std::unique_ptr<ApiDoor> door =
      NewSocketDoor(socket.path.substr(socket.path.rfind('/') + 1), socket.role);
  ApiDoor& same = *door;
  auto state = std::make_unique<State>(std::move(parts), std::move(door), same);
  auto listener =
      ApiListener::OnSocket({.path = socket.path, .mode = socket.mode, .group = socket.group},
                            state->ListenerParts(same));
  if (!listener.ok()) return listener.status();
  state->listener = *std::move(listener);
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(state)));
}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::StartRemote(const ListenAddress& address,
                                                                  RemoteCertificates& certificates,
                                                                  ApiDoor& door, ApiParts parts) {
  auto state = std::make_unique<State>(std::move(parts), nullptr, door);
  auto listener = ApiListener::OnTcp(address, certificates, state->ListenerParts(door));
  if (!listener.ok()) return listener.status();
  state->listener = *std::move(listener);
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(state)));
}

ApiServer::~ApiServer() { state_->shared.Close(); }

}  // namespace salve

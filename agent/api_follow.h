// Streams of events to clients that follow them. Private to agent/*_service.cc.
#ifndef SALVE_AGENT_API_FOLLOW_H_
#define SALVE_AGENT_API_FOLLOW_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/sync_stream.h>

#include <functional>

#include "absl/strings/string_view.h"
#include "agent/api_call.h"

namespace salve {

struct FollowOptions {
  absl::string_view method;  // The call's own: "/salve.v1.EventService/Tail".
  v1::QueryEventsRequest request;
  std::function<bool(const v1::Event&)> wanted;  // Null: all.
  bool ends_when_missed = false;                 // DATA_LOSS instead of a gap in the stream.
};

// Writes what the request gives and then each new event until the client goes, loses its role or
// the agent stops. Holds a thread: of one listener 8 at most, more are RESOURCE_EXHAUSTED. A
// client that reads too slowly misses events (event_subscription.h).
grpc::Status Follow(ApiShared& shared, grpc::ServerContext& context, const FollowOptions& options,
                    grpc::ServerWriter<v1::Event>& writer);

}  // namespace salve

#endif  // SALVE_AGENT_API_FOLLOW_H_

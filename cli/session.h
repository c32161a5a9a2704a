// Session: salvectl's side of the agent's API, over a Unix socket or over TCP with mutual TLS. It
// connects at the first call; each call waits for its answer. One thread. gRPC stays behind this
// header.
#ifndef SALVE_CLI_SESSION_H_
#define SALVE_CLI_SESSION_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/queue.pb.h"
#include "api/salve.pb.h"
#include "cli/channel.h"

namespace grpc {
class ClientContext;
class Status;
}  // namespace grpc

namespace salve {

struct SessionOptions {
  RemoteAgent remote;
  std::vector<std::string> sockets;       // Paths; the first that may be opened is taken.
  std::optional<absl::Duration> timeout;  // Of each call. Default: 5 s, for RunProbe and RunAction
                                          // 125 min: the agent itself gives up after two hours.
};

// Errors of every call, beside those of the service (api/salve.proto), whose codes are kept:
//   kUnavailable: no agent there, no trust between it and us, or the connection broke;
//   kDeadlineExceeded: no answer in time; kPermissionDenied: the socket may not be opened;
//   kInvalidArgument: its path is too long, a file of `remote` can't be used.
class Session {
 public:
  explicit Session(SessionOptions options);
  ~Session();

  absl::StatusOr<v1::GetServerHealthResponse> GetServerHealth(
      const v1::GetServerHealthRequest& request);
  absl::StatusOr<v1::RunProbeResponse> RunProbe(const v1::RunProbeRequest& request);
  absl::StatusOr<v1::ListProbesResponse> ListProbes(const v1::ListRequest& request);
  absl::StatusOr<v1::ListMonitorsResponse> ListMonitors(const v1::ListRequest& request);
  absl::StatusOr<v1::ListRespondersResponse> ListResponders(const v1::ListRequest& request);
  absl::StatusOr<v1::NotifyResponse> Notify(const v1::NotifyRequest& request);
  absl::StatusOr<v1::SetMonitorStateResponse> SetMonitorState(
      const v1::SetMonitorStateRequest& request);

  absl::StatusOr<v1::RunActionResponse> RunAction(const v1::RunActionRequest& request);
  absl::StatusOr<v1::ListActionsResponse> ListActions(const v1::ListActionsRequest& request);
  absl::StatusOr<v1::PauseResponse> Pause(const v1::PauseRequest& request);
  absl::StatusOr<v1::MaintenanceResponse> Maintain(const v1::MaintenanceRequest& request);

  absl::StatusOr<v1::ListComponentsResponse> ListComponents(
      const v1::ListComponentsRequest& request);
  absl::StatusOr<v1::VoteResponse> VoteOnComponent(const v1::VoteRequest& request);

  // All pages, in one response without a token.
  absl::StatusOr<v1::GetThrottleStateResponse> GetThrottleState(
      v1::GetThrottleStateRequest request);
  absl::StatusOr<v1::CheckThrottleResponse> CheckThrottle(const v1::CheckThrottleRequest& request);
  absl::StatusOr<v1::ListThrottleConfigResponse> ListThrottleConfig(
      const v1::ListThrottleConfigRequest& request);
  // As TailEvents.
  absl::Status WatchDecisions(const v1::WatchDecisionsRequest& request, int interrupt,
                              const std::function<void(const v1::Event&)>& on_event);
  absl::StatusOr<v1::ListServersResponse> ListServers(const v1::ListServersRequest& request);
  absl::StatusOr<v1::ForgetServerResponse> ForgetServer(const v1::ForgetServerRequest& request);

  absl::StatusOr<v1::AddOverrideResponse> AddOverride(const v1::AddOverrideRequest& request);
  absl::StatusOr<v1::RemoveOverrideResponse> RemoveOverride(
      const v1::RemoveOverrideRequest& request);
  absl::StatusOr<v1::ListOverridesResponse> ListOverrides(const v1::ListOverridesRequest& request);

  absl::StatusOr<v1::QueryEventsResponse> QueryEvents(const v1::QueryEventsRequest& request);
  absl::StatusOr<v1::ExplainResponse> Explain(const v1::ExplainRequest& request);
  // Calls `on_event` for each event, on this thread, until the descriptor `interrupt` is readable:
  // then OK. There is no deadline. Errors: kUnavailable when the agent ends the stream.
  absl::Status TailEvents(const v1::QueryEventsRequest& request, int interrupt,
                          const std::function<void(const v1::Event&)>& on_event);

  // Of the durable queue (api/queue.proto). CheckDead, Reregister and GetCluster may ask another
  // agent on the way: they wait for 30 s.
  absl::StatusOr<v1::ListQueuesResponse> ListQueues(const v1::ListQueuesRequest& request);
  absl::StatusOr<v1::ControlQueueResponse> ControlQueue(const v1::ControlQueueRequest& request);
  absl::StatusOr<v1::ListMessagesResponse> ListMessages(const v1::ListMessagesRequest& request);
  absl::StatusOr<v1::GetMessageResponse> GetMessage(const v1::GetMessageRequest& request);
  absl::StatusOr<v1::ControlMessageResponse> ControlMessage(
      const v1::ControlMessageRequest& request);
  absl::StatusOr<v1::ExportMessageResponse> ExportMessage(const v1::ExportMessageRequest& request);
  absl::StatusOr<v1::ImportMessageResponse> ImportMessage(const v1::ImportMessageRequest& request);
  absl::StatusOr<v1::CheckDeadResponse> CheckDead(const v1::CheckDeadRequest& request);
  absl::StatusOr<v1::ReregisterResponse> Reregister(const v1::ReregisterRequest& request);
  absl::StatusOr<v1::PrepareResponse> PrepareQueue(const v1::PrepareRequest& request);
  absl::StatusOr<v1::GetClusterResponse> GetCluster(const v1::GetClusterRequest& request);
  absl::StatusOr<v1::SetModeResponse> SetClusterMode(const v1::SetModeRequest& request);

  absl::StatusOr<v1::GetInfoResponse> GetInfo(const v1::GetInfoRequest& request);
  absl::StatusOr<v1::ReloadResponse> Reload(const v1::ReloadRequest& request);
  absl::StatusOr<v1::GetConfigResponse> GetConfig(const v1::GetConfigRequest& request);

 private:
  struct Connection;

  absl::Status Connect();
  // One call of a method of one of the connection's stubs.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub Connection::*stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request, absl::Duration timeout);
  // A stream of events that `begin` begins, until `interrupt`.
  template <typename Begin>
  absl::Status Stream(int interrupt, const std::function<void(const v1::Event&)>& on_event,
                      const Begin& begin);
  absl::Duration timeout() const;
  absl::Duration long_timeout() const;
  absl::Duration asking_timeout() const;

  const SessionOptions options_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace salve

#endif  // SALVE_CLI_SESSION_H_

// FakeAgent: the agent's services with canned answers, on a Unix socket in a folder of its own, and
// over TLS if the test says so.
// gRPC stays behind this header.
#ifndef SALVE_CLI_FAKE_AGENT_H_
#define SALVE_CLI_FAKE_AGENT_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "api/queue.pb.h"
#include "api/salve.pb.h"
#include "base/mutex.h"

namespace salve {

// One method: what it says, and what it was last asked. Thread-safe.
template <typename Request, typename Response>
class FakeMethod {
 public:
  // The answer from now on; without one it is an empty response.
  void Say(absl::StatusOr<Response> answer) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    answers_ = {std::move(answer)};
  }
  // One answer for each call; the last stays.
  void SayInTurn(std::vector<absl::StatusOr<Response>> answers) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    answers_ = std::move(answers);
  }
  // The last request.
  Request asked() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return asked_;
  }

  absl::StatusOr<Response> Answer(const Request& request) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    asked_ = request;
    absl::StatusOr<Response> answer = answers_.front();
    if (answers_.size() > 1) answers_.erase(answers_.begin());
    return answer;
  }

 private:
  mutable Mutex mu_;
  Request asked_ ABSL_GUARDED_BY(mu_);
  std::vector<absl::StatusOr<Response>> answers_ ABSL_GUARDED_BY(mu_) = {Response()};
};

// What Tail streams: the events, and then either the end, or nothing until the client goes.
struct FakeTail {
  std::vector<v1::Event> events;
  bool ends = false;
};

struct FakeAnswers {
  FakeMethod<v1::GetServerHealthRequest, v1::GetServerHealthResponse> get_server_health;
  FakeMethod<v1::RunProbeRequest, v1::RunProbeResponse> run_probe;
  FakeMethod<v1::ListRequest, v1::ListProbesResponse> list_probes;
  FakeMethod<v1::ListRequest, v1::ListMonitorsResponse> list_monitors;
  FakeMethod<v1::ListRequest, v1::ListRespondersResponse> list_responders;
  FakeMethod<v1::NotifyRequest, v1::NotifyResponse> notify;
  FakeMethod<v1::SetMonitorStateRequest, v1::SetMonitorStateResponse> set_monitor_state;
  FakeMethod<v1::RunActionRequest, v1::RunActionResponse> run_action;
  FakeMethod<v1::ListActionsRequest, v1::ListActionsResponse> list_actions;
  FakeMethod<v1::ListComponentsRequest, v1::ListComponentsResponse> list_components;
  FakeMethod<v1::VoteRequest, v1::VoteResponse> vote;
  FakeMethod<v1::PauseRequest, v1::PauseResponse> pause;
  FakeMethod<v1::MaintenanceRequest, v1::MaintenanceResponse> maintenance;
  FakeMethod<v1::GetThrottleStateRequest, v1::GetThrottleStateResponse> get_throttle_state;
  FakeMethod<v1::CheckThrottleRequest, v1::CheckThrottleResponse> check_throttle;
  FakeMethod<v1::ListThrottleConfigRequest, v1::ListThrottleConfigResponse> list_throttle_config;
  FakeMethod<v1::WatchDecisionsRequest, FakeTail> watch_decisions;
  FakeMethod<v1::ListServersRequest, v1::ListServersResponse> list_servers;
  FakeMethod<v1::ForgetServerRequest, v1::ForgetServerResponse> forget_server;
  FakeMethod<v1::AddOverrideRequest, v1::AddOverrideResponse> add_override;
  FakeMethod<v1::RemoveOverrideRequest, v1::RemoveOverrideResponse> remove_override;
  FakeMethod<v1::ListOverridesRequest, v1::ListOverridesResponse> list_overrides;
  FakeMethod<v1::QueryEventsRequest, v1::QueryEventsResponse> query_events;
  FakeMethod<v1::QueryEventsRequest, FakeTail> tail_events;
  FakeMethod<v1::ExplainRequest, v1::ExplainResponse> explain;
  FakeMethod<v1::ListQueuesRequest, v1::ListQueuesResponse> list_queues;
  FakeMethod<v1::ControlQueueRequest, v1::ControlQueueResponse> control_queue;
  FakeMethod<v1::ListMessagesRequest, v1::ListMessagesResponse> list_messages;
  FakeMethod<v1::GetMessageRequest, v1::GetMessageResponse> get_message;
  FakeMethod<v1::ControlMessageRequest, v1::ControlMessageResponse> control_message;
  FakeMethod<v1::ExportMessageRequest, v1::ExportMessageResponse> export_message;
  FakeMethod<v1::ImportMessageRequest, v1::ImportMessageResponse> import_message;
  FakeMethod<v1::CheckDeadRequest, v1::CheckDeadResponse> check_dead;
  FakeMethod<v1::ReregisterRequest, v1::ReregisterResponse> reregister;
  FakeMethod<v1::PrepareRequest, v1::PrepareResponse> prepare_queue;
  FakeMethod<v1::GetClusterRequest, v1::GetClusterResponse> get_cluster;
  FakeMethod<v1::SetModeRequest, v1::SetModeResponse> set_cluster_mode;
  FakeMethod<v1::GetInfoRequest, v1::GetInfoResponse> get_info;
  FakeMethod<v1::ReloadRequest, v1::ReloadResponse> reload;
  FakeMethod<v1::GetConfigRequest, v1::GetConfigResponse> get_config;
};

// PEM texts.
struct FakeTls {
  std::string certificate;
  std::string key;
  std::string client_ca;
};

class FakeAgent : public FakeAnswers {
 public:
  // Listens on DIR/`name`, in a new folder DIR that goes with the agent; with `tls` also at a port
  // of 127.0.0.1, for clients with a certificate of `client_ca`.
  explicit FakeAgent(const std::string& name = "salve.sock",
                     std::optional<FakeTls> tls = std::nullopt);
  ~FakeAgent();

  const std::string& dir() const { return dir_; }
  std::string socket() const { return dir_ + "/" + name_; }
  int port() const { return port_; }

  // From now on no call is answered until its client gives up.
  void Hang();

 private:
  struct Server;

  const std::string name_;
  const std::string dir_;
  int port_ = 0;  // Of TLS.
  std::unique_ptr<Server> server_;
};

}  // namespace salve

#endif  // SALVE_CLI_FAKE_AGENT_H_

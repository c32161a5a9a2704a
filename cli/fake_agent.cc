#include "cli/fake_agent.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "api/queue.grpc.pb.h"
#include "api/salve.grpc.pb.h"
#include "base/check.h"

namespace salve {
namespace {

// Short, so that the socket's path fits; the test's own folder may be too deep for one.
std::string NewFolder() {
  char path[] = "/tmp/salvectl.XXXXXX";
  CHECK(mkdtemp(path) != nullptr);
  return path;
}

// What the services share.
struct Shared {
  FakeAnswers& answers;
  std::atomic<bool> hangs = false;
};

// Until the client has gone or the server shuts down.
void WaitForTheEnd(grpc::ServerContext* context) {
  Mutex mu;
  CondVar never;
  MutexLock lock(&mu);
  while (!context->IsCancelled()) never.WaitFor(&mu, absl::Milliseconds(1));
}

grpc::Status StatusOf(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

template <typename Request, typename Response>
grpc::Status Give(Shared& shared, FakeMethod<Request, Response> FakeAnswers::*method,
                  grpc::ServerContext* context, const Request* request, Response* response) {
  if (shared.hangs) {
    WaitForTheEnd(context);
    return grpc::Status::CANCELLED;
  }
  absl::StatusOr<Response> answer = (shared.answers.*method).Answer(*request);
  if (!answer.ok()) return StatusOf(answer.status());
  *response = *std::move(answer);
  return grpc::Status::OK;
}

grpc::Status Stream(const absl::StatusOr<FakeTail>& tail, grpc::ServerContext* context,
                    grpc::ServerWriter<v1::Event>* writer) {
  if (!tail.ok()) return StatusOf(tail.status());
  for (const v1::Event& event : tail->events) writer->Write(event);
  if (!tail->ends) WaitForTheEnd(context);
  return grpc::Status::OK;
}

// A method of a service that gives the canned answer.
#define FAKE_METHOD(name, member, Request, Response)                          \
  grpc::Status name(grpc::ServerContext* context, const v1::Request* request, \
                    v1::Response* response) override {                        \
    return Give(shared, &FakeAnswers::member, context, request, response);    \
  }

struct Health final : v1::HealthService::Service {
  explicit Health(Shared& shared) : shared(shared) {}
  FAKE_METHOD(GetServerHealth, get_server_health, GetServerHealthRequest, GetServerHealthResponse)
  FAKE_METHOD(RunProbe, run_probe, RunProbeRequest, RunProbeResponse)
  FAKE_METHOD(ListProbes, list_probes, ListRequest, ListProbesResponse)
  FAKE_METHOD(ListMonitors, list_monitors, ListRequest, ListMonitorsResponse)
  FAKE_METHOD(ListResponders, list_responders, ListRequest, ListRespondersResponse)
  FAKE_METHOD(Notify, notify, NotifyRequest, NotifyResponse)
  FAKE_METHOD(SetMonitorState, set_monitor_state, SetMonitorStateRequest, SetMonitorStateResponse)
  Shared& shared;
};

struct Action final : v1::ActionService::Service {
  explicit Action(Shared& shared) : shared(shared) {}
  FAKE_METHOD(Run, run_action, RunActionRequest, RunActionResponse)
  FAKE_METHOD(List, list_actions, ListActionsRequest, ListActionsResponse)
  FAKE_METHOD(Pause, pause, PauseRequest, PauseResponse)
  Shared& shared;
};

struct Component final : v1::ComponentService::Service {
  explicit Component(Shared& shared) : shared(shared) {}
  FAKE_METHOD(List, list_components, ListComponentsRequest, ListComponentsResponse)
  FAKE_METHOD(Vote, vote, VoteRequest, VoteResponse)
  Shared& shared;
};

struct Throttle final : v1::ThrottleService::Service {
  explicit Throttle(Shared& shared) : shared(shared) {}
  FAKE_METHOD(GetThrottleState, get_throttle_state, GetThrottleStateRequest,
              GetThrottleStateResponse)
  FAKE_METHOD(CheckThrottle, check_throttle, CheckThrottleRequest, CheckThrottleResponse)
  FAKE_METHOD(ListThrottleConfig, list_throttle_config, ListThrottleConfigRequest,
              ListThrottleConfigResponse)
  FAKE_METHOD(ListServers, list_servers, ListServersRequest, ListServersResponse)
  FAKE_METHOD(ForgetServer, forget_server, ForgetServerRequest, ForgetServerResponse)
  grpc::Status WatchDecisions(grpc::ServerContext* context,
                              const v1::WatchDecisionsRequest* request,
                              grpc::ServerWriter<v1::Event>* writer) override {
    return Stream(shared.answers.watch_decisions.Answer(*request), context, writer);
  }
  Shared& shared;
};

struct OverridesOf final : v1::OverrideService::Service {
  explicit OverridesOf(Shared& shared) : shared(shared) {}
  FAKE_METHOD(Add, add_override, AddOverrideRequest, AddOverrideResponse)
  FAKE_METHOD(Remove, remove_override, RemoveOverrideRequest, RemoveOverrideResponse)
  FAKE_METHOD(List, list_overrides, ListOverridesRequest, ListOverridesResponse)
  Shared& shared;
};

struct Events final : v1::EventService::Service {
  explicit Events(Shared& shared) : shared(shared) {}
  FAKE_METHOD(Query, query_events, QueryEventsRequest, QueryEventsResponse)
  FAKE_METHOD(Explain, explain, ExplainRequest, ExplainResponse)
  grpc::Status Tail(grpc::ServerContext* context, const v1::QueryEventsRequest* request,
                    grpc::ServerWriter<v1::Event>* writer) override {
    return Stream(shared.answers.tail_events.Answer(*request), context, writer);
  }
  Shared& shared;
};

struct Agent final : v1::AgentService::Service {
  explicit Agent(Shared& shared) : shared(shared) {}
  FAKE_METHOD(GetInfo, get_info, GetInfoRequest, GetInfoResponse)
  FAKE_METHOD(Reload, reload, ReloadRequest, ReloadResponse)
  FAKE_METHOD(Maintenance, maintenance, MaintenanceRequest, MaintenanceResponse)
  FAKE_METHOD(GetConfig, get_config, GetConfigRequest, GetConfigResponse)
  Shared& shared;
};

struct Queue final : v1::QueueService::Service {
  explicit Queue(Shared& shared) : shared(shared) {}
  FAKE_METHOD(ListQueues, list_queues, ListQueuesRequest, ListQueuesResponse)
  FAKE_METHOD(ControlQueue, control_queue, ControlQueueRequest, ControlQueueResponse)
  FAKE_METHOD(ListMessages, list_messages, ListMessagesRequest, ListMessagesResponse)
  FAKE_METHOD(GetMessage, get_message, GetMessageRequest, GetMessageResponse)
  FAKE_METHOD(ControlMessage, control_message, ControlMessageRequest, ControlMessageResponse)
  FAKE_METHOD(ExportMessage, export_message, ExportMessageRequest, ExportMessageResponse)
  FAKE_METHOD(ImportMessage, import_message, ImportMessageRequest, ImportMessageResponse)
  FAKE_METHOD(CheckDead, check_dead, CheckDeadRequest, CheckDeadResponse)
  FAKE_METHOD(Reregister, reregister, ReregisterRequest, ReregisterResponse)
  FAKE_METHOD(Prepare, prepare_queue, PrepareRequest, PrepareResponse)
  FAKE_METHOD(GetCluster, get_cluster, GetClusterRequest, GetClusterResponse)
  FAKE_METHOD(SetMode, set_cluster_mode, SetModeRequest, SetModeResponse)
  Shared& shared;
};

#undef FAKE_METHOD

// gRPC reads the address as a URI.
std::string AddressOf(const std::string& path) {
  std::string address = "unix:";
  for (const char c : path) {
    if (absl::ascii_isalnum(c) || c == '/' || c == '.') {
      address += c;
    } else {
      absl::StrAppendFormat(&address, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return address;
}

}  // namespace

struct FakeAgent::Server {
  explicit Server(FakeAnswers& answers)
      : shared{answers},
        health(shared),
        action(shared),
        component(shared),
        throttle(shared),
        overrides(shared),
        events(shared),
        agent(shared),
        queue(shared) {}
  Shared shared;
  Health health;
  Action action;
  Component component;
  Throttle throttle;
  OverridesOf overrides;
  Events events;
  Agent agent;
  Queue queue;
  std::unique_ptr<grpc::Server> grpc;
};

FakeAgent::FakeAgent(const std::string& name, std::optional<FakeTls> tls)
    : name_(name), dir_(NewFolder()), server_(std::make_unique<Server>(*this)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(AddressOf(socket()), grpc::InsecureServerCredentials());
  if (tls.has_value()) {
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = tls->client_ca;
    options.pem_key_cert_pairs.push_back({tls->key, tls->certificate});
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port_);
  }
  builder.RegisterService(&server_->health);
  builder.RegisterService(&server_->action);
  builder.RegisterService(&server_->component);
  builder.RegisterService(&server_->throttle);
  builder.RegisterService(&server_->overrides);
  builder.RegisterService(&server_->events);
  builder.RegisterService(&server_->agent);
  builder.RegisterService(&server_->queue);
  server_->grpc = builder.BuildAndStart();
  CHECK(server_->grpc != nullptr);
}

FakeAgent::~FakeAgent() {
  server_->grpc->Shutdown(gpr_now(GPR_CLOCK_MONOTONIC));
  server_->grpc->Wait();
  std::error_code ignored;  // A folder of /tmp that stays is no fault of a test.
  std::filesystem::remove_all(dir_, ignored);
}

void FakeAgent::Hang() { server_->shared.hangs = true; }

}  // namespace salve

#include "cli/session.h"

#include <grpc/support/time.h>
#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>
#include <poll.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "api/queue.grpc.pb.h"
#include "api/salve.grpc.pb.h"
#include "base/status_macros.h"
#include "cli/channel.h"

namespace salve {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(5);
constexpr absl::Duration kLongTimeout = absl::Minutes(125);
constexpr absl::Duration kAskingTimeout = absl::Seconds(30);  // The agent asks another one.
constexpr absl::Duration kInterruptPollInterval = absl::Milliseconds(100);
constexpr int kPagesMax = 1000;  // A server that always has another page is broken.

gpr_timespec DeadlineIn(absl::Duration d) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_millis(absl::ToInt64Milliseconds(d), GPR_TIMESPAN));
}

// Whether the status came over the network, or is gRPC's own about the connection.
bool IsFromAgent(const grpc::ClientContext& context) {
  return absl::StrContains(context.debug_error_string(), "Error received from peer");
}

absl::Status StatusOf(const grpc::Status& status, const grpc::ClientContext& context,
                      absl::Duration timeout, const RemoteAgent& remote) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return absl::OkStatus();
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return absl::DeadlineExceededError(
          absl::StrCat("no answer within ", absl::FormatDuration(timeout)));
    case grpc::StatusCode::UNIMPLEMENTED:
      return absl::UnimplementedError("the agent does not know this call; is it older?");
    case grpc::StatusCode::UNAVAILABLE:
      if (remote.server.empty() || IsFromAgent(context)) break;
      return absl::UnavailableError(WhyUnreachable(remote, status.error_message()));
    default:
      break;
  }
  // The codes of gRPC and of Abseil are the same numbers.
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

// Waits for the steps of one stream, and cancels it once `interrupt` is readable.
class StreamSteps {
 public:
  StreamSteps(grpc::ClientContext& context, int interrupt)
      : context_(context), interrupt_(interrupt) {}
  ~StreamSteps() { queue_.Shutdown(); }

  grpc::CompletionQueue& queue() { return queue_; }
  bool is_cancelled() const { return is_cancelled_; }

  // Waits for the end of the one step that was begun; returns whether it went well.
  bool Wait() {
    void* tag = nullptr;
    bool is_ok = false;
    grpc::CompletionQueue::NextStatus status;
    do {
      CancelWhenInterrupted();
      status = queue_.AsyncNext(&tag, &is_ok, DeadlineIn(kInterruptPollInterval));
    } while (status == grpc::CompletionQueue::TIMEOUT);
    return is_ok;
  }

 private:
  void CancelWhenInterrupted() {
    pollfd fd = {interrupt_, POLLIN, 0};
    if (is_cancelled_ || poll(&fd, 1, 0) <= 0) return;
    is_cancelled_ = true;
    context_.TryCancel();
  }

  grpc::ClientContext& context_;
  const int interrupt_;
  grpc::CompletionQueue queue_;
  bool is_cancelled_ = false;
};

}  // namespace

struct Session::Connection {
  Connection(const std::shared_ptr<grpc::Channel>& channel, RemoteAgent remote)
      : remote(std::move(remote)),
        health(channel),
        action(channel),
        component(channel),
        throttle(channel),
        overrides(channel),
        event(channel),
        agent(channel),
        queue(channel) {}
  const RemoteAgent remote;
  v1::HealthService::Stub health;
  v1::ActionService::Stub action;
  v1::ComponentService::Stub component;
  v1::ThrottleService::Stub throttle;
  v1::OverrideService::Stub overrides;
  v1::EventService::Stub event;
  v1::AgentService::Stub agent;
  v1::QueueService::Stub queue;
};

template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Session::Call(Stub Connection::*stub,
                                       grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                    const Request&, Response*),
                                       const Request& request, absl::Duration timeout) {
  RETURN_IF_ERROR(Connect());
  grpc::ClientContext context;
  context.set_deadline(DeadlineIn(timeout));
  Response response;
  const grpc::Status status = (connection_.get()->*stub.*method)(&context, request, &response);
  RETURN_IF_ERROR(StatusOf(status, context, timeout, connection_->remote));
  return response;
}

Session::Session(SessionOptions options) : options_(std::move(options)) {}
Session::~Session() = default;

absl::Duration Session::timeout() const { return options_.timeout.value_or(kTimeout); }
absl::Duration Session::long_timeout() const { return options_.timeout.value_or(kLongTimeout); }
absl::Duration Session::asking_timeout() const { return options_.timeout.value_or(kAskingTimeout); }

absl::Status Session::Connect() {
  if (connection_ != nullptr) return absl::OkStatus();
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel =
      absl::UnavailableError("no socket to connect to");
  if (!options_.remote.server.empty()) {
    channel = ChannelToServer(options_.remote);
  } else {
    for (const std::string& path : options_.sockets) {
      channel = ChannelToSocket(path);
      if (channel.ok()) break;
    }
  }
  RETURN_IF_ERROR(channel.status());
  connection_ = std::make_unique<Connection>(*channel, options_.remote);
  return absl::OkStatus();
}

absl::StatusOr<v1::GetServerHealthResponse> Session::GetServerHealth(
    const v1::GetServerHealthRequest& request) {
  return Call(&Connection::health, &v1::HealthService::Stub::GetServerHealth, request, timeout());
}

absl::StatusOr<v1::RunProbeResponse> Session::RunProbe(const v1::RunProbeRequest& request) {
  return Call(&Connection::health, &v1::HealthService::Stub::RunProbe, request, long_timeout());
}

absl::StatusOr<v1::ListProbesResponse> Session::ListProbes(const v1::ListRequest& request) {
  return Call(&Connection::health, &v1::HealthService::Stub::ListProbes, request, timeout());
}

absl::StatusOr<v1::ListMonitorsResponse> Session::ListMonitors(const v1::ListRequest& request) {
  return Call(&Connection::health, &v1::HealthService::Stub::ListMonitors, request, timeout());
}

absl::StatusOr<v1::ListRespondersResponse> Session::ListResponders(const v1::ListRequest& request) {
  return Call(&Connection::health, &v1::HealthService::Stub::ListResponders, request, timeout());
}

absl::StatusOr<v1::NotifyResponse> Session::Notify(const v1::NotifyRequest& request) {
  return Call(&Connection::health, &v1::HealthService::Stub::Notify, request, timeout());
}

absl::StatusOr<v1::SetMonitorStateResponse> Session::SetMonitorState(
    const v1::SetMonitorStateRequest& request) {
  return Call(&Connection::health, &v1::HealthService::Stub::SetMonitorState, request, timeout());
}

absl::StatusOr<v1::RunActionResponse> Session::RunAction(const v1::RunActionRequest& request) {
  return Call(&Connection::action, &v1::ActionService::Stub::Run, request, long_timeout());
}

absl::StatusOr<v1::ListActionsResponse> Session::ListActions(
    const v1::ListActionsRequest& request) {
  return Call(&Connection::action, &v1::ActionService::Stub::List, request, timeout());
}

absl::StatusOr<v1::ListComponentsResponse> Session::ListComponents(
    const v1::ListComponentsRequest& request) {
  return Call(&Connection::component, &v1::ComponentService::Stub::List, request, timeout());
}

absl::StatusOr<v1::VoteResponse> Session::VoteOnComponent(const v1::VoteRequest& request) {
  return Call(&Connection::component, &v1::ComponentService::Stub::Vote, request, timeout());
}

absl::StatusOr<v1::GetThrottleStateResponse> Session::GetThrottleState(
    v1::GetThrottleStateRequest request) {
  v1::GetThrottleStateResponse all;
  for (int page = 0; page < kPagesMax; ++page) {
    ASSIGN_OR_RETURN(v1::GetThrottleStateResponse next,
                     Call(&Connection::throttle, &v1::ThrottleService::Stub::GetThrottleState,
                          request, timeout()));
    for (v1::ThrottleEntry& entry : *next.mutable_entries()) *all.add_entries() = std::move(entry);
    if (next.next_page_token().empty()) return all;
    request.set_page_token(next.next_page_token());
  }
  return absl::InternalError(absl::StrCat("the agent has more than ", kPagesMax, " pages"));
}

absl::StatusOr<v1::CheckThrottleResponse> Session::CheckThrottle(
    const v1::CheckThrottleRequest& request) {
  return Call(&Connection::throttle, &v1::ThrottleService::Stub::CheckThrottle, request, timeout());
}

absl::StatusOr<v1::ListThrottleConfigResponse> Session::ListThrottleConfig(
    const v1::ListThrottleConfigRequest& request) {
  return Call(&Connection::throttle, &v1::ThrottleService::Stub::ListThrottleConfig, request,
              timeout());
}

absl::StatusOr<v1::AddOverrideResponse> Session::AddOverride(
    const v1::AddOverrideRequest& request) {
  return Call(&Connection::overrides, &v1::OverrideService::Stub::Add, request, timeout());
}

absl::StatusOr<v1::RemoveOverrideResponse> Session::RemoveOverride(
    const v1::RemoveOverrideRequest& request) {
  return Call(&Connection::overrides, &v1::OverrideService::Stub::Remove, request, timeout());
}

absl::StatusOr<v1::ListOverridesResponse> Session::ListOverrides(
    const v1::ListOverridesRequest& request) {
  return Call(&Connection::overrides, &v1::OverrideService::Stub::List, request, timeout());
}

absl::StatusOr<v1::QueryEventsResponse> Session::QueryEvents(
    const v1::QueryEventsRequest& request) {
  return Call(&Connection::event, &v1::EventService::Stub::Query, request, timeout());
}

absl::StatusOr<v1::ExplainResponse> Session::Explain(const v1::ExplainRequest& request) {
  return Call(&Connection::event, &v1::EventService::Stub::Explain, request, timeout());
}

template <typename Begin>
absl::Status Session::Stream(int interrupt, const std::function<void(const v1::Event&)>& on_event,
                             const Begin& begin) {
  RETURN_IF_ERROR(Connect());
  grpc::ClientContext context;
  StreamSteps steps(context, interrupt);
  std::unique_ptr<grpc::ClientAsyncReader<v1::Event>> reader = begin(&context, &steps.queue());
  bool goes_on = steps.Wait();
  v1::Event event;
  while (goes_on) {
    reader->Read(&event, nullptr);
    goes_on = steps.Wait();
    if (goes_on) on_event(event);
  }
  grpc::Status status;
  reader->Finish(&status, nullptr);
  steps.Wait();
  if (steps.is_cancelled()) return absl::OkStatus();
  RETURN_IF_ERROR(StatusOf(status, context, timeout(), connection_->remote));
  return absl::UnavailableError("it ended the stream");
}

absl::Status Session::TailEvents(const v1::QueryEventsRequest& request, int interrupt,
                                 const std::function<void(const v1::Event&)>& on_event) {
  return Stream(interrupt, on_event,
                [&](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
                  return connection_->event.AsyncTail(context, request, queue, nullptr);
                });
}

absl::Status Session::WatchDecisions(const v1::WatchDecisionsRequest& request, int interrupt,
                                     const std::function<void(const v1::Event&)>& on_event) {
  return Stream(
      interrupt, on_event, [&](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
        return connection_->throttle.AsyncWatchDecisions(context, request, queue, nullptr);
      });
}

absl::StatusOr<v1::ListServersResponse> Session::ListServers(
    const v1::ListServersRequest& request) {
  return Call(&Connection::throttle, &v1::ThrottleService::Stub::ListServers, request, timeout());
}

absl::StatusOr<v1::ForgetServerResponse> Session::ForgetServer(
    const v1::ForgetServerRequest& request) {
  return Call(&Connection::throttle, &v1::ThrottleService::Stub::ForgetServer, request, timeout());
}

absl::StatusOr<v1::PauseResponse> Session::Pause(const v1::PauseRequest& request) {
  return Call(&Connection::action, &v1::ActionService::Stub::Pause, request, timeout());
}

absl::StatusOr<v1::MaintenanceResponse> Session::Maintain(const v1::MaintenanceRequest& request) {
  return Call(&Connection::agent, &v1::AgentService::Stub::Maintenance, request, timeout());
}

absl::StatusOr<v1::ListQueuesResponse> Session::ListQueues(const v1::ListQueuesRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::ListQueues, request, timeout());
}

absl::StatusOr<v1::ControlQueueResponse> Session::ControlQueue(
    const v1::ControlQueueRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::ControlQueue, request, timeout());
}

absl::StatusOr<v1::ListMessagesResponse> Session::ListMessages(
    const v1::ListMessagesRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::ListMessages, request, timeout());
}

absl::StatusOr<v1::GetMessageResponse> Session::GetMessage(const v1::GetMessageRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::GetMessage, request, timeout());
}

absl::StatusOr<v1::ControlMessageResponse> Session::ControlMessage(
    const v1::ControlMessageRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::ControlMessage, request, timeout());
}

absl::StatusOr<v1::ExportMessageResponse> Session::ExportMessage(
    const v1::ExportMessageRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::ExportMessage, request, timeout());
}

absl::StatusOr<v1::ImportMessageResponse> Session::ImportMessage(
    const v1::ImportMessageRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::ImportMessage, request, timeout());
}

absl::StatusOr<v1::CheckDeadResponse> Session::CheckDead(const v1::CheckDeadRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::CheckDead, request, asking_timeout());
}

absl::StatusOr<v1::ReregisterResponse> Session::Reregister(const v1::ReregisterRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::Reregister, request, asking_timeout());
}

absl::StatusOr<v1::PrepareResponse> Session::PrepareQueue(const v1::PrepareRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::Prepare, request, timeout());
}

absl::StatusOr<v1::GetClusterResponse> Session::GetCluster(const v1::GetClusterRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::GetCluster, request, asking_timeout());
}

absl::StatusOr<v1::SetModeResponse> Session::SetClusterMode(const v1::SetModeRequest& request) {
  return Call(&Connection::queue, &v1::QueueService::Stub::SetMode, request, timeout());
}

absl::StatusOr<v1::GetInfoResponse> Session::GetInfo(const v1::GetInfoRequest& request) {
  return Call(&Connection::agent, &v1::AgentService::Stub::GetInfo, request, timeout());
}

absl::StatusOr<v1::ReloadResponse> Session::Reload(const v1::ReloadRequest& request) {
  return Call(&Connection::agent, &v1::AgentService::Stub::Reload, request, timeout());
}

absl::StatusOr<v1::GetConfigResponse> Session::GetConfig(const v1::GetConfigRequest& request) {
  return Call(&Connection::agent, &v1::AgentService::Stub::GetConfig, request, timeout());
}

}  // namespace salve

#include "cli/session.h"

#include <grpc/support/time.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "api/salve.grpc.pb.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(5);
constexpr absl::Duration kLongTimeout = absl::Minutes(125);
constexpr absl::Duration kInterruptPollInterval = absl::Milliseconds(100);
constexpr int kMessageBytesMax = 64 << 20;  // A query gives up to 10,000 events.
constexpr int kPagesMax = 1000;             // A server that always has another page is broken.
constexpr absl::string_view kIsItRunning = "is salved running? (systemctl status salved)";

// Opens the socket and closes it again: gRPC would say no more than "unavailable".
absl::Status TryToOpen(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the socket's path '", path, "' is not of 1..",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return absl::ResourceExhaustedError(absl::StrCat("socket: ", strerror(errno)));
  const int error =
      connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  close(fd);
  const std::string what = absl::StrCat("cannot connect to ", path, ": ");
  switch (error) {
    case 0:
    case EAGAIN:
      return absl::OkStatus();  // EAGAIN: busy, but there.
    case ENOENT:
      return absl::UnavailableError(absl::StrCat(what, "no such file; ", kIsItRunning));
    case ECONNREFUSED:
      return absl::UnavailableError(absl::StrCat(what, "nobody listens there; ", kIsItRunning));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "permission denied; is your user in the group salve?"));
    default:
      return absl::UnavailableError(absl::StrCat(what, strerror(error)));
  }
}

// gRPC reads the target as a URI.
std::string TargetOf(absl::string_view path) {
  std::string target = "unix:";
  for (const char c : path) {
    if (absl::ascii_isalnum(c) || absl::string_view("/._-~").find(c) != absl::string_view::npos) {
      target += c;
    } else {
      absl::StrAppendFormat(&target, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return target;
}

gpr_timespec DeadlineIn(absl::Duration d) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_millis(absl::ToInt64Milliseconds(d), GPR_TIMESPAN));
}

absl::Status StatusOf(const grpc::Status& status, absl::Duration timeout) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return absl::OkStatus();
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return absl::DeadlineExceededError(
          absl::StrCat("no answer within ", absl::FormatDuration(timeout)));
    case grpc::StatusCode::UNIMPLEMENTED:
      return absl::UnimplementedError("the agent does not know this call; is it older?");
    default:
      // The codes of gRPC and of Abseil are the same numbers.
      return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                          status.error_message());
  }
}

template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request, absl::Duration timeout) {
  grpc::ClientContext context;
  context.set_deadline(DeadlineIn(timeout));
  Response response;
  RETURN_IF_ERROR(StatusOf((stub.*method)(&context, request, &response), timeout));
  return response;
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
  explicit Connection(const std::shared_ptr<grpc::Channel>& channel)
      : health(channel), action(channel), throttle(channel), event(channel), agent(channel) {}
  v1::HealthService::Stub health;
  v1::ActionService::Stub action;
  v1::ThrottleService::Stub throttle;
  v1::EventService::Stub event;
  v1::AgentService::Stub agent;
};

Session::Session(SessionOptions options) : options_(std::move(options)) {}
Session::~Session() = default;

absl::Duration Session::timeout() const { return options_.timeout.value_or(kTimeout); }
absl::Duration Session::long_timeout() const { return options_.timeout.value_or(kLongTimeout); }

absl::Status Session::Connect() {
  if (connection_ != nullptr) return absl::OkStatus();
  absl::Status status = absl::UnavailableError("no socket to connect to");
  for (const std::string& path : options_.sockets) {
    status = TryToOpen(path);
    if (!status.ok()) continue;
    grpc::ChannelArguments arguments;
    // By default a lost agent would be tried again only after many seconds.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 500);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
    connection_ = std::make_unique<Connection>(
        grpc::CreateCustomChannel(TargetOf(path), grpc::InsecureChannelCredentials(), arguments));
    return absl::OkStatus();
  }
  return status;
}

absl::StatusOr<v1::GetServerHealthResponse> Session::GetServerHealth(
    const v1::GetServerHealthRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->health, &v1::HealthService::Stub::GetServerHealth, request, timeout());
}

absl::StatusOr<v1::RunProbeResponse> Session::RunProbe(const v1::RunProbeRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->health, &v1::HealthService::Stub::RunProbe, request, long_timeout());
}

absl::StatusOr<v1::ListProbesResponse> Session::ListProbes(const v1::ListRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->health, &v1::HealthService::Stub::ListProbes, request, timeout());
}

absl::StatusOr<v1::ListMonitorsResponse> Session::ListMonitors(const v1::ListRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->health, &v1::HealthService::Stub::ListMonitors, request, timeout());
}

absl::StatusOr<v1::ListRespondersResponse> Session::ListResponders(const v1::ListRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->health, &v1::HealthService::Stub::ListResponders, request, timeout());
}

absl::StatusOr<v1::NotifyResponse> Session::Notify(const v1::NotifyRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->health, &v1::HealthService::Stub::Notify, request, timeout());
}

absl::StatusOr<v1::RunActionResponse> Session::RunAction(const v1::RunActionRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->action, &v1::ActionService::Stub::Run, request, long_timeout());
}

absl::StatusOr<v1::ListActionsResponse> Session::ListActions(
    const v1::ListActionsRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->action, &v1::ActionService::Stub::List, request, timeout());
}

absl::StatusOr<v1::GetThrottleStateResponse> Session::GetThrottleState(
    v1::GetThrottleStateRequest request) {
  RETURN_IF_ERROR(Connect());
  v1::GetThrottleStateResponse all;
  for (int page = 0; page < kPagesMax; ++page) {
    ASSIGN_OR_RETURN(v1::GetThrottleStateResponse next,
                     Call(connection_->throttle, &v1::ThrottleService::Stub::GetThrottleState,
                          request, timeout()));
    for (v1::ThrottleEntry& entry : *next.mutable_entries()) *all.add_entries() = std::move(entry);
    if (next.next_page_token().empty()) return all;
    request.set_page_token(next.next_page_token());
  }
  return absl::InternalError(absl::StrCat("the agent has more than ", kPagesMax, " pages"));
}

absl::StatusOr<v1::CheckThrottleResponse> Session::CheckThrottle(
    const v1::CheckThrottleRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->throttle, &v1::ThrottleService::Stub::CheckThrottle, request, timeout());
}

absl::StatusOr<v1::ListThrottleConfigResponse> Session::ListThrottleConfig(
    const v1::ListThrottleConfigRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->throttle, &v1::ThrottleService::Stub::ListThrottleConfig, request,
              timeout());
}

absl::StatusOr<v1::QueryEventsResponse> Session::QueryEvents(
    const v1::QueryEventsRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->event, &v1::EventService::Stub::Query, request, timeout());
}

absl::StatusOr<v1::ExplainResponse> Session::Explain(const v1::ExplainRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->event, &v1::EventService::Stub::Explain, request, timeout());
}

absl::Status Session::TailEvents(const v1::QueryEventsRequest& request, int interrupt,
                                 const std::function<void(const v1::Event&)>& on_event) {
  RETURN_IF_ERROR(Connect());
  grpc::ClientContext context;
  StreamSteps steps(context, interrupt);
  std::unique_ptr<grpc::ClientAsyncReader<v1::Event>> reader =
      connection_->event.AsyncTail(&context, request, &steps.queue(), nullptr);
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
  RETURN_IF_ERROR(StatusOf(status, timeout()));
  return absl::UnavailableError("it ended the stream");
}

absl::StatusOr<v1::GetInfoResponse> Session::GetInfo(const v1::GetInfoRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->agent, &v1::AgentService::Stub::GetInfo, request, timeout());
}

absl::StatusOr<v1::ReloadResponse> Session::Reload(const v1::ReloadRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->agent, &v1::AgentService::Stub::Reload, request, timeout());
}

absl::StatusOr<v1::GetConfigResponse> Session::GetConfig(const v1::GetConfigRequest& request) {
  RETURN_IF_ERROR(Connect());
  return Call(connection_->agent, &v1::AgentService::Stub::GetConfig, request, timeout());
}

}  // namespace salve

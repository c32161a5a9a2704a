#include "agent/api_server.h"

#include <fcntl.h>
#include <grp.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/salve.grpc.pb.h"
#include "base/clock.h"
#include "base/host.h"
#include "base/mutex.h"
#include "channels/explain.h"
#include "config/effective.h"

namespace salve {
namespace {

constexpr absl::Duration kAnswerTime = absl::Seconds(10);
constexpr absl::Duration kActionTime = absl::Hours(2);  // The longest action and its queue.
constexpr int kTailsMax = 8;
constexpr int kThreadsMax = 24;
constexpr int kMessageBytesMax = 4 << 20;

grpc::Status ToGrpc(const absl::Status& status) {
  // The codes of the two are the same by definition.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

// What the handlers share.
struct Shared {
  ApiParts parts;
  Role role;
  std::atomic<bool> closing = false;
  std::atomic<int> tails = 0;

  grpc::Status RequireAdmin() const {
    if (role == Role::kAdmin) return grpc::Status::OK;
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED,
                        "this needs the admin socket (are you root?)");
  }
};

// Puts a question to the loop and waits for its answer. `question` gets a function to answer
// with, which may be called later and from any thread.
template <typename T>
absl::StatusOr<T> Ask(Shared& shared, grpc::ServerContext& context, absl::Duration timeout,
                      std::function<void(std::function<void(absl::StatusOr<T>)>)> question) {
  struct Slot {
    Mutex mu;
    CondVar answered;
    std::optional<absl::StatusOr<T>> answer ABSL_GUARDED_BY(mu);
  };
  auto slot = std::make_shared<Slot>();
  shared.parts.loop.Post([slot, question = std::move(question)] {
    question([slot](absl::StatusOr<T> answer) {
      MutexLock lock(&slot->mu);
      if (!slot->answer.has_value()) slot->answer = std::move(answer);
      slot->answered.SignalAll();
    });
  });
  const SystemClock clock;
  const Instant deadline = clock.Now() + timeout;
  MutexLock lock(&slot->mu);
  while (!slot->answer.has_value()) {
    if (shared.closing) return absl::UnavailableError("the agent is stopping");
    if (context.IsCancelled()) return absl::CancelledError("the client went away");
    if (clock.Now() >= deadline) return absl::DeadlineExceededError("the engine did not answer");
    slot->answered.WaitFor(&slot->mu, absl::Milliseconds(100));
  }
  return *std::move(slot->answer);
}

// For answers that the engine has at once.
template <typename T, typename Question>
grpc::Status AskNow(Shared& shared, grpc::ServerContext& context, T* response, Question question) {
  absl::StatusOr<T> answer =
      Ask<T>(shared, context, kAnswerTime,
             [question](std::function<void(absl::StatusOr<T>)> reply) { reply(question()); });
  if (!answer.ok()) return ToGrpc(answer.status());
  *response = *std::move(answer);
  return grpc::Status::OK;
}

class ThrottleService final : public v1::ThrottleService::Service {
 public:
  explicit ThrottleService(Shared& shared) : shared_(shared) {}
  grpc::Status GetThrottleState(grpc::ServerContext* context,
                                const v1::GetThrottleStateRequest* request,
                                v1::GetThrottleStateResponse* response) override {
    return AskNow(shared_, *context, response,
                  [this, asked = *request] { return shared_.parts.engine.ThrottleState(asked); });
  }
  grpc::Status CheckThrottle(grpc::ServerContext* context, const v1::CheckThrottleRequest* request,
                             v1::CheckThrottleResponse* response) override {
    auto answer = Ask<v1::CheckThrottleResponse>(
        shared_, *context, kAnswerTime, [this, asked = *request](auto reply) {
          shared_.parts.engine.CheckThrottle(asked, std::move(reply));
        });
    if (!answer.ok()) return ToGrpc(answer.status());
    *response = *std::move(answer);
    return grpc::Status::OK;
  }
  grpc::Status ListThrottleConfig(grpc::ServerContext* context,
                                  const v1::ListThrottleConfigRequest*,
                                  v1::ListThrottleConfigResponse* response) override {
    return AskNow(shared_, *context, response,
                  [this]() -> absl::StatusOr<v1::ListThrottleConfigResponse> {
                    return shared_.parts.engine.ThrottleConfig();
                  });
  }

 private:
  Shared& shared_;
};

class HealthService final : public v1::HealthService::Service {
 public:
  explicit HealthService(Shared& shared) : shared_(shared) {}
  grpc::Status GetServerHealth(grpc::ServerContext* context,
                               const v1::GetServerHealthRequest* request,
                               v1::GetServerHealthResponse* response) override {
    return AskNow(shared_, *context, response,
                  [this, set = request->health_set()] { return shared_.parts.engine.Health(set); });
  }
  grpc::Status RunProbe(grpc::ServerContext* context, const v1::RunProbeRequest* request,
                        v1::RunProbeResponse* response) override {
    auto answer = Ask<v1::RunProbeResponse>(
        shared_, *context, kActionTime, [this, asked = *request](auto reply) {
          shared_.parts.engine.RunProbe(asked.health_set(), asked.name(), std::move(reply));
        });
    if (!answer.ok()) return ToGrpc(answer.status());
    *response = *std::move(answer);
    return grpc::Status::OK;
  }
  grpc::Status ListProbes(grpc::ServerContext* context, const v1::ListRequest* request,
                          v1::ListProbesResponse* response) override {
    return AskNow(shared_, *context, response,
                  [this, asked = *request] { return shared_.parts.engine.Probes(asked); });
  }
  grpc::Status ListMonitors(grpc::ServerContext* context, const v1::ListRequest* request,
                            v1::ListMonitorsResponse* response) override {
    return AskNow(shared_, *context, response,
                  [this, asked = *request] { return shared_.parts.engine.Monitors(asked); });
  }
  grpc::Status ListResponders(grpc::ServerContext* context, const v1::ListRequest* request,
                              v1::ListRespondersResponse* response) override {
    return AskNow(shared_, *context, response,
                  [this, asked = *request] { return shared_.parts.engine.Responders(asked); });
  }
  grpc::Status Notify(grpc::ServerContext* context, const v1::NotifyRequest* request,
                      v1::NotifyResponse* response) override {
    return AskNow(shared_, *context, response,
                  [this, asked = *request]() -> absl::StatusOr<v1::NotifyResponse> {
                    absl::Status status = shared_.parts.engine.Notify(asked);
                    if (!status.ok()) return status;
                    return v1::NotifyResponse();
                  });
  }

 private:
  Shared& shared_;
};

class ActionService final : public v1::ActionService::Service {
 public:
  explicit ActionService(Shared& shared) : shared_(shared) {}
  grpc::Status Run(grpc::ServerContext* context, const v1::RunActionRequest* request,
                   v1::RunActionResponse* response) override {
    auto answer = Ask<v1::RunActionResponse>(
        shared_, *context, kActionTime, [this, asked = *request](auto reply) {
          shared_.parts.engine.RunManually(asked, std::move(reply));
        });
    if (!answer.ok()) return ToGrpc(answer.status());
    *response = *std::move(answer);
    return grpc::Status::OK;
  }
  grpc::Status List(grpc::ServerContext* context, const v1::ListActionsRequest* request,
                    v1::ListActionsResponse* response) override {
    return AskNow(shared_, *context, response,
                  [this, asked = *request] { return shared_.parts.engine.Actions(asked); });
  }

 private:
  Shared& shared_;
};

class EventService final : public v1::EventService::Service {
 public:
  explicit EventService(Shared& shared) : shared_(shared) {}
  grpc::Status Query(grpc::ServerContext*, const v1::QueryEventsRequest* request,
                     v1::QueryEventsResponse* response) override {
    auto events = shared_.parts.reader.Query(*request);
    if (!events.ok()) return ToGrpc(events.status());
    for (v1::Event& event : *events) *response->add_events() = std::move(event);
    return grpc::Status::OK;
  }
  grpc::Status Tail(grpc::ServerContext* context, const v1::QueryEventsRequest* request,
                    grpc::ServerWriter<v1::Event>* writer) override {
    // A tail holds a thread; the bound keeps some for the others.
    struct Count {
      std::atomic<int>& tails;
      const int before = tails++;
      ~Count() { --tails; }
    } count{shared_.tails};
    if (count.before >= kTailsMax) {
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many event followers");
    }
    auto tail = shared_.parts.reader.Tail(*request);
    if (!tail.ok()) return ToGrpc(tail.status());
    while (!context->IsCancelled() && !shared_.closing) {
      const EventSubscription::Batch batch = (*tail)->Next(absl::Milliseconds(200));
      for (const v1::Event& event : batch.events) {
        if (!writer->Write(event)) return grpc::Status::OK;
      }
      if (batch.closed) break;
    }
    return grpc::Status::OK;
  }
  grpc::Status Explain(grpc::ServerContext* context, const v1::ExplainRequest* request,
                       v1::ExplainResponse* response) override {
    auto story = salve::Explain(shared_.parts.reader, *request, SystemClock().WallNow());
    if (!story.ok()) return ToGrpc(story.status());
    *response = *std::move(story);
    auto next = Ask<std::vector<std::string>>(shared_, *context, kAnswerTime,
                                              [this, id = response->incident_id()](auto reply) {
                                                reply(shared_.parts.engine.NextSteps(id));
                                              });
    if (!next.ok()) return ToGrpc(next.status());
    for (std::string& step : *next) response->add_next(std::move(step));
    return grpc::Status::OK;
  }

 private:
  Shared& shared_;
};

class AgentService final : public v1::AgentService::Service {
 public:
  explicit AgentService(Shared& shared) : shared_(shared) {}
  grpc::Status GetInfo(grpc::ServerContext* context, const v1::GetInfoRequest*,
                       v1::GetInfoResponse* response) override {
    return AskNow(shared_, *context, response, [this]() -> absl::StatusOr<v1::GetInfoResponse> {
      v1::GetInfoResponse info;
      shared_.parts.info(info);
      return info;
    });
  }
  grpc::Status Reload(grpc::ServerContext* context, const v1::ReloadRequest* request,
                      v1::ReloadResponse* response) override {
    if (grpc::Status allowed = shared_.RequireAdmin(); !allowed.ok()) return allowed;
    auto answer = Ask<v1::ReloadResponse>(
        shared_, *context, kAnswerTime, [this, user = request->user()](auto reply) {
          shared_.parts.reload(user, [reply](absl::Status status) {
            if (!status.ok()) return reply(status);
            v1::ReloadResponse done;
            done.set_message("the configuration was reloaded");
            reply(done);
          });
        });
    if (!answer.ok()) return ToGrpc(answer.status());
    *response = *std::move(answer);
    return grpc::Status::OK;
  }
  grpc::Status GetConfig(grpc::ServerContext* context, const v1::GetConfigRequest*,
                         v1::GetConfigResponse* response) override {
    return AskNow(shared_, *context, response, [this]() -> absl::StatusOr<v1::GetConfigResponse> {
      v1::GetConfigResponse config;
      config.set_text(EffectiveConfigText(shared_.parts.engine.configuration()));
      return config;
    });
  }

 private:
  Shared& shared_;
};

// Keeps a second agent off the socket: gRPC itself would silently take it over.
absl::StatusOr<int> Lock(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, path);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  close(fd);
  return absl::AlreadyExistsError(
      absl::StrCat(path, " is locked: another salved serves this socket"));
}

}  // namespace

struct ApiServer::State {
  State(ApiSocket socket, ApiParts parts)
      : socket(std::move(socket)), shared{.parts = std::move(parts), .role = this->socket.role} {}
  ~State() {
    if (lock >= 0) close(lock);
  }

  const ApiSocket socket;
  Shared shared;
  ThrottleService throttle{shared};
  HealthService health{shared};
  ActionService action{shared};
  EventService event{shared};
  AgentService agent{shared};
  int lock = -1;
  std::unique_ptr<grpc::Server> server;
};

ApiServer::ApiServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(const ApiSocket& socket,
                                                            ApiParts parts) {
  if (socket.path.size() > 107) {
    return absl::InvalidArgumentError(
        absl::StrCat(socket.path, ": a socket's path has at most 107 bytes"));
  }
  auto state = std::make_unique<State>(socket, std::move(parts));
  absl::StatusOr<int> lock = Lock(socket.path + ".lock");
  if (!lock.ok()) return lock.status();
  state->lock = *lock;
  unlink(socket.path.c_str());  // Of an agent that is gone: the lock says so.

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  grpc::ResourceQuota quota("salve");
  quota.SetMaxThreads(kThreadsMax);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 2);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  int bound = 0;
  builder.AddListeningPort("unix:" + socket.path, grpc::InsecureServerCredentials(), &bound);
  builder.RegisterService(&state->throttle);
  builder.RegisterService(&state->health);
  builder.RegisterService(&state->action);
  builder.RegisterService(&state->event);
  builder.RegisterService(&state->agent);
  const mode_t before = umask(0177);  // Never open to others, not even for a moment.
  state->server = builder.BuildAndStart();
  umask(before);
  if (state->server == nullptr || bound == 0) {
    return absl::UnavailableError(absl::StrCat(socket.path, ": the socket can't be bound"));
  }
  if (!socket.group.empty()) {
    if (const group* owner = getgrnam(socket.group.c_str()); owner != nullptr) {
      if (chown(socket.path.c_str(), static_cast<uid_t>(-1), owner->gr_gid) == 0) {
        chmod(socket.path.c_str(), socket.mode);
      }
    }
  }
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(state)));
}

ApiServer::~ApiServer() {
  state_->shared.closing = true;
  state_->server->Shutdown(
      gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_seconds(1, GPR_TIMESPAN)));
  state_->server->Wait();
  unlink(state_->socket.path.c_str());
}

}  // namespace salve

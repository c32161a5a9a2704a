#include "agent/api_listener.h"

#include <fcntl.h>
#include <grp.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/api_credentials.h"
#include "agent/tcp_acceptor.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace salve {
namespace {

constexpr size_t kSocketPathMax = 107;

// Keeps a second agent off the socket: gRPC itself would silently take it over.
absl::StatusOr<UniqueFd> Lock(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.is_open()) return ErrnoStatus(errno, path);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  return absl::AlreadyExistsError(
      absl::StrCat(path, " is locked: another salved serves this socket"));
}

int Milliseconds(absl::Duration d) { return static_cast<int>(absl::ToInt64Milliseconds(d)); }

void Prepare(grpc::ServerBuilder& builder, const ApiListener::Parts& parts) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ResourceQuota quota("salve");
  quota.SetMaxThreads(parts.limits.threads_max);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(parts.limits.message_bytes_max);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MIN_POLLERS, 1);
  // A handler waits for the loop on gRPC's thread, which meanwhile makes another one to poll. With
  // room for several they stay for the next calls; those that are idle end after some seconds.
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 8);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, parts.limits.streams_max);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, parts.limits.metadata_bytes_max);
  for (grpc::Service* service : parts.services) builder.RegisterService(service);
}

// A client on the network may vanish without a word, or stay for ever.
void LimitConnections(grpc::ServerBuilder& builder, const ApiLimits& limits) {
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(limits.handshake));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(limits.idle));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, Milliseconds(limits.age));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(limits.keepalive));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(limits.answer));
}

}  // namespace

struct ApiListener::State {
  std::string path;  // Of the socket.
  UniqueFd lock;
  std::unique_ptr<TcpAcceptor> tcp;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> external;
  std::unique_ptr<grpc::Server> server;
};

ApiListener::ApiListener(std::unique_ptr<State> state) : state_(std::move(state)) {}

absl::StatusOr<std::unique_ptr<ApiListener>> ApiListener::OnSocket(const SocketPlace& place,
                                                                   const Parts& parts) {
  if (place.path.size() > kSocketPathMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(place.path, ": a socket's path has at most ", kSocketPathMax, " bytes"));
  }
  auto state = std::make_unique<State>();
  ASSIGN_OR_RETURN(state->lock, Lock(place.path + ".lock"));
  unlink(place.path.c_str());  // Of an agent that is gone: the lock says so.
  grpc::ServerBuilder builder;
  Prepare(builder, parts);
  int bound = 0;
  builder.AddListeningPort("unix:" + place.path, NewSocketCredentials(parts.door), &bound);
  const mode_t before = umask(0177);  // Never open to others, not even for a moment.
  state->server = builder.BuildAndStart();
  umask(before);
  if (state->server == nullptr || bound == 0) {
    return absl::UnavailableError(absl::StrCat(place.path, ": the socket can't be bound"));
  }
  state->path = place.path;
  if (!place.group.empty()) {
    if (const group* owner = getgrnam(place.group.c_str()); owner != nullptr) {
      if (chown(place.path.c_str(), static_cast<uid_t>(-1), owner->gr_gid) == 0) {
        chmod(place.path.c_str(), place.mode);
      }
    }
  }
  return std::unique_ptr<ApiListener>(new ApiListener(std::move(state)));
}

absl::StatusOr<std::unique_ptr<ApiListener>> ApiListener::OnTcp(const ListenAddress& address,
                                                                RemoteCertificates& certificates,
                                                                const Parts& parts) {
  auto state = std::make_unique<State>();
  ASSIGN_OR_RETURN(state->tcp, TcpAcceptor::Listen(address, parts.limits.connections_max));
  grpc::ServerBuilder builder;
  Prepare(builder, parts);
  LimitConnections(builder, parts.limits);
  state->external = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      NewTlsCredentials(parts.door, certificates));
  state->server = builder.BuildAndStart();
  if (state->server == nullptr) {
    return absl::UnavailableError("gRPC does not take the certificates");
  }
  state->tcp->Start([external = state->external.get(), listener = state->tcp->fd()](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.listener_fd = listener;
    connection.fd = fd;
    external->HandleNewConnection(&connection);
  });
  return std::unique_ptr<ApiListener>(new ApiListener(std::move(state)));
}

ApiListener::~ApiListener() {
  if (state_->tcp != nullptr) state_->tcp->Stop();
  state_->server->Shutdown(
      gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_seconds(1, GPR_TIMESPAN)));
  state_->server->Wait();
  if (!state_->path.empty()) unlink(state_->path.c_str());
}

int ApiListener::port() const { return state_->tcp == nullptr ? 0 : state_->tcp->port(); }
int ApiListener::connections() const {
  return state_->tcp == nullptr ? 0 : state_->tcp->connections();
}

}  // namespace salve

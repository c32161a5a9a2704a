#include "agent/api_listener.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/salve.grpc.pb.h"
#include "base/check.h"
#include "base/mutex.h"
#include "base/test_certificates.h"
#include "base/unique_fd.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

// Counts what reaches a handler.
struct Counting final : v1::AgentService::Service {
  grpc::Status GetInfo(grpc::ServerContext* context, const v1::GetInfoRequest*,
                       v1::GetInfoResponse* response) override {
    ++calls;
    grpc_auth_context* peer = grpc_call_auth_context(context->c_call());
    response->set_server(door->Who(peer, "ada"));
    grpc_auth_context_release(peer);
    return grpc::Status::OK;
  }
  grpc::Status Reload(grpc::ServerContext*, const v1::ReloadRequest*,
                      v1::ReloadResponse*) override {
    ++calls;
    return grpc::Status::OK;
  }
  grpc::Status GetConfig(grpc::ServerContext* context, const v1::GetConfigRequest*,
                         v1::GetConfigResponse*) override {
    ++calls;
    Mutex mu;
    CondVar never;
    MutexLock lock(&mu);
    while (!context->IsCancelled() && !released) never.WaitFor(&mu, absl::Milliseconds(1));
    return grpc::Status::OK;
  }
  const ApiDoor* door = nullptr;
  std::atomic<int> calls = 0;
  std::atomic<bool> released = false;
};

void SetDeadline(grpc::ClientContext& context, absl::Duration in = absl::Seconds(10)) {
  context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                   gpr_time_from_millis(absl::ToInt64Milliseconds(in), GPR_TIMESPAN)));
}

template <typename Condition>
bool Eventually(const Condition& condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) absl::SleepFor(absl::Milliseconds(5));
  return condition();
}

grpc::Status GetInfo(const std::shared_ptr<grpc::Channel>& channel,
                     v1::GetInfoResponse* response = nullptr,
                     absl::Duration deadline = absl::Seconds(10)) {
  grpc::ClientContext context;
  SetDeadline(context, deadline);
  v1::GetInfoResponse ignored;
  return v1::AgentService::NewStub(channel)->GetInfo(&context, {},
                                                     response == nullptr ? &ignored : response);
}

grpc::Status Reload(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ReloadResponse response;
  return v1::AgentService::NewStub(channel)->Reload(&context, {}, &response);
}

grpc::Status GetConfig(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetConfigResponse response;
  return v1::AgentService::NewStub(channel)->GetConfig(&context, {}, &response);
}

// A call of a method without a stub here, of bytes to bytes.
grpc::Status CallBytes(const std::shared_ptr<grpc::Channel>& channel, const char* method,
                       const std::string& bytes = "") {
  grpc::ClientContext context;
  SetDeadline(context);
  // Any message will do: unknown fields are kept, and an empty one is an empty one.
  v1::GetInfoRequest request;
  CHECK(request.ParseFromString(bytes));
  v1::GetInfoResponse response;
  return grpc::internal::BlockingUnaryCall<v1::GetInfoRequest, v1::GetInfoResponse>(
      channel.get(), grpc::internal::RpcMethod(method, grpc::internal::RpcMethod::NORMAL_RPC),
      &context, request, &response);
}

constexpr char kHealthCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
constexpr char kListServices[] = "\x3a\x01*";  // list_services: "*"

class SocketListenerTest : public testing::Test {
 protected:
  SocketListenerTest() {
    char dir[] = "/tmp/salve-listener.XXXXXX";
    CHECK(mkdtemp(dir) != nullptr);
    dir_ = dir;
  }
  ~SocketListenerTest() override {
    listener_.reset();
    std::filesystem::remove_all(dir_);
  }
  void Serve(Role role, const ApiLimits& limits = {}) {
    door_ = NewSocketDoor("s.sock", role);
    service_.door = door_.get();
    listener_ = ApiListener::OnSocket({.path = path()},
                                      {.door = *door_, .services = {&service_}, .limits = limits})
                    .value();
  }
  std::string path() const { return dir_ + "/s.sock"; }
  std::shared_ptr<grpc::Channel> Channel() const {
    return grpc::CreateChannel("unix:" + path(), grpc::InsecureChannelCredentials());
  }

  std::string dir_;
  Counting service_;
  std::unique_ptr<ApiDoor> door_;
  std::unique_ptr<ApiListener> listener_;
};

TEST_F(SocketListenerTest, AnOperatorsSocketRefusesWhatNeedsAnAdmin) {
  Serve(Role::kOperator);

  EXPECT_TRUE(GetInfo(Channel()).ok());
  const grpc::Status refused = Reload(Channel());
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(refused.error_message(), "this needs the admin socket (are you root?)");
  EXPECT_EQ(service_.calls, 1);
}

TEST_F(SocketListenerTest, AnAdminsSocketRefusesNothingAndNamesTheUser) {
  Serve(Role::kAdmin);
  v1::GetInfoResponse info;

  EXPECT_TRUE(Reload(Channel()).ok());
  EXPECT_TRUE(GetInfo(Channel(), &info).ok());
  EXPECT_EQ(info.server(), "s.sock:ada");
}

TEST_F(SocketListenerTest, HealthReflectionAndUnknownMethodsAreAnswered) {
  Serve(Role::kOperator);

  EXPECT_TRUE(CallBytes(Channel(), kHealthCheck).ok());
  EXPECT_TRUE(CallBytes(Channel(), kReflection, kListServices).ok());
  EXPECT_EQ(CallBytes(Channel(), "/salve.v1.AgentService/Nothing").error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(SocketListenerTest, TheSocketIsForItsOwnerAloneAndGoesWithTheListener) {
  Serve(Role::kAdmin);
  struct stat file = {};
  ASSERT_EQ(stat(path().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);

  listener_.reset();
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(SocketListenerTest, ASecondListenerIsRefused) {
  Serve(Role::kAdmin);
  EXPECT_EQ(
      ApiListener::OnSocket({.path = path()}, {.door = *door_, .services = {}}).status().code(),
      absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(GetInfo(Channel()).ok());
}

TEST_F(SocketListenerTest, ARequestMayHaveSoManyBytes) {
  Serve(Role::kAdmin, {.message_bytes_max = 1000});
  // Field 15, a string, unknown: two bytes of tag and length 1 or 2.
  const auto padded = [](size_t size) { return "\x7a\xe4\x07" + std::string(size, 'x'); };

  EXPECT_TRUE(CallBytes(Channel(), kHealthCheck, padded(996)).error_code() !=
              grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(CallBytes(Channel(), "/salve.v1.AgentService/GetInfo",
                      "\x7a\xe8\x07" + std::string(1000, 'x'))
                .error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(service_.calls, 0);
}

class RemoteListenerTest : public testing::Test {
 protected:
  RemoteListenerTest() {
    server_ =
        authority_.Issue("server", {.common_name = "web-1", .names = "DNS:localhost,IP:127.0.0.1"});
    CHECK(google::protobuf::TextFormat::ParseFromString(R"(
        role { role: VIEWER san: "*.example.org" }
        role { role: OPERATOR san: "ops@example.org" }
        role { role: ADMIN san: "spiffe://example.org/admin/*" san: "10.1.2.3" })",
                                                        &rules_));
    door_ = std::make_unique<RemoteDoor>(rules_);
    service_.door = door_.get();
  }
  ~RemoteListenerTest() override { service_.released = true; }

  void Serve(const ApiLimits& limits = {}) {
    certificates_ = std::make_unique<RemoteCertificates>(
        CertificateFiles{server_.certificate, server_.key, authority_.ca_file()});
    ASSERT_TRUE(certificates_->Refresh(absl::Now()).value());
    listener_ = ApiListener::OnTcp({.address = "127.0.0.1"}, *certificates_,
                                   {.door = *door_, .services = {&service_}, .limits = limits})
                    .value();
  }
  std::shared_ptr<grpc::Channel> Channel(const grpc::SslCredentialsOptions& options,
                                         int port = 0) const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // A connection of its own.
    return grpc::CreateCustomChannel(
        "localhost:" + std::to_string(port != 0 ? port : listener_->port()),
        grpc::SslCredentials(options), arguments);
  }
  // A client that shows a certificate of `authority`.
  std::shared_ptr<grpc::Channel> ChannelOf(TestAuthority& authority, const IssueOptions& options,
                                           int port = 0) {
    const TestAuthority::Files files = authority.Issue("client", options);
    return Channel(
        {ReadWhole(authority_.ca_file()), ReadWhole(files.key), ReadWhole(files.certificate)},
        port);
  }
  std::shared_ptr<grpc::Channel> ChannelOf(const std::string& names, int port = 0) {
    return ChannelOf(authority_, {.common_name = "ada", .names = names}, port);
  }
  std::shared_ptr<grpc::Channel> WithoutCertificate() {
    return Channel({ReadWhole(authority_.ca_file()), "", ""});
  }

  TestAuthority authority_;
  TestAuthority::Files server_;
  config::Remote rules_;
  Counting service_;
  std::unique_ptr<RemoteDoor> door_;
  std::unique_ptr<RemoteCertificates> certificates_;
  std::unique_ptr<ApiListener> listener_;
};

TEST_F(RemoteListenerTest, ACertificatesNamesGiveTheRole) {
  Serve();

  const auto viewer = ChannelOf("DNS:www.example.org");
  EXPECT_TRUE(GetInfo(viewer).ok());
  EXPECT_TRUE(CallBytes(viewer, kHealthCheck).ok());
  EXPECT_TRUE(CallBytes(viewer, kReflection, kListServices).ok());
  const grpc::Status refused = Reload(viewer);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(refused.error_message(), "this needs the role admin; CN=ada is viewer");
  EXPECT_EQ(Reload(ChannelOf("email:ops@example.org")).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(service_.calls, 1);
  EXPECT_TRUE(Reload(ChannelOf("URI:spiffe://example.org/admin/ada")).ok());
  EXPECT_TRUE(Reload(ChannelOf("IP:10.1.2.3")).ok());
  EXPECT_TRUE(Reload(ChannelOf("DNS:x.example.org,IP:10.1.2.3")).ok());
}

// No handler is there for what a peer may: it gets as far as that.
TEST_F(RemoteListenerTest, APeerHandsOverAndDoesNothingElse) {
  config::RoleRule& rule = *rules_.add_role();
  rule.set_role(config::RoleRule::PEER);
  rule.add_san("web-*");
  door_->SetRules(rules_);
  Serve();

  const auto transfer = [this](const std::string& names) {
    return CallBytes(ChannelOf(names), "/salve.v1.QueueService/Transfer").error_code();
  };
  EXPECT_EQ(transfer("DNS:web-1"), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(transfer("DNS:web-1,DNS:www.example.org"), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(transfer("IP:10.1.2.3"), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(transfer("DNS:www.example.org"), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(transfer("email:ops@example.org"), grpc::StatusCode::PERMISSION_DENIED);
  const grpc::Status refused = GetInfo(ChannelOf("DNS:web-1"));
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(refused.error_message(), "this needs the role viewer; CN=ada is peer");
  EXPECT_TRUE(GetInfo(ChannelOf("DNS:web-1,DNS:www.example.org")).ok());
}

TEST_F(RemoteListenerTest, ACertificateThatNoRoleKnowsGetsNothing) {
  Serve();

  for (const char* names : {"DNS:www.example.net", "DNS:ops@example.org.evil", ""}) {
    const auto channel = ChannelOf(names);
    EXPECT_EQ(GetInfo(channel).error_code(), grpc::StatusCode::PERMISSION_DENIED) << names;
    EXPECT_EQ(CallBytes(channel, kHealthCheck).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  }
  EXPECT_EQ(service_.calls, 0);
}

TEST_F(RemoteListenerTest, WithoutACertificateNoServiceAnswers) {
  Serve();

  const auto channel = WithoutCertificate();
  for (const char* method : {"/salve.v1.AgentService/GetInfo", kHealthCheck,
                             "/salve.v1.AgentService/Nothing", kReflection}) {
    EXPECT_EQ(CallBytes(channel, method).error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
  }
  EXPECT_EQ(service_.calls, 0);
}

TEST_F(RemoteListenerTest, AForeignOrExpiredCertificateGetsNoConnection) {
  Serve();
  TestAuthority foreign("Test CA");  // Even of the same name.
  const std::string admin = "URI:spiffe://example.org/admin/ada";

  EXPECT_EQ(GetInfo(ChannelOf(foreign, {.common_name = "ada", .names = admin})).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(GetInfo(ChannelOf(authority_, {.common_name = "ada",
                                           .names = admin,
                                           .valid_from = -absl::Hours(2),
                                           .valid_until = -absl::Hours(1)}))
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(GetInfo(ChannelOf(authority_, {.common_name = "ada",
                                           .names = admin,
                                           .valid_from = absl::Hours(1),
                                           .valid_until = absl::Hours(2)}))
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(service_.calls, 0);
  EXPECT_TRUE(GetInfo(ChannelOf(admin)).ok());
}

TEST_F(RemoteListenerTest, PlainTextGetsNoAnswer) {
  Serve();
  EXPECT_EQ(GetInfo(grpc::CreateChannel("localhost:" + std::to_string(listener_->port()),
                                        grpc::InsecureChannelCredentials()))
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(RemoteListenerTest, AClientCannotChooseItsName) {
  Serve();
  v1::GetInfoResponse info;

  ASSERT_TRUE(GetInfo(ChannelOf("DNS:www.example.org"), &info).ok());
  EXPECT_EQ(info.server(), "remote:CN=ada");
  ASSERT_TRUE(GetInfo(ChannelOf(authority_, {.names = "DNS:www.example.org"}), &info).ok());
  EXPECT_EQ(info.server(), "remote:www.example.org");
}

TEST_F(RemoteListenerTest, NewRulesHoldOnOpenConnections) {
  Serve();
  const auto channel = ChannelOf("DNS:www.example.org");
  ASSERT_TRUE(GetInfo(channel).ok());

  rules_.mutable_role(0)->set_role(config::RoleRule::ADMIN);
  door_->SetRules(rules_);
  EXPECT_TRUE(Reload(channel).ok());
  door_->SetRules({});
  EXPECT_EQ(GetInfo(channel).error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(RemoteListenerTest, ANewCertificateIsShownWithoutARestart) {
  Serve();
  const auto before = ChannelOf("DNS:www.example.org");
  ASSERT_TRUE(GetInfo(before).ok());

  // A new authority, so that who trusts only it sees the new certificate, and only that.
  TestAuthority next("Next CA");
  const TestAuthority::Files files =
      next.Issue("server", {.common_name = "web-1", .names = "DNS:localhost"});
  WriteWhole(server_.certificate, ReadWhole(files.certificate));
  WriteWhole(server_.key, ReadWhole(files.key));
  ASSERT_TRUE(certificates_->Refresh(absl::Now()).value());

  const TestAuthority::Files client =
      authority_.Issue("client", {.common_name = "ada", .names = "DNS:www.example.org"});
  EXPECT_TRUE(GetInfo(Channel({ReadWhole(next.ca_file()), ReadWhole(client.key),
                               ReadWhole(client.certificate)}))
                  .ok());
  EXPECT_EQ(GetInfo(ChannelOf("DNS:www.example.org")).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(GetInfo(before).ok());  // An open connection goes on.
}

TEST_F(RemoteListenerTest, ABrokenCertificateKeepsTheOldOne) {
  Serve();
  WriteWhole(server_.certificate, "nonsense");
  EXPECT_EQ(certificates_->Refresh(absl::Now()).value(), false);
  EXPECT_FALSE(certificates_->Refresh(absl::Now()).ok());

  EXPECT_TRUE(GetInfo(ChannelOf("DNS:www.example.org")).ok());
}

TEST_F(RemoteListenerTest, ConnectionsBeyondTheBoundAreClosed) {
  Serve({.connections_max = 2});
  const auto first = ChannelOf("DNS:a.example.org");
  auto second = ChannelOf("DNS:b.example.org");
  ASSERT_TRUE(GetInfo(first).ok());
  ASSERT_TRUE(GetInfo(second).ok());
  EXPECT_EQ(listener_->connections(), 2);

  EXPECT_EQ(GetInfo(ChannelOf("DNS:c.example.org")).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(GetInfo(first).ok());
  second.reset();
  EXPECT_TRUE(Eventually([&] { return listener_->connections() < 2; }));
  EXPECT_TRUE(GetInfo(ChannelOf("DNS:c.example.org")).ok());
}

TEST_F(RemoteListenerTest, AnIdleConnectionIsClosed) {
  Serve({.idle = absl::Milliseconds(50)});
  const auto channel = ChannelOf("DNS:a.example.org");
  ASSERT_TRUE(GetInfo(channel).ok());

  EXPECT_TRUE(Eventually([&] { return listener_->connections() == 0; }));
  EXPECT_TRUE(GetInfo(channel).ok());
}

// The network between a client and the listener, until it swallows everything: no packet arrives
// any more, and nobody hears of an end.
class Network {
 public:
  explicit Network(int to) : listening_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    CHECK(bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    CHECK(listen(listening_.get(), 1) == 0);
    CHECK(getsockname(listening_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, to] { Carry(to); });
  }
  ~Network() {
    over_ = true;
    thread_.join();
  }
  int port() const { return port_; }
  void Swallow() { swallows_ = true; }

 private:
  void Carry(int to) {
    pollfd caller = {listening_.get(), POLLIN, 0};
    while (!over_ && poll(&caller, 1, 5) == 0) {
    }
    if (over_) return;
    const UniqueFd client(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const UniqueFd server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(to));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    pollfd ends[] = {{client.get(), POLLIN, 0}, {server.get(), POLLIN, 0}};
    while (!over_) {
      if (poll(ends, swallows_ ? 0 : 2, 5) <= 0) continue;
      for (int i = 0; i < 2; ++i) {
        char bytes[4096];
        if ((ends[i].revents & POLLIN) == 0) continue;
        const ssize_t got = recv(ends[i].fd, bytes, sizeof(bytes), 0);
        if (got <= 0) return;
        CHECK(send(ends[1 - i].fd, bytes, static_cast<size_t>(got), MSG_NOSIGNAL) == got);
      }
    }
  }

  const UniqueFd listening_;
  int port_ = 0;
  std::atomic<bool> over_ = false;
  std::atomic<bool> swallows_ = false;
  std::thread thread_;
};

TEST_F(RemoteListenerTest, AClientThatVanishesIsPingedAndItsCallEnds) {
  Serve({.keepalive = absl::Milliseconds(100), .answer = absl::Milliseconds(200)});
  auto network = std::make_unique<Network>(listener_->port());
  const auto channel = ChannelOf("DNS:a.example.org", network->port());
  std::thread caller([&] { EXPECT_FALSE(GetConfig(channel).ok()); });
  ASSERT_TRUE(Eventually([&] { return service_.calls == 1; }));
  // One that answers the pings may be silent for long.
  absl::SleepFor(absl::Seconds(1));
  EXPECT_EQ(listener_->connections(), 1);

  network->Swallow();
  EXPECT_TRUE(Eventually([&] { return listener_->connections() == 0; }));
  network.reset();
  caller.join();
}

TEST_F(RemoteListenerTest, AnOldConnectionIsReplaced) {
  Serve({.age = absl::Milliseconds(50)});
  const auto channel = ChannelOf("DNS:a.example.org");
  ASSERT_TRUE(GetInfo(channel).ok());

  EXPECT_TRUE(Eventually([&] { return listener_->connections() == 0; }));
  EXPECT_TRUE(GetInfo(channel).ok());
}

TEST_F(RemoteListenerTest, AClientThatDoesNotShakeHandsIsShownOut) {
  Serve({.handshake = absl::Milliseconds(50)});
  const UniqueFd mute(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(listener_->port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(mute.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);

  pollfd wait = {mute.get(), POLLIN, 0};
  char byte;
  ASSERT_EQ(poll(&wait, 1, 10'000), 1);
  EXPECT_LE(recv(mute.get(), &byte, 1, 0), 0);
  EXPECT_TRUE(Eventually([&] { return listener_->connections() == 0; }));
}

TEST_F(RemoteListenerTest, CallsBeyondThoseOfAConnectionWait) {
  Serve({.streams_max = 1});
  const auto channel = ChannelOf("DNS:a.example.org");
  std::thread first([&] { EXPECT_TRUE(GetConfig(channel).ok()); });
  ASSERT_TRUE(Eventually([&] { return service_.calls == 1; }));

  EXPECT_EQ(GetInfo(channel, nullptr, absl::Milliseconds(100)).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(GetInfo(ChannelOf("DNS:b.example.org")).ok());
  service_.released = true;
  first.join();
  EXPECT_TRUE(GetInfo(channel).ok());
}

TEST_F(RemoteListenerTest, CallsBeyondTheThreadsAreRefused) {
  Serve({.threads_max = 4});
  const auto channel = ChannelOf("DNS:a.example.org");
  std::atomic<int> refused = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      const grpc::Status status = GetConfig(channel);
      refused += status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
    });
  }
  EXPECT_TRUE(Eventually([&] { return refused > 0; }));
  service_.released = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_LT(refused, 8);
  EXPECT_TRUE(GetInfo(channel).ok());
}

TEST_F(RemoteListenerTest, ACallsMetadataMayHaveSoManyBytes) {
  Serve({.metadata_bytes_max = 4096});
  const auto channel = ChannelOf("DNS:a.example.org");
  const auto with_metadata = [&](size_t size) {
    grpc::ClientContext context;
    SetDeadline(context);
    context.AddMetadata("x", std::string(size, 'y'));
    v1::GetInfoResponse response;
    return v1::AgentService::NewStub(channel)->GetInfo(&context, {}, &response).error_code();
  };

  EXPECT_EQ(with_metadata(2048), grpc::StatusCode::OK);
  EXPECT_EQ(with_metadata(5000), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace salve

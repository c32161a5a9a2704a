#include "probes/grpc_health_probe.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/uv_loop.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

using std::string_literals::operator""s;

class GrpcHealthProbeTest : public ::testing::Test {
 protected:
  GrpcHealthProbeTest() { signal(SIGPIPE, SIG_IGN); }

  Observation Look(absl::Duration timeout = absl::Seconds(20)) {
    auto probe = NewGrpcHealthProbe(config_, loop_, http_);
    EXPECT_TRUE(probe.ok()) << probe.status();
    if (!probe.ok()) return {};
    std::optional<Observation> seen;
    (*probe)->Start(loop_.Now() + timeout, [&](Observation o) {
      seen = std::move(o);
      loop_.Stop();
    });
    loop_.Run();
    return *seen;
  }
  Observation LookAt(int port, absl::Duration timeout = absl::Seconds(20)) {
    config_.set_port(static_cast<uint32_t>(port));
    return Look(timeout);
  }
  static std::string Attribute(const Observation& seen, const std::string& name) {
    for (const auto& [key, value] : seen.attributes) {
      if (key == name) return value;
    }
    return "";
  }

  UvLoop loop_;
  TestNameServer names_;
  Resolver resolver_{
      loop_, {.servers = names_.address(), .server_timeout = absl::Milliseconds(50), .tries = 1}};
  HttpClient http_{loop_, resolver_};
  config::GrpcHealthProbe config_;
};

// --- gRPC's own server.

// One without a service: with or without gRPC's own health service.
class GrpcServer {
 public:
  explicit GrpcServer(
      bool has_health,
      std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials(),
      grpc::CallbackGenericService* generic = nullptr) {
    grpc::EnableDefaultHealthCheckService(has_health);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", credentials, &port_);
    if (generic != nullptr) builder.RegisterCallbackGenericService(generic);
    server_ = builder.BuildAndStart();
  }
  ~GrpcServer() { server_->Shutdown(); }

  int port() const { return port_; }
  void SetServing(const std::string& service, bool serving) {
    server_->GetHealthCheckService()->SetServingStatus(service, serving);
  }
  void SetAllServing(bool serving) { server_->GetHealthCheckService()->SetServingStatus(serving); }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(GrpcHealthProbeTest, PassesWhileTheServerServes) {
  GrpcServer server(true);
  const Observation seen = LookAt(server.port());
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  ASSERT_EQ(seen.values.size(), 1u);
  EXPECT_EQ(seen.values[0].name, "latency_ms");
  EXPECT_EQ(Attribute(seen, "serving_status"), "SERVING");
  EXPECT_EQ(Attribute(seen, "grpc_status"), "OK");
  EXPECT_EQ(Attribute(seen, "remote_address"), absl::StrCat("127.0.0.1:", server.port()));
  EXPECT_EQ(TimeWaitsTo(server.port()), 0);
}

TEST_F(GrpcHealthProbeTest, FailsWhileTheServerDoesNotServe) {
  GrpcServer server(true);
  server.SetAllServing(false);
  const Observation seen = LookAt(server.port());
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "the server is NOT_SERVING");
  EXPECT_EQ(Attribute(seen, "serving_status"), "NOT_SERVING");
}

TEST_F(GrpcHealthProbeTest, AsksForAService) {
  GrpcServer server(true);
  server.SetServing("shop.Cart", true);
  server.SetServing("shop.Pay", false);
  config_.set_service("shop.Cart");
  EXPECT_EQ(LookAt(server.port()).error, "");
  config_.set_service("shop.Pay");
  EXPECT_EQ(LookAt(server.port()).error, "service 'shop.Pay' is NOT_SERVING");
  config_.set_service("shop.Other");
  const Observation seen = LookAt(server.port());
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "the server does not know service 'shop.Other'");
  EXPECT_EQ(Attribute(seen, "grpc_status"), "NOT_FOUND");
}

// Answers every call with a status, and keeps who was called.
class Refusing final : public grpc::CallbackGenericService {
 public:
  explicit Refusing(grpc::Status status) : status_(std::move(status)) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    class Reactor final : public grpc::ServerGenericBidiReactor {
     public:
      explicit Reactor(const grpc::Status& status) { Finish(status); }
      void OnDone() override { delete this; }
    };
    MutexLock lock(&mu_);
    called_ = absl::StrCat(context->host(), context->method());
    return new Reactor(status_);
  }
  std::string called() {
    MutexLock lock(&mu_);
    return called_;
  }

 private:
  const grpc::Status status_;
  Mutex mu_;
  std::string called_ ABSL_GUARDED_BY(mu_);
};

TEST_F(GrpcHealthProbeTest, AServerWithoutHealthChecksIsAFailure) {
  Refusing service(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, ""));
  GrpcServer server(false, grpc::InsecureServerCredentials(), &service);
  const Observation seen = LookAt(server.port());
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "the server does not implement grpc.health.v1");
}

TEST_F(GrpcHealthProbeTest, NamesWhatTheServerSays) {
  Refusing service(grpc::Status(grpc::StatusCode::UNAVAILABLE, "100% busy,\ncome later"));
  GrpcServer server(false, grpc::InsecureServerCredentials(), &service);
  Observation seen = LookAt(server.port());
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "grpc-status UNAVAILABLE: 100% busy,?come later");
  EXPECT_EQ(Attribute(seen, "grpc_status"), "UNAVAILABLE");
  EXPECT_EQ(service.called(),
            absl::StrCat("127.0.0.1:", server.port(), "/grpc.health.v1.Health/Check"));
  config_.set_authority("shop.example");
  seen = LookAt(server.port());
  EXPECT_EQ(service.called(), "shop.example/grpc.health.v1.Health/Check");
}

// --- With TLS.

std::string ReadText(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class TlsGrpcHealthProbeTest : public GrpcHealthProbeTest {
 protected:
  TlsGrpcHealthProbeTest() {
    config_.set_port(static_cast<uint32_t>(server_.port()));
    config_.mutable_tls()->set_ca_file(certificate_.certificate_file);
  }
  std::shared_ptr<grpc::ServerCredentials> Credentials() const {
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs = {
        {ReadText(certificate_.key_file), ReadText(certificate_.certificate_file)}};
    return grpc::SslServerCredentials(options);
  }
  const TestCertificate certificate_{"grpc.example", absl::Hours(24 * 30)};
  GrpcServer server_{true, Credentials()};
};

TEST_F(TlsGrpcHealthProbeTest, ChecksTheChainAndTheName) {
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.values.size(), 2u);
  EXPECT_EQ(seen.values[1].name, "tls_days_left");
  EXPECT_NEAR(seen.values[1].number, 30, 0.01);
  config_.mutable_tls()->set_server_name("grpc.example");
  EXPECT_EQ(Look().error, "");
  config_.mutable_tls()->set_server_name("other.example");
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
  config_.mutable_tls()->clear_server_name();
  config_.mutable_tls()->clear_ca_file();
  EXPECT_TRUE(absl::StrContains(Look().error, "certificate")) << Look().error;
  config_.mutable_tls()->set_verify(false);
  EXPECT_EQ(Look().error, "");
}

TEST_F(TlsGrpcHealthProbeTest, FailsWhenTheCertificateEndsTooSoon) {
  config_.mutable_tls()->set_min_days_left(29);
  EXPECT_EQ(Look().error, "");
  config_.mutable_tls()->set_min_days_left(31);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "the certificate ends in 30.0 days, expected at least 31");
}

TEST_F(TlsGrpcHealthProbeTest, ABadCaFileIsRejected) {
  config_.mutable_tls()->set_ca_file("/does/not/exist");
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
}

TEST_F(TlsGrpcHealthProbeTest, AServerOfHttp1IsAFailure) {
  TestServer old(AlwaysAnswer("200 OK", "x"), certificate_.certificate_file, certificate_.key_file);
  const Observation seen = LookAt(old.port());
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, absl::StrCat("127.0.0.1:", old.port(), " speaks HTTP/1.1, not HTTP/2"));
}

// --- Servers that are none of gRPC, or lie. By hand: RFC 9113, and RFC 7541 without compression.

constexpr int kData = 0, kHeaders = 1, kSettings = 4;
constexpr int kEndStream = 1, kEndHeaders = 4;
constexpr char kStatus200 = '\x88', kStatus404 = '\x8d';

std::string Frame(int type, int flags, const std::string& payload) {
  const int stream = type == kSettings ? 0 : 1;
  return std::string{static_cast<char>(payload.size() >> 16),
                     static_cast<char>(payload.size() >> 8),
                     static_cast<char>(payload.size()),
                     static_cast<char>(type),
                     static_cast<char>(flags),
                     0,
                     0,
                     0,
                     static_cast<char>(stream)} +
         payload;
}

std::string Header(const std::string& name, const std::string& value) {
  return "\0"s + static_cast<char>(name.size()) + name + static_cast<char>(value.size()) + value;
}

const std::string kGrpcType = kStatus200 + Header("content-type", "application/grpc");

std::string Trailers(const std::string& status) {
  return Frame(kHeaders, kEndHeaders | kEndStream, Header("grpc-status", status));
}

std::string Serving(const std::string& message, const std::string& trailers = Trailers("0")) {
  return Frame(kHeaders, kEndHeaders, kGrpcType) +
         Frame(kData, 0, "\0\0\0\0"s + static_cast<char>(message.size()) + message) + trailers;
}

// Reads until the request has ended.
void ReadHttp2Request(TestConnection& connection) {
  std::string bytes;
  size_t at = 24;  // After the preface.
  char chunk[4096];
  while (true) {
    while (bytes.size() >= at + 9) {
      const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[at + i]); };
      const bool ended = byte(3) == kData && (byte(4) & kEndStream) != 0;
      at += 9 + (static_cast<size_t>(byte(0)) << 16 | byte(1) << 8 | byte(2));
      if (ended && bytes.size() >= at) return;
    }
    const ssize_t n = recv(connection.fd(), chunk, sizeof chunk, 0);
    if (n <= 0) return;
    bytes.append(chunk, static_cast<size_t>(n));
  }
}

class LyingGrpcTest : public GrpcHealthProbeTest {
 protected:
  // The error after these frames.
  std::string ErrorAfter(const std::string& frames, Outcome outcome = Outcome::kFailed) {
    TestServer server([&](TestConnection& c) {
      ReadHttp2Request(c);
      c.Send(Frame(kSettings, 0, "") + frames);
      c.Hang();
    });
    seen_ = LookAt(server.port(), absl::Seconds(5));
    EXPECT_EQ(seen_.outcome, outcome) << seen_.error;
    target_ = absl::StrCat("127.0.0.1:", server.port());
    return seen_.error;
  }
  Observation seen_;
  std::string target_;
};

TEST_F(LyingGrpcTest, TheWordsByHandAreUnderstood) {
  EXPECT_EQ(ErrorAfter(Serving("\x08\1"s), Outcome::kSucceeded), "");
}

TEST_F(LyingGrpcTest, NamesEachStatusButServing) {
  EXPECT_EQ(ErrorAfter(Serving("")), "the server is UNKNOWN");
  config_.set_service("x");
  EXPECT_EQ(ErrorAfter(Serving("\x08\3"s)), "service 'x' is SERVICE_UNKNOWN");
  EXPECT_EQ(ErrorAfter(Serving("\x08\7"s)), "service 'x' is status 7");
  EXPECT_EQ(Attribute(seen_, "serving_status"), "status 7");
}

TEST_F(LyingGrpcTest, AMessageThatCannotBeReadIsAFailure) {
  EXPECT_EQ(ErrorAfter(Serving("\x08"s)), "the answer cannot be read: its message cannot be read");
  EXPECT_EQ(ErrorAfter(Frame(kHeaders, kEndHeaders, kGrpcType) + Trailers("0")),
            "the answer cannot be read: it holds no message");
}

TEST_F(LyingGrpcTest, AWebServerIsAFailure) {
  const int all = kEndHeaders | kEndStream;
  EXPECT_EQ(ErrorAfter(Frame(kHeaders, all, std::string(1, kStatus404))),
            "HTTP status 404, expected 200");
  const std::string html = kStatus200 + Header("content-type", "text/html");
  ErrorAfter(Frame(kHeaders, all, html));
  EXPECT_EQ(seen_.error,
            target_ + " speaks HTTP/2, but not gRPC: its answer is of the type 'text/html'");
  ErrorAfter(Frame(kHeaders, all, std::string(1, kStatus200)));
  EXPECT_TRUE(absl::EndsWith(seen_.error, "its answer is of the type ''")) << seen_.error;
}

TEST_F(LyingGrpcTest, AnAnswerWithoutAStatusIsAFailure) {
  const std::string body = Frame(kData, kEndStream, "\0\0\0\0\2\x08\1"s);
  EXPECT_EQ(ErrorAfter(Frame(kHeaders, kEndHeaders, kGrpcType) + body),
            "the answer has no grpc-status");
  EXPECT_EQ(ErrorAfter(Serving("\x08\1"s, Trailers("fine"))),
            "grpc-status is 'fine', which is no number");
  EXPECT_EQ(ErrorAfter(Serving("\x08\1"s, Trailers("99"))), "grpc-status code 99");
}

TEST_F(LyingGrpcTest, AnAnswerWithoutAnEndIsBounded) {
  std::string frames = Frame(kHeaders, kEndHeaders, kGrpcType);
  for (int i = 0; i < 4; ++i) frames += Frame(kData, 0, std::string(1023, 'x'));
  EXPECT_EQ(ErrorAfter(frames + Frame(kData, 0, "1234") + Trailers("0")),
            "the answer is larger than 4096 bytes");
}

TEST_F(LyingGrpcTest, ATrailerOfALaterFrameHolds) {
  const std::string twice = kGrpcType + Header("grpc-status", "0");
  EXPECT_EQ(ErrorAfter(Frame(kHeaders, kEndHeaders, twice) + Trailers("14")),
            "grpc-status UNAVAILABLE");
}

TEST_F(GrpcHealthProbeTest, AServerOfHttp1IsAFailure) {
  TestServer closes(AlwaysAnswer("400 Bad Request", "x"));
  TestServer stays([](TestConnection& c) {
    c.Answer("400 Bad Request", "x");
    c.Hang();
  });
  for (const int port : {closes.port(), stays.port()}) {
    const Observation seen = LookAt(port, absl::Seconds(5));
    EXPECT_EQ(seen.outcome, Outcome::kFailed) << seen.error;
    EXPECT_TRUE(absl::StartsWith(seen.error,
                                 absl::StrCat("127.0.0.1:", port, " does not answer in HTTP/2: ")))
        << seen.error;
  }
}

TEST_F(GrpcHealthProbeTest, AServerThatHangsTimesOut) {
  TestServer hangs([](TestConnection& c) { c.Hang(); });
  const Observation seen = LookAt(hangs.port(), absl::Milliseconds(50));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while waiting for the answer")) << seen.error;
}

TEST_F(GrpcHealthProbeTest, NobodyThereIsAFailure) {
  const Observation seen = LookAt(RefusingPort());
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error,
            absl::StrCat("cannot connect to 127.0.0.1:", config_.port(), ": Connection refused"));
}

TEST_F(GrpcHealthProbeTest, ResolvesAName) {
  GrpcServer server(true);
  names_.Set("grpc.example", {"127.0.0.1"});
  config_.set_host("grpc.example");
  EXPECT_EQ(LookAt(server.port()).error, "");
  config_.set_host("no.example");
  EXPECT_EQ(LookAt(server.port()).error, "name 'no.example' does not exist");
}

// The client uses a handle of libcurl again for a request of the other version.
TEST_F(GrpcHealthProbeTest, LeavesNothingOfHttp2ToTheNextRequest) {
  GrpcServer grpc(true);
  TestServer web(AlwaysAnswer("200 OK", "x"));
  const auto request = HttpRequest::Make({.url = web.url()});
  ASSERT_TRUE(request.ok());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(LookAt(grpc.port()).error, "");
    HttpResult result;
    http_.Start(**request, loop_.Now() + absl::Seconds(20), [&](HttpResult r) {
      result = std::move(r);
      loop_.Stop();
    });
    loop_.Run();
    EXPECT_EQ(result.error, "");
    EXPECT_TRUE(absl::StartsWith(result.headers, "HTTP/1.1 200")) << result.headers;
  }
}

TEST_F(GrpcHealthProbeTest, DestructionDuringALookIsSilent) {
  TestServer hangs([](TestConnection& c) { c.Hang(); });
  config_.set_port(static_cast<uint32_t>(hangs.port()));
  auto probe = NewGrpcHealthProbe(config_, loop_, http_);
  ASSERT_TRUE(probe.ok());
  (*probe)->Start(loop_.Now() + absl::Milliseconds(20), [](Observation) { FAIL(); });
  probe->reset();
  EXPECT_EQ(Look(absl::Milliseconds(50)).outcome, Outcome::kTimedOut);
}

TEST(CheckGrpcHealthProbeTest, NamesTheFieldThatCannotWork) {
  config::GrpcHealthProbe config;
  const auto error = [&] { return std::string(CheckGrpcHealthProbe(config).message()); };
  EXPECT_EQ(error(), "grpc_health.port: 0 is not in [1, 65535]");
  config.set_port(65536);
  EXPECT_EQ(error(), "grpc_health.port: 65536 is not in [1, 65535]");
  config.set_port(65535);
  EXPECT_EQ(error(), "");
  for (const char* good : {"::1", "192.0.2.1", "a-b_c.example"}) {
    config.set_host(good);
    EXPECT_EQ(error(), "") << good;
  }
  config.set_host("a/b");
  EXPECT_EQ(error(), "grpc_health.host: 'a/b' is neither a name nor an address");
  config.clear_host();
  config.set_service(std::string(1024, 'x'));
  EXPECT_EQ(error(), "");
  config.set_service(std::string(1025, 'x'));
  EXPECT_EQ(error(), "grpc_health.service: 1025 bytes are more than 1024");
  config.clear_service();
  config.set_authority("a\r\nb");
  EXPECT_EQ(error(), "grpc_health.authority: holds a character that is none of an authority");
  config.set_authority(std::string(512, 'x'));
  EXPECT_EQ(error(), "");
  config.set_authority(std::string(513, 'x'));
  EXPECT_EQ(error(), "grpc_health.authority: 513 bytes are more than 512");
  config.clear_authority();
  config.mutable_tls()->set_server_name("192.0.2.1");
  EXPECT_EQ(error(), "grpc_health.tls.server_name: '192.0.2.1' is an address, not a name");
}

}  // namespace
}  // namespace salve

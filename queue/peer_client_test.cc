// Against real gRPC servers on loopback.
#include "queue/peer_client.h"

#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/queue.grpc.pb.h"
#include "base/mutex.h"
#include "base/test_certificates.h"
#include "base/unique_fd.h"
#include "base/uv_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::HasSubstr;
using Response = absl::StatusOr<v1::TransferResponse>;

// The receiving agent: it remembers what it committed.
class Receiver final : public v1::QueueService::Service {
 public:
  enum class Does { kAnswers, kLosesTheAnswer, kStalls, kFails };

  grpc::Status Transfer(grpc::ServerContext* context, const v1::TransferRequest* request,
                        v1::TransferResponse* response) override {
    ++calls;
    if (does == Does::kFails) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "disk trouble");
    if (does == Does::kStalls) return Stall(context);
    MutexLock lock(&mu_);
    const bool is_new = committed_.insert(request->parcel()).second;
    if (does == Does::kLosesTheAnswer) {
      context->TryCancel();
      return grpc::Status::CANCELLED;
    }
    response->set_answer(answer != v1::TransferResponse::ACCEPTED ? answer.load()
                         : is_new                                 ? v1::TransferResponse::ACCEPTED
                                  : v1::TransferResponse::DUPLICATE);
    response->set_reason(std::string(reason_bytes, 'x'));
    return grpc::Status::OK;
  }
  grpc::Status CheckArrival(grpc::ServerContext*, const v1::CheckArrivalRequest* request,
                            v1::CheckArrivalResponse* response) override {
    response->set_arrival("arrived-done");
    response->set_detail(absl::StrCat(request->origin_server(), "/", request->origin_mid()));
    return grpc::Status::OK;
  }
  grpc::Status EndTransfers(grpc::ServerContext*, const v1::EndTransfersRequest* request,
                            v1::EndTransfersResponse* response) override {
    for (const v1::TransferEnd& end : request->ends()) response->add_arrivals(end.origin_mid());
    return grpc::Status::OK;
  }

  std::atomic<Does> does = Does::kAnswers;
  std::atomic<v1::TransferResponse::Answer> answer = v1::TransferResponse::ACCEPTED;
  std::atomic<int> reason_bytes = 0;
  std::atomic<int> calls = 0;

 private:
  grpc::Status Stall(grpc::ServerContext* context) {
    MutexLock lock(&mu_);
    while (!context->IsCancelled()) never_.WaitFor(&mu_, absl::Milliseconds(1));
    return grpc::Status::CANCELLED;
  }

  Mutex mu_;
  CondVar never_;
  std::set<std::string> committed_ ABSL_GUARDED_BY(mu_);
};

class PeerClientTest : public testing::Test {
 protected:
  PeerClientTest() {
    server_files_ = authority_.Issue("server", {.names = "DNS:web-2,DNS:localhost,IP:127.0.0.1"});
    const TestAuthority::Files own = authority_.Issue("own", {.names = "DNS:web-1"});
    files_ = {own.certificate, own.key, authority_.ca_file()};
  }
  ~PeerClientTest() override { StopServer(); }

  void Serve(const std::string& address = "127.0.0.1") {
    grpc::SslServerCredentialsOptions tls(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = ReadWhole(authority_.ca_file());
    tls.pem_key_cert_pairs.push_back(
        {ReadWhole(server_files_.key), ReadWhole(server_files_.certificate)});
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat(address, ":", port_), grpc::SslServerCredentials(tls),
                             &port_);
    builder.RegisterService(&receiver_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  void StopServer() {
    if (server_ == nullptr) return;
    server_->Shutdown(gpr_now(GPR_CLOCK_MONOTONIC));
    server_->Wait();
    server_.reset();
  }

  Peer ThePeer(const std::string& name = "web-2") const {
    return {absl::StrCat("127.0.0.1:", port_), name, files_};
  }
  static v1::TransferRequest Request(const std::string& parcel = "p") {
    v1::TransferRequest request;
    request.set_parcel(parcel);
    return request;
  }

  bool RunUntil(const std::function<bool()>& condition) {
    bool late = false;
    const TimerId timer = loop_.CallAfter(absl::Seconds(20), [&] { late = true; });
    while (!condition() && !late) {
      loop_.CallAfter(absl::Milliseconds(1), [this] { loop_.Stop(); });
      loop_.Run();
    }
    loop_.CancelTimer(timer);
    return condition();
  }
  Response Send(const Peer& peer, absl::Duration time = absl::Seconds(15),
                v1::TransferRequest request = Request()) {
    std::optional<Response> answer;
    client_->Transfer(peer, std::move(request), loop_.Now() + time,
                      [&](Response got) { answer = std::move(got); });
    EXPECT_FALSE(answer.has_value()) << "answered inside the call";
    EXPECT_TRUE(RunUntil([&] { return answer.has_value(); }));
    return answer.has_value() ? *std::move(answer) : absl::UnknownError("no answer");
  }
  v1::TransferResponse::Answer Answer(const Response& response) {
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? response->answer() : v1::TransferResponse::ANSWER_UNSPECIFIED;
  }

  TestAuthority authority_;
  TestAuthority::Files server_files_;
  CertificateFiles files_;
  int port_ = 0;
  Receiver receiver_;
  std::unique_ptr<grpc::Server> server_;
  UvLoop loop_;
  Resolver resolver_{loop_};
  std::unique_ptr<PeerClient> client_ = NewPeerClient(loop_, resolver_);
};

TEST_F(PeerClientTest, BringsATransferAndItsAnswer) {
  Serve();
  EXPECT_EQ(Answer(Send(ThePeer())), v1::TransferResponse::ACCEPTED);
  EXPECT_EQ(Answer(Send(ThePeer())), v1::TransferResponse::DUPLICATE);
  receiver_.answer = v1::TransferResponse::ANOTHER;
  EXPECT_EQ(Answer(Send(ThePeer())), v1::TransferResponse::ANOTHER);
  receiver_.answer = v1::TransferResponse::REFUSED;
  EXPECT_EQ(Answer(Send(ThePeer())), v1::TransferResponse::REFUSED);
}

TEST_F(PeerClientTest, AsksWhetherSomethingArrived) {
  Serve();
  v1::CheckArrivalRequest request;
  request.set_origin_server("web-1");
  request.set_origin_mid("web-1-1-1");
  absl::StatusOr<v1::CheckArrivalResponse> answer = absl::UnknownError("none yet");
  client_->CheckArrival(ThePeer(), request, loop_.Now() + absl::Seconds(15),
                        [&](absl::StatusOr<v1::CheckArrivalResponse> got) { answer = got; });
  EXPECT_TRUE(RunUntil([&] { return answer.ok(); })) << answer.status();
  EXPECT_EQ(answer->detail(), "web-1/web-1-1-1");
}

TEST_F(PeerClientTest, TellsWhatBecameOfTransfers) {
  Serve();
  v1::EndTransfersRequest request;
  request.add_ends()->set_origin_mid("web-1-1-1");
  absl::StatusOr<v1::EndTransfersResponse> answer = absl::UnknownError("none yet");
  client_->EndTransfers(ThePeer(), request, loop_.Now() + absl::Seconds(15),
                        [&](absl::StatusOr<v1::EndTransfersResponse> got) { answer = got; });
  EXPECT_TRUE(RunUntil([&] { return answer.ok(); })) << answer.status();
  EXPECT_EQ(answer->arrivals(0), "web-1-1-1");
}

TEST_F(PeerClientTest, AnAnswerThatIsLostIsAnErrorAndTheNextIsADuplicate) {
  Serve();
  receiver_.does = Receiver::Does::kLosesTheAnswer;
  EXPECT_FALSE(Send(ThePeer()).ok());
  receiver_.does = Receiver::Does::kAnswers;
  EXPECT_EQ(Answer(Send(ThePeer())), v1::TransferResponse::DUPLICATE);
}

TEST_F(PeerClientTest, WhatThePeerSaysIsPassedOn) {
  Serve();
  receiver_.does = Receiver::Does::kFails;
  EXPECT_EQ(Send(ThePeer()).status(), absl::UnavailableError("disk trouble"));
}

TEST_F(PeerClientTest, AStallEndsAtTheDeadlineAndTheConnectionIsNotUsedAgain) {
  Serve();
  receiver_.does = Receiver::Does::kStalls;
  const Instant before = loop_.Now();
  const absl::Status status = Send(ThePeer(), absl::Milliseconds(300)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_GE(loop_.Now() - before, absl::Milliseconds(250));  // gRPC rounds it down for the server.
  receiver_.does = Receiver::Does::kAnswers;
  EXPECT_EQ(Answer(Send(ThePeer())), v1::TransferResponse::ACCEPTED);
}

TEST_F(PeerClientTest, ADeadlineThatIsOverIsAnErrorAtOnce) {
  Serve();
  EXPECT_EQ(Send(ThePeer(), -absl::Seconds(1)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(PeerClientTest, NobodyListens) {
  Serve();
  StopServer();
  const absl::Status status = Send(ThePeer()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("nobody listens there"));
}

TEST_F(PeerClientTest, APeerThatComesBackIsReachedAtTheNextCall) {
  Serve();
  EXPECT_TRUE(Send(ThePeer()).ok());
  StopServer();
  EXPECT_FALSE(Send(ThePeer()).ok());
  EXPECT_FALSE(Send(ThePeer()).ok());
  Serve();  // At the same port.
  EXPECT_TRUE(Send(ThePeer()).ok());
}

TEST_F(PeerClientTest, ThePeersCertificateMustBeOfTheAuthority) {
  Serve();
  const TestAuthority other("Other CA");
  Peer peer = ThePeer();
  peer.files.ca = other.ca_file();
  const absl::Status status = Send(peer).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("is not of the authority in " + other.ca_file()));
  EXPECT_EQ(receiver_.calls, 0);
}

TEST_F(PeerClientTest, ThePeerMustTrustOurs) {
  Serve();
  TestAuthority other("Other CA");
  const TestAuthority::Files strange = other.Issue("own", {.names = "DNS:web-1"});
  Peer peer = ThePeer();
  peer.files = {strange.certificate, strange.key, authority_.ca_file()};
  const absl::Status status = Send(peer).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr(strange.certificate));
  EXPECT_EQ(receiver_.calls, 0);
}

TEST_F(PeerClientTest, ThePeersNameMustBeInItsCertificate) {
  Serve();
  const absl::Status status = Send(ThePeer("web-3")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("its certificate is not for web-3"));
  EXPECT_EQ(receiver_.calls, 0);
  EXPECT_TRUE(Send(ThePeer("")).ok()) << "the address itself is in it";
}

// Most often to ::1 too, where nobody listens.
TEST_F(PeerClientTest, ANameIsResolvedAndEachKindOfAddressTried) {
  Serve();
  Peer peer = ThePeer();
  peer.address = absl::StrCat("localhost:", port_);
  EXPECT_TRUE(Send(peer).ok());
  peer.server_name = "";
  EXPECT_TRUE(Send(peer).ok());
}

TEST_F(PeerClientTest, IPv6) {
  server_files_ = authority_.Issue("server", {.names = "IP:::1"});
  Serve("[::1]");
  Peer peer = ThePeer("");
  peer.address = absl::StrCat("[::1]:", port_);
  EXPECT_TRUE(Send(peer).ok());
}

TEST_F(PeerClientTest, ARenewedCertificateIsUsedForTheNextCall) {
  const TestAuthority::Files own =
      authority_.Issue("own", {.names = "DNS:web-1", .valid_until = absl::Minutes(1)});
  Serve();
  EXPECT_TRUE(Send(ThePeer()).ok());
  // A connection that is open needs no files: what follows is refused because they are read again.
  TestAuthority other("Other CA");
  const TestAuthority::Files strange = other.Issue("own", {.names = "DNS:web-1"});
  const std::string certificate = ReadWhole(own.certificate);
  const std::string key = ReadWhole(own.key);
  WriteWhole(own.certificate, ReadWhole(strange.certificate));
  EXPECT_TRUE(Send(ThePeer()).ok()) << "no pair yet: a renewal is under way";
  WriteWhole(own.key, ReadWhole(strange.key));
  EXPECT_FALSE(Send(ThePeer()).ok());
  WriteWhole(own.certificate, certificate);
  WriteWhole(own.key, key);
  EXPECT_TRUE(Send(ThePeer()).ok());
}

TEST_F(PeerClientTest, FilesThatCannotBeUsedAreNamed) {
  Serve();
  Peer peer = ThePeer();
  peer.files.key = "/nonexistent/a.key";
  EXPECT_EQ(Send(peer).status().code(), absl::StatusCode::kNotFound);
  peer.files.key = files_.certificate;
  EXPECT_EQ(Send(peer).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Send(peer).status().message(), HasSubstr(files_.certificate));
}

TEST_F(PeerClientTest, AnAddressThatIsNoneIsRefused) {
  for (const char* address : {"", "web-2", "web-2:0", "http://web-2:1", "::1:1"}) {
    Peer peer = ThePeer();
    peer.address = address;
    EXPECT_EQ(Send(peer).status().code(), absl::StatusCode::kInvalidArgument) << address;
  }
}

TEST_F(PeerClientTest, AnAnswerThatIsTooLargeIsAnError) {
  Serve();
  receiver_.reason_bytes = 65 << 10;
  EXPECT_EQ(Send(ThePeer()).status().code(), absl::StatusCode::kResourceExhausted);
  receiver_.reason_bytes = 60 << 10;
  EXPECT_TRUE(Send(ThePeer()).ok());
}

TEST_F(PeerClientTest, ACancelledCallIsNotAnswered) {
  Serve();
  receiver_.does = Receiver::Does::kStalls;
  bool answered = false;
  const PeerClient::Id id = client_->Transfer(ThePeer(), Request(), loop_.Now() + absl::Seconds(15),
                                              [&](const Response&) { answered = true; });
  EXPECT_TRUE(RunUntil([&] { return receiver_.calls == 1; }));
  client_->Cancel(id);
  client_->Cancel(id);
  client_->Cancel(PeerClient::Id::kNone);
  receiver_.does = Receiver::Does::kAnswers;
  EXPECT_TRUE(Send(ThePeer()).ok());
  EXPECT_FALSE(answered);
}

TEST_F(PeerClientTest, ItsEndDropsWhatIsUnderWay) {
  Serve();
  receiver_.does = Receiver::Does::kStalls;
  bool answered = false;
  const auto send = [&](const Peer& peer) {
    client_->Transfer(peer, Request(), loop_.Now() + absl::Minutes(5),
                      [&](const Response&) { answered = true; });
  };
  send(ThePeer());
  EXPECT_TRUE(RunUntil([&] { return receiver_.calls == 1; }));
  Peer by_name = ThePeer();
  by_name.address = absl::StrCat("localhost:", port_);
  send(by_name);    // Still being resolved,
  send(ThePeer());  // not begun yet,
  send(Peer());     // and wrong.
  client_.reset();
  EXPECT_TRUE(RunUntil([] { return true; }));
  EXPECT_FALSE(answered);
}

TEST_F(PeerClientTest, OneWithoutACallEnds) { client_.reset(); }

TEST_F(PeerClientTest, BeyondItsBoundsCallsAreRefused) {
  client_ = NewPeerClient(loop_, resolver_, {.peers_max = 1, .calls_max = 2});
  Serve();
  receiver_.does = Receiver::Does::kStalls;
  const auto send = [&](const Peer& peer, absl::Duration time = absl::Minutes(1)) {
    auto answer = std::make_shared<std::optional<absl::Status>>();
    client_->Transfer(peer, Request(), loop_.Now() + time,
                      [answer](const Response& got) { *answer = got.status(); });
    return answer;
  };
  const auto first = send(ThePeer(), absl::Seconds(1));
  const auto other_peer = send(ThePeer("localhost"));
  const auto one_too_many = send(ThePeer());
  EXPECT_TRUE(RunUntil([&] { return other_peer->has_value() && one_too_many->has_value(); }));
  EXPECT_EQ((*other_peer)->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ((*one_too_many)->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RunUntil([&] { return first->has_value(); }));
  EXPECT_EQ((*first)->code(), absl::StatusCode::kDeadlineExceeded);
  receiver_.does = Receiver::Does::kAnswers;
  EXPECT_TRUE(Send(ThePeer("localhost")).ok()) << "the other one is not used any more";
}

TEST_F(PeerClientTest, AnIdleConnectionIsClosed) {
  client_ = NewPeerClient(loop_, resolver_, {.idle_after = absl::Milliseconds(50)});
  Serve();
  EXPECT_TRUE(Send(ThePeer()).ok());
  bool over = false;
  loop_.CallAfter(absl::Milliseconds(150), [&] { over = true; });
  EXPECT_TRUE(RunUntil([&] { return over; }));
  EXPECT_TRUE(Send(ThePeer()).ok()) << "and made anew";
}

// As one whose machine hangs, or behind a firewall that swallows everything.
TEST_F(PeerClientTest, APeerThatDoesNotShakeHandsEndsAtTheDeadline) {
  const UniqueFd silent(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(silent.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(silent.get(), 8), 0);
  ASSERT_EQ(getsockname(silent.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  Peer peer = ThePeer();
  peer.address = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  loop_.ResetLongestTurn();
  const absl::Status status = Send(peer, absl::Milliseconds(300)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("was not reached in time"));
  EXPECT_LT(loop_.longest_turn(), absl::Milliseconds(200));
}

// Files are read, connections made and certificates checked elsewhere.
TEST_F(PeerClientTest, NoTurnOfTheLoopIsLong) {
  Serve();
  EXPECT_TRUE(Send(ThePeer()).ok());  // gRPC has been started.
  std::vector<absl::Status> answers;
  loop_.ResetLongestTurn();
  for (int i = 0; i < 50; ++i) {
    client_->Transfer(i % 2 == 0 ? ThePeer() : ThePeer("localhost"),
                      Request(std::string(200 << 10, static_cast<char>('a' + i % 20))),
                      loop_.Now() + absl::Seconds(15),
                      [&](const Response& got) { answers.push_back(got.status()); });
  }
  EXPECT_TRUE(RunUntil([&] { return answers.size() == 50; }));
  for (const absl::Status& status : answers) EXPECT_TRUE(status.ok()) << status;
  // What is measured is busy time, and the machine may be busy with more than this test.
  EXPECT_LT(loop_.longest_turn(), absl::Milliseconds(200));
  RecordProperty("longest_turn_us", absl::StrCat(absl::ToInt64Microseconds(loop_.longest_turn())));
}

}  // namespace
}  // namespace salve

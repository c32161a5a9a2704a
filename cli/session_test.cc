#include "cli/session.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/test_certificates.h"
#include "cli/fake_agent.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

absl::Status AskAt(const std::vector<std::string>& sockets) {
  Session session({.sockets = sockets});
  return session.GetInfo(v1::GetInfoRequest()).status();
}

TEST(SessionTest, AsksTheAgentAtTheSocket) {
  FakeAgent agent;
  v1::GetInfoResponse info;
  info.set_version("9.9");
  agent.get_info.Say(info);
  Session session({.sockets = {agent.socket()}});

  EXPECT_EQ(session.GetInfo(v1::GetInfoRequest()).value().version(), "9.9");
}

TEST(SessionTest, TakesTheFirstSocketThatMayBeOpened) {
  FakeAgent agent;

  EXPECT_TRUE(AskAt({agent.dir() + "/admin.sock", agent.socket()}).ok());
}

TEST(SessionTest, APathMayHoldWhatAnUriMayNot) {
  FakeAgent agent("a b%20#?.sock");

  EXPECT_TRUE(AskAt({agent.socket()}).ok());
}

TEST(SessionTest, SaysThatThereIsNoSocketAndWhatToDo) {
  const absl::Status status = AskAt({"/nonexistent/admin.sock", "/nonexistent/salve.sock"});

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(),
            "cannot connect to /nonexistent/salve.sock: no such file; is salved running? "
            "(systemctl status salved)");
}

TEST(SessionTest, SaysThatNobodyListens) {
  FakeAgent agent;  // For its folder.
  const std::string path = agent.dir() + "/file";
  close(open(path.c_str(), O_CREAT | O_WRONLY, 0600));

  const absl::Status status = AskAt({path});

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "cannot connect to " + path +
                                  ": nobody listens there; is salved running? "
                                  "(systemctl status salved)");
}

TEST(SessionTest, SaysThatTheSocketMayNotBeOpened) {
  FakeAgent agent;
  chmod(agent.socket().c_str(), 0);
  // Root may open every socket: the test asks as nobody then.
  const bool is_root = geteuid() == 0;
  if (is_root && seteuid(65534) != 0) GTEST_SKIP() << "this root cannot become nobody";

  const absl::Status status = AskAt({agent.socket()});

  ASSERT_EQ(seteuid(is_root ? 0 : geteuid()), 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(status.message(), "cannot connect to " + agent.socket() +
                                  ": permission denied; is your user in the group salve?");
}

TEST(SessionTest, ASocketsPathHasAtMost107Bytes) {
  EXPECT_EQ(AskAt({"/" + std::string(106, 'x')}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(AskAt({"/" + std::string(107, 'x')}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AskAt({""}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(SessionTest, KeepsTheServicesCodesAndSentences) {
  FakeAgent agent;
  for (int code = 1; code <= 16; ++code) {
    if (code == static_cast<int>(absl::StatusCode::kDeadlineExceeded) ||
        code == static_cast<int>(absl::StatusCode::kUnimplemented)) {
      continue;  // They get sentences of ours.
    }
    const absl::Status said(static_cast<absl::StatusCode>(code), "ünusual 'name'\nsecond line");
    agent.get_info.Say(said);
    EXPECT_EQ(AskAt({agent.socket()}), said);
  }
}

TEST(SessionTest, AnAgentThatDoesNotKnowTheCallIsOlder) {
  FakeAgent agent;
  agent.get_info.Say(absl::UnimplementedError(""));

  EXPECT_EQ(AskAt({agent.socket()}),
            absl::UnimplementedError("the agent does not know this call; is it older?"));
}

TEST(SessionTest, GivesUpAtItsDeadline) {
  FakeAgent agent;
  agent.Hang();
  Session session({.sockets = {agent.socket()}, .timeout = absl::Milliseconds(50)});

  EXPECT_EQ(session.GetInfo(v1::GetInfoRequest()).status(),
            absl::DeadlineExceededError("no answer within 50ms"));
  EXPECT_EQ(session.RunAction(v1::RunActionRequest()).status(),
            absl::DeadlineExceededError("no answer within 50ms"));
}

TEST(SessionTest, ReadsAllPagesOfTheThrottleState) {
  FakeAgent agent;
  v1::GetThrottleStateResponse first;
  first.add_entries()->set_identity("one");
  first.set_next_page_token("page 2");
  v1::GetThrottleStateResponse second;
  second.add_entries()->set_identity("two");
  agent.get_throttle_state.SayInTurn({first, second});
  Session session({.sockets = {agent.socket()}});
  v1::GetThrottleStateRequest request;
  request.set_action("RestartService");

  const v1::GetThrottleStateResponse all = session.GetThrottleState(request).value();

  ASSERT_EQ(all.entries_size(), 2);
  EXPECT_EQ(all.entries(0).identity(), "one");
  EXPECT_EQ(all.entries(1).identity(), "two");
  EXPECT_EQ(all.next_page_token(), "");
  EXPECT_EQ(agent.get_throttle_state.asked().page_token(), "page 2");
  EXPECT_EQ(agent.get_throttle_state.asked().action(), "RestartService");
}

TEST(SessionTest, AServerThatAlwaysHasAnotherPageIsAnError) {
  FakeAgent agent;
  v1::GetThrottleStateResponse page;
  page.set_next_page_token("more");
  agent.get_throttle_state.Say(page);
  Session session({.sockets = {agent.socket()}});

  EXPECT_EQ(session.GetThrottleState({}).status().code(), absl::StatusCode::kInternal);
}

TEST(SessionTest, TailGivesEachEventUntilTheInterrupt) {
  FakeAgent agent;
  FakeTail tail;
  for (int id = 1; id <= 3; ++id) tail.events.emplace_back().set_record_id(id);
  agent.tail_events.Say(tail);
  Session session({.sockets = {agent.socket()}});
  const int interrupt = eventfd(0, EFD_CLOEXEC);
  std::vector<uint64_t> seen;

  const absl::Status status = session.TailEvents({}, interrupt, [&](const v1::Event& event) {
    seen.push_back(event.record_id());
    if (seen.size() == 3) eventfd_write(interrupt, 1);
  });

  EXPECT_EQ(status, absl::OkStatus());
  EXPECT_EQ(seen, (std::vector<uint64_t>{1, 2, 3}));
  close(interrupt);
}

TEST(SessionTest, TailSaysWhenTheAgentEndsTheStreamOrRefusesIt) {
  FakeAgent agent;
  FakeTail tail;
  tail.ends = true;
  agent.tail_events.SayInTurn({tail, absl::InvalidArgumentError("limit")});
  Session session({.sockets = {agent.socket()}});
  const int interrupt = eventfd(0, EFD_CLOEXEC);

  EXPECT_EQ(session.TailEvents({}, interrupt, [](const v1::Event&) {}),
            absl::UnavailableError("it ended the stream"));
  EXPECT_EQ(session.TailEvents({}, interrupt, [](const v1::Event&) {}),
            absl::InvalidArgumentError("limit"));
  close(interrupt);
}

// Over TCP, with mutual TLS.
class RemoteSessionTest : public testing::Test {
 protected:
  static FakeTls TlsOf(TestAuthority& authority, const std::string& names) {
    const TestAuthority::Files files =
        authority.Issue("server", {.common_name = "web-1", .names = names});
    return {ReadWhole(files.certificate), ReadWhole(files.key), ReadWhole(authority.ca_file())};
  }
  RemoteAgent RemoteOf(TestAuthority& clients) {
    const TestAuthority::Files files = clients.Issue("ada", {.common_name = "ada"});
    return {"localhost:" + std::to_string(agent_.port()), authority_.ca_file(), files.certificate,
            files.key};
  }
  static absl::Status Ask(const RemoteAgent& remote) {
    Session session({.remote = remote});
    return session.GetInfo(v1::GetInfoRequest()).status();
  }
  // What salvectl says, without where it wanted to go.
  static std::string Says(const RemoteAgent& remote) {
    const absl::Status status = Ask(remote);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    const std::string begin = "cannot connect to " + remote.server + ": ";
    EXPECT_EQ(status.message().substr(0, begin.size()), begin);
    return std::string(status.message().substr(std::min(begin.size(), status.message().size())));
  }

  TestAuthority authority_;
  FakeAgent agent_{"salve.sock", TlsOf(authority_, "DNS:localhost,IP:127.0.0.1")};
};

TEST_F(RemoteSessionTest, AsksTheAgentAtTheServer) {
  EXPECT_EQ(Ask(RemoteOf(authority_)), absl::OkStatus());
}

TEST_F(RemoteSessionTest, WhatTheAgentSaysItselfIsKept) {
  for (const absl::Status& said : {absl::UnavailableError("the coordinator does not answer"),
                                   absl::UnauthenticatedError("a client certificate is needed"),
                                   absl::PermissionDeniedError("this needs the role admin")}) {
    agent_.get_info.Say(said);
    EXPECT_EQ(Ask(RemoteOf(authority_)), said);
  }
}

TEST_F(RemoteSessionTest, SaysWhyThereIsNoConnection) {
  RemoteAgent remote = RemoteOf(authority_);
  remote.server = "localhost:1";
  EXPECT_EQ(Says(remote),
            "nobody listens there; is salved running, with `remote` in its salve.textproto?");
  remote.server = "no-such-host.invalid:7443";
  EXPECT_EQ(Says(remote), "there is no host of that name");
}

TEST_F(RemoteSessionTest, SaysThatWeDoNotTrustTheAgent) {
  TestAuthority other;
  RemoteAgent remote = RemoteOf(authority_);
  remote.ca_file = other.ca_file();
  EXPECT_EQ(Says(remote),
            "its certificate is not of the authority in " + other.ca_file() + ", or has expired");
}

TEST_F(RemoteSessionTest, SaysThatTheNameIsNotInTheCertificate) {
  FakeAgent agent("salve.sock", TlsOf(authority_, "DNS:web-1.example.org"));
  RemoteAgent remote = RemoteOf(authority_);
  remote.server = "localhost:" + std::to_string(agent.port());
  EXPECT_EQ(Says(remote), "its certificate is for another name; connect by a name that is in it");
}

TEST_F(RemoteSessionTest, SaysThatTheAgentDoesNotTrustUs) {
  TestAuthority other;
  const RemoteAgent remote = RemoteOf(other);
  EXPECT_EQ(Says(remote), "it closes the connection; is " + remote.certificate_file +
                              " of the authority that it trusts (client_ca_file), and not "
                              "expired?");
}

TEST_F(RemoteSessionTest, SaysThatTheServerSpeaksNoTls) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(listen(fd, 1), 0);
  sockaddr_in address = {};
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  std::thread server([fd] {
    const int connection = accept(fd, nullptr, nullptr);
    EXPECT_GT(write(connection, "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 0);
    shutdown(connection, SHUT_WR);
    char bytes[4096];
    while (read(connection, bytes, sizeof(bytes)) > 0) {
    }
    close(connection);
  });
  RemoteAgent remote = RemoteOf(authority_);
  remote.server = "localhost:" + std::to_string(ntohs(address.sin_port));
  EXPECT_EQ(Says(remote), "it does not speak TLS");
  server.join();
  close(fd);
}

TEST_F(RemoteSessionTest, SaysThatTheKeyIsOfAnotherCertificate) {
  RemoteAgent remote = RemoteOf(authority_);
  remote.key_file = authority_.path("server.key");
  EXPECT_EQ(Says(remote), remote.key_file + " is not the key of " + remote.certificate_file);
}

TEST_F(RemoteSessionTest, FilesThatCannotBeUsedAreBadInput) {
  RemoteAgent remote = RemoteOf(authority_);
  remote.ca_file = "/nonexistent/ca.crt";
  EXPECT_EQ(Ask(remote), absl::InvalidArgumentError(
                             "--ca: cannot read '/nonexistent/ca.crt': No such file or directory"));
  remote = RemoteOf(authority_);
  remote.key_file = authority_.path("empty");
  WriteWhole(remote.key_file, "");
  EXPECT_EQ(Ask(remote),
            absl::InvalidArgumentError("--key: '" + remote.key_file + "' holds no PEM"));
}

TEST_F(RemoteSessionTest, AServerIsAHostAndAPort) {
  RemoteAgent remote = RemoteOf(authority_);
  for (const char* server : {"localhost", ":7443", "localhost:", "localhost:0", "localhost:65536",
                             "https://localhost:7443"}) {
    remote.server = server;
    EXPECT_EQ(Ask(remote).code(), absl::StatusCode::kInvalidArgument) << server;
  }
}

}  // namespace
}  // namespace salve

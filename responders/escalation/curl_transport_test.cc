#include "responders/escalation/curl_transport.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/uv_loop.h"
#include "gtest/gtest.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

using Answer = absl::StatusOr<std::string>;
using Answers = std::map<std::string, std::string>;

// A relay that answers each command of SMTP as it is told; keeps what it reads.
class TestRelay {
 public:
  // `answers`: by the command's first word, in capitals; "" is the greeting, "." the end of a mail.
  // A command without an answer gets "250 fine"; with "hang" nothing more is said.
  explicit TestRelay(Answers answers = {})
      : answers_(std::move(answers)), server_([this](TestConnection& c) { Serve(c); }) {}

  int port() const { return server_.port(); }
  int connections() { return server_.connections(); }
  std::string heard() {
    MutexLock lock(&mu_);
    return heard_;
  }

 private:
  bool Say(TestConnection& connection, const std::string& command, const std::string& otherwise) {
    const auto found = answers_.find(command);
    const std::string& answer = found == answers_.end() ? otherwise : found->second;
    if (answer == "hang") {
      connection.Hang();
      return false;
    }
    if (answer == "drip") {
      while (connection.Pause(absl::Milliseconds(100)) && connection.Send("2")) {
      }
      return false;
    }
    return connection.Send(answer + "\r\n");
  }
  void Serve(TestConnection& connection) {
    if (!Say(connection, "", "220 test")) return;
    std::string buffer;
    bool in_mail = false;
    while (true) {
      char bytes[4096];
      const ssize_t n = read(connection.fd(), bytes, sizeof(bytes));
      if (n <= 0) return;
      buffer.append(bytes, static_cast<size_t>(n));
      for (size_t end = buffer.find("\r\n"); end != std::string::npos; end = buffer.find("\r\n")) {
        const std::string line = buffer.substr(0, end);
        buffer.erase(0, end + 2);
        {
          MutexLock lock(&mu_);
          heard_ += line + "\n";
        }
        if (in_mail && line != ".") continue;
        const std::string command = in_mail ? "." : line.substr(0, line.find(' '));
        in_mail = command == "DATA";
        if (!Say(connection, command, in_mail ? "354 go on" : "250 fine")) return;
      }
    }
  }

  const Answers answers_;
  Mutex mu_;
  std::string heard_ ABSL_GUARDED_BY(mu_);
  TestServer server_;
};

class CurlTransportTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { signal(SIGPIPE, SIG_IGN); }

  Answer Deliver(const config::Destination& destination,
                 absl::Duration timeout = absl::Seconds(20)) {
    Letter letter;
    letter.id = "1";
    letter.notice.subject = "Web/Down is UNHEALTHY";
    letter.notice.message = "it is down";
    letter.notice.server = "web-1";
    std::optional<Answer> answer;
    const DeliveryId id =
        transport_.Start(destination, letter, loop_.Now() + timeout, [&](Answer a) {
          answer = std::move(a);
          loop_.Stop();
        });
    EXPECT_FALSE(answer.has_value());
    const TimerId over = loop_.CallAfter(timeout + absl::Seconds(30), [&] { loop_.Stop(); });
    loop_.Run();
    loop_.CancelTimer(over);
    if (answer.has_value()) return *answer;
    transport_.Cancel(id);
    return absl::InternalError("never answered");
  }
  static config::Destination Mail(int port, const std::string& host = "127.0.0.1") {
    config::Destination destination;
    config::Smtp& smtp = *destination.mutable_smtp();
    smtp.set_url(absl::StrCat("smtp://", host, ":", port));
    smtp.set_from("salve@web-1");
    smtp.add_to("ops@example.com");
    return destination;
  }
  static config::Destination Hook(const std::string& url) {
    config::Destination destination;
    destination.mutable_webhook()->set_url(url);
    return destination;
  }
  static std::string SecretFile() {
    const std::string path = absl::StrCat(getenv("TEST_TMPDIR"), "/token");
    std::ofstream(path) << "s3cret\n";
    chmod(path.c_str(), 0600);
    return path;
  }

  UvLoop loop_;
  TestNameServer names_;
  Resolver resolver_{loop_, ResolverOptions{.servers = names_.address()}};
  HttpClient http_{loop_, resolver_};
  CurlTransport transport_{{.loop = loop_,
                            .resolver = resolver_,
                            .http = http_,
                            .credentials_dir = "",
                            .new_worker = [] { return std::make_unique<ThreadWorker>(); }}};
};

TEST_F(CurlTransportTest, BringsAMail) {
  TestRelay relay;
  const Answer answer = Deliver(Mail(relay.port()));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, "");
  const std::string heard = relay.heard();
  for (const char* line : {"EHLO web-1\n", "MAIL FROM:<salve@web-1>", "RCPT TO:<ops@example.com>\n",
                           "Subject: [web-1] Web/Down is UNHEALTHY\n", "\nit is down\n"}) {
    EXPECT_TRUE(absl::StrContains(heard, line)) << line << " in " << heard;
  }
}

TEST_F(CurlTransportTest, ResolvesTheRelaysNameAsProbesDo) {
  TestRelay relay;
  names_.Set("relay.test", {"127.0.0.1"});
  const Answer answer = Deliver(Mail(relay.port(), "relay.test"));
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(names_.questions("relay.test"), 1);
  EXPECT_FALSE(Deliver(Mail(relay.port(), "none.test")).ok());
}

TEST_F(CurlTransportTest, ANameServerThatIsSilentCostsNoMoreThanTheTimeout) {
  names_.SetMode(TestNameServer::Mode::kSilent);
  EXPECT_EQ(Deliver(Mail(25, "relay.test"), absl::Milliseconds(300)).status().message(),
            "took too long while the relay's name was resolved");
}

TEST_F(CurlTransportTest, SaysWhatTheRelayRefuses) {
  TestRelay rude(Answers{{"", "554 not today"}});
  EXPECT_TRUE(
      absl::EndsWith(Deliver(Mail(rude.port())).status().message(), "refuses: 554 not today"));
  TestRelay relay(Answers{{"RCPT", "550 no such user"}});
  EXPECT_TRUE(
      absl::EndsWith(Deliver(Mail(relay.port())).status().message(), "refuses: 550 no such user"));
  TestRelay late(Answers{{".", "451 later"}});
  EXPECT_TRUE(absl::EndsWith(Deliver(Mail(late.port())).status().message(), "refuses: 451 later"));
  EXPECT_FALSE(Deliver(Mail(RefusingPort())).ok());
}

TEST_F(CurlTransportTest, TheCodeSaysWhetherTheRelayTookNoLetterOrThisOne) {
  const auto code = [&](Answers answers) {
    TestRelay relay(std::move(answers));
    return Deliver(Mail(relay.port())).status().code();
  };
  for (const char* command : {"MAIL", "RCPT", "DATA", "."}) {
    EXPECT_EQ(code({{command, "450 later"}}), absl::StatusCode::kAborted) << command;
    EXPECT_EQ(code({{command, "550 never"}}), absl::StatusCode::kFailedPrecondition) << command;
  }
  for (const char* answer : {"421 busy", "554 not today"}) {
    EXPECT_EQ(code({{"", answer}}), absl::StatusCode::kUnavailable) << answer;
  }
  EXPECT_EQ(code({{"EHLO", "550 no"}, {"HELO", "550 no"}}), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Deliver(Mail(RefusingPort())).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(CurlTransportTest, TheCodeSaysWhetherAWebhookRefusesForGood) {
  const auto code = [&](const std::string& status) {
    TestServer server(AlwaysAnswer(status, ""));
    return Deliver(Hook(server.url())).status().code();
  };
  for (const char* later : {"500 Oops", "503 Busy", "408 Slow", "429 Many", "302 Found"}) {
    EXPECT_EQ(code(later), absl::StatusCode::kAborted) << later;
  }
  for (const char* never : {"400 Bad", "404 None", "410 Gone"}) {
    EXPECT_EQ(code(never), absl::StatusCode::kFailedPrecondition) << never;
  }
  EXPECT_EQ(Deliver(Hook(absl::StrCat("http://127.0.0.1:", RefusingPort()))).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(CurlTransportTest, ARelayThatHangsAnywhereEndsAtTheTimeoutOrASecondLater) {
  for (const std::string where : {"", "EHLO", "MAIL", "RCPT", "DATA", "."}) {
    for (const std::string how : {"hang", "drip"}) {
      TestRelay relay(Answers{{where, how}});
      const Instant start = loop_.Now();
      const Answer answer = Deliver(Mail(relay.port()), absl::Milliseconds(500));
      EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable) << where;
      EXPECT_TRUE(absl::StrContains(answer.status().message(), "took too long")) << answer.status();
      EXPECT_LT(loop_.Now() - start, absl::Seconds(25)) << where;
    }
  }
}

// libcurl waits for the answer to QUIT without giving back its thread.
TEST_F(CurlTransportTest, AMailThatWasTakenIsDeliveredThoughQuitHangs) {
  TestRelay relay(Answers{{"QUIT", "hang"}});
  const Answer answer = Deliver(Mail(relay.port()), absl::Seconds(60));
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(CurlTransportTest, ARefusalIsToldThoughQuitHangs) {
  TestRelay relay(Answers{{"RCPT", "550 no"}, {"QUIT", "hang"}});
  const Answer answer = Deliver(Mail(relay.port()), absl::Seconds(1));
  EXPECT_TRUE(absl::EndsWith(answer.status().message(), "refuses: 550 no")) << answer.status();
}

TEST_F(CurlTransportTest, ARelayThatNeverStopsTalkingIsCut) {
  std::string endless = "250-a";
  for (int i = 0; i < 20'000; ++i) endless += "\r\n250-more and more";
  TestRelay relay(Answers{{"EHLO", endless}});
  const Answer answer = Deliver(Mail(relay.port()));
  // The bound is ours or libcurl's, whichever comes first.
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(absl::StrContains(answer.status().message(), "took too long")) << answer.status();
}

TEST_F(CurlTransportTest, APasswordIsSentOnlyOverTlsAndNeverTold) {
  TestRelay relay(Answers{{"EHLO", "250-test\r\n250 AUTH PLAIN"}});
  config::Destination mail = Mail(relay.port());
  mail.mutable_smtp()->set_user("salve");
  mail.mutable_smtp()->set_password_file(SecretFile());
  mail.mutable_smtp()->set_require_tls(true);
  const Answer answer = Deliver(mail);
  EXPECT_FALSE(answer.ok());
  EXPECT_FALSE(absl::StrContains(relay.heard(), "AUTH")) << relay.heard();
  EXPECT_FALSE(absl::StrContains(answer.status().message(), "s3cret"));
}

TEST_F(CurlTransportTest, ASecretThatCannotBeReadIsSaid) {
  TestRelay relay;
  config::Destination mail = Mail(relay.port());
  mail.mutable_smtp()->set_user("salve");
  mail.mutable_smtp()->set_password_file("/nonexistent/file");
  EXPECT_TRUE(absl::StrContains(Deliver(mail).status().message(), "/nonexistent/file"));
  EXPECT_EQ(relay.connections(), 0);
}

TEST_F(CurlTransportTest, PostsAWebhook) {
  Mutex mu;
  std::string request;
  TestServer server([&](TestConnection& connection) {
    MutexLock lock(&mu);
    request = connection.ReadRequest();
    connection.Answer("204 No Content", "");
  });
  config::Destination hook = Hook(server.url("/x"));
  hook.mutable_webhook()->set_bearer_token_file(SecretFile());
  hook.mutable_webhook()->add_header()->set_name("X-Team");
  const Answer answer = Deliver(hook);
  EXPECT_TRUE(answer.ok()) << answer.status();
  MutexLock lock(&mu);
  for (const char* part : {"POST /x HTTP/1.1\r\n", "Authorization: Bearer s3cret\r\n",
                           "Content-Type: application/json\r\n", "\"message\": \"it is down\""}) {
    EXPECT_TRUE(absl::StrContains(request, part)) << part << " in " << request;
  }
}

TEST_F(CurlTransportTest, OtherAnswersOfAWebhookAreNone) {
  TestServer error(AlwaysAnswer("500 Oops", "s3cret"));
  EXPECT_EQ(Deliver(Hook(error.url())).status().message(), "status 500, expected 2xx");
  TestServer redirect(AlwaysAnswer("302 Found", "", "Location: http://127.0.0.1:1/\r\n"));
  EXPECT_EQ(Deliver(Hook(redirect.url())).status().message(), "status 302, expected 2xx");
  EXPECT_FALSE(Deliver(Hook(absl::StrCat("http://127.0.0.1:", RefusingPort()))).ok());
}

TEST_F(CurlTransportTest, AWebhookThatHangsOrDripsEndsAtTheTimeout) {
  TestServer hangs([](TestConnection& connection) { connection.Hang(); });
  EXPECT_FALSE(Deliver(Hook(hangs.url()), absl::Milliseconds(200)).ok());
  TestServer drips([](TestConnection& connection) {
    connection.ReadRequest();
    while (connection.Pause(absl::Milliseconds(50)) && connection.Send("H")) {
    }
  });
  EXPECT_FALSE(Deliver(Hook(drips.url()), absl::Milliseconds(500)).ok());
  FullListener full;
  EXPECT_FALSE(
      Deliver(Hook(absl::StrCat("http://127.0.0.1:", full.port())), absl::Milliseconds(200)).ok());
}

TEST_F(CurlTransportTest, ACertificateIsChecked) {
  const TestCertificate certificate("hook.test", absl::Hours(1));
  TestServer server(AlwaysAnswer("200 OK", ""), certificate.certificate_file, certificate.key_file);
  config::Destination hook = Hook(absl::StrCat("https://127.0.0.1:", server.port(), "/"));
  EXPECT_FALSE(Deliver(hook).ok());
  hook.mutable_webhook()->mutable_tls()->set_ca_file(certificate.certificate_file);
  EXPECT_TRUE(Deliver(hook).ok());
}

TEST_F(CurlTransportTest, ACancelledOneCallsNobody) {
  TestRelay relay(Answers{{"", "hang"}});
  TestServer server([](TestConnection& connection) { connection.Hang(); });
  for (const config::Destination& destination : {Mail(relay.port()), Hook(server.url())}) {
    const DeliveryId id = transport_.Start(destination, {}, loop_.Now() + absl::Seconds(20),
                                           [](Answer) { ADD_FAILURE() << "called"; });
    loop_.CallAfter(absl::Milliseconds(100), [&] {
      transport_.Cancel(id);
      loop_.Stop();
    });
    loop_.Run();
  }
  transport_.Cancel(DeliveryId::kNone);
}

}  // namespace
}  // namespace salve

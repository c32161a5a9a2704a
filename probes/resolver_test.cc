#include "probes/resolver.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/uv_loop.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

using Addresses = std::vector<std::string>;
using Answer = absl::StatusOr<Addresses>;

class ResolverTest : public ::testing::Test {
 protected:
  Answer Resolve(const std::string& name) {
    std::optional<Answer> answer;
    resolver_.Resolve(name, [&](const Answer& a) {
      answer = a;
      loop_.Stop();
    });
    EXPECT_FALSE(answer.has_value()) << "inside the call";
    loop_.Run();
    return answer.value_or(absl::InternalError("no answer"));
  }

  UvLoop loop_;
  TestNameServer server_;
  Resolver resolver_{
      loop_, {.servers = server_.address(), .server_timeout = absl::Milliseconds(50), .tries = 1}};
};

TEST_F(ResolverTest, FindsTheAddressesOfAName) {
  server_.Set("web.example", {"127.0.0.7", "127.0.0.8"});
  const Answer answer = Resolve("web.example");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->size(), 2u);
  EXPECT_NE(std::find(answer->begin(), answer->end(), "127.0.0.7"), answer->end());
}

TEST_F(ResolverTest, HonoursTheHostsFile) {
  const Answer answer = Resolve("localhost");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_NE(std::find(answer->begin(), answer->end(), "127.0.0.1"), answer->end());
  EXPECT_EQ(server_.questions("localhost"), 0);
}

TEST_F(ResolverTest, KeepsAnAnswerForItsTtl) {
  server_.Set("web.example", {"127.0.0.7"}, /*ttl=*/60);
  ASSERT_TRUE(Resolve("web.example").ok());
  ASSERT_TRUE(Resolve("WEB.example").ok());
  EXPECT_EQ(server_.questions("web.example"), 1);
}

TEST_F(ResolverTest, ThoseWhoAskForOneNameShareAQuery) {
  server_.Set("web.example", {"127.0.0.7"});
  int answers = 0;
  for (int i = 0; i < 5; ++i) {
    resolver_.Resolve("web.example", [&](const Answer& answer) {
      EXPECT_TRUE(answer.ok());
      if (++answers == 5) loop_.Stop();
    });
  }
  loop_.Run();
  EXPECT_EQ(server_.questions("web.example"), 1);
}

TEST_F(ResolverTest, ANameThatDoesNotExistIsNotFound) {
  const Answer answer = Resolve("no.example");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(answer.status().message(), "name 'no.example' does not exist");
}

TEST_F(ResolverTest, AnErrorIsNotKept) {
  EXPECT_FALSE(Resolve("web.example").ok());
  server_.Set("web.example", {"127.0.0.7"});
  EXPECT_TRUE(Resolve("web.example").ok());
}

TEST_F(ResolverTest, AServerThatNeverAnswersIsADeadlineExceeded) {
  server_.SetMode(TestNameServer::Mode::kSilent);
  EXPECT_EQ(Resolve("web.example").status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ResolverTest, AServerThatFailsIsAborted) {
  server_.SetMode(TestNameServer::Mode::kFail);
  EXPECT_EQ(Resolve("web.example").status().code(), absl::StatusCode::kAborted);
}

TEST_F(ResolverTest, NoServerThatCouldBeAskedIsUnavailable) {
  Resolver nobody(loop_, {.servers = absl::StrCat("127.0.0.1:", RefusingPort()), .tries = 1});
  absl::Status status;
  nobody.Resolve("web.example", [&](const Answer& answer) {
    status = answer.status();
    loop_.Stop();
  });
  loop_.Run();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
}

TEST_F(ResolverTest, WhoCancelledIsNotCalled) {
  server_.Set("web.example", {"127.0.0.7"});
  const ResolveId id = resolver_.Resolve("web.example", [](const Answer&) { FAIL(); });
  resolver_.Cancel(id);
  resolver_.Cancel(id);
  EXPECT_TRUE(Resolve("web.example").ok());
}

TEST_F(ResolverTest, OneWaiterMayCancelAnother) {
  server_.Set("web.example", {"127.0.0.7"});
  ResolveId second = ResolveId::kNone;
  resolver_.Resolve("web.example", [&](const Answer&) { resolver_.Cancel(second); });
  second = resolver_.Resolve("web.example", [](const Answer&) { FAIL(); });
  EXPECT_TRUE(Resolve("web.example").ok());
}

TEST_F(ResolverTest, RefusesTheNameAfterTheThousandth) {
  server_.SetMode(TestNameServer::Mode::kSilent);
  Resolver patient(loop_, {.servers = server_.address(), .server_timeout = absl::Hours(1)});
  for (int i = 0; i < 1000; ++i) {
    patient.Resolve(absl::StrCat("n", i, ".example"), [](const Answer&) { FAIL(); });
  }
  absl::Status status;
  patient.Resolve("n1000.example", [&](const Answer& answer) {
    status = answer.status();
    loop_.Stop();
  });
  loop_.Run();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ResolverTest, ItsEndIsSilent) {
  server_.SetMode(TestNameServer::Mode::kSilent);
  {
    Resolver resolver(loop_, {.servers = server_.address()});
    resolver.Resolve("web.example", [](const Answer&) { FAIL(); });
  }
  EXPECT_FALSE(Resolve("other.example").ok());
}

}  // namespace
}  // namespace salve

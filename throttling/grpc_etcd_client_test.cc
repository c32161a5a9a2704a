// The client, the coordinator and the shared text against a real etcd.
#include "throttling/grpc_etcd_client.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "probes/resolver.h"
#include "throttling/etcd_coordinator.h"
#include "throttling/etcd_shared_text.h"
#include "throttling/ledger_fixture.h"
#include "throttling/test_etcd.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class GrpcEtcdClientTest : public testing::Test {
 protected:
  std::unique_ptr<EtcdClient> Connect(GrpcEtcdOptions options = {}) {
    if (options.endpoints.empty()) options.endpoints = {etcd_.url()};
    return NewGrpcEtcdClient(std::move(options), loop_, http_).value();
  }
  template <typename Answer>
  Answer Wait(const std::function<void(std::function<void(Answer)>)>& ask) {
    std::optional<Answer> answer;
    ask([&answer](Answer got) { answer = std::move(got); });
    EXPECT_FALSE(answer.has_value()) << "answered inside the call";
    EXPECT_TRUE(etcd_.RunUntil([&] { return answer.has_value(); }));
    return answer.has_value() ? *std::move(answer) : Answer(absl::UnknownError("no answer"));
  }
  absl::StatusOr<EtcdTxn> Txn(EtcdClient& client, const etcdserverpb::TxnRequest& request,
                              absl::Duration time = absl::Seconds(10)) {
    return Wait<absl::StatusOr<EtcdTxn>>(
        [&](auto done) { client.Txn(request, loop_.Now() + time, done); });
  }
  static etcdserverpb::TxnRequest Put(const std::string& key, const std::string& value) {
    etcdserverpb::TxnRequest txn;
    txn.add_success()->mutable_request_put()->set_key(key);
    txn.mutable_success(0)->mutable_request_put()->set_value(value);
    txn.add_success()->mutable_request_range()->set_key(key);
    return txn;
  }

  const std::string folder_ = FreshFolder();
  UvLoop loop_;
  Resolver resolver_{loop_};
  HttpClient http_{loop_, resolver_};
  RealEtcd etcd_{loop_, folder_ + "/etcd"};
};

TEST_F(GrpcEtcdClientTest, ATransactionWritesAndReads) {
  auto client = Connect();
  const auto answer = Txn(*client, Put("/a", "1"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->response.succeeded());
  EXPECT_EQ(answer->response.responses(1).response_range().kvs(0).value(), "1");
  EXPECT_GT(answer->response.header().revision(), 1);
}

TEST_F(GrpcEtcdClientTest, ALeaseIsGrantedKeptAliveAndLapses) {
  auto client = Connect();
  const auto lease = Wait<absl::StatusOr<int64_t>>([&](auto done) {
    client->GrantLease(absl::Seconds(1), loop_.Now() + absl::Seconds(9), done);
  });
  ASSERT_TRUE(lease.ok()) << lease.status();
  const auto keep = [&](int64_t id) {
    return Wait<absl::Status>(
        [&](auto done) { client->KeepAlive(id, loop_.Now() + absl::Seconds(5), done); });
  };
  EXPECT_TRUE(keep(*lease).ok());
  EXPECT_EQ(keep(12345).code(), absl::StatusCode::kNotFound);
}

TEST_F(GrpcEtcdClientTest, ReadsItsTimeWithinASecond) {
  auto client = Connect();
  Txn(*client, Put("/a", "1")).IgnoreError();  // It is up.
  const auto time = Wait<absl::StatusOr<EtcdTime>>(
      [&](auto done) { client->ReadTime(loop_.Now() + absl::Seconds(5), done); });
  ASSERT_TRUE(time.ok()) << time.status();
  const absl::Time wall = loop_.clock().WallNow();
  EXPECT_LE(time->date, wall);
  EXPECT_GE(time->date, wall - absl::Seconds(6));
  EXPECT_LE(time->sent, time->received);
}

TEST_F(GrpcEtcdClientTest, AWatchTellsChangesAndEndsWithTheConnection) {
  auto client = Connect();
  auto before = Txn(*client, Put("/w/a", "1"));
  ASSERT_TRUE(before.ok());
  std::vector<std::string> seen;
  absl::Status end;
  client->Watch(
      "/w/", PrefixEnd("/w/"), before->response.header().revision(),
      [&](const etcdserverpb::WatchResponse& response) {
        for (const auto& event : response.events()) {
          seen.push_back(absl::StrCat(event.kv().key(), "=", event.kv().value()));
        }
      },
      [&](absl::Status status) { end = status; });
  Txn(*client, Put("/w/b", "2")).IgnoreError();
  Txn(*client, Put("/x", "3")).IgnoreError();
  EXPECT_TRUE(etcd_.RunUntil([&] { return !seen.empty(); }));
  EXPECT_THAT(seen, ElementsAre("/w/b=2"));
  etcd_.Kill();
  EXPECT_TRUE(etcd_.RunUntil([&] { return !end.ok(); }));
}

TEST_F(GrpcEtcdClientTest, AWatchOfCompactedRevisionsEnds) {
  auto client = Connect();
  auto first = Txn(*client, Put("/w/a", "1"));
  ASSERT_TRUE(first.ok());
  const auto last = Txn(*client, Put("/w/a", "2"));
  bool compacted = false;
  RealHost host(loop_);
  Command command;
  command.argv = {"etcdctl", "--endpoints=" + etcd_.url(), "compact",
                  absl::StrCat(last->response.header().revision())};
  command.environment = {"ETCDCTL_API=3"};
  ASSERT_TRUE(host.RunCommand(command, loop_.Now() + absl::Seconds(10),
                              [&](absl::StatusOr<CommandResult> result) {
                                EXPECT_EQ(result->exit_code, 0) << result->error_output;
                                compacted = true;
                              })
                  .ok());
  ASSERT_TRUE(etcd_.RunUntil([&] { return compacted; }));
  absl::Status end;
  client->Watch(
      "/w/", PrefixEnd("/w/"), 1, [](const etcdserverpb::WatchResponse&) {},
      [&](absl::Status status) { end = status; });
  EXPECT_TRUE(etcd_.RunUntil([&] { return !end.ok(); }));
}

TEST_F(GrpcEtcdClientTest, AnEndpointThatIsDownOrHangsIsPassedOver) {
  RealEtcd hung(loop_, folder_ + "/hung");
  GrpcEtcdOptions options;
  options.endpoints = {hung.url(), "http://localhost:1", etcd_.url()};
  auto client = Connect(options);
  ASSERT_TRUE(Txn(*client, Put("/a", "1")).ok());
  hung.Hang(true);
  auto fresh = Connect(options);
  const Instant begun = loop_.Now();
  const auto answer = Txn(*fresh, Put("/a", "2"), absl::Seconds(2));
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer.ok() && answer->repeated);
  EXPECT_LT(loop_.Now() - begun, absl::Seconds(2));
  hung.Hang(false);
}

TEST_F(GrpcEtcdClientTest, WithoutEtcdACallEndsAtItsDeadlineAndItIsFoundAgainAtOnce) {
  auto client = Connect();
  ASSERT_TRUE(Txn(*client, Put("/a", "1")).ok());
  etcd_.Kill();
  Instant begun = loop_.Now();
  EXPECT_EQ(Txn(*client, Put("/a", "2"), absl::Seconds(2)).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_LT(loop_.Now() - begun, absl::Milliseconds(2300));
  etcd_.Start();
  begun = loop_.Now();
  EXPECT_TRUE(Txn(*client, Put("/a", "3"), absl::Seconds(15)).ok());
  EXPECT_LT(loop_.Now() - begun, absl::Seconds(10));
}

TEST_F(GrpcEtcdClientTest, AClientThatEndsDropsWhatIsUnderWay) {
  auto client = Connect();
  ASSERT_TRUE(Txn(*client, Put("/a", "1")).ok());
  etcd_.Hang(true);
  bool answered = false;
  client->Txn(Put("/a", "2"), loop_.Now() + absl::Seconds(30),
              [&](const absl::StatusOr<EtcdTxn>&) { answered = true; });
  client->Watch(
      "/w", "", 0, [](const etcdserverpb::WatchResponse&) {},
      [&](absl::Status) { answered = true; });
  etcd_.RunUntil([] { return false; }, absl::Milliseconds(100));
  client.reset();
  etcd_.Hang(false);
  etcd_.RunUntil([] { return false; }, absl::Milliseconds(100));
  EXPECT_FALSE(answered);
}

TEST_F(GrpcEtcdClientTest, WithUserAndPasswordOnlyWhoKnowsThemIsAnswered) {
  RealHost host(loop_);
  const auto etcdctl = [&](std::vector<std::string> arguments) {
    Command command;
    command.argv = {"etcdctl", "--endpoints=" + etcd_.url()};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.environment = {"ETCDCTL_API=3"};
    bool done = false;
    ASSERT_TRUE(host.RunCommand(command, loop_.Now() + absl::Seconds(10),
                                [&](absl::StatusOr<CommandResult> result) {
                                  EXPECT_EQ(result->exit_code, 0) << result->error_output;
                                  done = true;
                                })
                    .ok());
    ASSERT_TRUE(etcd_.RunUntil([&] { return done; }));
  };
  auto stranger = Connect();
  ASSERT_TRUE(Txn(*stranger, Put("/a", "1")).ok());
  etcdctl({"user", "add", "root:secret"});
  etcdctl({"auth", "enable"});
  EXPECT_FALSE(Txn(*stranger, Put("/a", "2"), absl::Seconds(1)).ok());
  GrpcEtcdOptions options;
  options.user = "root";
  options.password_file = folder_ + "/password";
  std::ofstream(options.password_file) << "secret\n";
  auto known = Connect(options);
  const auto answer = Txn(*known, Put("/a", "3"));
  EXPECT_TRUE(answer.ok()) << answer.status();
  std::ofstream(options.password_file) << "wrong\n";
  auto wrong = Connect(options);
  EXPECT_FALSE(Txn(*wrong, Put("/a", "4"), absl::Seconds(2)).ok());
  options.password_file = folder_ + "/none";
  auto without = Connect(options);
  EXPECT_EQ(Txn(*without, Put("/a", "4")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(GrpcEtcdClientTest, AWholeGroupOfTwoOnARealEtcd) {
  auto client_a = Connect(), client_b = Connect();
  InlineWorker worker;
  RandomSource random = SystemRandom();
  const auto open = [&](const std::string& name) {
    LedgerOptions options;
    options.path = folder_ + "/" + name + ".db";
    options.boot_id = "boot";
    options.server = name;
    return Ledger::Open(options, loop_, worker).value();
  };
  auto ledger_a = open("a"), ledger_b = open("b");
  const auto join = [&](const std::string& name, EtcdClient& client, const Ledger& ledger) {
    EtcdCoordinatorOptions options;
    options.group = "web";
    options.server = name;
    options.machine_id = name;
    return NewEtcdCoordinator(options, loop_, client, ledger, random);
  };
  auto a = join("a", *client_a, *ledger_a), b = join("b", *client_b, *ledger_b);
  std::vector<std::string> freed;
  b->OnFreed([&](RecoveryAction, const std::string& resource, absl::Duration) {
    freed.push_back(resource);
  });
  const auto reserve = [&](Coordinator& coordinator, Ledger& ledger, int day) {
    std::optional<GroupVerdict> verdict;
    const Attempt attempt =
        ledger.NewAttempt(RecoveryAction::kRestartService, "nginx.service", "R", absl::Minutes(2));
    coordinator.Reserve({attempt, {true, -1, -1, -1, -1, day}},
                        [&](GroupVerdict got) { verdict = std::move(got); });
    EXPECT_TRUE(etcd_.RunUntil([&] { return verdict.has_value(); }));
    return std::pair(attempt, *verdict);
  };
  // etcd needs a moment to come up; until then the group is not available.
  for (auto* side : {&a, &b}) {
    Ledger& ledger = side == &a ? *ledger_a : *ledger_b;
    for (int i = 0; i < 20 && reserve(**side, ledger, 0).second.failed[0] != Check::kGroupMaxInDay;
         ++i) {
      etcd_.RunUntil([] { return false; }, absl::Milliseconds(200));
    }
  }
  const auto [attempt, allowed] = reserve(*a, *ledger_a, 1);
  EXPECT_TRUE(allowed.passed) << allowed.xml;
  const GroupVerdict refused = reserve(*b, *ledger_b, 1).second;
  EXPECT_THAT(refused.failed, ElementsAre(Check::kGroupMaxInDay, Check::kGroupRecoveryInProgress));
  EXPECT_THAT(refused.xml, HasSubstr("Server=\"a\""));
  ledger_a->Begin(attempt, [](absl::Status) {});
  ledger_a->Finish(attempt.id, AttemptResult::kSucceeded, [](absl::Status) {});
  etcd_.RunUntil([&, id = attempt.id] {
    const Attempt* found = ledger_a->Find(id);
    return found != nullptr && found->state == AttemptState::kFinished;
  });
  a->Release(*ledger_a->Find(attempt.id));
  EXPECT_TRUE(etcd_.RunUntil([&] { return !freed.empty(); }));
  EXPECT_THAT(reserve(*b, *ledger_b, 1).second.failed, ElementsAre(Check::kGroupMaxInDay));
  EXPECT_TRUE(reserve(*b, *ledger_b, 2).second.passed);

  std::vector<std::string> told_a, told_b;
  auto text_a = NewEtcdSharedText("/salve/overrides", loop_, *client_a);
  auto text_b = NewEtcdSharedText("/salve/overrides", loop_, *client_b);
  text_a->Watch([&](const std::string& text) { told_a.push_back(text); });
  text_b->Watch([&](const std::string& text) { told_b.push_back(text); });
  ASSERT_TRUE(etcd_.RunUntil([&] { return told_a.size() == 1 && told_b.size() == 1; }));
  absl::Status replaced = absl::UnknownError("");
  text_a->Replace("", "<MonitoringOverrides />", [&](absl::Status got) { replaced = got; });
  EXPECT_TRUE(etcd_.RunUntil([&] { return told_a.size() == 2 && told_b.size() == 2; }));
  EXPECT_TRUE(replaced.ok()) << replaced;
  // Across an outage in which it changed.
  etcd_.Kill();
  etcd_.Start();
  for (int i = 0; i < 10 && told_b.back() != "2"; ++i) {  // It takes a while to come up.
    std::optional<absl::Status> answer;
    text_a->Replace("<MonitoringOverrides />", "2", [&](absl::Status got) { answer = got; });
    ASSERT_TRUE(etcd_.RunUntil([&] { return answer.has_value(); }));
    if (answer->ok()) break;
  }
  EXPECT_TRUE(etcd_.RunUntil([&] { return told_b.back() == "2"; }, absl::Seconds(40)));
}

}  // namespace
}  // namespace salve

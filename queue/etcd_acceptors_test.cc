#include "queue/etcd_acceptors.h"

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/simulated_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "throttling/fake_etcd.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kPrefix[] = "/salve/groups/web/acceptors/";

class EtcdAcceptorsTest : public testing::Test {
 protected:
  // One server of the group.
  struct Server {
    Server(EventLoop& loop, FakeEtcd& etcd, const std::string& name)
        : client(loop, etcd),
          acceptors(NewEtcdAcceptors({.group = "web", .server = name}, loop, client)) {
      acceptors->Watch([this] { ++changes; });
    }
    FakeEtcdClient client;
    int changes = 0;
    std::unique_ptr<Acceptors> acceptors;
  };

  std::string Value(const std::string& server) const {
    const auto found = etcd_.kvs().find(kPrefix + server);
    return found == etcd_.kvs().end() ? "" : found->second.value();
  }
  void Write(const std::string& server, const std::string& value) {
    etcdserverpb::TxnRequest txn;
    auto& put = *txn.add_success()->mutable_request_put();
    put.set_key(kPrefix + server);
    put.set_value(value);
    etcd_.Apply(txn);
  }
  void Delete(const std::string& server) {
    etcdserverpb::TxnRequest txn;
    txn.add_success()->mutable_request_delete_range()->set_key(kPrefix + server);
    etcd_.Apply(txn);
  }
  void Pass(absl::Duration time) { loop_.RunFor(time); }

  SimulatedLoop loop_;
  FakeEtcd etcd_{loop_};
  Server one_{loop_, etcd_, "web-1"};
  Server two_{loop_, etcd_, "web-2"};
};

TEST_F(EtcdAcceptorsTest, NobodyAcceptsUntilSomebodySaysSo) {
  Pass(absl::Minutes(5));
  EXPECT_THAT(one_.acceptors->List(), IsEmpty());
  EXPECT_EQ(one_.acceptors->Source(), "etcd");
  EXPECT_EQ(one_.changes, 0);
  EXPECT_THAT(etcd_.kvs(), IsEmpty());
}

TEST_F(EtcdAcceptorsTest, AnOfferIsSeenByTheOthersAndNotByItself) {
  Pass(absl::Seconds(1));
  two_.acceptors->Offer("web-2:7443");
  Pass(absl::Seconds(1));
  EXPECT_THAT(one_.acceptors->List(), ElementsAre(Acceptor{"web-2", "web-2:7443"}));
  EXPECT_EQ(one_.changes, 1);
  EXPECT_THAT(two_.acceptors->List(), IsEmpty());
  EXPECT_EQ(two_.changes, 0);
  EXPECT_EQ(Value("web-2"), R"({"address":"web-2:7443"})");
}

TEST_F(EtcdAcceptorsTest, WhoComesLaterReadsWhatIsThereSorted) {
  two_.acceptors->Offer("web-2:7443");
  one_.acceptors->Offer("web-1:7443");
  Pass(absl::Seconds(1));
  const Server three(loop_, etcd_, "web-3");
  Pass(absl::Seconds(1));
  EXPECT_THAT(three.acceptors->List(),
              ElementsAre(Acceptor{"web-1", "web-1:7443"}, Acceptor{"web-2", "web-2:7443"}));
}

TEST_F(EtcdAcceptorsTest, AnOfferIsKeptAliveChangedAndWithdrawn) {
  two_.acceptors->Offer("a:1");
  Pass(absl::Hours(1));
  EXPECT_THAT(one_.acceptors->List(), ElementsAre(Acceptor{"web-2", "a:1"}));
  two_.acceptors->Offer("b:2");
  Pass(absl::Seconds(1));
  EXPECT_THAT(one_.acceptors->List(), ElementsAre(Acceptor{"web-2", "b:2"}));
  two_.acceptors->Offer("");
  Pass(absl::Seconds(1));
  EXPECT_THAT(one_.acceptors->List(), IsEmpty());
  const int keep_alives = etcd_.keep_alives;
  Pass(absl::Minutes(5));
  EXPECT_EQ(etcd_.keep_alives, keep_alives) << "nothing is kept alive any more";
  EXPECT_EQ(one_.changes, 3);
}

TEST_F(EtcdAcceptorsTest, AnAgentThatDiesIsGoneWhenItsLeaseLapses) {
  two_.acceptors->Offer("web-2:7443");
  Pass(absl::Seconds(1));
  two_.acceptors.reset();
  Pass(absl::Seconds(30));
  EXPECT_EQ(one_.acceptors->List().size(), 1u);
  Pass(kAcceptorLease);
  EXPECT_THAT(one_.acceptors->List(), IsEmpty());
}

TEST_F(EtcdAcceptorsTest, AnOfferOfAnEarlierLifeIsWithdrawnAtOnce) {
  Write("web-2", R"({"address":"web-2:7443"})");
  two_.acceptors->Offer("");
  Pass(absl::Seconds(1));
  EXPECT_EQ(Value("web-2"), "");
}

TEST_F(EtcdAcceptorsTest, TheLastKnownServeWhileEtcdIsAway) {
  two_.acceptors->Offer("web-2:7443");
  Pass(absl::Seconds(1));
  etcd_.down = true;
  one_.client.BreakWatches();
  Pass(absl::Minutes(5));
  EXPECT_THAT(one_.acceptors->List(), ElementsAre(Acceptor{"web-2", "web-2:7443"}));
  EXPECT_EQ(one_.acceptors->Source(), "etcd (not answering: the last known)");
  etcd_.down = false;
  Pass(absl::Minutes(1));
  EXPECT_EQ(one_.acceptors->Source(), "etcd");
  EXPECT_THAT(one_.acceptors->List(), ElementsAre(Acceptor{"web-2", "web-2:7443"}))
      << "offered anew after the lease lapsed";
  EXPECT_EQ(one_.client.open_watches(), 1u);
}

TEST_F(EtcdAcceptorsTest, WithoutAnAnswerEverThereIsNone) {
  etcd_.down = true;
  const Server three(loop_, etcd_, "web-3");
  Pass(absl::Minutes(1));
  EXPECT_THAT(three.acceptors->List(), IsEmpty());
  EXPECT_EQ(three.acceptors->Source(), "etcd (not answering)");
}

TEST_F(EtcdAcceptorsTest, AChangeThatTheWatchMissedIsReadAfterwards) {
  Pass(absl::Seconds(1));
  one_.client.cut = true;
  two_.acceptors->Offer("web-2:7443");
  Pass(absl::Seconds(1));
  EXPECT_THAT(one_.acceptors->List(), IsEmpty());
  one_.client.cut = false;
  one_.client.BreakWatches();
  Pass(absl::Seconds(1));
  EXPECT_EQ(one_.acceptors->List().size(), 1u);
}

TEST_F(EtcdAcceptorsTest, AnOfferSurvivesAShortOutage) {
  two_.acceptors->Offer("web-2:7443");
  Pass(absl::Seconds(21));  // The first sign of life was given at 20 s.
  two_.client.cut = true;
  Pass(absl::Seconds(45));
  two_.client.cut = false;
  Pass(absl::Seconds(12));
  EXPECT_EQ(one_.changes, 1) << "never gone";
  EXPECT_EQ(one_.acceptors->List().size(), 1u);
}

TEST_F(EtcdAcceptorsTest, AnOfferIsMadeAnewWhenItsLeaseIsGone) {
  two_.acceptors->Offer("web-2:7443");
  Pass(absl::Seconds(1));
  etcd_.RevokeAllLeases();
  Pass(absl::Seconds(30));
  EXPECT_THAT(one_.acceptors->List(), ElementsAre(Acceptor{"web-2", "web-2:7443"}));
}

TEST_F(EtcdAcceptorsTest, WhoeverChangesItsKeyDoesNotHaveTheLastWord) {
  two_.acceptors->Offer("web-2:7443");
  Pass(absl::Seconds(1));
  Write("web-2", R"({"address":"old:1"})");  // As a copy that comes late does.
  Pass(absl::Seconds(15));
  EXPECT_EQ(Value("web-2"), R"({"address":"web-2:7443"})");
  Delete("web-2");
  Pass(absl::Seconds(15));
  EXPECT_EQ(Value("web-2"), R"({"address":"web-2:7443"})");
}

TEST_F(EtcdAcceptorsTest, ABugAKeyThatWasRemovedDuringACallStayedRemoved) {
  two_.client.latency = absl::Seconds(1);
  two_.acceptors->Offer("web-2:7443");
  Pass(absl::Seconds(10));
  for (int i = 0; i < 60; ++i) {  // At all moments between two signs of life.
    Delete("web-2");
    Pass(absl::Seconds(47) + i * absl::Milliseconds(400));
    ASSERT_EQ(Value("web-2"), R"({"address":"web-2:7443"})") << i;
  }
}

// A cloned image must not make etcd write without end.
TEST_F(EtcdAcceptorsTest, TwoOfOneNameTakeTurnsSlowly) {
  const Server clone(loop_, etcd_, "web-2");
  two_.acceptors->Offer("a:1");
  clone.acceptors->Offer("b:1");
  Pass(absl::Minutes(10));
  EXPECT_LE(etcd_.transactions, 130);
}

TEST_F(EtcdAcceptorsTest, LostAnswersAndRequestsDoNotMatter) {
  two_.client.lose_answers = 1;
  two_.client.lose_requests = 2;
  two_.acceptors->Offer("web-2:7443");
  Pass(absl::Seconds(10));
  two_.client.late_requests = 1;
  two_.acceptors->Offer("b:1");
  Pass(absl::Seconds(30));
  EXPECT_THAT(one_.acceptors->List(), ElementsAre(Acceptor{"web-2", "b:1"}));
}

TEST_F(EtcdAcceptorsTest, WhatCannotBeReadIsPassedOver) {
  Pass(absl::Seconds(1));
  Write("web-3", R"({"address":"web-3:1"})");
  Write("web-4", "storm");
  Write("web%2F5", R"({"address":"web-5:1"})");
  Pass(absl::Seconds(1));
  EXPECT_THAT(one_.acceptors->List(), ElementsAre(Acceptor{"web-3", "web-3:1"}));
  Write("web-3", "storm");
  Pass(absl::Seconds(1));
  EXPECT_THAT(one_.acceptors->List(), IsEmpty());
}

TEST_F(EtcdAcceptorsTest, ListsNoMoreThanItsBound) {
  for (int i = 0; i < kAcceptorsListedMax + 1; ++i) {
    Write(absl::StrCat("a", 10'000 + i), R"({"address":"a:1"})");
  }
  const Server three(loop_, etcd_, "web-3");
  Pass(absl::Seconds(1));
  EXPECT_EQ(three.acceptors->List().size(), kAcceptorsListedMax);
  EXPECT_EQ(three.acceptors->List().back().server, "a10999");
  Delete("a10000");
  Pass(absl::Seconds(2));
  EXPECT_EQ(three.acceptors->List().size(), kAcceptorsListedMax);
  EXPECT_EQ(three.acceptors->List().back().server, "a11000");
}

TEST_F(EtcdAcceptorsTest, ItsEndWithdrawsFromTheLoop) {
  two_.acceptors->Offer("web-2:7443");
  two_.acceptors.reset();
  one_.acceptors.reset();
  Pass(absl::Minutes(5));
  EXPECT_EQ(one_.client.open_watches(), 0u);
}

}  // namespace
}  // namespace salve

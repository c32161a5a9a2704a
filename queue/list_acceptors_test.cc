#include "queue/list_acceptors.h"

#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct FakeAcceptors final : Acceptors {
  std::vector<Acceptor> List() const override { return {{"etcd-1", "etcd-1:7443"}}; }
  std::string Source() const override { return "etcd"; }
  void Watch(std::function<void()> changed) override { change = std::move(changed); }
  void Offer(const std::string& address) override { offered = address; }
  std::function<void()> change;
  std::string offered;
};

config::Queue QueueOf(const std::vector<std::string>& servers) {
  config::Queue queue;
  for (const std::string& server : servers) {
    auto& acceptor = *queue.add_acceptor();
    acceptor.set_server(server);
    acceptor.set_address(server + ":7443");
  }
  return queue;
}

TEST(ListAcceptorsTest, ListsTheConfiguredOnesSortedAndNeverItself) {
  ListAcceptors acceptors("web-2", nullptr);
  acceptors.Configure(QueueOf({"web-3", "Web-2", "web-1"}));
  EXPECT_THAT(acceptors.List(),
              ElementsAre(Acceptor{"web-1", "web-1:7443"}, Acceptor{"web-3", "web-3:7443"}));
  EXPECT_EQ(acceptors.Source(), "list");
}

TEST(ListAcceptorsTest, WithoutAnythingThereIsNone) {
  ListAcceptors acceptors("web-1", nullptr);
  acceptors.Configure({});
  acceptors.Watch([] {});
  acceptors.Offer("web-1:7443");
  EXPECT_THAT(acceptors.List(), IsEmpty());
  EXPECT_EQ(acceptors.Source(), "none");
}

TEST(ListAcceptorsTest, AListThatNamesOnlyThisOneIsNone) {
  ListAcceptors acceptors("web-1", std::make_unique<FakeAcceptors>());
  acceptors.Configure(QueueOf({"web-1"}));
  EXPECT_THAT(acceptors.List(), IsEmpty());
  EXPECT_EQ(acceptors.Source(), "list");
}

TEST(ListAcceptorsTest, AnEmptyListIsTheOthers) {
  auto others = std::make_unique<FakeAcceptors>();
  FakeAcceptors& etcd = *others;
  ListAcceptors acceptors("web-1", std::move(others));
  int changes = 0;
  acceptors.Watch([&] { ++changes; });
  acceptors.Configure({});
  EXPECT_EQ(acceptors.List()[0].server, "etcd-1");
  EXPECT_EQ(acceptors.Source(), "etcd");
  EXPECT_EQ(changes, 0);
  etcd.change();
  EXPECT_EQ(changes, 1);

  acceptors.Configure(QueueOf({"web-2"}));
  EXPECT_EQ(acceptors.List()[0].server, "web-2");
  EXPECT_EQ(changes, 2);
  etcd.change();
  EXPECT_EQ(changes, 2) << "theirs do not matter while there is a list";
  acceptors.Configure(QueueOf({"web-2"}));
  EXPECT_EQ(changes, 2) << "nothing changed";
}

TEST(ListAcceptorsTest, OffersToTheOthersAllTheSame) {
  auto others = std::make_unique<FakeAcceptors>();
  FakeAcceptors& etcd = *others;
  ListAcceptors acceptors("web-1", std::move(others));
  acceptors.Configure(QueueOf({"web-2"}));
  acceptors.Offer("web-1:7443");
  EXPECT_EQ(etcd.offered, "web-1:7443");
}

}  // namespace
}  // namespace salve

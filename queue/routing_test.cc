#include "queue/routing.h"

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

QueueRules RulesFrom(const std::string& text) {
  AgentDefinition agent;
  agent.server = "web-1";
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &agent.config)) << text;
  return RulesOf(agent);
}

TEST(RoutingTest, ThisServerIsKnownByItsNamesAndItsPort) {
  for (const char* address : {"web-1:7443", "WEB-1:7443", "localhost:7443", "127.0.0.1:7443",
                              "[::1]:7443", "10.0.0.1:7443", "queue.example:9000"}) {
    const QueueRules rules = RulesFrom(std::string(R"pb(
                                         remote { listen: "10.0.0.1:7443" }
                                         queue { accept_address: "queue.example:9000" }
                                         destination { name: "d"
                                                       forward { address: ")pb") +
                                       address + "\" } }");
    EXPECT_EQ(rules.destinations.at("d"), DestinationKind::kThisServer) << address;
  }
  for (const char* address : {"web-1:7444", "web-2:7443", "10.0.0.2:7443"}) {
    const QueueRules rules = RulesFrom(std::string(R"pb(
                                         remote { listen: "10.0.0.1:7443" }
                                         destination { name: "d"
                                                       forward { address: ")pb") +
                                       address + "\" } }");
    EXPECT_EQ(rules.destinations.at("d"), DestinationKind::kForward) << address;
  }
}

TEST(RoutingTest, TheAddressForOthersIsItsNameAndPortUnlessSaid) {
  EXPECT_EQ(RulesFrom("").accept_address, "");
  EXPECT_EQ(RulesFrom(R"pb(remote { listen: "0.0.0.0:7443" })pb").accept_address, "web-1:7443");
  EXPECT_EQ(RulesFrom(R"pb(queue { accept_address: "q:1" })pb").accept_address, "q:1");
}

TEST(RoutingTest, DefaultsAreTheConfigurations) {
  const QueueRules rules = RulesFrom("");
  EXPECT_EQ(rules.expire, absl::Hours(48));
  EXPECT_EQ(rules.expire_deferred, absl::Hours(24));
  EXPECT_EQ(rules.late_after, absl::Hours(4));
  EXPECT_EQ(rules.deliveries_max, 10);
  EXPECT_EQ(rules.messages_max, 1'000'000);
  EXPECT_EQ(rules.dead_max, 100'000);
}

TEST(RoutingTest, OneHopOnly) {
  QueueRules rules = RulesFrom(R"pb(queue { queue_processing: REMOTELY }
                                    destination {
                                      name: "d"
                                      smtp { url: "smtp://m" }
                                    })pb");
  rules.acceptors = {"b", "c"};
  queue::Message message;
  message.set_type(queue::AF);
  message.set_destination("d");
  EXPECT_EQ(RouteOf(message, rules).queue, "relay/b");
  EXPECT_TRUE(MayStayIn(message, "relay/c", rules));
  EXPECT_FALSE(MayStayIn(message, "relay/x", rules));
  message.set_handed_to("c");
  EXPECT_EQ(RouteOf(message, rules).queue, "relay/c");
  message.set_handed_to("gone");
  EXPECT_EQ(RouteOf(message, rules).queue, "remote/d");
  message.clear_handed_to();
  message.set_hops(1);
  EXPECT_EQ(RouteOf(message, rules).queue, "remote/d");
  EXPECT_FALSE(MayStayIn(message, "relay/b", rules));
}

}  // namespace
}  // namespace salve

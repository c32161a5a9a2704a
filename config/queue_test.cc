#include "config/queue.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(ParseHostPortTest, TakesNamesAndAddresses) {
  EXPECT_EQ(ParseHostPort("b.example:7443")->host, "b.example");
  EXPECT_EQ(ParseHostPort("b.example:7443")->port, 7443);
  EXPECT_EQ(ParseHostPort("[fe80::1]:1")->host, "fe80::1");
  EXPECT_EQ(ParseHostPort("10.0.0.1:65535")->port, 65535);
}

TEST(ParseHostPortTest, RefusesWhatHasNoPortOrNoHost) {
  for (const char* text : {"", "b", "b:", ":1", "b:0", "b:65536", "b:+1", "b:1x", "fe80::1:1",
                           "[b]:1", "[]:1", "b c:1", "http://b:1"}) {
    EXPECT_FALSE(ParseHostPort(text).ok()) << text;
  }
  EXPECT_EQ(ParseHostPort("b").status().message(),
            "'b' is no address: write HOST:PORT, or [ADDRESS]:PORT of IPv6");
}

TEST(RetryWaitTest, TheDefaultIsFourMinutesThenSixOfFiveThenTenForEver) {
  const config::Queue queue;
  EXPECT_EQ(RetryWait(queue, 1), absl::Minutes(1));
  EXPECT_EQ(RetryWait(queue, 4), absl::Minutes(1));
  EXPECT_EQ(RetryWait(queue, 5), absl::Minutes(5));
  EXPECT_EQ(RetryWait(queue, 10), absl::Minutes(5));
  EXPECT_EQ(RetryWait(queue, 11), absl::Minutes(10));
  EXPECT_EQ(RetryWait(queue, 100000), absl::Minutes(10));
}

TEST(RetryWaitTest, TheLastStepThatIsWrittenGoesOn) {
  config::Queue queue;
  config::Retry* first = queue.add_retry();
  first->set_times(2);
  first->set_every("1s");
  queue.add_retry()->set_every("7s");
  EXPECT_EQ(RetryWait(queue, 2), absl::Seconds(1));
  EXPECT_EQ(RetryWait(queue, 3), absl::Seconds(7));
  EXPECT_EQ(RetryWait(queue, 9), absl::Seconds(7));
}

TEST(DeliveriesMaxTest, AWrittenZeroIsWithoutEnd) {
  config::Queue queue;
  EXPECT_EQ(DeliveriesMax(queue), 10);
  queue.set_deliveries_max(0);
  EXPECT_EQ(DeliveriesMax(queue), 0);
  queue.set_deliveries_max(3);
  EXPECT_EQ(DeliveriesMax(queue), 3);
}

TEST(WithFilesOfTest, WhatIsNotNamedIsTheRemotes) {
  config::Remote remote;
  remote.set_certificate_file("/r.pem");
  remote.set_key_file("/r.key");
  remote.set_client_ca_file("/ca.pem");
  config::Forward forward;
  forward.set_address("b.example:7443");
  const config::Forward all = WithFilesOf(remote, forward);
  EXPECT_EQ(all.certificate_file(), "/r.pem");
  EXPECT_EQ(all.key_file(), "/r.key");
  EXPECT_EQ(all.ca_file(), "/ca.pem");
  EXPECT_EQ(all.server_name(), "b.example");
}

TEST(WithFilesOfTest, WhatIsNamedStaysAndAKeyGoesWithItsCertificate) {
  config::Remote remote;
  remote.set_certificate_file("/r.pem");
  remote.set_key_file("/r.key");
  config::Forward forward;
  forward.set_certificate_file("/f.pem");
  forward.set_key_file("/f.key");
  forward.set_server_name("b");
  const config::Forward all = WithFilesOf(remote, forward);
  EXPECT_EQ(all.certificate_file(), "/f.pem");
  EXPECT_EQ(all.key_file(), "/f.key");
  EXPECT_EQ(all.server_name(), "b");
}

}  // namespace
}  // namespace salve

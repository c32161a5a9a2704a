#include "queue/acceptor_record.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr char kKey[] = "/salve/groups/web/acceptors/web-1";

absl::StatusCode Refusal(absl::string_view value, absl::string_view key = kKey) {
  return ParseAcceptorRecord(key, value).status().code();
}

TEST(AcceptorRecordTest, IsReadAsItWasWritten) {
  for (const char* address :
       {"web-1:7443", "web-1.example.org:1", "10.0.0.1:65535", "[::1]:7443"}) {
    const absl::StatusOr<Acceptor> read = ParseAcceptorRecord(kKey, AcceptorRecord(address));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, (Acceptor{"web-1", address}));
  }
}

TEST(AcceptorRecordTest, WhatANewerAgentSaysMoreIsPassedOver) {
  EXPECT_EQ(ParseAcceptorRecord(kKey, R"({"weight": [1, {}], "address": "a:1"})")->address, "a:1");
}

TEST(AcceptorRecordTest, WhatIsNoRecordIsRefused) {
  EXPECT_EQ(Refusal(""), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Refusal("[]"), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Refusal("{}"), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Refusal(R"({"address": 7})"), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Refusal(R"({"address": "a"})"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal(R"({"address": "a b:1"})"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal(AcceptorRecord("a:1"), "/salve/groups/web/acceptors/"),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal(AcceptorRecord("a:1"), "/salve/groups/web/acceptors/a%2Fb"),
            absl::StatusCode::kInvalidArgument);
}

TEST(AcceptorRecordTest, HasABound) {
  std::string value = AcceptorRecord("a:1");
  value.resize(kAcceptorRecordBytesMax, ' ');
  EXPECT_EQ(Refusal(value), absl::StatusCode::kOk);
  EXPECT_EQ(Refusal(value + " "), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace salve

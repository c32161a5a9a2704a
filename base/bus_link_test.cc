#include "base/bus_link.h"

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "base/fake_systemd.h"
#include "base/simulated_loop.h"
#include "base/uv_loop.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr BusCall kCall = {"org.freedesktop.systemd1", "/p", "i.i", "Member"};

// The link lives on a simulated loop, so nothing ever reaches it from the other end.
class BusLinkTest : public testing::Test {
 protected:
  BusLinkTest() {
    link_ = *BusLink::Open(loop_, systemd_.address(), [this] { lost_ = true; });
  }
  ~BusLinkTest() override { std::filesystem::remove_all(folder_); }
  BusReply Note() {
    return [this](const absl::StatusOr<sd_bus_message*>& reply) { code_ = reply.status().code(); };
  }

  char name_[32] = "/tmp/salve-link-XXXXXX";
  const std::string folder_ = mkdtemp(name_);
  UvLoop deaf_;
  FakeSystemd systemd_{deaf_, folder_ + "/systemd", /*is_message_bus=*/false};
  SimulatedLoop loop_;
  std::unique_ptr<BusLink> link_;
  std::optional<absl::StatusCode> code_;
  bool lost_ = false;
};

TEST_F(BusLinkTest, TakesACallAsUnansweredAfterFiveSecondsAndNotBefore) {
  link_->Call(kCall, Note());
  loop_.RunFor(absl::Seconds(5) - absl::Nanoseconds(1));
  EXPECT_FALSE(code_.has_value());
  loop_.RunFor(absl::Nanoseconds(1));
  EXPECT_EQ(code_, absl::StatusCode::kUnavailable);
  EXPECT_FALSE(lost_);
}

TEST_F(BusLinkTest, WaitsForEverWhereTheCallerSaysSo) {
  BusCall call = kCall;
  call.timeout = absl::InfiniteDuration();
  link_->Call(call, Note());
  loop_.RunFor(absl::Hours(1000));
  EXPECT_FALSE(code_.has_value());
}

TEST_F(BusLinkTest, FailsACallThatCannotBeSentAfterTheCall) {
  link_->Call({"org.freedesktop.systemd1", "no path", "i.i", "Member"}, Note());
  EXPECT_FALSE(code_.has_value());
  loop_.RunPending();
  EXPECT_EQ(code_, absl::StatusCode::kUnavailable);
}

TEST_F(BusLinkTest, DropsItsCallsWhenItEnds) {
  link_->Call(kCall, Note());
  link_.reset();
  loop_.RunFor(absl::Seconds(10));
  EXPECT_FALSE(code_.has_value());
}

TEST_F(BusLinkTest, CannotOpenWhereNobodyListens) {
  EXPECT_EQ(BusLink::Open(loop_, {"unix:path=/no/such/bus"}, [] {}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(BusLink::Open(loop_, {"nonsense"}, [] {}).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace salve

#include "throttling/etcd_shared_text.h"

#include "base/simulated_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "throttling/fake_etcd.h"

namespace salve {
namespace {

using testing::ElementsAre;

class EtcdSharedTextTest : public testing::Test {
 protected:
  EtcdSharedTextTest() { Watch(); }
  void Watch() {
    text_->Watch([this](const std::string& text) { told_.push_back(text); });
    Pass();
  }
  void Pass(absl::Duration d = absl::Milliseconds(50)) { loop_.RunFor(d); }
  absl::Status Replace(SharedText& text, const std::string& from, const std::string& to) {
    absl::Status status = absl::UnknownError("not answered");
    text.Replace(from, to, [&](absl::Status got) { status = std::move(got); });
    Pass(absl::Seconds(3));
    return status;
  }

  SimulatedLoop loop_;
  FakeEtcd etcd_{loop_};
  FakeEtcdClient client_{loop_, etcd_}, other_client_{loop_, etcd_};
  std::unique_ptr<SharedText> text_ = NewEtcdSharedText("/salve/overrides", loop_, client_);
  std::unique_ptr<SharedText> other_ = NewEtcdSharedText("/salve/overrides", loop_, other_client_);
  std::vector<std::string> told_;
};

TEST_F(EtcdSharedTextTest, TellsWhatIsThereAndEachChangeOfAnyServer) {
  EXPECT_TRUE(Replace(*other_, "", "one").ok());
  EXPECT_TRUE(Replace(*text_, "one", "two").ok());
  EXPECT_TRUE(Replace(*text_, "two", "").ok());
  EXPECT_THAT(told_, ElementsAre("", "one", "two", ""));
  EXPECT_TRUE(etcd_.kvs().empty());
}

TEST_F(EtcdSharedTextTest, OfTwoWhoReplaceTheSameTextOneIsToldToLookAgain) {
  EXPECT_TRUE(Replace(*text_, "", "one").ok());
  EXPECT_EQ(Replace(*other_, "", "two").code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Replace(*other_, "zero", "two").code(), absl::StatusCode::kAborted);
  EXPECT_THAT(told_, ElementsAre("", "one"));
}

TEST_F(EtcdSharedTextTest, ALostAnswerIsNoConflict) {
  client_.lose_answers = 1;
  EXPECT_TRUE(Replace(*text_, "", "one").ok());
  EXPECT_THAT(told_, ElementsAre("", "one"));
}

TEST_F(EtcdSharedTextTest, AWatchThatBrokeOrMissedRevisionsReadsAnew) {
  client_.cut = true;
  EXPECT_TRUE(Replace(*other_, "", "one").ok());
  EXPECT_TRUE(Replace(*other_, "one", "two").ok());
  EXPECT_THAT(told_, ElementsAre(""));  // The last text holds.
  client_.BreakWatches();
  Pass(absl::Seconds(5));
  client_.cut = false;
  Pass(absl::Seconds(20));
  EXPECT_THAT(told_, ElementsAre("", "two"));
  EXPECT_TRUE(Replace(*other_, "two", "three").ok());  // And it watches again.
  EXPECT_THAT(told_, ElementsAre("", "two", "three"));
}

TEST_F(EtcdSharedTextTest, WithoutEtcdAReplacementIsUnavailable) {
  etcd_.down = true;
  EXPECT_EQ(Replace(*text_, "", "one").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Replace(*text_, "", std::string(kSharedTextBytesMax + 1, 'x')).code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace salve

#include "agent/queue_notifier.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/simulated_loop.h"
#include "responders/escalation/letter_record.pb.h"

namespace salve {
namespace {

class QueueNotifierTest : public testing::Test {
 protected:
  QueueNotifierTest() { Start(); }

  // A queue that answers as `answer_` says, after a turn of the loop; while `silent_`, never.
  void Start() {
    notifier_ = std::make_unique<QueueNotifier>(QueueNotifier::Parts{
        .loop = loop_,
        .accept =
            [this](Submission submission, auto done) {
              offered_.push_back(std::move(submission));
              if (silent_) return;
              loop_.Post([this, done = std::move(done)]() mutable { done(answer_); });
            },
        .keep =
            [this](const std::string& key, std::string bytes) {
              if (bytes.empty()) {
                kept_.erase(key);
              } else {
                kept_[key] = std::move(bytes);
              }
            },
        .say = [this](bool, const std::string& message) { said_.push_back(message); },
    });
    AgentDefinition agent;
    agent.group = "web";
    agent.config.add_destination()->set_name("mail");
    agent.config.add_destination()->set_name("hook");
    notifier_->Configure(agent);
    notifier_->Restore(kept_);
  }
  static Notice Escalation(const std::string& subject = "Web/Down is UNHEALTHY") {
    Notice notice;
    notice.subject = subject;
    notice.message = "3 of 3 failed";
    notice.incident_id = "i1";
    notice.health_set = "Web";
    notice.monitor = "Down";
    notice.time = absl::FromUnixSeconds(1000);
    notice.key = "i1/Web/Call";
    return notice;
  }

  SimulatedLoop loop_;
  std::vector<Submission> offered_;
  absl::StatusOr<std::string> answer_ = std::string("s-1-1");
  bool silent_ = false;
  std::map<std::string, std::string> kept_;
  std::vector<std::string> said_;
  std::unique_ptr<QueueNotifier> notifier_;
};

TEST_F(QueueNotifierTest, ANoticeBecomesOneMessageADestination) {
  EXPECT_EQ(notifier_->Send(Escalation()), (std::vector<std::string>{"mail", "hook"}));
  ASSERT_EQ(offered_.size(), 2u);
  EXPECT_EQ(offered_[0].type, queue::AF);
  EXPECT_EQ(offered_[0].destination, "mail");
  EXPECT_EQ(offered_[0].key, "i1/Web/Call/mail");
  EXPECT_EQ(offered_[1].key, "i1/Web/Call/hook");
  EXPECT_EQ(offered_[1].correlation, "i1");
  EXPECT_EQ(offered_[1].subject, "Web/Down is UNHEALTHY");
  EXPECT_EQ(offered_[1].letter.kind(), queue::Letter::ESCALATION);
  EXPECT_EQ(offered_[1].letter.group(), "web");
  EXPECT_EQ(offered_[1].letter.time_ns(), 1'000'000'000'000);
}

TEST_F(QueueNotifierTest, HealthyAgainIsAReplyAndGoesToWhoIsNamed) {
  Notice notice = Escalation();
  notice.kind = Notice::Kind::kHealthyAgain;
  notice.to = {"hook", "gone"};
  EXPECT_EQ(notifier_->Send(notice), std::vector<std::string>{"hook"});
  ASSERT_EQ(offered_.size(), 1u);
  EXPECT_EQ(offered_[0].type, queue::AR);
  EXPECT_EQ(offered_[0].letter.kind(), queue::Letter::HEALTHY_AGAIN);
}

TEST_F(QueueNotifierTest, IsKeptUntilTheQueueHasIt) {
  notifier_->Send(Escalation());
  EXPECT_EQ(kept_.size(), 2u);
  EXPECT_EQ(notifier_->waiting(), 2u);
  loop_.RunPending();
  EXPECT_TRUE(kept_.empty());
  EXPECT_EQ(notifier_->waiting(), 0u);
}

TEST_F(QueueNotifierTest, WhatWasDecidedAndNotAcceptedIsOfferedByTheNextLifeUnderTheSameKey) {
  silent_ = true;
  notifier_->Send(Escalation());
  const std::vector<Submission> before = std::exchange(offered_, {});
  silent_ = false;
  Start();
  ASSERT_EQ(offered_.size(), 2u);
  for (const Submission& one : offered_) {
    const Submission& same = one.key == before[0].key ? before[0] : before[1];
    EXPECT_EQ(one.key, same.key);
    EXPECT_EQ(one.destination, same.destination);
    EXPECT_EQ(one.subject, same.subject);
    EXPECT_EQ(one.letter.SerializeAsString(), same.letter.SerializeAsString());
  }
  loop_.RunPending();
  EXPECT_TRUE(kept_.empty());
}

TEST_F(QueueNotifierTest, AFailureIsSaidOnceAndOfferedAgainEveryTenSeconds) {
  answer_ = absl::ResourceExhaustedError("no space");
  notifier_->Send(Escalation());
  loop_.RunPending();
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_TRUE(absl::StrContains(said_[0], "no space")) << said_[0];
  loop_.RunFor(QueueNotifier::kRetry - absl::Milliseconds(1));
  EXPECT_EQ(offered_.size(), 2u);
  loop_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(offered_.size(), 4u);
  EXPECT_EQ(kept_.size(), 2u);
  answer_ = std::string("s-1-1");
  loop_.RunFor(QueueNotifier::kRetry);
  EXPECT_EQ(said_.back(), "the queue takes notices again");
  EXPECT_EQ(said_.size(), 2u);
  EXPECT_TRUE(kept_.empty());
}

TEST_F(QueueNotifierTest, WhatIsRefusedForGoodIsSaidAndNotOfferedAgain) {
  answer_ = absl::InvalidArgumentError("too large");
  notifier_->Send(Escalation());
  loop_.RunFor(absl::Minutes(1));
  EXPECT_EQ(offered_.size(), 2u);
  EXPECT_TRUE(kept_.empty());
  EXPECT_TRUE(absl::StrContains(said_.at(0), "too large"));
}

TEST_F(QueueNotifierTest, MemoryIsBoundedAndWhatIsBeyondIsSaidOnce) {
  silent_ = true;
  for (size_t i = 0; i < QueueNotifier::kWaitingMax / 2 + 2; ++i) {
    Notice notice = Escalation();
    notice.key = absl::StrCat("k", i);
    notifier_->Send(notice);
  }
  EXPECT_EQ(notifier_->waiting(), QueueNotifier::kWaitingMax);
  EXPECT_EQ(kept_.size(), QueueNotifier::kWaitingMax);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_TRUE(absl::StrContains(said_[0], "are not told")) << said_[0];
}

TEST_F(QueueNotifierTest, NoticesWithoutAKeyAreNotTakenForOneAnother) {
  Notice notice = Escalation();
  notice.key.clear();
  notifier_->Send(notice);
  notifier_->Send(notice);
  ASSERT_EQ(offered_.size(), 4u);
  EXPECT_NE(offered_[0].key, offered_[2].key);
}

TEST_F(QueueNotifierTest, LettersOfAnAgentBeforeTheQueueAreTakenOverInTheirOrder) {
  responders::LetterRecord record;
  record.set_destination("gone");
  record.set_subject("second");
  record.set_time_ns(2);
  record.set_incident_id("i7");
  kept_["letter/0a"] = record.SerializeAsString();
  record.set_subject("first");
  record.set_time_ns(1);
  record.set_kind(static_cast<int>(Notice::Kind::kDigest));
  record.set_message(std::string(16 * 1024, 'x'));
  kept_["letter/0b"] = record.SerializeAsString();
  kept_["letter/0c"] = "\xff no record";
  kept_["monitor/Web/Down"] = "another's";
  Start();
  ASSERT_EQ(offered_.size(), 2u);
  EXPECT_EQ(offered_[0].subject, "first");
  EXPECT_EQ(offered_[0].letter.message().size(), 16u * 1024);
  EXPECT_EQ(offered_[0].destination, "gone");  // For the queue to say.
  EXPECT_EQ(offered_[1].key, "0a");
  EXPECT_EQ(offered_[1].correlation, "i7");
  loop_.RunPending();
  EXPECT_EQ(kept_.count("letter/0a") + kept_.count("letter/0b"), 0u);
  EXPECT_EQ(kept_.count("monitor/Web/Down"), 1u);
}

}  // namespace
}  // namespace salve

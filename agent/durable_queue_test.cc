#include "agent/durable_queue.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "base/simulated_loop.h"
#include "base/worker.h"
#include "queue/fake_acceptors.h"
#include "queue/message_store.h"
#include "responders/escalation/fake_transport.h"

namespace salve {
namespace {

class Events final : public EventLog {
 public:
  uint64_t Append(v1::Event event) override {
    all.push_back(std::move(event));
    return all.size();
  }
  std::vector<std::string> Messages(int event_id) const {
    std::vector<std::string> messages;
    for (const v1::Event& event : all) {
      if (event.channel() == v1::Queue && event.event_id() == event_id) {
        messages.push_back(event.queue().message());
      }
    }
    return messages;
  }
  std::vector<v1::Event> all;
};

class DurableQueueTest : public testing::Test {
 protected:
  DurableQueueTest() {
    const char* tmp = getenv("TEST_TMPDIR");
    dir_ = std::string(tmp == nullptr ? "/tmp" : tmp) + "/queue-XXXXXX";
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
    LedgerOptions ledger;
    ledger.path = dir_ + "/ledger.db";
    ledger.boot_id = "boot-1";
    ledger.server = "web-1";
    ledger.clock_is_synchronised = [] { return true; };
    ledger_ = *Ledger::Open(ledger, loop_, worker_);
    agent_.server = "web-1";
    config::Destination* mail = agent_.config.add_destination();
    mail->set_name("mail");
    mail->mutable_smtp()->set_url("smtp://127.0.0.1");
  }
  ~DurableQueueTest() override {
    queue_.reset();
    ledger_.reset();
    std::filesystem::remove_all(dir_);
  }

  void Open() {
    queue_ = std::make_unique<DurableQueue>(DurableQueue::Parts{
        .loop = loop_,
        .events = events_,
        .ledger = *ledger_,
        .resolver = resolver_,
        .transport = transport_,
        .acceptors = acceptors_,
        .state_dir = dir_,
        .boot_id = "boot-1",
        .agent_version = "test",
        .new_worker = [] { return std::make_unique<InlineWorker>(); },
        .events_on_disk = [this] { return events_on_disk_; },
    });
    queue_->Open(agent_);
    queue_->SetEngine(nullptr);
    queue_->Configure(agent_);
  }
  void StopAndClose() {
    bool stopped = false;
    queue_->Stop([&] { stopped = true; });
    loop_.RunFor(DurableQueue::kStopTime + absl::Seconds(1));
    EXPECT_TRUE(stopped);
    queue_->Close();
    queue_.reset();
  }
  absl::StatusOr<std::string> Accept(const std::string& subject) {
    Submission submission;
    submission.destination = "mail";
    submission.subject = subject;
    absl::StatusOr<std::string> answer = absl::UnknownError("no answer");
    queue_->Accept(std::move(submission), [&](auto given) { answer = std::move(given); });
    loop_.RunFor(absl::Seconds(1));
    return answer;
  }
  // Longer than the file's own header, so that no open can pass over it.
  void Damage() {
    std::fstream file(dir_ + "/queue.db", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(0);
    file << std::string(4096, 'x');
  }

  std::string dir_;
  SimulatedLoop loop_{SimulatedClock(absl::FromUnixSeconds(1'800'000'000),
                                     Instant::FromNanosSinceBoot(3'600'000'000'000))};
  InlineWorker worker_;
  Events events_;
  FakeTransport transport_{loop_};
  FakeAcceptors acceptors_;
  Resolver resolver_{loop_};
  std::unique_ptr<Ledger> ledger_;
  AgentDefinition agent_;
  bool events_on_disk_ = true;
  std::unique_ptr<DurableQueue> queue_;
};

TEST_F(DurableQueueTest, AcceptsDeliversAndEndsClean) {
  Open();
  EXPECT_EQ(queue_->off(), "");
  const auto mid = Accept("hello");
  ASSERT_TRUE(mid.ok()) << mid.status();
  ASSERT_EQ(transport_.attempts.size(), 1u);
  EXPECT_EQ(transport_.attempts[0].letter.notice.subject, "hello");
  EXPECT_TRUE(queue_->warnings().empty()) << queue_->warnings()[0];
  StopAndClose();
  EXPECT_FALSE(*MessageStore::WasLeftDirty(dir_ + "/queue.db"));
}

TEST_F(DurableQueueTest, WhatWaitsGoesOnAfterACleanEnd) {
  transport_.Answer("mail", absl::UnavailableError("no"));
  Open();
  ASSERT_TRUE(Accept("hello").ok());
  StopAndClose();
  transport_.Answer("mail", std::string());
  Open();
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(transport_.attempts.back().letter.notice.subject, "hello");
  EXPECT_EQ(transport_.attempts.size(), 2u);
  EXPECT_TRUE(events_.Messages(40011).empty());
}

TEST_F(DurableQueueTest, AfterACrashASetIsMadeAndSaid) {
  transport_.Answer("mail", absl::UnavailableError("no"));
  Open();
  ASSERT_TRUE(Accept("hello").ok());
  queue_.reset();  // As a kill.
  Open();
  ASSERT_EQ(events_.Messages(40011).size(), 1u);
  EXPECT_TRUE(absl::StrContains(events_.Messages(40011)[0], dir_ + "/crash/"));
  transport_.Answer("mail", std::string());
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(transport_.attempts.back().letter.notice.subject, "hello");
}

TEST_F(DurableQueueTest, ADamagedFileIsSaidAndLettersGoDirectly) {
  Open();
  StopAndClose();
  Damage();
  Open();
  EXPECT_EQ(queue_->dispatcher(), nullptr);
  ASSERT_EQ(queue_->warnings().size(), 1u);
  EXPECT_TRUE(absl::StrContains(queue_->warnings()[0], "salvectl queue db"))
      << queue_->warnings()[0];
  ASSERT_EQ(events_.Messages(40017).size(), 1u);
  const auto sent = Accept("hello");
  ASSERT_TRUE(sent.ok()) << sent.status();
  ASSERT_EQ(transport_.attempts.size(), 1u);
  EXPECT_EQ(transport_.attempts[0].letter.notice.subject, "hello");
  transport_.Answer("mail", absl::UnavailableError("no"));
  EXPECT_EQ(Accept("again").status().code(), absl::StatusCode::kUnavailable);
  StopAndClose();
}

TEST_F(DurableQueueTest, NothingIsDeferredWhileItIsOff) {
  Open();
  StopAndClose();
  Damage();
  Open();
  absl::Status status;
  v1::RunActionRequest request;
  request.set_responder("Web/Fix");
  queue_->Defer(request, "web", [&](absl::StatusOr<std::string> mid) { status = mid.status(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(DurableQueueTest, WhatAToolHasToSayIsSaidUntilItIsOnDisk) {
  {
    StoreOptions options;
    options.path = dir_ + "/queue.db";
    options.server = "web-1";
    options.now = loop_.clock().WallNow();
    auto store = MessageStore::Open(options);
    ASSERT_TRUE(store.ok()) << store.status();
    Changes changes;
    changes.now = options.now;
    changes.settings.emplace_back("announce", "adopted the queue of web-2");
    ASSERT_TRUE((*store)->Apply(changes).ok());
    ASSERT_TRUE((*store)->Close().ok());
  }
  events_on_disk_ = false;
  Open();
  EXPECT_EQ(events_.Messages(40019), std::vector<std::string>{"adopted the queue of web-2"});
  StopAndClose();
  events_on_disk_ = true;
  Open();
  EXPECT_EQ(events_.Messages(40019).size(), 2u);
  StopAndClose();
  Open();
  EXPECT_EQ(events_.Messages(40019).size(), 2u);
}

TEST_F(DurableQueueTest, AJournalThatIsOffIsWarnedOf) {
  agent_.config.mutable_queue()->set_recovery_journal(config::Queue::OFF);
  Open();
  EXPECT_EQ(queue_->warnings().size(), 1u);
  EXPECT_EQ(events_.Messages(40017).size(), 1u);
}

}  // namespace
}  // namespace salve

#include "probes/mail_queue_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/uv_loop.h"

namespace salve {
namespace {

using ::testing::HasSubstr;

class MailQueueProbeTest : public ::testing::Test {
 protected:
  MailQueueProbeTest() {
    std::filesystem::remove_all(root_);
    for (const char* queue : {"incoming", "active", "deferred", "maildrop", "hold", "input"}) {
      std::filesystem::create_directories(root_ + "/" + queue);
    }
    config_.set_directory(root_);
  }
  void Write(const std::string& path, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(root_ + "/" + path).parent_path());
    std::ofstream(root_ + "/" + path) << content;
  }
  int64_t SecondsAt(absl::Duration age) const {
    return absl::ToUnixSeconds(loop_.clock().WallNow() - age);
  }
  void AddPostfix(const std::string& path, absl::Duration age) {
    const std::string time = absl::StrCat(SecondsAt(age), " 5");
    Write(path,
          absl::StrCat("C\x03", "1 2", "T", std::string(1, static_cast<char>(time.size())), time));
  }
  void AddExim(const std::string& path, absl::Duration age, bool is_frozen = false) {
    Write(path + "-D", "body");
    Write(path + "-H", absl::StrCat("1rABCD-000abc-Yz-H\nmail 8 8\n<>\n", SecondsAt(age),
                                    " 0\n-x\n", is_frozen ? "-frozen 5\n" : "", "XX\n"));
  }
  std::unique_ptr<Probe> Make() {
    auto probe = NewMailQueueProbe(config_, loop_, blocking_);
    EXPECT_TRUE(probe.ok()) << probe.status();
    return *std::move(probe);
  }
  Observation Look() {
    std::optional<Observation> seen;
    const auto probe = Make();
    probe->Start(loop_.Now() + absl::Seconds(20), [&](Observation o) {
      seen = std::move(o);
      loop_.Stop();
    });
    loop_.Run();
    return seen.value_or(Observation{});
  }
  static std::optional<double> Value(const Observation& seen, const std::string& name) {
    for (const ProbeValue& value : seen.values) {
      if (value.name == name) return value.number;
    }
    return std::nullopt;
  }

  const std::string root_ = absl::StrCat(
      ::testing::TempDir(), "/", ::testing::UnitTest::GetInstance()->current_test_info()->name());
  UvLoop loop_;
  BlockingCalls blocking_{loop_};
  config::MailQueueProbe config_;
};

TEST_F(MailQueueProbeTest, AnEmptyQueuePasses) {
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_EQ(Value(seen, "queued"), 0);
  EXPECT_EQ(Value(seen, "oldest_seconds"), 0);
  EXPECT_EQ(Value(seen, "deferred"), 0);
  EXPECT_EQ(Value(seen, "frozen"), std::nullopt);
}

TEST_F(MailQueueProbeTest, CountsAllQueuesOfPostfixAndTheirHashedFolders) {
  AddPostfix("incoming/A1", absl::Minutes(1));
  AddPostfix("active/A/A2", absl::Minutes(2));
  AddPostfix("deferred/B/3/B3", absl::Minutes(3));
  AddPostfix("deferred/C/C4", absl::Hours(4));
  AddPostfix("maildrop/D5", absl::Minutes(5));
  AddPostfix("hold/E6", absl::Minutes(6));
  Write("corrupt/F7", "");  // None of them.
  std::filesystem::create_symlink("A1", root_ + "/incoming/link");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_EQ(Value(seen, "queued"), 6);
  EXPECT_EQ(Value(seen, "deferred"), 2);
  EXPECT_GE(Value(seen, "oldest_seconds"), 4 * 3600);
  EXPECT_LT(Value(seen, "oldest_seconds"), 4 * 3600 + 60);
}

TEST_F(MailQueueProbeTest, FailsAboveTheNumberAndNotAtIt) {
  config_.set_max_queued(2);
  AddPostfix("deferred/A1", absl::Minutes(1));
  AddPostfix("deferred/A2", absl::Minutes(1));
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  AddPostfix("deferred/A3", absl::Minutes(1));
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "3 mails are queued, expected at most 2");
}

TEST_F(MailQueueProbeTest, FiveHundredMayBeQueuedByDefault) {
  for (int i = 0; i < 500; ++i)
    AddPostfix(absl::StrCat("deferred/", i % 10, "/", i), absl::Minutes(1));
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  AddPostfix("active/1", absl::Minutes(1));
  EXPECT_EQ(Look().error, "501 mails are queued, expected at most 500");
}

TEST_F(MailQueueProbeTest, FailsAboveTheAgeAndNotBelowIt) {
  config_.set_max_age("12h");
  AddPostfix("deferred/A1", absl::Hours(12) - absl::Minutes(1));
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  AddPostfix("deferred/A1", absl::Hours(12) + absl::Minutes(1));
  EXPECT_EQ(Look().error, "the oldest mail waits for 12h1m, expected at most 12h");
  config_.set_max_age("13h");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

// A healthy server keeps for five days what it cannot deliver.
TEST_F(MailQueueProbeTest, AMailThatWaitsForFiveDaysIsNoFailureByDefault) {
  AddPostfix("deferred/A1", absl::Hours(5 * 24) + absl::Minutes(10));
  EXPECT_EQ(Look().error, "");
  AddPostfix("deferred/A1", absl::Hours(144) + absl::Minutes(1));
  EXPECT_EQ(Look().error, "the oldest mail waits for 144h1m, expected at most 144h");
}

TEST_F(MailQueueProbeTest, AMailOnHoldIsCountedButHasNoAge) {
  AddPostfix("hold/A1", absl::Hours(1000));
  AddPostfix("deferred/A2", absl::Hours(1));
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(Value(seen, "queued"), 2);
  EXPECT_LT(Value(seen, "oldest_seconds"), 2 * 3600);
}

TEST_F(MailQueueProbeTest, WithABoundOfZeroNoneMayBeQueued) {
  config_.set_max_queued(0);
  EXPECT_EQ(Look().error, "");
  AddPostfix("deferred/A1", absl::Minutes(1));
  EXPECT_EQ(Look().error, "1 mails are queued, expected at most 0");
}

TEST_F(MailQueueProbeTest, AFileThatIsNoMailYetIsAsOldAsItself) {
  Write("incoming/A1", "");
  AddPostfix("incoming/A2", -absl::Hours(1));  // The clock was set back.
  const Observation seen = Look();
  EXPECT_EQ(Value(seen, "queued"), 2);
  EXPECT_LT(Value(seen, "oldest_seconds"), 60);
}

TEST_F(MailQueueProbeTest, CountsTheQueueOfExim) {
  config_.set_server(config::MailQueueProbe::EXIM);
  AddExim("input/1rAAAA-0001-Ab", absl::Hours(1));
  AddExim("input/B/1rBBBB-0002-Ab", absl::Hours(2), /*is_frozen=*/true);
  AddExim("input/B/deeper/1rCCCC-0003-Ab", absl::Hours(30));
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_EQ(Value(seen, "queued"), 2);
  EXPECT_EQ(Value(seen, "frozen"), 1);
  EXPECT_EQ(Value(seen, "deferred"), std::nullopt);
  EXPECT_GE(Value(seen, "oldest_seconds"), 7200);
}

TEST_F(MailQueueProbeTest, NoMoreThanItsBoundIsCounted) {
  config_.set_max_queued(1'000'000);
  config_.set_server(config::MailQueueProbe::EXIM);
  // Links of one another: new files take longer, and a file has no room for so many names.
  std::filesystem::create_directories(root_ + "/input/A");
  std::string first;
  for (int i = 0; i < 100'000; ++i) {
    const std::string path = absl::StrCat(root_, "/input/A/", i, "-H");
    if (i % 10'000 == 0) {
      first = path;
      std::ofstream(first) << "";
    } else {
      ASSERT_EQ(link(first.c_str(), path.c_str()), 0);
    }
  }
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Write("input/100000-H", "");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "more than 100000 mails are queued");
  EXPECT_EQ(Value(seen, "queued"), 100'000);
  std::filesystem::remove_all(root_);
}

TEST_F(MailQueueProbeTest, WhatNobodyHeldOrDroppedNeedsNoFolder) {
  for (const char* queue : {"hold", "maildrop"}) std::filesystem::remove_all(root_ + "/" + queue);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(MailQueueProbeTest, AFolderThatIsNotThereIsRejectedWithItsPath) {
  std::filesystem::remove_all(root_ + "/deferred");
  Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, root_ + "/deferred: No such file or directory");
  config_.set_directory("/no/such/spool");
  config_.set_server(config::MailQueueProbe::EXIM);
  EXPECT_EQ(Look().error, "/no/such/spool/input: No such file or directory");
}

TEST_F(MailQueueProbeTest, AFolderThatMayNotBeReadIsRejectedWithItsPath) {
  if (geteuid() == 0) GTEST_SKIP() << "root reads everything";
  ASSERT_EQ(chmod((root_ + "/maildrop").c_str(), 0300), 0);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, root_ + "/maildrop: Permission denied");
  chmod((root_ + "/maildrop").c_str(), 0700);
}

TEST_F(MailQueueProbeTest, IsSilentWhenItEndsDuringALook) {
  auto probe = Make();
  probe->Start(loop_.Now() + absl::Seconds(20), [](Observation) { ADD_FAILURE(); });
  probe.reset();
  loop_.CallAfter(absl::Milliseconds(20), [this] { loop_.Stop(); });
  loop_.Run();
}

TEST_F(MailQueueProbeTest, ChecksItsFields) {
  config_.set_directory("spool");
  EXPECT_EQ(CheckMailQueueProbe(config_).message(),
            "mail_queue.directory: 'spool' is no full path");
  config_.clear_directory();
  config_.set_max_queued(1'000'000);
  EXPECT_TRUE(CheckMailQueueProbe(config_).ok());
  config_.set_max_queued(1'000'001);
  EXPECT_EQ(CheckMailQueueProbe(config_).message(),
            "mail_queue.max_queued: 1000001 is not in [0, 1000000]");
  config_.set_max_queued(0);
  config_.set_max_age("59s");
  EXPECT_EQ(CheckMailQueueProbe(config_).message(), "mail_queue.max_age: 59s is not in [1m, 720h]");
  config_.set_max_age("720h");
  EXPECT_TRUE(CheckMailQueueProbe(config_).ok());
  config_.set_max_age("721h");
  EXPECT_THAT(std::string(CheckMailQueueProbe(config_).message()), HasSubstr("721h is not in"));
  config_.clear_max_age();
  config_.set_server(static_cast<config::MailQueueProbe::Server>(7));
  EXPECT_EQ(CheckMailQueueProbe(config_).message(), "mail_queue.server: 7 is no mail server");
}

}  // namespace
}  // namespace salve

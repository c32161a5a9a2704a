#include "responders/actions/collect.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fake_host.h"
#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"
#include "base/worker.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using Kind = ActionResult::Kind;

// Holds its tasks back until the test lets them run: a disk that hangs.
class HeldWorker final : public Worker {
 public:
  void Post(Task task) override { tasks_.push_back(std::move(task)); }
  void Release() {
    for (Task& task : std::exchange(tasks_, {})) task();
  }

 private:
  std::vector<Task> tasks_;
};

class CollectTest : public ::testing::Test {
 protected:
  void SetUp() override {
    CommandResult journal{.exit_code = 0};
    journal.output = "a line of the journal\n";
    host_.SetProgram("journalctl", {.takes = absl::Seconds(1), .result = journal});
    host_.SetProgram("ss", {.takes = absl::Seconds(1)});
  }
  void Run(Worker* worker) {
    if (action_ == nullptr) {
      action_ = NewCollect(config_, {.loop = loop_,
                                     .host = host_,
                                     .services = services_,
                                     .state_dir = dir_,
                                     .files = worker});
    }
    Notice incident;
    incident.incident_id = "1234";
    action_->About(incident);
    result_.reset();
    action_->Run(
        loop_.Now() + absl::Seconds(30), [](auto, auto) { ADD_FAILURE() << "records an effect"; },
        [this](ActionResult result) {
          EXPECT_FALSE(result_.has_value());
          result_ = std::move(result);
        });
  }
  std::string Text(const std::string& file) const {
    std::ifstream stream(result_->context + "/" + file);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  }

  const std::string dir_ = [] {
    std::string dir = absl::StrCat(getenv("TEST_TMPDIR"), "/collect-XXXXXX");
    EXPECT_NE(mkdtemp(dir.data()), nullptr);
    return dir;
  }();
  SimulatedLoop loop_;
  FakeHost host_{loop_};
  FakeServiceManager services_{loop_};
  InlineWorker worker_;
  HeldWorker held_;
  config::Collect config_;
  std::unique_ptr<Action> action_;
  std::optional<ActionResult> result_;
};

TEST_F(CollectTest, KeepsWhatThereIsInAFolderOfTheIncident) {
  config_.add_unit("nginx");
  Run(&worker_);
  loop_.RunFor(absl::Seconds(2));
  ASSERT_TRUE(result_.has_value());
  ASSERT_EQ(result_->kind, Kind::kSucceeded) << result_->exception_message;
  EXPECT_TRUE(absl::EndsWith(result_->context, "/evidence/20270115T080000Z-1234"));
  EXPECT_EQ(Text("journal.txt"),
            "# journalctl --no-pager --quiet --reverse --output=short-iso-precise --since=-600s "
            "--unit=nginx.service\na line of the journal\n");
  EXPECT_TRUE(absl::StrContains(Text("processes.txt"), "rss_kib"));
}

TEST_F(CollectTest, AProgramThatIsNotThereIsNotedAndTheRestIsKept) {
  host_.SetRunError(absl::NotFoundError("cannot run it: no such program"));
  Run(&worker_);
  loop_.RunFor(absl::Seconds(2));
  ASSERT_EQ(result_->kind, Kind::kSucceeded);
  EXPECT_EQ(result_->exception_message, "there is no journalctl; there is no ss");
  EXPECT_TRUE(absl::StrContains(Text("journal.txt"), "# cannot run it"));
  EXPECT_TRUE(absl::StrContains(Text("sockets.txt"), "/net/tcp"));  // The kernel's own table.
}

TEST_F(CollectTest, IsOverAtItsDeadlineThoughAProgramHangs) {
  host_.SetProgram("journalctl", {.takes = absl::InfiniteDuration()});
  Run(&worker_);
  loop_.RunFor(absl::Seconds(30) - absl::Nanoseconds(1));
  EXPECT_FALSE(result_.has_value());
  loop_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(result_.has_value());
  EXPECT_NE(result_->kind, Kind::kFailed);
  EXPECT_EQ(host_.running_count(), 0u);
}

TEST_F(CollectTest, ADiskThatHangsHoldsUpNobodyAndIsNotAskedTwice) {
  Run(&held_);
  loop_.RunFor(absl::Seconds(31));
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kTimedOut);
  Run(&held_);
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->exception_name, "Busy");
  held_.Release();
  loop_.RunFor(absl::Seconds(1));
  Run(&held_);
  EXPECT_FALSE(result_.has_value());
}

TEST_F(CollectTest, ItsEndEndsItsProgramsAndCallsNobody) {
  Run(&held_);
  action_.reset();
  held_.Release();
  loop_.RunFor(absl::Minutes(1));
  EXPECT_FALSE(result_.has_value());
  EXPECT_EQ(host_.running_count(), 0u);
}

TEST_F(CollectTest, WhatCannotBeWrittenIsAnError) {
  std::ofstream(dir_ + "/evidence") << "a file";
  Run(&worker_);
  loop_.RunFor(absl::Seconds(2));
  EXPECT_EQ(result_->kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "NotWritten");
}

TEST_F(CollectTest, KeepsItsBounds) {
  CommandResult large{.exit_code = 0};
  for (int i = 0; i < 100'000; ++i) large.output += "a line of the journal\n";
  host_.SetProgram("journalctl", {.result = large});
  host_.SetProgram("ss", {.result = large});
  config_.set_bytes_max(64 << 10);
  config_.set_keep(1);
  for (int i = 0; i < 3; ++i) {
    Run(&worker_);
    loop_.RunFor(absl::Seconds(2));
  }
  size_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_)) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  EXPECT_LE(bytes, 64u << 10);
  EXPECT_GE(bytes, 32u << 10);
}

TEST_F(CollectTest, IsNotDisruptiveAndSaysItsPlan) {
  config_.add_unit("nginx");
  const auto action =
      NewCollect(config_, {.loop = loop_, .host = host_, .services = services_, .state_dir = "/s"});
  EXPECT_FALSE(action->is_disruptive());
  EXPECT_FALSE(action->is_notification());
  EXPECT_EQ(action->Plan(),
            "keeps journal, processes, descriptors, pressure and sockets of nginx.service in "
            "/s/evidence");
}

TEST(CheckCollectTest, RefusesWhatCannotWork) {
  config::Collect config;
  EXPECT_TRUE(CheckCollect(config).ok());
  config.set_journal_since("24h");
  EXPECT_TRUE(CheckCollect(config).ok());
  config.set_journal_since("24h1s");
  EXPECT_EQ(CheckCollect(config).message(), "collect.journal_since: 24h1s is not in [1s, 24h]");
  config.set_journal_since("999ms");
  EXPECT_FALSE(CheckCollect(config).ok());
  config.set_journal_since("soon");
  EXPECT_FALSE(CheckCollect(config).ok());
  config.set_journal_since("1s");
  config.add_unit("a/b");
  EXPECT_EQ(CheckCollect(config).message(), "collect.unit[0]: 'a/b' is no name of a unit");
}

}  // namespace
}  // namespace salve

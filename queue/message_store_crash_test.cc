// Kills a life of the store at every point where it writes, and looks at what the next one finds.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "queue/store_fixture.h"
#include "queue/verify.h"

namespace salve {
namespace {

constexpr const char* kSteps[] = {"before", "written", "committed", "marked"};
constexpr const char* kOperations[] = {"apply", "accept", "begin",  "change",
                                       "end",   "keep",   "reserve"};

class MessageStoreCrashTest : public StoreFixture {
 protected:
  // What was answered is written down, one line each, before anything else happens.
  void Answered(const std::string& what) {
    std::ofstream(folder_ + "/answers", std::ios::app) << what << "\n";
  }
  std::set<std::string> Answers() {
    std::ifstream file(folder_ + "/answers");
    std::set<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.insert(line);
    return lines;
  }

  void Live() {
    if (!Open().ok()) _exit(1);
    for (int i = 0; i < 3; ++i) {
      const std::string mid = store_->NewMid(kStoreTestNow);
      Answered("given " + mid);
      const auto accepted = store_->Apply(PutOf(NewLetter(mid), "remote/ops"));
      if (!accepted.ok()) _exit(1);
      Answered("accepted " + mid);
      const int64_t sequence = accepted->front();
      if (!store_->Apply(UpdateOf({.sequence = sequence, .delivering = true})).ok()) _exit(1);
      Answered("begun " + mid);
      if (!store_->Apply(UpdateOf({.sequence = sequence, .delivering = false})).ok()) _exit(1);
      if (i == 0) continue;
      if (!store_->Apply(EndOf(sequence, Final::kDone)).ok()) _exit(1);
      Answered("ended " + mid);
    }
    if (!store_->MarkTold(1).ok() || !store_->Keep(kStoreTestNow, 10).ok()) _exit(1);
    if (!store_->Close().ok()) _exit(1);
    _exit(0);
  }

  // In a process of its own; whether it was killed.
  bool LiveAndDie(const std::string& fault) {
    const pid_t child = fork();
    if (child == 0) {
      setenv("SALVE_FAULT", fault.c_str(), 1);
      Live();
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << fault;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

  void ExpectNothingLost() {
    if (std::filesystem::exists(path_)) {
      VerifyReport report;
      const absl::Status status = VerifyMessages(path_, report);
      EXPECT_TRUE(status.ok()) << status;
    }
    const absl::Status opened = Open();
    ASSERT_TRUE(opened.ok()) << opened;
    const std::set<std::string> answers = Answers();
    for (const std::string& answer : answers) {
      const std::string mid = answer.substr(answer.find(' ') + 1);
      const bool is_there = store_->Find(mid).ok();
      const bool has_ended = (*store_->FindEnded(mid)).has_value();
      EXPECT_FALSE(is_there && has_ended) << mid;
      EXPECT_TRUE(is_there || has_ended || !answer.starts_with("accepted")) << mid;
      EXPECT_TRUE(has_ended || !answer.starts_with("ended")) << mid;
    }
    EXPECT_FALSE(answers.contains("given " + store_->NewMid(kStoreTestNow)));
    store_.reset();
  }
};

TEST_F(MessageStoreCrashTest, WhatWasAnsweredIsThereWhereverItIsKilled) {
  EXPECT_FALSE(LiveAndDie("no.such.point"));
  int killed = 0;
  for (const char* operation : kOperations) {
    for (const char* step : kSteps) {
      for (int nth = 1; nth <= 16; ++nth) {
        const std::string fault = absl::StrCat("queue.", operation, ".", step, ":", nth);
        SCOPED_TRACE(fault);
        std::filesystem::remove_all(folder_);
        std::filesystem::create_directories(folder_);
        const bool died = LiveAndDie(fault);
        EXPECT_TRUE(died || nth > 1) << "never passed";
        if (!died) break;
        ++killed;
        ExpectNothingLost();
      }
    }
  }
  EXPECT_GT(killed, 80);
}

TEST_F(MessageStoreCrashTest, KilledWhileItOpensOrClosesItIsWhole) {
  for (const char* fault :
       {"queue.make.database", "queue.make.mark", "queue.make.renamed", "queue.open.dirty",
        "queue.close.written", "queue.close.closing", "queue.close.checkpointed"}) {
    SCOPED_TRACE(fault);
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    EXPECT_TRUE(LiveAndDie(fault));
    ExpectNothingLost();
  }
}

TEST_F(MessageStoreCrashTest, TenLivesThatEachDieLoseNothing) {
  for (int life = 0; life < 10; ++life) {
    LiveAndDie(absl::StrCat("queue.apply.", kSteps[life % 4], ":", 1 + life));
    ExpectNothingLost();
  }
}

}  // namespace
}  // namespace salve

// The tools for a queue database on a disk that is full or fails at any one of their calls: an
// error is said or the work is done, the old database or the new one is there and whole, nothing
// that harms is left, and the next call without a fault succeeds.
#include <cerrno>
#include <set>

#include "gmock/gmock.h"
#include "queue/adopt.h"
#include "queue/database_fixture.h"
#include "queue/defrag.h"
#include "queue/failing_disk.h"
#include "queue/manifest.h"
#include "queue/pack.h"
#include "queue/repair.h"
#include "queue/reset.h"

namespace salve {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;

constexpr int kLetters = 12;

class DatabaseDiskTest : public AdopterTest {
 protected:
  // Requires: nothing is open.
  void FillState(bool clean) {
    auto store = Open(state());
    PutLetters(*store, kLetters);
    End(*store, Put(*store, NewMessage(*store, queue::AF, "web1"), "remote/ops"));
    if (clean) Close(std::move(store));
    store.reset();
    fs::remove(FileIn(state()) + "-reserve");
    if (clean) return;
    // Zeros behind its end are no part of a log; without them all goes faster.
    const std::string log = Snapshot(state()).at("queue.db-wal");
    fs::resize_file(FileIn(state()) + "-wal", log.find_last_not_of('\0') + 1);
  }
  void FillPack(bool clean) {
    FillState(clean);
    ASSERT_TRUE(Pack({state(), pack(), now_}).ok());
  }
  // This server, ready to adopt.
  void FillOther() {
    auto store = Open(other_state(), "web2");
    Changes changes;
    changes.settings.emplace_back(kPreparingSetting, "ada");
    Apply(*store, std::move(changes));
    Close(std::move(store));
  }

  // What is in all folders, by folder.
  using Folders = std::map<std::string, std::map<std::string, std::string>>;
  Folders SnapshotAll() {
    Folders folders;
    for (const std::string& folder : {state(), other_state(), pack()}) {
      if (fs::exists(folder)) folders[folder] = Snapshot(folder);
    }
    return folders;
  }
  void RestoreAll(const Folders& folders) {
    for (const std::string& folder : {state(), other_state(), pack()}) {
      fs::remove_all(folder);
      if (folders.contains(folder)) Restore(folder, folders.at(folder));
    }
    fs::create_directories(state());
    fs::create_directories(other_state());
  }
  // But for those that the agent makes beside its database.
  std::set<std::string> Names() {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      const std::string name = entry.path().filename().string();
      if (name != "queue.db-wal" && name != "queue.db-reserve") names.insert(entry.path().string());
    }
    return names;
  }

  // Runs `work` again and again from where things stand now, each time with the next of its calls
  // failing, once or for good. `check` is called after a run that met a failure.
  void FailEachCall(const std::function<absl::Status()>& work,
                    const std::function<void(const absl::Status&)>& check) {
    const Folders before = SnapshotAll();
    std::set<std::string> known = Names();
    ASSERT_TRUE(work().ok()) << work();
    const std::set<std::string> names = Names();
    known.insert(names.begin(), names.end());
    for (const int error : {ENOSPC, EIO}) {
      for (const int64_t count : {INT64_C(1), INT64_MAX}) {
        for (int64_t step = 0;; ++step) {
          SCOPED_TRACE(absl::StrCat(strerrorname_np(error), " at ", step, ", ", count, " times"));
          RestoreAll(before);
          for_good_ = count > 1;
          disk_.FailAfter(step, error, count);
          const absl::Status status = work();
          disk_.Heal();
          if (!disk_.has_failed()) {
            EXPECT_TRUE(status.ok()) << status;
            break;
          }
          ++runs_;
          refusals_ += !status.ok();
          EXPECT_NE(status.code(), absl::StatusCode::kDataLoss) << status;
          if (!for_good_) {
            EXPECT_THAT(Names(), testing::Each(testing::AnyOfArray(known))) << status;
          }
          check(status);
          const absl::Status again = work();
          EXPECT_TRUE(again.ok() || is_done_) << status << "\n" << again;
          EXPECT_EQ(Names(), names) << status;
          check(absl::OkStatus());
          if (HasFailure()) return;
        }
      }
    }
    EXPECT_GT(refusals_, 10);
    RecordProperty("runs", runs_);
  }

  // Whole, with so many messages.
  void ExpectWhole(const std::string& folder, const testing::Matcher<std::string>& state,
                   const testing::Matcher<int64_t>& messages) {
    const auto info = VerifyDatabase(folder);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_THAT(info->state(), state) << info->DebugString();
    EXPECT_THAT(info->messages(), messages);
  }
  // The agent can go on with it.
  void ExpectOpens(const std::string& folder, const std::string& server) {
    auto store = Open(folder, server);
    ASSERT_NE(store, nullptr);
    EXPECT_FALSE(store->was_dirty());
    Close(std::move(store));
  }

  // An old one in its place needs no second name, which would keep its room on the disk.
  void ExpectKeptIfReplaced(const std::string& folder, const std::string& suffix) {
    const std::string kept = FileIn(folder) + suffix;
    const bool is_same = FileExists(kept) && fs::equivalent(kept, FileIn(folder));
    EXPECT_FALSE(is_same && !for_good_);
  }

  absl::Status DoAdopt() {
    AdoptOptions options{.state_dir = other_state(), .folder = pack(), .agent = agent_};
    options.now = now_;
    return Adopt(options).status();
  }

  FailingDisk disk_;
  bool is_done_ = false;   // The first call did all, and said an error: the next has nothing to do.
  bool for_good_ = false;  // The disk was not well again before the call ended.
  int runs_ = 0;
  int refusals_ = 0;
};

TEST_F(DatabaseDiskTest, APackIsWholeOrCanBeMadeAgain) {
  for (const bool clean : {true, false}) {
    RestoreAll({});
    FillState(clean);
    const auto before = Snapshot(state());
    const std::string state_name = clean ? "Clean" : "Dirty";
    FailEachCall(
        [&] {
          return Pack({state(), pack(), now_}).status();
        },
        [&](const absl::Status& status) {
          EXPECT_TRUE(Snapshot(state()) == before);
          is_done_ = VerifyDatabase(pack()).ok();
          if (is_done_ || status.ok()) ExpectWhole(pack(), state_name, kLetters);
        });
  }
}

TEST_F(DatabaseDiskTest, ARecoveryIsDoneOrCanBeMadeAgain) {
  FillPack(/*clean=*/false);
  FailEachCall(
      [&] {
        return RecoverFolder({pack(), state(), now_}).status();
      },
      [&](const absl::Status& status) {
        ExpectWhole(pack(), status.ok() ? AnyOf("Clean", "Clean") : AnyOf("Clean", "Dirty"),
                    kLetters);
      });
}

TEST_F(DatabaseDiskTest, ADefragmentationLeavesTheOldOrTheNewFile) {
  FillPack(/*clean=*/true);
  FailEachCall([&] { return Defragment(pack()).status(); },
               [&](const absl::Status&) { ExpectWhole(pack(), "Clean", kLetters); });
}

TEST_F(DatabaseDiskTest, AnAdoptionLeavesTheOldOrTheNewQueue) {
  FillPack(/*clean=*/true);
  FillOther();
  const std::string packed = Snapshot(pack()).at("queue.db");
  FailEachCall([&] { return DoAdopt(); },
               [&](const absl::Status& status) {
                 EXPECT_TRUE(Snapshot(pack()).at("queue.db") == packed);
                 ExpectWhole(other_state(), "Clean",
                             status.ok() ? AnyOf(kLetters, kLetters) : AnyOf(0, kLetters));
                 if (!status.ok()) ExpectOpens(other_state(), "web2");
                 ExpectKeptIfReplaced(other_state(), ".before-adopt");
               });
}

TEST_F(DatabaseDiskTest, AnAdoptionBesideNoQueueLeavesNoneOrTheNewOne) {
  FillPack(/*clean=*/true);
  FailEachCall([&] { return DoAdopt(); },
               [&](const absl::Status& status) {
                 if (status.ok() || FileExists(FileIn(other_state()))) {
                   ExpectWhole(other_state(), "Clean", kLetters);
                 }
               });
}

TEST_F(DatabaseDiskTest, WhatAnAdoptionHasKeptIsRemovedAtLast) {
  FillPack(/*clean=*/true);
  FillOther();
  ASSERT_TRUE(DoAdopt().ok());
  FailEachCall([&] { return FinishAdopt(other_state()); },
               [&](const absl::Status&) { ExpectWhole(other_state(), "Clean", kLetters); });
}

TEST_F(DatabaseDiskTest, AResetLeavesTheOldOrTheNewQueue) {
  FillState(/*clean=*/true);
  FailEachCall(
      [&] {
        return ResetDatabase({state(), kLetters, now_}).status();
      },
      [&](const absl::Status& status) {
        ExpectWhole(state(), "Clean", status.ok() ? AnyOf(0, 0) : AnyOf(0, kLetters));
        is_done_ = VerifyDatabase(state())->messages() == 0;
        if (!status.ok()) ExpectOpens(state(), "web1");
        ExpectKeptIfReplaced(state(), ".discarded-20261121T100000Z");
      });
}

TEST_F(DatabaseDiskTest, ARepairLeavesTheDamagedOrTheNewQueueAndTheDamagedFiles) {
  FillState(/*clean=*/false);
  const std::string database = Snapshot(state()).at("queue.db-wal");
  Flip(FileIn(state()) + "-wal", static_cast<int64_t>(database.rfind("subject")));
  const auto damaged = Snapshot(state());
  FailEachCall(
      [&] {
        return RepairDatabase({.file = state(), .server = "web1", .group = "web", .now = now_})
            .status();
      },
      [&](const absl::Status& status) {
        const auto info = VerifyDatabase(state());
        ASSERT_TRUE(info.ok()) << info.status();
        is_done_ = info->state() == "Clean";
        EXPECT_TRUE(is_done_ || !status.ok()) << info->DebugString();
        const std::string kept =
            is_done_ ? FileIn(state()) + ".damaged-20261121T100000Z" : FileIn(state());
        // Halfway, on a disk that took nothing back, it is the next call that puts all back.
        if (!is_done_ && for_good_) return;
        const auto now = Snapshot(state());
        for (const char* suffix : {"", "-wal", ".mark"}) {
          const std::string name = fs::path(kept).filename().string() + suffix;
          ASSERT_TRUE(now.contains(name)) << name << " " << status;
          EXPECT_TRUE(now.at(name) == damaged.at(absl::StrCat("queue.db", suffix))) << suffix;
        }
      });
}

}  // namespace
}  // namespace salve

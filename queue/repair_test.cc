#include "queue/repair.h"

#include <cerrno>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "queue/adopt.h"
#include "queue/database_fixture.h"
#include "queue/defrag.h"
#include "queue/failing_disk.h"
#include "queue/manifest.h"
#include "queue/pack.h"

namespace salve {
namespace {

using testing::HasSubstr;

class RepairTest : public DatabaseTest {
 protected:
  // 300 messages, 20 that have ended.
  void Make(bool clean) {
    auto store = Open(state());
    Changes changes;
    changes.now = now_;
    for (int i = 0; i < 300; ++i) {
      queue::Message message = NewMessage(*store, queue::AF, "web1");
      message.mutable_letter()->set_message(std::string(500, 'x'));
      mids_.insert(message.mid());
      changes.puts.push_back({message, "remote/ops", false, now_});
    }
    ASSERT_TRUE(store->Apply(changes).ok());
    for (int i = 0; i < 20; ++i) {
      End(*store, Put(*store, NewMessage(*store, queue::AF, "web1"), "remote/ops"));
    }
    changes = Changes();
    changes.settings.emplace_back("mode", "REMOTELY");
    Apply(*store, std::move(changes));
    if (clean) Close(std::move(store));
  }
  absl::StatusOr<queue::RepairReport> DoRepair() {
    return RepairDatabase({.file = FileIn(state()), .server = "web1", .group = "web", .now = now_});
  }
  // Of twelve messages, with one row damaged.
  void MakeDamagedPack() {
    auto store = Open(state());
    PutLetters(*store, 12);
    Close(std::move(store));
    ASSERT_TRUE(Pack({state(), pack(), now_}).ok());
    const std::string content = Snapshot(pack()).at("queue.db");
    Flip(FileIn(pack()), static_cast<int64_t>(content.rfind("subject")) + 3);
    ASSERT_EQ(VerifyDatabase(pack())->state(), "Damaged");
  }
  absl::StatusOr<queue::RepairReport> DoRepairPack() {
    return RepairDatabase({.file = FileIn(pack()), .server = "web1", .group = "web", .now = now_});
  }
  void ExpectPackIsTakenAgain() {
    const auto info = VerifyDatabase(pack());
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->state(), "Clean") << info->DebugString();
    EXPECT_TRUE((*ReadManifest(pack()))->under_change_by().empty());
    EXPECT_EQ((*ReadManifest(pack()))->signature(), info->signature());
    EXPECT_TRUE(Defragment(pack()).ok());
  }
  // What was read and what is named as lost is all that there was.
  void ExpectAllAccountedFor(const queue::RepairReport& report) {
    const auto info = VerifyDatabase(state());
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->state(), "Clean") << info->DebugString();
    EXPECT_EQ(info->messages(), report.messages());
    auto store = Open(state());
    std::set<std::string> seen;
    const auto list = store->List("", 1000);
    ASSERT_TRUE(list.ok()) << list.status();
    for (const StoredMessage& stored : *list) seen.insert(stored.message.mid());
    size_t unnamed = 0;
    for (const queue::LostMessage& lost : report.lost()) {
      if (lost.mid().empty() || !mids_.contains(lost.mid())) {
        ++unnamed;
      } else {
        EXPECT_TRUE(seen.insert(lost.mid()).second) << lost.mid();
      }
    }
    for (const std::string& mid : seen) EXPECT_TRUE(mids_.contains(mid)) << mid;
    if (report.notes().empty() && report.commits_missing() == 0) {
      EXPECT_EQ(seen.size() + unnamed, mids_.size());
    }
    Close(std::move(store));
  }

  std::set<std::string> mids_;
};

TEST_F(RepairTest, RefusesAWholeFileAlsoADirtyOne) {
  EXPECT_EQ(DoRepair().status().code(), absl::StatusCode::kNotFound);
  Make(/*clean=*/false);
  EXPECT_EQ(DoRepair().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RepairTest, ADamagedRowIsLostAndNamed) {
  Make(/*clean=*/true);
  const std::string content = Snapshot(state()).at("queue.db");
  Flip(FileIn(state()), static_cast<int64_t>(content.find("xxxxxxxx", content.size() / 2)) + 3);
  const auto report = DoRepair();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->messages(), 299);
  ASSERT_EQ(report->lost_size(), 1);
  EXPECT_TRUE(mids_.contains(report->lost(0).mid()));
  EXPECT_EQ(report->ended(), 20);
  ExpectAllAccountedFor(*report);
  auto store = Open(state());
  EXPECT_EQ(store->Setting("mode"), "REMOTELY");
  EXPECT_THAT(store->Setting(kAnnounceSetting), HasSubstr(report->lost(0).mid()));
  EXPECT_EQ(Snapshot(state()).at("queue.db.damaged-20261121T100000Z").size(), content.size());
}

TEST_F(RepairTest, AForgottenLogIsSaidAsMissingSteps) {
  Make(/*clean=*/false);
  std::filesystem::remove(FileIn(state()) + "-wal");
  const auto report = DoRepair();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GT(report->commits_missing(), 0);
  ExpectAllAccountedFor(*report);
}

TEST_F(RepairTest, AForgottenMarkLosesNothing) {
  Make(/*clean=*/true);
  std::filesystem::remove(FileIn(state()) + ".mark");
  const auto report = DoRepair();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->messages(), 300);
  EXPECT_EQ(report->lost_size(), 0);
  ExpectAllAccountedFor(*report);
}

TEST_F(RepairTest, AFileThatIsNoDatabaseGivesAnEmptyOne) {
  Make(/*clean=*/true);
  std::ofstream(FileIn(state())) << std::string(10'000, 'z');
  const auto report = DoRepair();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->messages(), 0);
  EXPECT_FALSE(report->notes().empty());
  mids_.clear();
  ExpectAllAccountedFor(*report);
}

TEST_F(RepairTest, WholePagesThatAreDamagedHideNoMoreThanTheirRows) {
  Make(/*clean=*/true);
  const auto files = Snapshot(state());
  std::mt19937_64 random(7);
  const size_t pages = files.at("queue.db").size() / 4096;
  int most_lost = 0;
  for (int i = 0; i < 25; ++i) {
    const size_t page = 1 + random() % (pages - 1);
    SCOPED_TRACE(page);
    Restore(state(), files);
    auto content = files.at("queue.db");
    content.replace(page * 4096, 4096, std::string(4096, '\x5a'));
    std::ofstream(FileIn(state())) << content;
    const auto report = DoRepair();
    if (absl::IsFailedPrecondition(report.status())) continue;  // A page that nobody uses.
    ASSERT_TRUE(report.ok()) << report.status();
    ExpectAllAccountedFor(*report);
    most_lost = std::max(most_lost, report->lost_size());
  }
  EXPECT_GT(most_lost, 0);
}

TEST_F(RepairTest, KilledAnywhereItRunsAgainAndLosesNoMore) {
  Make(/*clean=*/false);
  // The log is still needed.
  std::filesystem::remove(FileIn(state()) + ".mark");
  const auto files = Snapshot(state());
  for (const char* point : {"queue.db.repair.begun", "queue.db.repair.built", "queue.db.swap.kept",
                            "queue.db.swap.marked"}) {
    SCOPED_TRACE(point);
    Restore(state(), files);
    ASSERT_TRUE(DiesAt(point, [&] { DoRepair().IgnoreError(); }));
    now_ += absl::Seconds(5);
    const auto report = DoRepair();
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->messages(), 300);
    ExpectAllAccountedFor(*report);
  }
  Restore(state(), files);
  ASSERT_TRUE(DiesAt("queue.db.swap.renamed", [&] { DoRepair().IgnoreError(); }));
  EXPECT_EQ(VerifyDatabase(state())->state(), "Clean");
  EXPECT_EQ(VerifyDatabase(state())->messages(), 300);
}

TEST_F(RepairTest, ABugLeftAPackRefusedForeverThatWasKilledAfterItsRename) {
  MakeDamagedPack();
  ASSERT_TRUE(DiesAt("queue.db.swap.renamed", [&] { DoRepairPack().IgnoreError(); }));
  EXPECT_EQ((*ReadManifest(pack()))->under_change_by(), kRepairing);
  const auto report = DoRepairPack();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->kept_as(), FileIn(pack()) + ".damaged-20261121T100000Z");
  EXPECT_EQ(report->messages(), 11);
  ASSERT_EQ(report->notes_size(), 2);
  EXPECT_THAT(report->notes(0), HasSubstr("an earlier repair was not ended"));
  EXPECT_THAT(report->notes(1), HasSubstr("11 messages were read, 1 lost: web1-"));
  ExpectPackIsTakenAgain();
  EXPECT_EQ(DoRepairPack().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RepairTest, ABugLeftAPackRefusedForeverThatWasKilledAnywhere) {
  MakeDamagedPack();
  const auto files = Snapshot(pack());
  for (const char* point : {"queue.db.repair.begun", "queue.db.repair.built", "queue.db.swap.kept",
                            "queue.db.swap.marked", "queue.db.swap.renamed", "file.opened",
                            "file.synced", "file.renamed", "file.opened:2", "file.synced:2"}) {
    SCOPED_TRACE(point);
    Restore(pack(), files);
    ASSERT_TRUE(DiesAt(point, [&] { DoRepairPack().IgnoreError(); }));
    now_ += absl::Seconds(5);
    const auto report = DoRepairPack();
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->messages(), 11);
    ExpectPackIsTakenAgain();
  }
}

TEST_F(RepairTest, ABugLeftAPackRefusedForeverWhoseManifestMetAFailingDisk) {
  MakeDamagedPack();
  const auto files = Snapshot(pack());
  FailingDisk disk;
  for (const int error : {ENOSPC, EIO}) {
    for (int64_t step = 0;; ++step) {
      SCOPED_TRACE(absl::StrCat(error, " at ", step));
      Restore(pack(), files);
      disk.FailAfter(step, error, 1);
      const auto report = DoRepairPack();
      disk.Heal();
      if (!report.ok()) {
        const auto again = DoRepairPack();
        // An error of the very last sync comes after all was done.
        EXPECT_TRUE(again.ok() || absl::IsFailedPrecondition(again.status())) << again.status();
      }
      ExpectPackIsTakenAgain();
      if (HasFailure() || !disk.has_failed()) break;
    }
  }
}

TEST_F(RepairTest, ABugLeftAWholePackRefusedForeverWhoseManifestIsDamagedOrOfOtherFiles) {
  auto store = Open(state());
  PutLetters(*store, 12);
  Close(std::move(store));
  ASSERT_TRUE(Pack({state(), pack(), now_}).ok());
  const auto files = Snapshot(pack());
  Flip(pack() + "/" + kManifestFile, 40);
  auto report = DoRepairPack();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->notes(0), HasSubstr("the manifest of its pack was made anew"));
  ExpectPackIsTakenAgain();

  Restore(pack(), files);
  Close(Open(pack()));  // Closed anew: another mark.
  ASSERT_EQ(VerifyDatabase(pack())->state(), "Damaged");
  report = DoRepairPack();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->notes(0), HasSubstr("its SHA-256 is not the manifest's"));
  EXPECT_EQ(report->messages(), 12);
  ExpectPackIsTakenAgain();
}

TEST_F(RepairTest, LeavesTheManifestWhenAskedOfAnotherFileInAPack) {
  MakeDamagedPack();
  ASSERT_TRUE(DoRepairPack().ok());
  Flip(FileIn(pack()) + ".mark", 40);
  const auto before = Snapshot(pack());
  const auto files = Snapshot(state());
  std::ofstream(pack() + "/other.db") << files.at("queue.db");
  std::ofstream(pack() + "/other.db.mark") << files.at("queue.db.mark");
  const auto report = RepairDatabase({.file = pack() + "/other.db", .now = now_});
  EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition) << report.status();
  EXPECT_EQ(Snapshot(pack()).at(kManifestFile), before.at(kManifestFile));
}

TEST_F(RepairTest, LeavesTheManifestOfAPackThatAnotherToolHasNotEnded) {
  Make(/*clean=*/true);
  ASSERT_TRUE(DiesAt("queue.db.pack.copied:3", [&] {
    Pack({state(), pack(), now_}).IgnoreError();
  }));
  EXPECT_EQ(DoRepairPack().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ((*ReadManifest(pack()))->under_change_by(), "pack");
}

}  // namespace
}  // namespace salve

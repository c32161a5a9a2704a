#include "queue/pack.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <random>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "queue/database_fixture.h"
#include "queue/failing_disk.h"
#include "queue/manifest.h"

namespace salve {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class PackTest : public DatabaseTest {
 protected:
  // A folder as a crash leaves it: Dirty, all in the log.
  void MakeDirty(const std::string& folder, int messages) {
    const pid_t child = fork();
    if (child == 0) {
      const auto store = Open(folder);
      PutLetters(*store, messages);
      _exit(0);
    }
    waitpid(child, nullptr, 0);
  }
  void MakeClean(const std::string& folder, int messages) {
    auto store = Open(folder);
    PutLetters(*store, messages);
    Close(std::move(store));
  }
  absl::StatusOr<queue::Manifest> DoPack() { return Pack({state(), pack(), now_}); }
  absl::StatusOr<queue::RecoverReport> DoRecover() {
    return RecoverFolder({pack(), state(), now_});
  }
  absl::StatusCode CodeOfPack() { return DoPack().status().code(); }
};

TEST_F(PackTest, HoldsAllFilesAndSaysWhatIsInThem) {
  MakeDirty(state(), 3);
  const auto manifest = DoPack();
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->server(), "web1");
  EXPECT_EQ(manifest->group(), "web");
  EXPECT_EQ(manifest->role(), "salved");
  EXPECT_EQ(manifest->state(), "Dirty");
  EXPECT_EQ(manifest->made_at(), "2026-11-21T10:00:00+00:00");
  EXPECT_EQ(manifest->file_size(), 3);
  ASSERT_EQ(manifest->queue_size(), 1);
  EXPECT_EQ(manifest->queue(0).name(), "remote/ops");
  EXPECT_EQ(manifest->queue(0).messages(), 3);
  const auto info = VerifyDatabase(pack());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->state(), "Dirty");
  EXPECT_EQ(info->messages(), 3);
  EXPECT_EQ(info->signature(), manifest->signature());
  EXPECT_EQ(info->packed_at(), manifest->made_at());
}

TEST_F(PackTest, ChangesNothingInTheStateFolder) {
  MakeDirty(state(), 3);
  const auto before = Snapshot(state());
  ASSERT_TRUE(DoPack().ok());
  EXPECT_TRUE(Snapshot(state()) == before);
}

TEST_F(PackTest, RefusesAFolderThatIsNotEmpty) {
  MakeClean(state(), 1);
  std::filesystem::create_directories(pack());
  std::ofstream(pack() + "/queue.db") << "mine";
  EXPECT_EQ(CodeOfPack(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Snapshot(pack()).at("queue.db"), "mine");
}

TEST_F(PackTest, TakesAnEmptyFolder) {
  MakeClean(state(), 1);
  std::filesystem::create_directories(pack());
  EXPECT_TRUE(DoPack().ok());
}

TEST_F(PackTest, RefusesWhileTheAgentRuns) {
  MakeClean(state(), 1);
  const int lock = open((state() + "/salved.lock").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  EXPECT_EQ(CodeOfPack(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(DoPack().status().message(), HasSubstr("salved runs"));
  EXPECT_EQ(ReadDatabaseInfo(state()).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(VerifyDatabase(state()).status().code(), absl::StatusCode::kFailedPrecondition);
  close(lock);
  EXPECT_TRUE(DoPack().ok());
}

TEST_F(PackTest, WithoutADatabaseThereIsNothingToPack) {
  EXPECT_EQ(CodeOfPack(), absl::StatusCode::kNotFound);
}

TEST_F(PackTest, ADamagedDatabaseIsNotPacked) {
  MakeDirty(state(), 3);
  std::filesystem::remove(FileIn(state()) + "-wal");
  EXPECT_EQ(CodeOfPack(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(FileExists(pack()));
}

TEST_F(PackTest, KilledAnywhereItIsMadeAgain) {
  MakeDirty(state(), 3);
  for (const char* point :
       {"queue.db.pack.begun", "queue.db.pack.copied", "queue.db.pack.copied:2",
        "queue.db.pack.copied:3", "file.opened", "file.synced", "file.opened:2", "file.synced:2"}) {
    SCOPED_TRACE(point);
    std::filesystem::remove_all(pack());
    ASSERT_TRUE(DiesAt(point, [&] { DoPack().IgnoreError(); }));
    EXPECT_FALSE(VerifyDatabase(pack()).ok());
    EXPECT_FALSE(DoRecover().ok());
    const auto again = DoPack();
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_THAT(VerifyDatabase(pack())->problems(), IsEmpty());
  }
}

TEST_F(PackTest, AnUnfinishedOneIsNamedAsSuch) {
  MakeDirty(state(), 3);
  ASSERT_TRUE(DiesAt("queue.db.pack.copied:3", [&] { DoPack().IgnoreError(); }));
  EXPECT_THAT(ReadDatabaseInfo(pack()).status().message(), HasSubstr("unfinished"));
  EXPECT_EQ(DoRecover().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PackTest, ABugRemovedTheFilesOfAPackThatIsUnderWay) {
  MakeDirty(state(), 3);
  ASSERT_TRUE(DiesAt("queue.db.pack.copied:2", [&] { DoPack().IgnoreError(); }));
  std::ofstream(pack() + "/" + kManifestFile + ".new-abc123") << "half";
  const auto before = Snapshot(pack());
  {
    const auto lock = FolderLock::Take(pack(), FolderLock::For::kChange);
    ASSERT_TRUE(lock.ok()) << lock.status();
    EXPECT_THAT(DoPack().status().message(), HasSubstr("another salvectl works"));
    EXPECT_TRUE(Snapshot(pack()) == before);
  }
  EXPECT_TRUE(DoPack().ok());
}

TEST_F(PackTest, ABugGaveAManifestToAPackWithoutItsDatabaseOrItsMark) {
  MakeClean(state(), 1);
  queue::Manifest manifest;
  std::filesystem::remove(FileIn(state()) + "-wal");
  EXPECT_TRUE(SetManifestFiles(state(), manifest).ok());
  const auto files = Snapshot(state());
  for (const char* suffix : {"", ".mark"}) {
    Restore(state(), files);
    std::filesystem::remove(FileIn(state()) + suffix);
    const absl::Status status = SetManifestFiles(state(), manifest);
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(status.message(), HasSubstr(absl::StrCat("queue.db", suffix)));
  }
}

TEST_F(PackTest, TheAgentsOwnFolderIsNotEmpty) {
  MakeClean(state(), 1);
  const auto before = Snapshot(state());
  std::filesystem::create_directory_symlink(state(), pack());
  EXPECT_THAT(DoPack().status().message(), HasSubstr("is not empty"));
  EXPECT_TRUE(Snapshot(state()) == before);
}

TEST_F(PackTest, ABugLeftTheNewFolderUnsyncedInItsParent) {
  MakeClean(state(), 1);
  const std::filesystem::path here = std::filesystem::current_path();
  std::filesystem::current_path(root_);
  const std::pair<std::string, std::string> kFolderAndParent[] = {
      {pack(), root_}, {pack() + "//", root_}, {"pack", "."}, {"pack/", "."}, {"./pack", "."}};
  FailingDisk disk;
  for (const auto& [folder, parent] : kFolderAndParent) {
    SCOPED_TRACE(folder);
    std::vector<std::string> errors;
    do {
      std::filesystem::remove_all(pack());
      disk.FailAfter(static_cast<int64_t>(errors.size()), EIO, 1);
      errors.emplace_back(Pack({state(), folder, now_}).status().message());
      disk.Heal();
    } while (disk.has_failed());
    EXPECT_THAT(errors, Contains(StartsWith(parent + ": ")));
  }
  std::filesystem::current_path(here);
}

TEST_F(PackTest, VerifyNamesEveryFaultAndChangesNothing) {
  MakeDirty(state(), 3);
  ASSERT_TRUE(DoPack().ok());
  std::filesystem::remove(FileIn(pack()) + "-wal");
  Flip(FileIn(pack()) + ".mark", 40);
  const auto before = Snapshot(pack());
  const auto info = VerifyDatabase(pack());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->state(), "Damaged");
  EXPECT_GE(info->problems_size(), 3) << info->DebugString();
  EXPECT_EQ(WholeOr(*info).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Snapshot(pack()) == before);
}

TEST_F(PackTest, AManifestThatWasEditedIsDamage) {
  MakeClean(state(), 1);
  ASSERT_TRUE(DoPack().ok());
  const std::string path = pack() + "/" + kManifestFile;
  std::string text = Snapshot(pack()).at(kManifestFile);
  text.replace(text.find("web1"), 4, "web2");
  std::ofstream(path) << text;
  EXPECT_EQ(VerifyDatabase(pack())->state(), "Damaged");
  EXPECT_EQ(DoRecover().status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(PackTest, RecoverReplaysTheLogAndIsIdempotent) {
  MakeDirty(state(), 3);
  ASSERT_TRUE(DoPack().ok());
  const auto report = DoRecover();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->was_clean());
  EXPECT_EQ(report->database().state(), "Clean");
  EXPECT_EQ(report->database().messages(), 3);
  EXPECT_THAT(VerifyDatabase(pack())->problems(), IsEmpty());
  const auto before = Snapshot(pack());
  const auto again = DoRecover();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->was_clean());
  EXPECT_TRUE(Snapshot(pack()) == before);
}

TEST_F(PackTest, RecoverWorksOnAFolderThatWasCopiedByHand) {
  MakeDirty(state(), 3);
  std::filesystem::copy(state(), pack());
  const auto report = DoRecover();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->database().messages(), 3);
}

TEST_F(PackTest, RecoverKilledAnywhereIsDoneByTheNextOne) {
  MakeDirty(state(), 3);
  ASSERT_TRUE(DoPack().ok());
  const auto dirty = Snapshot(pack());
  for (const char* point :
       {"queue.db.recover.begun", "queue.open.dirty", "queue.db.recover.replayed",
        "queue.close.written", "queue.close.closing", "queue.close.checkpointed",
        "queue.db.recover.closed", "file.opened", "file.synced", "file.renamed", "file.opened:2",
        "file.synced:2"}) {
    SCOPED_TRACE(point);
    Restore(pack(), dirty);
    ASSERT_TRUE(DiesAt(point, [&] { DoRecover().IgnoreError(); }));
    const auto report = DoRecover();
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->database().state(), "Clean");
    EXPECT_EQ(report->database().messages(), 3);
    EXPECT_THAT(VerifyDatabase(pack())->problems(), IsEmpty());
  }
}

TEST_F(PackTest, RecoverLeavesADamagedOneAsItIs) {
  MakeDirty(state(), 3);
  ASSERT_TRUE(DoPack().ok());
  std::filesystem::resize_file(FileIn(pack()) + "-wal", 5000);
  const auto before = Snapshot(pack());
  EXPECT_EQ(DoRecover().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Snapshot(pack()) == before);
}

TEST_F(PackTest, RecoverIsNotForTheAgentsOwnFolder) {
  MakeDirty(state(), 3);
  std::filesystem::create_directory_symlink(state(), pack());
  EXPECT_EQ(DoRecover().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PackTest, ANewerVersionIsAMismatch) {
  MakeClean(state(), 1);
  Flip(FileIn(state()), 63);  // PRAGMA user_version, big endian, at 60.
  EXPECT_EQ(CodeOfPack(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ReadDatabaseInfo(state()).status().code(), absl::StatusCode::kOutOfRange);
}

// Never silently fewer: a pack whose log was cut, or in which one byte is wrong, is whole or named
// as damaged, also without a manifest.
class DamagedPackTest : public PackTest {
 protected:
  DamagedPackTest() {
    MakeDirty(state(), 40);
    EXPECT_TRUE(DoPack().ok());
    files_ = Snapshot(pack());
    files_.erase(kManifestFile);
  }
  void ExpectWholeOrDamaged() {
    const auto before = Snapshot(pack());
    const auto report = DoRecover();
    if (report.ok()) {
      EXPECT_EQ(report->database().messages(), 40);
    } else {
      EXPECT_EQ(report.status().code(), absl::StatusCode::kDataLoss) << report.status();
      EXPECT_TRUE(Snapshot(pack()) == before);
    }
  }
  std::map<std::string, std::string> files_;
};

TEST_F(DamagedPackTest, ALogThatWasCut) {
  const size_t size = files_.at("queue.db-wal").size();
  for (size_t bytes = 0; bytes < size; bytes += 64 * 1024) {
    SCOPED_TRACE(bytes);
    Restore(pack(), files_);
    std::filesystem::resize_file(FileIn(pack()) + "-wal", bytes);
    ExpectWholeOrDamaged();
  }
}

TEST_F(DamagedPackTest, AByteThatIsWrong) {
  std::mt19937_64 random(1);
  for (const auto& [name, content] : files_) {
    for (int i = 0; i < 40; ++i) {
      const int64_t offset = static_cast<int64_t>(random() % content.size());
      SCOPED_TRACE(absl::StrCat(name, " at ", offset));
      Restore(pack(), files_);
      Flip(pack() + "/" + name, offset);
      ExpectWholeOrDamaged();
    }
  }
}

}  // namespace
}  // namespace salve

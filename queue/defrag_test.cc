#include "queue/defrag.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "queue/database_fixture.h"
#include "queue/failing_disk.h"
#include "queue/pack.h"

namespace salve {
namespace {

using testing::HasSubstr;

class DefragTest : public DatabaseTest {
 protected:
  // A file with many holes: of 400 messages of 8 KiB a few are left.
  void MakeFragmented(const std::string& folder) {
    auto store = Open(folder);
    std::vector<int64_t> sequences;
    for (int batch = 0; batch < 4; ++batch) {
      Changes changes;
      changes.now = now_;
      for (int i = 0; i < 100; ++i) {
        queue::Message message = NewMessage(*store, queue::AF, "web1");
        message.mutable_letter()->set_message(std::string(8000, 'x'));
        changes.puts.push_back({message, "remote/ops", false, now_});
      }
      const auto put = store->Apply(changes);
      ASSERT_TRUE(put.ok()) << put.status();
      sequences.insert(sequences.end(), put->begin(), put->end());
    }
    Changes changes;
    for (size_t i = 0; i < sequences.size(); ++i) {
      if (i % 20 == 0) continue;
      changes.ends.push_back({sequences[i], Final::kDone, "", now_ + absl::Hours(48)});
    }
    changes.settings.emplace_back("mode", "REMOTELY");
    changes.suspend_queues.emplace_back("remote/ops", true);
    Apply(*store, std::move(changes));
    Close(std::move(store));
  }
  void ExpectAllThere(const std::string& folder) {
    const auto info = VerifyDatabase(folder);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->state(), "Clean") << info->DebugString();
    EXPECT_EQ(info->messages(), 20);
    EXPECT_EQ(info->ended(), 380);
  }
};

TEST_F(DefragTest, GivesTheHolesBackAndKeepsEverythingElse) {
  MakeFragmented(state());
  const auto before = *VerifyDatabase(state());
  const auto report = Defragment(FileIn(state()));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->bytes_before(), before.bytes());
  EXPECT_LT(report->bytes_after(), report->bytes_before() / 4);
  EXPECT_GE(report->bytes_needed(), report->bytes_after());
  ExpectAllThere(state());
  const auto after = *VerifyDatabase(state());
  EXPECT_EQ(after.signature(), before.signature());
  EXPECT_EQ(after.commits(), before.commits());
  auto store = Open(state());
  EXPECT_EQ(store->Setting("mode"), "REMOTELY");
  EXPECT_EQ(store->List("remote/ops", 100)->size(), 20u);
  PutLetters(*store, 1);
  Close(std::move(store));
  EXPECT_FALSE(FileExists(FileIn(state()) + ".defrag"));
}

TEST_F(DefragTest, TheManifestOfAPackTellsOfTheNewFile) {
  MakeFragmented(state());
  ASSERT_TRUE(Pack({state(), pack(), now_}).ok());
  ASSERT_TRUE(Defragment(pack()).ok());
  ExpectAllThere(pack());
}

TEST_F(DefragTest, APathMayBeginWithTwoSlashes) {
  MakeFragmented(state());
  const auto report = Defragment("/" + FileIn(state()));
  ASSERT_TRUE(report.ok()) << report.status();
  ExpectAllThere(state());
}

TEST_F(DefragTest, RefusesADirtyFile) {
  PutLetters(*Open(state()), 1);
  EXPECT_EQ(Defragment(state()).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DefragTest, RefusesWhileTheAgentRunsAndAMissingFile) {
  EXPECT_EQ(Defragment(state()).status().code(), absl::StatusCode::kNotFound);
  MakeFragmented(state());
  const int lock = open((state() + "/salved.lock").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  EXPECT_EQ(Defragment(state()).status().code(), absl::StatusCode::kFailedPrecondition);
  close(lock);
}

// Also of the sync, which goes on beside the checks.
TEST_F(DefragTest, SaysEachFailureOfTheDisk) {
  MakeFragmented(state());
  const auto files = Snapshot(state());
  FailingDisk disk;
  int64_t step = 0;
  for (;; ++step) {
    Restore(state(), files);
    disk.FailAfter(step, EIO, 1);
    const absl::Status status = Defragment(state()).status();
    disk.Heal();
    if (!disk.has_failed()) break;
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << step << ": " << status;
  }
  EXPECT_GT(step, 5);
}

// Or it is mended, where only an index is damaged; a row that is damaged stays so, and is found.
TEST_F(DefragTest, HidesNoDamage) {
  MakeFragmented(state());
  const auto files = Snapshot(state());
  int refused = 0;
  int found = 0;
  for (int64_t offset = 5000; offset < static_cast<int64_t>(files.at("queue.db").size());
       offset += 50'000) {
    SCOPED_TRACE(offset);
    Restore(state(), files);
    Flip(FileIn(state()), offset);
    std::string before = files.at("queue.db");
    before[offset] ^= 0x20;
    const auto report = Defragment(state());
    if (!report.ok()) {
      ++refused;
      EXPECT_EQ(report.status().code(), absl::StatusCode::kDataLoss) << report.status();
      EXPECT_TRUE(Snapshot(state()).at("queue.db") == before);
    } else if (VerifyDatabase(state())->state() == "Damaged") {
      ++found;
    } else {
      ExpectAllThere(state());
    }
  }
  EXPECT_GT(refused + found, 0);
}

TEST_F(DefragTest, KilledAnywhereItIsWholeAndRunsAgain) {
  MakeFragmented(state());
  ASSERT_TRUE(Pack({state(), pack(), now_}).ok());
  const auto files = Snapshot(pack());
  for (const char* point : {"queue.db.defrag.begun", "queue.db.defrag.copied",
                            "queue.db.defrag.checked", "queue.db.defrag.renamed"}) {
    SCOPED_TRACE(point);
    Restore(pack(), files);
    ASSERT_TRUE(DiesAt(point, [&] { Defragment(pack()).IgnoreError(); }));
    ExpectAllThere(pack());
    const auto report = Defragment(pack());
    ASSERT_TRUE(report.ok()) << report.status();
    ExpectAllThere(pack());
    EXPECT_FALSE(FileExists(FileIn(pack()) + ".defrag"));
  }
}

}  // namespace
}  // namespace salve

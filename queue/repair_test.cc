#include "queue/repair.h"

#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "queue/adopt.h"
#include "queue/database_fixture.h"
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

}  // namespace
}  // namespace salve

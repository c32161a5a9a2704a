#include "channels/event_database.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "channels/test_events.h"

namespace salve {
namespace {

class EventDatabaseTest : public testing::Test {
 protected:
  std::unique_ptr<EventDatabase> Open() {
    auto database = EventDatabase::Open(path_);
    EXPECT_TRUE(database.ok()) << database.status();
    return database.ok() ? *std::move(database) : nullptr;
  }
  QueuedEvent Next(v1::Event event) {
    event.set_record_id(next_id_++);
    return {.event = std::make_shared<const v1::Event>(At(now_, std::move(event)))};
  }
  int64_t Ask(const std::string& sql) {
    auto connection = SqliteConnection::Open(path_, SqliteConnection::Mode::kReadOnly);
    return *(*connection)->QueryInteger(sql);
  }

  TestFolder folder_;
  const std::string path_ = folder_.path("events.db");
  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  uint64_t next_id_ = 1;
};

TEST_F(EventDatabaseTest, ANewFileIsEmptyAndNotForAllToRead) {
  EXPECT_EQ(Open()->newest_record_id(), 0u);
  struct stat file;
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07, 0u);
}

TEST_F(EventDatabaseTest, RemembersItsNewestIdAndItsSizes) {
  {
    auto database = Open();
    ASSERT_TRUE(database
                    ->Write({Next(ProbeEvent()), Next(ProbeEvent()), Next(ActionEvent(2050))},
                            /*synced=*/true)
                    .ok());
  }
  auto database = Open();
  EXPECT_EQ(database->newest_record_id(), 3u);
  EXPECT_EQ(database->sizes().at(v1::ProbeResult).rows, 2);
  EXPECT_GT(database->sizes().at(v1::ProbeResult).bytes, 2 * EventDatabase::kRowOverheadBytes);
  EXPECT_EQ(database->sizes().at(v1::RecoveryActionLogs).rows, 1);
}

TEST_F(EventDatabaseTest, AnEventThatIsThereIsNotCountedTwice) {
  auto database = Open();
  const std::vector<QueuedEvent> events = {Next(ProbeEvent())};
  ASSERT_TRUE(database->Write(events, false).ok());
  ASSERT_TRUE(database->Write(events, false).ok());
  EXPECT_EQ(database->sizes().at(v1::ProbeResult).rows, 1);
  EXPECT_EQ(Ask("SELECT rows FROM sizes"), 1);
}

TEST_F(EventDatabaseTest, EachItemIsKeptOnce) {
  auto database = Open();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(database->Write({Next(ProbeEvent())}, false).ok());
  ASSERT_TRUE(database->Write({Next(ProbeEvent(1, "Other"))}, false).ok());
  EXPECT_EQ(Ask("SELECT count(*) FROM items"), 2);
  database = nullptr;
  database = Open();
  ASSERT_TRUE(database->Write({Next(ProbeEvent())}, false).ok());
  EXPECT_EQ(Ask("SELECT count(*) FROM items"), 2) << "also after it was opened again";
}

TEST_F(EventDatabaseTest, ItemsOfLooksAreNegativeSoThatTheirIndexIsNotTouched) {
  auto database = Open();
  ASSERT_TRUE(database->Write({Next(ProbeEvent()), Next(EventOf(v1::Agent))}, false).ok());
  EXPECT_EQ(Ask("SELECT item FROM events WHERE record_id = 1"), -1);
  EXPECT_EQ(Ask("SELECT item FROM events WHERE record_id = 2"), 2);
}

TEST_F(EventDatabaseTest, IncidentsTakeSixteenBytes) {
  auto database = Open();
  ASSERT_TRUE(database
                  ->Write({Next(ActionEvent(500, "0192ab34cd56ef780192ab34cd56ef78")),
                           Next(ActionEvent(500))},
                          false)
                  .ok());
  EXPECT_EQ(Ask("SELECT length(incident) FROM events WHERE record_id = 1"), 16);
  EXPECT_EQ(Ask("SELECT incident IS NULL FROM events WHERE record_id = 2"), 1);
}

TEST_F(EventDatabaseTest, OtherIncidentTextsAreKeptAsTheyAre) {
  EXPECT_EQ(IncidentKey("short"), "short");
  EXPECT_EQ(IncidentKey(std::string(32, 'g')), std::string(32, 'g'));
  EXPECT_EQ(IncidentKey(std::string(32, 'A')), std::string(16, '\xaa'));
}

TEST_F(EventDatabaseTest, BlocksKnowTheirTimes) {
  auto database = Open();
  next_id_ = kRecordsPerBlock - 1;
  const QueuedEvent last_of_block = Next(ProbeEvent());
  const QueuedEvent first_of_next = Next(ProbeEvent());
  ASSERT_TRUE(database->Write({last_of_block, first_of_next}, false).ok());
  v1::Event early = At(now_ - absl::Seconds(10), ProbeEvent());
  early.set_record_id(kRecordsPerBlock + 1);
  ASSERT_TRUE(database->Write({{.event = std::make_shared<const v1::Event>(early)}}, false).ok());
  EXPECT_EQ(Ask("SELECT count(*) FROM blocks"), 2);
  EXPECT_EQ(Ask("SELECT latest - earliest FROM blocks WHERE block = 0"), 0);
  EXPECT_EQ(Ask("SELECT latest - earliest FROM blocks WHERE block = 1"), 10'000'000'000);
}

TEST_F(EventDatabaseTest, RefusesWhatIsNoDatabase) {
  std::ofstream(path_) << std::string(10'000, 'x');
  EXPECT_EQ(EventDatabase::Open(path_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(EventDatabaseTest, RefusesAnotherProgramsDatabase) {
  auto other = SqliteConnection::Open(path_, SqliteConnection::Mode::kReadWrite);
  ASSERT_TRUE((*other)->Execute("CREATE TABLE cats (name)").ok());
  EXPECT_EQ(EventDatabase::Open(path_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(EventDatabaseTest, RefusesANewerVersion) {
  Open();
  auto other = SqliteConnection::Open(path_, SqliteConnection::Mode::kReadWrite);
  ASSERT_TRUE((*other)->Execute("PRAGMA user_version=2").ok());
  EXPECT_EQ(EventDatabase::Open(path_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(EventDatabaseTest, AFolderInItsPlaceIsUnavailable) {
  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  EXPECT_EQ(EventDatabase::Open(path_).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(EventDatabaseTest, AFailedWriteLeavesNothing) {
  auto database = Open();
  auto other = SqliteConnection::Open(path_, SqliteConnection::Mode::kReadWrite);
  ASSERT_TRUE((*other)
                  ->Execute("CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.record_id = 2 "
                            "BEGIN SELECT RAISE(ABORT, 'refused'); END")
                  .ok());
  const std::vector<QueuedEvent> events = {Next(EventOf(v1::Agent)),
                                           Next(EventOf(v1::Agent, 1, "Other"))};
  EXPECT_FALSE(database->Write(events, false).ok());
  EXPECT_EQ(Ask("SELECT count(*) FROM events"), 0);
  EXPECT_TRUE(database->sizes().empty());
  ASSERT_TRUE((*other)->Execute("DROP TRIGGER refuse").ok());
  EXPECT_TRUE(database->Write(events, false).ok())
      << "the item ids of the failed one are forgotten";
  EXPECT_EQ(Ask("SELECT count(*) FROM events JOIN items ON item = items.id"), 2);
}

}  // namespace
}  // namespace salve

#include "channels/explain.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "channels/store_fixture.h"

namespace salve {
namespace {

const char kIncident[] = "0192ab34cd56ef780192ab34cd56ef78";
const char kEarlier[] = "0192ab34cd56ef000192ab34cd56ef00";

class ExplainTest : public StoreFixture {
 protected:
  ExplainTest() {
    EventStoreOptions options = Options();
    options.clock = &time_;
    store_ = Open(std::move(options));
    reader_ = std::make_unique<EventReader>(*store_);
  }

  uint64_t Look(int event_id, const std::string& error, const std::string& incident = "",
                const std::string& name = "Ping") {
    v1::Event event = ProbeEvent(event_id, name, error);
    event.mutable_probe_result()->set_duration_ms(5);
    event.set_incident_id(incident);
    const uint64_t id = store_->Append(std::move(event));
    time_.Advance(absl::Seconds(10));
    return id;
  }
  void Change(const std::string& incident, bool alert, const std::string& to,
              const std::vector<uint64_t>& evidence = {}, const std::string& name = "Down") {
    v1::Event event = EventOf(v1::MonitorResult, 1, name);
    event.set_incident_id(incident);
    event.mutable_monitor_result()->set_is_alert(alert);
    event.mutable_monitor_result()->set_from("X");
    event.mutable_monitor_result()->set_to(to);
    for (uint64_t id : evidence) event.mutable_monitor_result()->add_evidence_record_ids(id);
    store_->Append(std::move(event));
  }
  absl::StatusOr<v1::ExplainResponse> Ask(const v1::ExplainRequest& request = {}) {
    return Explain(*reader_, request, time_.WallNow(), absl::UTCTimeZone());
  }
  std::vector<std::string> Lines() {
    const auto story = Ask();
    EXPECT_TRUE(story.ok()) << story.status();
    if (!story.ok()) return {};
    return {story->lines().begin(), story->lines().end()};
  }

  SimulatedClock time_;
  std::unique_ptr<EventStore> store_;
  std::unique_ptr<EventReader> reader_;
};

TEST_F(ExplainTest, TellsTheStoryInOrderWithTheEvidenceBeforeIt) {
  const uint64_t first = Look(2, "refused");
  const uint64_t second = Look(2, "refused");
  const uint64_t third = Look(3, "");
  Look(1, "", "", "Other");
  Change(kIncident, true, "UNHEALTHY", {first, second, third});
  store_->Append(ActionEvent(2050, kIncident));
  time_.Advance(absl::Milliseconds(2'500));
  store_->Append(ActionEvent(501, kIncident));
  Look(1, "", kIncident);
  Change(kIncident, false, "HEALTHY");

  const auto story = Ask();
  ASSERT_TRUE(story.ok()) << story.status();
  EXPECT_EQ(story->incident_id(), kIncident);
  EXPECT_FALSE(story->is_open());
  EXPECT_EQ(story->events_size(), 8);
  EXPECT_EQ(Lines(), (std::vector<std::string>{
                         "Web/Down, opened 2027-01-15 08:00:40 UTC, closed after 12.5 s",
                         "08:00:00.000      -40.0 s  probe Web/Ping failed after 5 ms: refused x "
                         "2, the last at 08:00:10",
                         "08:00:20.000      -20.0 s  probe Web/Ping timed out after 5 ms",
                         "08:00:40.000        +0 ms  monitor Web/Down: X -> UNHEALTHY",
                         "08:00:40.000        +0 ms  RecoveryActionLogs 2050 Web/Restart",
                         "08:00:42.500       +2.5 s  RecoveryActionResults 501 Web/Restart",
                         "08:00:42.500       +2.5 s  probe Web/Ping passed in 5 ms",
                         "08:00:52.500      +12.5 s  monitor Web/Down: X -> HEALTHY"}));
}

TEST_F(ExplainTest, AnOpenIncidentHasAnAge) {
  Change(kIncident, true, "UNHEALTHY");
  time_.Advance(absl::Seconds(90));
  const auto story = Ask();
  ASSERT_TRUE(story.ok());
  EXPECT_TRUE(story->is_open());
  EXPECT_EQ(story->lines(0), "Web/Down, opened 2027-01-15 08:00:00 UTC, open for 1 min 30 s");
}

TEST_F(ExplainTest, FindsTheIncidentThatIsMeant) {
  Change(kEarlier, true, "UNHEALTHY");
  Change(kIncident, true, "UNHEALTHY", {}, "Other");
  Change("", false, "HEALTHY", {}, "Third");
  EXPECT_EQ(Ask()->incident_id(), kIncident) << "the newest of all";
  v1::ExplainRequest request;
  request.set_health_set("Web");
  request.set_monitor("Down");
  EXPECT_EQ(Ask(request)->incident_id(), kEarlier);
  request = {};
  request.set_incident_id("0192AB34CD56EF000192AB34CD56EF00");
  EXPECT_EQ(Ask(request)->incident_id(), kEarlier) << "in any case";
}

TEST_F(ExplainTest, SaysWhatItDoesNotKnow) {
  EXPECT_EQ(Ask().status().code(), absl::StatusCode::kNotFound);
  Change(kIncident, true, "UNHEALTHY");
  v1::ExplainRequest request;
  request.set_incident_id(kEarlier);
  EXPECT_EQ(Ask(request).status().code(), absl::StatusCode::kNotFound);
  request = {};
  request.set_health_set("Web");
  EXPECT_EQ(Ask(request).status().code(), absl::StatusCode::kInvalidArgument);
  request.set_monitor("Nothing");
  EXPECT_EQ(Ask(request).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ExplainTest, EvidenceThatIsGoneIsSaid) {
  const uint64_t there = Look(2, "refused");
  Change(kIncident, true, "UNHEALTHY", {there, 70'001, 70'002, 0});
  EXPECT_EQ(Lines()[1], "2 of the looks that led to it are no longer kept (retention)");
}

TEST_F(ExplainTest, FoldsTheLooksOfEachProbeByItself) {
  Change(kIncident, true, "UNHEALTHY");
  for (int i = 0; i < 3; ++i) {
    Look(2, "refused", kIncident, "A");
    Look(2, "refused", kIncident, "B");
  }
  Look(2, "reset", kIncident, "A");
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_NE(lines[2].find("Web/A failed after 5 ms: refused x 3"), std::string::npos) << lines[2];
  EXPECT_NE(lines[3].find("Web/B failed after 5 ms: refused x 3"), std::string::npos) << lines[3];
  EXPECT_NE(lines[4].find("Web/A failed after 5 ms: reset"), std::string::npos) << lines[4];
}

TEST_F(ExplainTest, AnotherEventEndsARun) {
  Change(kIncident, true, "UNHEALTHY");
  Look(2, "refused", kIncident);
  store_->Append(ActionEvent(2051, kIncident));
  Look(2, "refused", kIncident);
  EXPECT_EQ(Lines().size(), 5u);
}

TEST_F(ExplainTest, ALongIncidentKeepsItsBeginning) {
  Change(kIncident, true, "UNHEALTHY");
  for (int i = 0; i < 2'000; ++i) Look(2, "refused", kIncident);
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[1], "only the newest looks are shown");
  EXPECT_NE(lines[2].find("X -> UNHEALTHY"), std::string::npos);
  EXPECT_NE(lines[3].find("x 2000"), std::string::npos);
}

TEST_F(ExplainTest, AnotherDayIsWritten) {
  Change(kIncident, true, "UNHEALTHY");
  time_.Advance(absl::Hours(24));
  Change(kIncident, false, "HEALTHY");
  EXPECT_EQ(Lines()[2].substr(0, 18), "01-16 08:00:00.000");
}

}  // namespace
}  // namespace salve

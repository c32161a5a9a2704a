// Events, folders and exports for the tests of this folder.
#ifndef SALVE_CHANNELS_TEST_EVENTS_H_
#define SALVE_CHANNELS_TEST_EVENTS_H_

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "api/events.pb.h"
#include "base/mutex.h"
#include "channels/event_export.h"

namespace salve {

// A folder of its own, removed with all that is in it.
class TestFolder {
 public:
  TestFolder() {
    const char* base = getenv("TEST_TMPDIR");
    std::string name = std::string(base == nullptr ? "/tmp" : base) + "/channels.XXXXXX";
    path_ = mkdtemp(name.data()) == nullptr ? "" : name;
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// An event of the channel's first kind, about Web/<name>.
inline v1::Event EventOf(v1::Channel channel, int event_id = 1, const std::string& name = "Ping") {
  v1::Event event;
  event.set_channel(channel);
  event.set_event_id(event_id);
  event.set_level(v1::Information);
  event.set_health_set("Web");
  event.set_name(name);
  return event;
}

inline v1::Event ProbeEvent(int event_id = 1, const std::string& name = "Ping",
                            const std::string& error = "") {
  v1::Event event = EventOf(v1::ProbeResult, event_id, name);
  event.mutable_probe_result()->set_result_name(name);
  event.mutable_probe_result()->set_error(error);
  return event;
}

inline v1::Event ActionEvent(int event_id, const std::string& incident_id = "") {
  v1::Event event = EventOf(event_id >= 2000 ? v1::RecoveryActionLogs : v1::RecoveryActionResults,
                            event_id, "Restart");
  event.set_incident_id(incident_id);
  return event;
}

inline v1::Event AgentEvent(const std::string& message) {
  v1::Event event = EventOf(v1::Agent, 3, "");
  event.set_health_set("");
  event.mutable_agent()->set_message(message);
  return event;
}

inline v1::Event At(absl::Time time, v1::Event event) {
  event.mutable_time()->set_seconds(absl::ToUnixSeconds(time));
  event.mutable_time()->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(absl::ToUnixSeconds(time)))));
  return event;
}

// Keeps what it is given. Thread-safe. What it got outlives the store that owns it.
class RecordingExport final : public EventExport {
 public:
  struct Record {
    Mutex mu;
    std::vector<v1::Event> events ABSL_GUARDED_BY(mu);
    absl::Status answer ABSL_GUARDED_BY(mu);
  };
  RecordingExport(std::string name, Record& record) : name_(std::move(name)), record_(record) {}

  std::string name() const override { return name_; }
  absl::Status Write(const v1::Event& event) override {
    MutexLock lock(&record_.mu);
    record_.events.push_back(event);
    return record_.answer;
  }

 private:
  const std::string name_;
  Record& record_;
};

}  // namespace salve

#endif  // SALVE_CHANNELS_TEST_EVENTS_H_

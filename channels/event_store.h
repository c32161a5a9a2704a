// EventStore: the EventLog on disk, a SQLite file that a thread of its own writes. Append
// never waits for the disk. A damaged file is set aside and a new one begun; a disk that is
// full or read-only costs ProbeResults first and stops nothing. docs/CHANNELS.md has the rules.
// All methods are thread-safe.
#ifndef SALVE_CHANNELS_EVENT_STORE_H_
#define SALVE_CHANNELS_EVENT_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "api/events.pb.h"
#include "api/salve.pb.h"
#include "base/clock.h"
#include "channels/event_export.h"
#include "channels/event_log.h"
#include "channels/event_queue.h"
#include "channels/event_subscription.h"
#include "channels/retention.h"

namespace salve {

struct EventStoreOptions {
  std::string path;              // events.db; its folder must exist.
  std::string server;            // Goes on every event.
  const Clock* clock = nullptr;  // Read only inside Append and Flush, by the calling thread.
  RetentionTable retention = DefaultRetention();

  // No record id below this one is given out: what reserve_record_ids was last told.
  uint64_t next_record_id = 1;
  // Says that ids below `high_water` may be in use from now on; it must be durable when the call
  // returns. Called by Open, by the writer thread when half a block of 10,000 is used, and at a
  // clean end with the exact next id. No event is written or exported with an id beyond the last
  // call. Never called at the same time twice. May be empty.
  std::function<void(uint64_t high_water)> reserve_record_ids;

  std::vector<ExportRoute> exports;
  // Where events other than ProbeResults go when the file can't be written (the journal, also
  // when it is no export). May be null.
  std::unique_ptr<EventExport> refuge;
  // One line for the agent's log: trouble begins, trouble is over. On the writer thread or inside
  // Open. May be empty.
  std::function<void(absl::string_view)> say;

  EventQueueBounds queue;
  absl::Duration write_delay = absl::Milliseconds(50);  // The longest an event waits for company.
  uint64_t disk_reserve_bytes = 16u << 20;       // With less free, ProbeResults are not stored.
  absl::Duration retry_min = absl::Seconds(1);   // Pause after a write that failed, doubling …
  absl::Duration retry_max = absl::Seconds(30);  // … up to this.
  absl::Duration upkeep_interval = absl::Seconds(1);        // Between looks at age, disk and file.
  absl::Duration drop_report_interval = absl::Seconds(10);  // Between two events about drops.
};

// What Open met that a person should know; the caller puts it into an Agent event (id 9 when
// `damaged`) and the log.
struct OpenReport {
  bool damaged = false;  // The old file was unreadable (set aside) or lost: a new one was begun.
  std::vector<std::string> messages;
};

class EventWriter;

class EventStore final : public EventLog {
 public:
  // Opens or creates the file and starts the writer. A disk that can't be written is no error:
  // events then wait in memory, are copied to the refuge, and the report says so.
  // Errors: kInvalidArgument: no path or clock.
  static absl::StatusOr<std::unique_ptr<EventStore>> Open(EventStoreOptions options);

  // Writes what is queued, if that works at once, and closes. Ends all subscriptions.
  ~EventStore() override;

  // What is beyond 64 KiB of a single text is cut and bytes that are not UTF-8 are replaced.
  uint64_t Append(v1::Event event) override;

  // Waits until every event appended before is on disk (synced).
  // Errors: kDeadlineExceeded; kUnavailable: the disk can't be written.
  absl::Status Flush(Instant deadline);

  // The new events that match `filter` from now on (limit and record_id are ignored).
  // At most 64 at a time. Errors: kResourceExhausted.
  absl::StatusOr<std::unique_ptr<EventSubscription>> Subscribe(v1::QueryEventsRequest filter);

  // From the writer's next turn on (a reload).
  void Reconfigure(RetentionTable retention, std::vector<ExportRoute> exports);

  const OpenReport& open_report() const { return open_report_; }
  uint64_t dropped() const;      // Events that were never stored, since Open.
  absl::Status trouble() const;  // Why the file can't be written now; OK when it can.

 private:
  friend class EventReader;

  EventStore(std::string server, std::string path, const Clock& clock, EventQueueBounds bounds,
             uint64_t next_record_id);
  // For readers: counts the files that were opened; 0: there is none now.
  uint64_t file_generation() const;
  // A reader met damage in the file of that generation: the writer sets it aside, if it is still
  // the one in use.
  void ReportDamage(uint64_t generation);

  const Clock& clock_;
  const std::string path_;
  const std::string server_;
  OpenReport open_report_;  // Not changed after Open.
  EventQueue queue_;
  std::unique_ptr<EventWriter> writer_;  // Last: its thread uses the others.
};

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_STORE_H_

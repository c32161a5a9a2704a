// EventWriter: the thread of an EventStore, which moves events from its queue to the file and to
// the exports, and meets whatever a disk can do. Private to the store.
#ifndef SALVE_CHANNELS_EVENT_WRITER_H_
#define SALVE_CHANNELS_EVENT_WRITER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/events.pb.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/worker.h"
#include "channels/event_database.h"
#include "channels/event_queue.h"
#include "channels/event_store.h"
#include "channels/event_upkeep.h"

namespace salve {

class EventWriter {
 public:
  // Requires: `queue` outlives it; `options.path` is set.
  EventWriter(EventQueue& queue, EventStoreOptions options);

  // Opens or creates the file, tells the queue where its ids begin and starts the thread. Once.
  OpenReport Start();
  // Requires: the queue was told to stop. Returns when all is written, or can't be.
  void Join();

  uint64_t generation() const { return generation_.load(); }
  // Word of damage in a file that was replaced meanwhile says nothing about the new one.
  void ReportDamage(uint64_t generation) { damaged_generation_.store(generation); }
  void Reconfigure(RetentionTable retention, std::vector<ExportRoute> exports)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Configuration {
    RetentionTable retention;
    std::vector<ExportRoute> exports;
  };

  void Run();
  void Turn(EventQueue::Call call);
  void TakeNewConfiguration() ABSL_LOCKS_EXCLUDED(mu_);
  void Reserve(uint64_t record_id);

  // The file.
  absl::Status OpenFile();
  void CloseFile();
  // Sets the file aside and begins a new one; returns a sentence about it.
  absl::StatusOr<std::string> ReplaceDamaged(const absl::Status& damage);
  // The same and reports it, when `status` says damage; hands other errors on.
  absl::Status MendDamage(const absl::Status& status);
  void LookAround();
  void LookAtDisk();
  absl::Status StepRetention();
  void KeepRetention();

  // Events.
  void WriteWaiting();
  absl::Status WriteBatches();
  void GiveUp(const absl::Status& why);
  void Recover();
  void ExportWaiting();
  void Export(const v1::Event& event);
  void CopyToRefuge(const v1::Event& event);
  void WriteTo(EventExport* target, const v1::Event& event);
  void ReportDrops(bool at_once);
  void Report(int event_id, v1::Level level, std::string message, uint64_t count = 0);
  // The newest event's time: the injected clock is not this thread's to read.
  absl::Time WallNow() const;

  EventQueue& queue_;
  EventStoreOptions options_;
  const SystemClock clock_;  // Its waits are real even when the injected clock is simulated.
  std::atomic<uint64_t> generation_{0};
  std::atomic<uint64_t> damaged_generation_{0};  // 0: none.
  Mutex mu_;
  std::optional<Configuration> new_configuration_ ABSL_GUARDED_BY(mu_);

  // The thread's alone, once it runs.
  std::unique_ptr<EventDatabase> database_;
  std::unique_ptr<EventUpkeep> upkeep_;
  absl::Time opened_at_;  // Wall time.
  uint64_t files_opened_ = 0;
  uint64_t reserved_to_ = 0;
  bool in_trouble_ = false;
  Instant trouble_since_;
  Instant retry_at_;
  absl::Duration retry_pause_;
  std::optional<Instant> set_aside_at_;
  Instant look_at_;
  bool upkeep_has_more_ = false;
  bool disk_is_low_ = false;
  DropCounts drops_;  // Not reported yet.
  Instant report_drops_at_;
  absl::Duration drop_report_pause_;
  std::set<std::string> failing_exports_;

  std::unique_ptr<Worker> thread_;  // Runs one task, Run.
};

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_WRITER_H_

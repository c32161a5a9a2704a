// EventUpkeep: retention of an EventDatabase, in steps small enough to stand between two batches.
// For the database's thread.
#ifndef SALVE_CHANNELS_EVENT_UPKEEP_H_
#define SALVE_CHANNELS_EVENT_UPKEEP_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/events.pb.h"
#include "channels/event_database.h"
#include "channels/retention.h"

namespace salve {

class EventUpkeep {
 public:
  // Requires: `database` outlives it.
  explicit EventUpkeep(EventDatabase& database) : database_(database) {}

  // Keeps to this table from now on. Bounds smaller than those the file was last kept to make Step
  // give pages back to the disk; otherwise freed pages are just used again, since moving pages
  // costs more than the rows. Errors: as EventDatabase.
  absl::Status SetRetention(RetentionTable retention);

  // Whether a channel is over its bytes: Step is due without waiting.
  bool over_bytes() const;

  // One step: of each channel at most 1,000 rows are looked at and deleted in one transaction, or
  // 64 pages given back. `now` is wall time. True: there is more to do now. Errors: as
  // EventDatabase.
  absl::StatusOr<bool> Step(absl::Time now);

 private:
  struct Sweep {             // How far retention has come in a channel.
    int64_t after = 0;       // It has looked at the record ids up to here.
    bool deleted = false;    // Since it began at 0.
    bool squeezing = false;  // Nothing else is left: also the newest of an item may go.
  };
  struct Row {
    int64_t record_id;
    int64_t time;
    int64_t item;
    int64_t bytes;
  };
  struct Doomed {
    std::vector<Row> rows;
    int64_t last_seen = 0;
    bool at_end = true;  // What follows is younger and within the bytes, or there is nothing.
  };

  int64_t BytesOver(v1::Channel channel) const;  // 0 when it is within its bound.
  absl::StatusOr<bool> Trim(v1::Channel channel, absl::Time now);
  absl::StatusOr<std::vector<Row>> OldestRows(v1::Channel channel, int64_t after);
  absl::StatusOr<std::vector<int64_t>> KindsOf(v1::Channel channel);
  absl::StatusOr<Doomed> Judge(v1::Channel channel, absl::Time now);
  absl::StatusOr<bool> IsNewestOfItem(const Row& row);
  absl::Status Delete(v1::Channel channel, const std::vector<Row>& rows);
  absl::Status ForgetUnused();
  absl::StatusOr<bool> GiveBackPages();

  EventDatabase& database_;
  RetentionTable retention_;
  std::map<v1::Channel, Sweep> sweeps_;
  bool gives_back_pages_ = false;
  int steps_ = 0;
  int64_t blocks_seen_to_ = -1;
  int64_t items_seen_to_ = 0;
};

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_UPKEEP_H_

// EventLog: where every stage appends its structured events. Append gives the record id at
// once and never blocks: a writer thread puts batches into SQLite (durable within 100 ms;
// RecoveryAction* with synchronous FULL), exports follow from the same thread. The queue to
// the writer is bounded: ProbeResults are dropped first, then others; every drop is counted.
#ifndef SALVE_CHANNELS_EVENT_LOG_H_
#define SALVE_CHANNELS_EVENT_LOG_H_

#include <cstdint>

#include "api/events.pb.h"

namespace salve {

class EventLog {
 public:
  virtual ~EventLog() = default;

  // Fills in record_id, time and server, and takes the event. Returns its record id.
  // Requires: channel, event_id and content are set. Any thread.
  virtual uint64_t Append(v1::Event event) = 0;
};

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_LOG_H_

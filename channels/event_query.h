// EventReader: questions to an EventStore, on connections of its own, which never hold up the
// writer. Thread-safe: at most four questions run at once, others wait for their turn. A
// question reads the disk: never ask on the loop's thread.
#ifndef SALVE_CHANNELS_EVENT_QUERY_H_
#define SALVE_CHANNELS_EVENT_QUERY_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/events.pb.h"
#include "api/salve.pb.h"
#include "channels/event_store.h"
#include "channels/event_subscription.h"

namespace salve {

struct EventReaderOptions {
  size_t connections_max = 4;
  absl::Duration query_time_max = absl::Seconds(5);  // A question that takes longer is ended.
};

class EventReader {
 public:
  // Requires: `store` outlives the reader.
  explicit EventReader(EventStore& store, EventReaderOptions options = {});
  ~EventReader();
  EventReader(const EventReader&) = delete;
  EventReader& operator=(const EventReader&) = delete;

  // The newest `limit` events that match all that is set, oldest first; also those that are
  // appended but not yet written. Every filter is answered by an index.
  // Errors: kInvalidArgument: a limit outside 0..10,000, more than 10,000 record ids, an unknown
  //   channel; kDeadlineExceeded: took too long (narrow the question); kUnavailable: the file
  //   can't be read.
  absl::StatusOr<std::vector<v1::Event>> Query(const v1::QueryEventsRequest& request);

  // Those that Query gives and then each new one, exactly once and in order.
  // Errors: as Query and EventStore::Subscribe.
  absl::StatusOr<std::unique_ptr<EventSubscription>> Tail(const v1::QueryEventsRequest& request);

 private:
  class Connections;
  absl::StatusOr<std::vector<v1::Event>> FromFile(const v1::QueryEventsRequest& request,
                                                  uint64_t generation);

  EventStore& store_;
  const std::unique_ptr<Connections> connections_;
};

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_QUERY_H_

// Which events a QueryEventsRequest means: the plain rule, that every index must agree with.
#ifndef SALVE_CHANNELS_EVENT_FILTER_H_
#define SALVE_CHANNELS_EVENT_FILTER_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "api/events.pb.h"
#include "api/salve.pb.h"

namespace salve {

// Of the channel Queue: received from another server, which `origin_server` asks for.
inline constexpr int kReceivedEventId = 40009;

// Whether all filters that are set hold; `since` is inclusive, `until` is not; limit and
// record_id are not looked at.
bool Matches(const v1::QueryEventsRequest& request, const v1::Event& event);

// The name of the item an event is about, as the store files it: the envelope's name, or for a
// ThrottlingConfig without one, its identity.
const std::string& ItemName(const v1::Event& event);

// Wall time as nanoseconds since 1970, which is how the store keeps it (years 1678 to 2262).
int64_t TimeNanos(const google::protobuf::Timestamp& time);
absl::Time ToTime(const google::protobuf::Timestamp& time);
void SetTimestamp(absl::Time time, google::protobuf::Timestamp* timestamp);

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_FILTER_H_

// One event as one line of JSON: the envelope's fields and then those of the channel's own
// message, all at the top level, e.g.
// {"RecordId":"12","Time":"2026-05-04T22:29:57.944837700Z","Channel":"RecoveryActionLogs",
//  "EventId":2051,…,"ActionId":"RestartService",…}. 64-bit integers are strings and enums are
// names, as in protobuf's JSON mapping; every field is there, also when it is empty, but times
// that are not set.
#ifndef SALVE_CHANNELS_EVENT_JSON_H_
#define SALVE_CHANNELS_EVENT_JSON_H_

#include <string>

#include "api/events.pb.h"

namespace salve {

// Without a line break at the end and with none inside. Where the envelope and the message both
// have a field (HealthSet, Name) the envelope's is given, or the message's if that one is empty.
std::string EventToJson(const v1::Event& event);

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_JSON_H_

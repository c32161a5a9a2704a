// The whole story of one incident from its events: evidence, state changes, requests, verdicts
// with their reasons, actions and results, in the order of time.
#ifndef SALVE_CHANNELS_EXPLAIN_H_
#define SALVE_CHANNELS_EXPLAIN_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/salve.pb.h"
#include "channels/event_query.h"

namespace salve {

// Finds the incident (the given id, the newest of SET/MONITOR, or the newest of all) and tells it;
// `next` is left empty, the engine knows it. At most the newest 10,000 events are told; a run
// of equal probe results is one line ("x 5"). Evidence that retention has removed is said.
// `now` (wall) is for the age of an open incident.
// Errors: kNotFound: no such incident; kInvalidArgument: a health set without a monitor or the
//   reverse; as EventReader::Query.
absl::StatusOr<v1::ExplainResponse> Explain(EventReader& reader, const v1::ExplainRequest& request,
                                            absl::Time now,
                                            absl::TimeZone zone = absl::LocalTimeZone());

}  // namespace salve

#endif  // SALVE_CHANNELS_EXPLAIN_H_

// Times as people write and read them: "10m", "2026-11-21 10:00", "3m 12s ago".
#ifndef SALVE_CLI_WHEN_H_
#define SALVE_CLI_WHEN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"

namespace salve {

// Reads a point in time: RFC 3339 ("2026-11-21T10:00:00Z"), a date with or without a time of
// day in `zone` ("2026-11-21 10:00"), or how long ago ("10m", "1h30m", "7d"; units s m h d w).
// Errors: kInvalidArgument: none of these, or more than 100 years ago.
absl::StatusOr<absl::Time> ParseWhen(absl::string_view text, absl::Time now, absl::TimeZone zone);

// The two largest units, the rest cut off: "850ms", "12s", "3m 12s", "2h 0m", "7d 3h".
std::string ShortDuration(absl::Duration d);

// "3m 12s ago", "in 56m 48s", or "now" when less than a second away.
std::string RelativeTime(absl::Time t, absl::Time now);

// "2026-11-21 10:00:00"; "never" for the last day of the year 9999, which is how the throttle
// says so.
std::string LocalTime(absl::Time t, absl::TimeZone zone);

// "2026-11-21 10:00:00 (in 56m 48s)", or "never".
std::string LocalAndRelativeTime(absl::Time t, absl::Time now, absl::TimeZone zone);

absl::Time TimeOf(const google::protobuf::Timestamp& t);
google::protobuf::Timestamp TimestampOf(absl::Time t);

}  // namespace salve

#endif  // SALVE_CLI_WHEN_H_

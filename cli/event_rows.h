// Events as rows of a table, and streams of them as they come.
#ifndef SALVE_CLI_EVENT_ROWS_H_
#define SALVE_CLI_EVENT_ROWS_H_

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/events.pb.h"
#include "cli/table.h"
#include "cli/verb.h"

namespace salve {

Table NewEventTable(const Output& output, std::vector<size_t> widths_min = {});
void AddEvent(const v1::Event& event, const Verb& verb, Table& table);

using OnEvent = std::function<void(const v1::Event&)>;

// Prints each event of `stream(interrupt, on_event)` as it comes, until Ctrl-C.
// Errors: kInvalidArgument: JSON as one value has no end here; as `stream`.
absl::StatusOr<ExitStatus> FollowEvents(
    Verb& verb, const std::function<absl::Status(int interrupt, const OnEvent&)>& stream);

}  // namespace salve

#endif  // SALVE_CLI_EVENT_ROWS_H_

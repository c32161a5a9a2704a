// How the end of a systemd job that was not `done` is told as the end of an action. Pure.
#ifndef SALVE_RESPONDERS_ACTIONS_JOB_END_H_
#define SALVE_RESPONDERS_ACTIONS_JOB_END_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/service_manager.h"
#include "responders/action.h"

namespace salve {

// `what` is "restart" or "reload". Requires: the result is an error, or not `done`.
ActionResult BadJobEnd(absl::string_view what, const std::string& unit,
                       const absl::StatusOr<JobResult>& result, std::string context);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_JOB_END_H_

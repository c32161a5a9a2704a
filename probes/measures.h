// How the probes of the server itself check their bounds and word what they measured.
#ifndef SALVE_PROBES_MEASURES_H_
#define SALVE_PROBES_MEASURES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "probes/probe.h"

namespace salve {

// `value` must be a number in [min, max]. Errors: kInvalidArgument: "PATH: …".
absl::Status CheckNumber(absl::string_view path, double value, double min, double max);
// A path from / on, at most 4096 bytes, without NUL. Errors: as CheckNumber.
absl::Status CheckFullPath(absl::string_view path, absl::string_view value);

// "512 bytes", "1.5 GiB".
std::string BytesText(uint64_t bytes);
// "5 %", "1.2 %", "0.03 %": enough digits to tell a small share from none.
std::string PercentText(double percent);
// "26h3m", "1m30s": whole seconds, and whole minutes from an hour on.
std::string AgeText(absl::Duration age);

// A file, folder or file system that could not be looked at. What is missing here, or forbidden to
// us, is Rejected; a file system that errs has Failed; one that hangs (BlockingCalls) has TimedOut.
Observation FileError(const absl::Status& error);

// One bad thing of several that one look found.
struct Finding {
  Outcome outcome = Outcome::kFailed;
  std::string text;
};
// All of them in one observation, the worst first: Failed, then TimedOut, then Rejected. Succeeded
// when there are none.
Observation JoinFindings(std::vector<Finding> findings);

}  // namespace salve

#endif  // SALVE_PROBES_MEASURES_H_

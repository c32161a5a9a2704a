#include "probes/probe.h"

namespace salve {
namespace {

Observation Unsuccessful(Outcome outcome, std::string error) {
  Observation observation;
  observation.outcome = outcome;
  observation.error = std::move(error);
  if (observation.error.size() > kErrorBytesMax) observation.error.resize(kErrorBytesMax);
  return observation;
}

}  // namespace

const char* OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kSucceeded:
      return "Succeeded";
    case Outcome::kFailed:
      return "Failed";
    case Outcome::kTimedOut:
      return "TimedOut";
    case Outcome::kRejected:
      return "Rejected";
  }
  return "?";
}

Observation Failed(std::string error) { return Unsuccessful(Outcome::kFailed, std::move(error)); }

Observation TimedOut(std::string error) {
  return Unsuccessful(Outcome::kTimedOut, std::move(error));
}

Observation Rejected(std::string error) {
  return Unsuccessful(Outcome::kRejected, std::move(error));
}

absl::Status Probe::Report(bool, std::string) {
  return absl::FailedPreconditionError("not a notification probe: nobody can report to it");
}

}  // namespace salve

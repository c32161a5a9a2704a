#include "responders/actions/job_end.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace salve {
namespace {

std::string Capitalised(std::string word) {
  if (!word.empty()) word[0] = static_cast<char>(absl::ascii_toupper(word[0]));
  return word;
}

std::string NameOf(const absl::Status& status) {
  if (absl::IsDeadlineExceeded(status)) return "JobTimedOut";
  if (absl::IsNotFound(status)) return "NoSuchUnit";
  if (absl::IsFailedPrecondition(status)) return "JobRefused";
  if (absl::IsUnavailable(status)) return "SystemdUnavailable";
  if (absl::IsPermissionDenied(status)) return "PermissionDenied";
  return "JobError";
}

std::string WhyJobEnded(absl::string_view what, const std::string& unit, const JobResult& result) {
  if (result.unit_result == "start-limit-hit") {
    return absl::StrCat(unit, ": systemd's start limit was hit; `systemctl reset-failed ", unit,
                        "` clears it");
  }
  return absl::StrCat("the ", what, " job of ", unit, " ended as ", result.result,
                      result.unit_result.empty() ? "" : ", unit result ", result.unit_result);
}

}  // namespace

ActionResult BadJobEnd(absl::string_view what, const std::string& unit,
                       const absl::StatusOr<JobResult>& result, std::string context) {
  using Kind = ActionResult::Kind;
  if (!result.ok()) {
    return {absl::IsDeadlineExceeded(result.status()) ? Kind::kTimedOut : Kind::kFailed,
            NameOf(result.status()), std::string(result.status().message()), std::move(context)};
  }
  return {result->result == "timeout" ? Kind::kTimedOut : Kind::kFailed,
          absl::StrCat("Job", Capitalised(result->result)), WhyJobEnded(what, unit, *result),
          std::move(context)};
}

}  // namespace salve

#include "cli/phrases.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/when.h"

namespace salve {
namespace {

std::string OutOf(int total, int maximum) {
  return absl::StrCat(total, "/", maximum < 0 ? "-" : absl::StrCat(maximum));
}

}  // namespace

absl::StatusOr<ItemName> ParseItemName(absl::string_view text) {
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos || slash == 0 || slash + 1 == text.size()) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not of the form SET/NAME"));
  }
  return ItemName{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

Cell StateCell(const std::string& state) {
  for (absl::string_view good : {"HEALTHY", "Succeeded", "allowed"}) {
    if (state == good) return Cell(state, Colour::kGreen);
  }
  for (absl::string_view bad :
       {"UNHEALTHY", "UNRECOVERABLE", "Failed", "TimedOut", "Crashed", "refused"}) {
    if (state == bad) return Cell(state, Colour::kRed);
  }
  for (absl::string_view between : {"DEGRADED", "REPAIRING", "UNAVAILABLE", "Rejected"}) {
    if (state == between) return Cell(state, Colour::kYellow);
  }
  return Cell(state);
}

std::string Ago(bool is_set, const google::protobuf::Timestamp& t, const Verb& verb) {
  return is_set ? RelativeTime(TimeOf(t), verb.now()) : "-";
}

std::string AttemptCounts(const v1::ThrottlingResult& result) {
  return absl::StrCat(OutOf(result.total_in_one_hour(), result.max_allowed_in_one_hour()),
                      " hour, ", OutOf(result.total_in_one_day(), result.max_allowed_in_one_day()),
                      " day");
}

std::string MostRecentAttempt(const v1::ThrottlingResult& result, const Verb& verb) {
  if (!result.has_most_recent_entry()) return "-";
  const v1::Attempt& attempt = result.most_recent_entry();
  const bool is_finished = attempt.has_end_time();
  const absl::Time t = TimeOf(is_finished ? attempt.end_time() : attempt.start_time());
  return absl::StrCat(is_finished ? attempt.result() : attempt.state(), " ",
                      LocalAndRelativeTime(t, verb.now(), verb.world.time_zone), " by ",
                      attempt.requester());
}

std::string NextAllowed(const v1::ThrottleEntry& entry, const Verb& verb) {
  if (!entry.has_next_allowed()) return "-";
  const absl::Time t = TimeOf(entry.next_allowed());
  if (t <= verb.now()) return "now";
  const std::string text = LocalAndRelativeTime(t, verb.now(), verb.world.time_zone);
  for (const std::string& check : entry.local().checks_failed()) {
    if (check != "LocalRecoveryInProgress") return text;
  }
  if (!entry.local().is_recovery_in_progress()) return text;
  return absl::StrCat("when the running one ends, at the latest ", text);
}

std::string GroupCounts(const v1::ThrottlingResult& result) {
  return absl::StrCat(
      OutOf(result.total_in_one_day(), result.max_allowed_in_one_day()), " day, ",
      result.minimum_minutes() < 0 ? "-" : absl::StrCat(result.minimum_minutes(), "m"), " between");
}

void PrintFailedChecks(const v1::ThrottleEntry& entry, const Verb& verb) {
  if (entry.failed_checks().empty()) return;
  std::ostream& out = verb.output.out();
  out << "\nfailed checks\n";
  for (const v1::FailedCheck& check : entry.failed_checks()) {
    out << "  " << Printable(check.check());
    if (check.limit() >= 0) out << ", limit " << check.limit() << ", counted " << check.total();
    if (check.has_passes_at()) {
      const absl::Time t = TimeOf(check.passes_at());
      out << ": passes ";
      out << (t <= verb.now() ? "now" : LocalAndRelativeTime(t, verb.now(), verb.world.time_zone));
    }
    out << "\n";
    Table table = verb.output.NewTable({"", "", "", ""}, {});
    for (const v1::Attempt& attempt : check.attempts()) {
      const bool is_finished = attempt.has_end_time();
      table.AddRow(
          {absl::StrCat("    ", attempt.server()),
           LocalAndRelativeTime(TimeOf(attempt.start_time()), verb.now(), verb.world.time_zone),
           attempt.requester(), StateCell(is_finished ? attempt.result() : attempt.state())});
    }
    table.Flush(out);
  }
}

void AddDetail(Table& table, absl::string_view label, std::string text, Colour colour) {
  if (text.empty()) return;
  table.AddRow({absl::StrCat("  ", label), Cell(std::move(text), colour)});
}

Table NewDetails(const Output& output) { return output.NewTable({"", ""}); }

}  // namespace salve

// Phrases and cells that several verbs show to people.
#ifndef SALVE_CLI_PHRASES_H_
#define SALVE_CLI_PHRASES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "api/salve.pb.h"
#include "cli/table.h"
#include "cli/verb.h"

namespace salve {

// An item's name as people type it: "SET/NAME"; a name may hold '/' itself ("Web/Ping/a").
struct ItemName {
  std::string health_set;
  std::string name;
};

// Errors: kInvalidArgument: no '/', or nothing on one side of the first.
absl::StatusOr<ItemName> ParseItemName(absl::string_view text);

// A health state, or a result, in its colour.
Cell StateCell(const std::string& state);

// "3m 12s ago"; "-" when it is not set.
std::string Ago(bool is_set, const google::protobuf::Timestamp& t, const Verb& verb);

// "1/3 hour, 1/4 day"; a limit that is off is "-".
std::string AttemptCounts(const v1::ThrottlingResult& result);

// "Succeeded 2026-11-21 10:00:00 (3m 12s ago) by NginxRestart"; "-" without one.
std::string MostRecentAttempt(const v1::ThrottlingResult& result, const Verb& verb);

// "now", "never", "2026-11-21 10:00:00 (in 56m 48s)"; says so when it waits for a running one.
std::string NextAllowed(const v1::ThrottleEntry& entry, const Verb& verb);

// "1/4 day, 60m between"; a limit that is off is "-".
std::string GroupCounts(const v1::ThrottlingResult& result);

// Each check that fails: its limit and count, when it passes, and the attempts that are in the way.
void PrintFailedChecks(const v1::ThrottleEntry& entry, const Verb& verb);

// Adds a row "  label   text", unless there is no text.
void AddDetail(Table& table, absl::string_view label, std::string text,
               Colour colour = Colour::kNone);

// A table for AddDetail.
Table NewDetails(const Output& output);

}  // namespace salve

#endif  // SALVE_CLI_PHRASES_H_

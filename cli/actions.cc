// salvectl actions pause|resume|status: the kill switch.
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"
#include "cli/when.h"
#include "config/duration.h"

namespace salve {
namespace {

struct PauseOptions {
  std::string length;
  std::string reason;
  bool group = false;
};

absl::StatusOr<v1::PauseResponse> Ask(Verb& verb, v1::PauseRequest request) {
  request.set_user(verb.world.user);
  ASSIGN_OR_RETURN(const v1::PauseResponse response, verb.agent.Pause(request));
  if (!verb.output.is_table()) {
    verb.output.PrintList(response, response.pauses());
    return response;
  }
  if (!response.paused()) {
    verb.output.out() << "actions are not paused\n";
    return response;
  }
  Table table = verb.output.NewTable({"PAUSED", "BY", "SINCE", "UNTIL", "REASON"});
  for (const v1::Pause& pause : response.pauses()) {
    table.AddRow({pause.scope(), pause.who(), Ago(pause.has_since(), pause.since(), verb),
                  pause.has_until() ? LocalAndRelativeTime(TimeOf(pause.until()), verb.now(),
                                                           verb.world.time_zone)
                                    : "-",
                  pause.reason()});
  }
  table.Flush(verb.output.out());
  return response;
}

absl::StatusOr<ExitStatus> Pause(Verb& verb, const PauseOptions& options) {
  v1::PauseRequest request;
  request.set_verb(v1::PauseRequest::PAUSE);
  request.set_group(options.group);
  request.set_reason(options.reason);
  if (!options.length.empty()) {
    ASSIGN_OR_RETURN(const absl::Duration length, ParseDuration(options.length));
    // Of less than a second nothing would be left, which is without an end.
    if (length < absl::Seconds(1)) {
      return absl::InvalidArgumentError(absl::StrCat("--for: ", options.length, " is too short"));
    }
    request.set_duration_seconds(absl::ToInt64Seconds(length));
  }
  RETURN_IF_ERROR(Ask(verb, request).status());
  return ExitStatus::kDone;
}

// What still pauses is another's affair, but it must not be taken for done.
absl::StatusOr<ExitStatus> Resume(Verb& verb, const PauseOptions& options) {
  v1::PauseRequest request;
  request.set_verb(v1::PauseRequest::RESUME);
  request.set_group(options.group);
  request.set_reason(options.reason);
  ASSIGN_OR_RETURN(const v1::PauseResponse response, Ask(verb, request));
  if (!response.paused()) return ExitStatus::kDone;
  std::string what;
  for (const v1::Pause& pause : response.pauses()) {
    const std::string one = pause.scope() == "file"    ? "remove the file " + pause.who()
                            : pause.scope() == "group" ? "salvectl actions resume --group"
                                                       : "salvectl actions resume";
    absl::StrAppend(&what, what.empty() ? "" : "; ", one);
  }
  return absl::FailedPreconditionError(absl::StrCat("actions are still paused: ", what));
}

absl::StatusOr<ExitStatus> Status(Verb& verb, const NoOptions&) {
  RETURN_IF_ERROR(Ask(verb, v1::PauseRequest()).status());
  return ExitStatus::kDone;
}

void AddCommon(CLI::App& verb, PauseOptions& options) {
  verb.add_option("--reason", options.reason, "Why; it is recorded");
  verb.add_flag("--group", options.group, "Of all servers of the group, not of this one");
}

}  // namespace

void AddActionsVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family =
      AddFamily(salvectl, {"actions",
                           "The kill switch: pauses all actions but notifications, manual ones too",
                           "salvectl actions status"});
  AddVerb(*family,
          {"pause", "Nothing acts until it is resumed",
           "salvectl actions pause --reason 'it restarts the wrong thing'\n"
           "  salvectl actions pause --group --for 30m"},
          choice, Pause, [](CLI::App& verb, PauseOptions& options) {
            verb.add_option("--for", options.length,
                            "How long: 30m, 2h; at most 720h. Default: until it is resumed");
            AddCommon(verb, options);
          });
  AddVerb(*family,
          {"resume", "Actions may be again; exit 3 while something else pauses them",
           "salvectl actions resume"},
          choice, Resume, AddCommon);
  AddVerb(*family, {"status", "Whether they are paused, and by what", "salvectl actions status"},
          choice, Status, BindNothing);
}

}  // namespace salve

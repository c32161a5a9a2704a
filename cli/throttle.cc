// salvectl throttle config|status|check.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"
#include "cli/when.h"

namespace salve {
namespace {

absl::StatusOr<ExitStatus> ThrottleConfig(Verb& verb, const NoOptions&) {
  ASSIGN_OR_RETURN(const v1::ListThrottleConfigResponse list,
                   verb.agent.ListThrottleConfig(v1::ListThrottleConfigRequest()));
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.entries());
    return ExitStatus::kDone;
  }
  Table table = verb.output.NewTable(
      {"IDENTITY", "ENABLED", "L-MIN", "L-HOUR", "L-DAY", "G-MIN", "G-DAY", "SOURCE"});
  for (const v1::ThrottleConfigEntry& entry : list.entries()) {
    const v1::Limits& limits = entry.limits();
    table.AddRow({entry.identity(), limits.enabled() ? "True" : "False",
                  absl::StrCat(limits.local_minimum_minutes_between_attempts()),
                  absl::StrCat(limits.local_maximum_allowed_attempts_in_one_hour()),
                  absl::StrCat(limits.local_maximum_allowed_attempts_in_a_day()),
                  absl::StrCat(limits.group_minimum_minutes_between_attempts()),
                  absl::StrCat(limits.group_maximum_allowed_attempts_in_a_day()), entry.source()});
  }
  table.Flush(verb.output.out());
  return ExitStatus::kDone;
}

struct StatusOptions {
  std::string action;
  std::string resource;
  bool attempts = false;
};

void PrintAttempts(const v1::GetThrottleStateResponse& state, const Verb& verb) {
  Table table =
      verb.output.NewTable({"STARTED", "ENDED", "ACTION", "RESOURCE", "REQUESTER", "RESULT"});
  for (const v1::ThrottleEntry& entry : state.entries()) {
    for (const v1::Attempt& attempt : entry.attempts()) {
      const bool is_finished = attempt.has_end_time();
      table.AddRow({LocalTime(TimeOf(attempt.start_time()), verb.world.time_zone),
                    is_finished ? LocalTime(TimeOf(attempt.end_time()), verb.world.time_zone) : "-",
                    attempt.action_id(), attempt.resource_name(), attempt.requester(),
                    StateCell(is_finished ? attempt.result() : attempt.state())});
    }
  }
  if (verb.output.with_header()) verb.output.out() << "\n";
  table.Flush(verb.output.out());
}

absl::StatusOr<ExitStatus> ThrottleStatus(Verb& verb, const StatusOptions& options) {
  v1::GetThrottleStateRequest request;
  request.set_action(options.action);
  request.set_resource(options.resource);
  request.set_with_attempts(options.attempts);
  ASSIGN_OR_RETURN(const v1::GetThrottleStateResponse state, verb.agent.GetThrottleState(request));
  if (!verb.output.is_table()) {
    verb.output.PrintList(state, state.entries());
    return ExitStatus::kDone;
  }
  Table table = verb.output.NewTable(
      {"ACTION", "RESOURCE", "ATTEMPTS", "MINIMUM", "MOST RECENT", "NEXT ALLOWED"});
  for (const v1::ThrottleEntry& entry : state.entries()) {
    const v1::ThrottlingResult& local = entry.local();
    table.AddRow({entry.action_id(), entry.resource_name(), AttemptCounts(local),
                  local.minimum_minutes() < 0 ? "-" : absl::StrCat(local.minimum_minutes(), "m"),
                  MostRecentAttempt(local, verb), NextAllowed(entry, verb)});
  }
  table.Flush(verb.output.out());
  if (options.attempts) PrintAttempts(state, verb);
  return ExitStatus::kDone;
}

struct CheckOptions {
  std::string action;
  std::string resource;
  std::string requester;
};

void PrintVerdict(const v1::CheckThrottleResponse& check, const CheckOptions& options,
                  const Verb& verb) {
  std::ostream& out = verb.output.out();
  const v1::ThrottleEntry& entry = check.entry();
  Table headline = verb.output.NewTable({"", ""});
  headline.AddRow({absl::StrCat(options.action, " ", options.resource, ":"),
                   check.passed() ? Cell("would be allowed", Colour::kGreen)
                                  : Cell("would be refused", Colour::kRed)});
  headline.Flush(out);
  Table details = NewDetails(verb.output);
  AddDetail(details, "failed checks", absl::StrJoin(check.checks_failed(), ", "));
  AddDetail(details, "next allowed", entry.has_next_allowed() ? NextAllowed(entry, verb) : "");
  AddDetail(details, "identity", entry.identity());
  AddDetail(details, "limits of", entry.requester());
  if (entry.has_local()) {
    AddDetail(details, "attempts", AttemptCounts(entry.local()));
    AddDetail(details, "most recent", MostRecentAttempt(entry.local(), verb));
  }
  AddDetail(details, "local", entry.local().xml());
  AddDetail(details, "group", entry.group());
  AddDetail(details, "message", check.message());
  details.Flush(out);
}

absl::StatusOr<ExitStatus> CheckThrottle(Verb& verb, const CheckOptions& options) {
  v1::CheckThrottleRequest request;
  request.set_action(options.action);
  request.set_resource(options.resource);
  request.set_requester(options.requester);
  ASSIGN_OR_RETURN(const v1::CheckThrottleResponse check, verb.agent.CheckThrottle(request));
  if (verb.output.is_table()) {
    PrintVerdict(check, options, verb);
  } else {
    verb.output.Print(check);
  }
  return check.passed() ? ExitStatus::kDone : ExitStatus::kRefused;
}

}  // namespace

void AddThrottleVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family = AddFamily(salvectl, {"throttle", "Limits, counts and verdicts of the throttle",
                                          "salvectl throttle status"});
  AddVerb(*family,
          {"config", "The effective entries: minutes, attempts in an hour and a day; -1 is off",
           "salvectl throttle config"},
          choice, ThrottleConfig, BindNothing);
  AddVerb(*family,
          {"status", "Counts against limits, the most recent attempt, the next allowed time",
           "salvectl throttle status RestartService nginx.service"},
          choice, ThrottleStatus, [](CLI::App& verb, StatusOptions& options) {
            verb.add_option("ACTION", options.action, "One action. Default: all");
            verb.add_option("RESOURCE", options.resource, "One resource. Default: all");
            verb.add_flag("--attempts", options.attempts, "Each attempt as well");
          });
  AddVerb(*family,
          {"check",
           "The verdict as the engine would give it now, without attempting; exit 6 when refused",
           "salvectl throttle check RestartService nginx.service"},
          choice, CheckThrottle, [](CLI::App& verb, CheckOptions& options) {
            verb.add_option("ACTION", options.action, "The action")->required();
            verb.add_option("RESOURCE", options.resource, "What it would act on")->required();
            verb.add_option("--requester", options.requester,
                            "A responder. Default: the strictest of all on that key");
          });
  AddEvaluateVerb(*family, choice);
}

}  // namespace salve

// salvectl throttle config|status|check|watch.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/event_rows.h"
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
  bool group = false;
};

// An attempt of this server has no need of its name.
void AddAttempt(const v1::Attempt& attempt, bool with_server, const Verb& verb, Table& table) {
  const bool is_finished = attempt.has_end_time();
  std::vector<Cell> row = {
      LocalTime(TimeOf(attempt.start_time()), verb.world.time_zone),
      is_finished ? LocalTime(TimeOf(attempt.end_time()), verb.world.time_zone) : "-",
      attempt.action_id(),
      attempt.resource_name(),
      attempt.requester(),
      StateCell(is_finished ? attempt.result() : attempt.state())};
  if (with_server) row.emplace_back(attempt.server());
  table.AddRow(std::move(row));
}

// The group's own list has this server's attempts too.
void PrintAttempts(const v1::GetThrottleStateResponse& state, bool group, const Verb& verb) {
  std::vector<std::string> header = {"STARTED",  "ENDED",     "ACTION",
                                     "RESOURCE", "REQUESTER", "RESULT"};
  if (group) header.push_back("SERVER");
  Table table = verb.output.NewTable(header);
  for (const v1::ThrottleEntry& entry : state.entries()) {
    const bool is_told = group && !entry.group_attempts().empty();
    for (const v1::Attempt& attempt : is_told ? entry.group_attempts() : entry.attempts()) {
      AddAttempt(attempt, group, verb, table);
    }
  }
  if (verb.output.with_header()) verb.output.out() << "\n";
  table.Flush(verb.output.out());
}

// "1/4 day, 60m between"; where no group was asked, why ("<not configured>").
std::string GroupCell(const v1::ThrottleEntry& entry) {
  return entry.has_group_result() ? GroupCounts(entry.group_result()) : entry.group();
}

// "web-2 3m 12s ago".
std::string LastInGroup(const v1::ThrottleEntry& entry, const Verb& verb) {
  if (!entry.group_result().has_most_recent_entry()) return "-";
  const v1::Attempt& last = entry.group_result().most_recent_entry();
  return absl::StrCat(last.server(), " ", Ago(true, last.start_time(), verb));
}

absl::StatusOr<ExitStatus> ThrottleStatus(Verb& verb, const StatusOptions& options) {
  v1::GetThrottleStateRequest request;
  request.set_action(options.action);
  request.set_resource(options.resource);
  request.set_with_attempts(options.attempts);
  request.set_with_group(options.group);
  ASSIGN_OR_RETURN(const v1::GetThrottleStateResponse state, verb.agent.GetThrottleState(request));
  if (!verb.output.is_table()) {
    verb.output.PrintList(state, state.entries());
    return ExitStatus::kDone;
  }
  std::vector<std::string> header = {"ACTION",  "RESOURCE",    "ATTEMPTS",
                                     "MINIMUM", "MOST RECENT", "NEXT ALLOWED"};
  if (options.group) header.insert(header.end() - 1, {"GROUP", "LAST IN GROUP"});
  Table table = verb.output.NewTable(header);
  for (const v1::ThrottleEntry& entry : state.entries()) {
    const v1::ThrottlingResult& local = entry.local();
    std::vector<Cell> row = {
        entry.action_id(), entry.resource_name(), AttemptCounts(local),
        local.minimum_minutes() < 0 ? "-" : absl::StrCat(local.minimum_minutes(), "m"),
        MostRecentAttempt(local, verb)};
    if (options.group) {
      row.emplace_back(GroupCell(entry));
      row.emplace_back(LastInGroup(entry, verb));
    }
    row.emplace_back(NextAllowed(entry, verb));
    table.AddRow(std::move(row));
  }
  table.Flush(verb.output.out());
  if (options.attempts) PrintAttempts(state, options.group, verb);
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
  if (entry.failed_checks().empty()) {
    AddDetail(details, "failed checks", absl::StrJoin(check.checks_failed(), ", "));
  }
  AddDetail(details, "next allowed", entry.has_next_allowed() ? NextAllowed(entry, verb) : "");
  AddDetail(details, "identity", entry.identity());
  AddDetail(details, "limits of", entry.requester());
  if (entry.has_local()) {
    AddDetail(details, "attempts", AttemptCounts(entry.local()));
    AddDetail(details, "most recent", MostRecentAttempt(entry.local(), verb));
  }
  if (entry.has_group_result()) {
    AddDetail(details, "in the group", GroupCounts(entry.group_result()));
    AddDetail(details, "last in group", LastInGroup(entry, verb));
  }
  if (entry.total_servers_in_group() > 0) {
    AddDetail(details, "servers",
              absl::StrCat(entry.total_servers_in_group(), ", ",
                           entry.total_servers_in_compatible_version(), " of this protocol"));
  }
  AddDetail(details, "local", entry.local().xml());
  AddDetail(details, "group", entry.group());
  AddDetail(details, "message", check.message());
  details.Flush(out);
  PrintFailedChecks(entry, verb);
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

struct WatchOptions {
  std::string action;
  std::string resource;
  std::string since;
};

absl::StatusOr<ExitStatus> WatchDecisions(Verb& verb, const WatchOptions& options) {
  v1::WatchDecisionsRequest request;
  request.set_action(options.action);
  request.set_resource(options.resource);
  if (!options.since.empty()) {
    ASSIGN_OR_RETURN(const absl::Time since,
                     ParseWhen(options.since, verb.now(), verb.world.time_zone));
    *request.mutable_since() = TimestampOf(since);
  }
  return FollowEvents(verb, [&](int interrupt, const OnEvent& on_event) {
    return verb.agent.WatchDecisions(request, interrupt, on_event);
  });
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
            verb.add_flag("--group", options.group, "The whole group's counts and limits as well");
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
  AddVerb(*family,
          {"watch", "Each verdict as it comes, until Ctrl-C",
           "salvectl throttle watch RestartService nginx.service --since 1h"},
          choice, WatchDecisions, [](CLI::App& verb, WatchOptions& options) {
            verb.add_option("ACTION", options.action, "One action. Default: all");
            verb.add_option("RESOURCE", options.resource, "One resource. Default: all");
            verb.add_option("--since", options.since,
                            "Those that are there already too: 10m, 2h, 7d ago, '2026-11-21 10:00' "
                            "(local) or RFC 3339");
          });
  AddEvaluateVerb(*family, choice);
}

}  // namespace salve

// salvectl action run|list.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/verbs.h"
#include "cli/when.h"
#include "config/duration.h"

namespace salve {
namespace {

struct RunOptions {
  std::string target;  // SET/RESPONDER, or with a resource the action.
  std::string resource;
  std::string reason;
  bool dry_run = false;
  bool defer = false;
  std::string expire;
  int priority = 0;
};

std::string Took(const google::protobuf::Timestamp& start, const google::protobuf::Timestamp& end) {
  return ShortDuration(TimeOf(end) - TimeOf(start));
}

void PrintHeadline(const std::string& what, const std::string& outcome, const std::string& took,
                   Output& output) {
  Table headline = output.NewTable({"", "", ""});
  headline.AddRow({absl::StrCat(what, ":"), StateCell(outcome), took});
  headline.Flush(output.out());
}

// What refused it, in rows; none where nothing did.
void AddRefusal(Table& details, const v1::RunActionResponse& response, const Verb& verb) {
  const v1::RecoveryActionLogEvent& verdict = response.verdict();
  AddDetail(details, "because", response.refused_because());
  if (response.has_time_to_retry_after()) {
    AddDetail(details, "next allowed",
              LocalAndRelativeTime(TimeOf(response.time_to_retry_after()), verb.now(),
                                   verb.world.time_zone));
  }
  AddDetail(details, "message", verdict.exception_message());
  AddDetail(details, "local", verdict.local_throttle_result());
  AddDetail(details, "group", verdict.group_throttle_result());
}

void PrintRefusal(const v1::RunActionResponse& response, const Verb& verb) {
  const v1::RecoveryActionLogEvent& verdict = response.verdict();
  PrintHeadline(absl::StrCat(verdict.action_id(), " ", verdict.resource_name()), "refused", "",
                verb.output);
  Table details = NewDetails(verb.output);
  AddRefusal(details, response, verb);
  details.Flush(verb.output.out());
}

void PrintResult(const v1::RecoveryActionResultEvent& result, const Verb& verb) {
  const bool has_both = result.has_start_time() && result.has_end_time();
  PrintHeadline(absl::StrCat(result.id(), " ", result.resource_name()), result.result(),
                has_both ? absl::StrCat("in ", Took(result.start_time(), result.end_time())) : "",
                verb.output);
  Table details = NewDetails(verb.output);
  AddDetail(details, "attempt", result.instance_id());
  AddDetail(details, "error", result.exception_message());
  AddDetail(details, "context", result.context());
  details.Flush(verb.output.out());
}

// What an action would do, and what would refuse it.
ExitStatus EndOfDryRun(const v1::RunActionResponse& response) {
  if (response.allowed()) return ExitStatus::kDone;
  const bool by_throttle = !response.verdict().exception_message().empty();
  return by_throttle ? ExitStatus::kRefused : ExitStatus::kPrecondition;
}

void PrintDryRun(const v1::RunActionResponse& response, const Verb& verb) {
  verb.output.out() << Printable(response.allowed() ? "would run now" : "would be refused") << "\n";
  Table details = NewDetails(verb.output);
  AddDetail(details, "plan", response.plan());
  AddRefusal(details, response, verb);
  details.Flush(verb.output.out());
}

// A deferred action that the queue has taken: committed and synced.
void PrintAccepted(const v1::RunActionResponse& response, const RunOptions& options,
                   const Verb& verb) {
  const std::string what = options.resource.empty()
                               ? options.target
                               : absl::StrCat(options.target, " ", options.resource);
  PrintHeadline(what, "accepted", "", verb.output);
  Table details = NewDetails(verb.output);
  AddDetail(details, "mid", response.mid());
  AddDetail(details, "plan", response.plan());
  AddDetail(details, "next", "it runs at most once, when the throttle lets it, or expires");
  details.Flush(verb.output.out());
}

absl::Status SetDefer(const RunOptions& options, v1::RunActionRequest& request) {
  request.set_defer(options.defer);
  request.set_priority(options.priority);
  if (options.expire.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const absl::Duration expire, ParseDuration(options.expire));
  if (expire < absl::Seconds(5) || expire > absl::Hours(2160)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--expire: ", options.expire, " is not in [5s, 2160h]"));
  }
  request.set_expire_seconds(absl::ToInt64Seconds(expire));
  return absl::OkStatus();
}

absl::StatusOr<ExitStatus> RunAction(Verb& verb, const RunOptions& options) {
  v1::RunActionRequest request;
  if (options.resource.empty()) {
    request.set_responder(options.target);
  } else {
    request.set_action(options.target);
    request.set_resource(options.resource);
  }
  request.set_reason(options.reason);
  request.set_user(verb.world.user);
  request.set_dry_run(options.dry_run);
  RETURN_IF_ERROR(SetDefer(options, request));
  ASSIGN_OR_RETURN(const v1::RunActionResponse response, verb.agent.RunAction(request));
  if (!verb.output.is_table()) {
    verb.output.Print(response);
  } else if (options.dry_run) {
    PrintDryRun(response, verb);
  } else if (!response.mid().empty()) {
    PrintAccepted(response, options, verb);
  } else if (response.allowed()) {
    PrintResult(response.result(), verb);
  } else {
    PrintRefusal(response, verb);
  }
  if (options.dry_run) return EndOfDryRun(response);
  if (!response.mid().empty()) return ExitStatus::kDone;
  if (!response.allowed()) return ExitStatus::kRefused;
  return response.result().result() == "Succeeded" ? ExitStatus::kDone : ExitStatus::kUnhealthy;
}

CLI::Option* BindDefer(CLI::App& verb, RunOptions& options) {
  CLI::Option* defer =
      verb.add_flag("--defer", options.defer,
                    "Accepts it for later and returns: it runs when the throttle lets it");
  verb.add_option("--expire", options.expire,
                  "With --defer: given up after so long, 5s to 2160h. Default: as configured, 24h")
      ->needs(defer);
  verb.add_option("--priority", options.priority, "With --defer: higher ones first, -10 to 10")
      ->needs(defer)
      ->check(CLI::Range(-10, 10));
  return defer;
}

struct ListOptions {
  std::string since;
  int limit = 100;
};

absl::StatusOr<ExitStatus> ListActions(Verb& verb, const ListOptions& options) {
  v1::ListActionsRequest request;
  request.set_limit(options.limit);
  if (!options.since.empty()) {
    ASSIGN_OR_RETURN(const absl::Time since,
                     ParseWhen(options.since, verb.now(), verb.world.time_zone));
    *request.mutable_since() = TimestampOf(since);
  }
  ASSIGN_OR_RETURN(const v1::ListActionsResponse list, verb.agent.ListActions(request));
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.attempts());
    return ExitStatus::kDone;
  }
  Table table =
      verb.output.NewTable({"STARTED", "ACTION", "RESOURCE", "REQUESTER", "RESULT", "TOOK"});
  for (const v1::Attempt& attempt : list.attempts()) {
    const bool is_finished = attempt.has_end_time();
    table.AddRow({LocalTime(TimeOf(attempt.start_time()), verb.world.time_zone),
                  attempt.action_id(), attempt.resource_name(), attempt.requester(),
                  StateCell(is_finished ? attempt.result() : attempt.state()),
                  is_finished ? Took(attempt.start_time(), attempt.end_time()) : "-"});
  }
  table.Flush(verb.output.out());
  return ExitStatus::kDone;
}

}  // namespace

void AddActionVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family = AddFamily(salvectl, {"action", "Runs a recovery action, or lists the attempts",
                                          "salvectl action list"});
  AddVerb(
      *family,
      {"run",
       "Runs a responder's action, or ACTION on RESOURCE, through the throttle and waits for "
       "its end; exit 6 when refused, 1 when it failed; of a dry run 0 when it would run, 6 when "
       "the throttle would refuse it, 3 when something else would. With --defer it is put into "
       "the durable queue, and the MID printed",
       "salvectl action run Web/NginxRestart\n"
       "  salvectl action run Web/Reboot --dry-run\n"
       "  salvectl action run RestartService nginx.service --reason 'new certificate'\n"
       "  salvectl action run Web/NginxRestart --defer --expire 2h"},
      choice, RunAction, [](CLI::App& verb, RunOptions& options) {
        verb.add_option("TARGET", options.target, "SET/RESPONDER, or an action's name")->required();
        verb.add_option("RESOURCE", options.resource, "What the action is to act on");
        verb.add_option("--reason", options.reason, "Why; it is recorded");
        CLI::Option* dry_run = verb.add_flag(
            "--dry-run", options.dry_run,
            "Says what would be done and what would refuse it; does and counts nothing");
        BindDefer(verb, options)->excludes(dry_run);
      });
  AddVerb(*family,
          {"list", "The attempts in the ledger, newest last", "salvectl action list --since 7d"},
          choice, ListActions, [](CLI::App& verb, ListOptions& options) {
            verb.add_option("--since", options.since, "10m, 7d, '2026-11-21 10:00' or RFC 3339");
            verb.add_option("-n,--limit", options.limit, "The newest so many")
                ->capture_default_str()
                ->check(CLI::Range(1, 1000));
          });
}

}  // namespace salve

// salvectl queue list|suspend|resume|retry|wait-empty|pause|resume-service.
#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "cli/queue_phrases.h"
#include "cli/verbs.h"
#include "cli/when.h"
#include "config/duration.h"

namespace salve {
namespace {

constexpr absl::string_view kQueueHelp = "A queue, or 'remote/*': all that begin so. Default: all";

struct QueueOptions {
  std::string queue;
};

void BindQueue(CLI::App& verb, QueueOptions& options) {
  verb.add_option("QUEUE", options.queue, std::string(kQueueHelp));
}

absl::StatusOr<v1::ListQueuesResponse> Ask(Verb& verb, const std::string& queue) {
  v1::ListQueuesRequest request;
  request.set_queue(queue);
  return verb.agent.ListQueues(request);
}

void PrintQueues(const v1::ListQueuesResponse& list, const Verb& verb) {
  Table table = verb.output.NewTable({"QUEUE", "MESSAGES", "STATE", "NEXT", "LAST ERROR"});
  for (const v1::QueueStatus& queue : list.queues()) {
    const bool is_trouble = queue.messages() > 0 && NeedsAPerson(queue.name());
    table.AddRow(
        {queue.name(),
         Cell(absl::StrCat(queue.messages()), is_trouble ? Colour::kRed : Colour::kNone),
         is_trouble && queue.state() == "waiting" ? Cell("-") : QueueStateCell(queue.state()),
         queue.has_next_attempt() && (queue.state() == "waiting" || queue.state() == "unconfirmed")
             ? RelativeTime(TimeOf(queue.next_attempt()), verb.now())
             : "-",
         queue.last_error()});
  }
  table.Flush(verb.output.out());
}

void PrintHeadline(const v1::ListQueuesResponse& list, const Verb& verb) {
  std::ostream& out = verb.output.out();
  out << Printable(absl::StrCat(list.server(), " processes ", list.mode(),
                                list.paused() ? ", PAUSED" : ""))
      << "\n";
  if (!list.back_pressure().empty()) {
    out << "back pressure: " << Printable(list.back_pressure()) << "\n";
  }
}

absl::StatusOr<ExitStatus> ListQueues(Verb& verb, const QueueOptions& options) {
  ASSIGN_OR_RETURN(const v1::ListQueuesResponse list, Ask(verb, options.queue));
  for (const std::string& warning : list.warnings()) {
    verb.err << "salvectl: queue list: " << Printable(warning) << "\n";
  }
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.queues());
    return ExitStatus::kDone;
  }
  if (verb.output.with_header()) PrintHeadline(list, verb);
  PrintQueues(list, verb);
  if (list.queues().empty() && verb.output.with_header()) verb.output.out() << "no messages\n";
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> Control(Verb& verb, v1::ControlQueueRequest request,
                                   absl::string_view done, absl::string_view thing) {
  request.set_user(verb.world.user);
  ASSIGN_OR_RETURN(const v1::ControlQueueResponse response, verb.agent.ControlQueue(request));
  if (!verb.output.is_table()) {
    verb.output.Print(response);
    return ExitStatus::kDone;
  }
  std::ostream& out = verb.output.out();
  out << done;
  if (!thing.empty()) out << " " << Counted(response.affected(), thing);
  out << "\n";
  for (const std::string& note : response.notes()) out << "  " << Printable(note) << "\n";
  return ExitStatus::kDone;
}

struct SuspendOptions : QueueOptions {
  bool all = false;
  std::string reason;
};

void BindSuspend(CLI::App& verb, SuspendOptions& options) {
  CLI::Option* queue =
      verb.add_option("QUEUE", options.queue, "A queue, or 'remote/*': all that begin so");
  verb.add_flag("--all", options.all, "All queues; this or QUEUE")->excludes(queue);
  verb.add_option("--reason", options.reason, "Why; it is recorded");
}

absl::StatusOr<ExitStatus> SuspendOrResume(Verb& verb, const SuspendOptions& options,
                                           v1::ControlQueueRequest::Verb what,
                                           absl::string_view done) {
  if (options.queue.empty() && !options.all) {
    return absl::InvalidArgumentError("name a queue, or say --all");
  }
  v1::ControlQueueRequest request;
  request.set_verb(what);
  request.set_queue(options.queue);
  request.set_reason(options.reason);
  return Control(verb, std::move(request), done, "queue");
}

absl::StatusOr<ExitStatus> Suspend(Verb& verb, const SuspendOptions& options) {
  return SuspendOrResume(verb, options, v1::ControlQueueRequest::SUSPEND, "suspended");
}
absl::StatusOr<ExitStatus> Resume(Verb& verb, const SuspendOptions& options) {
  return SuspendOrResume(verb, options, v1::ControlQueueRequest::RESUME, "resumed");
}

struct RetryOptions : QueueOptions {
  bool resubmit = false;
};

absl::StatusOr<ExitStatus> Retry(Verb& verb, const RetryOptions& options) {
  v1::ControlQueueRequest request;
  request.set_verb(options.resubmit ? v1::ControlQueueRequest::RESUBMIT
                                    : v1::ControlQueueRequest::RETRY);
  request.set_queue(options.queue);
  return Control(verb, std::move(request),
                 options.resubmit ? "routed anew:" : "tried now:", "message");
}

struct PauseOptions {
  std::string reason;
};

absl::StatusOr<ExitStatus> Pause(Verb& verb, const PauseOptions& options) {
  v1::ControlQueueRequest request;
  request.set_verb(v1::ControlQueueRequest::PAUSE_SERVICE);
  request.set_reason(options.reason);
  return Control(verb, std::move(request),
                 "paused: nothing is accepted or delivered until 'salvectl queue resume-service'",
                 "");
}

absl::StatusOr<ExitStatus> ResumeService(Verb& verb, const NoOptions&) {
  v1::ControlQueueRequest request;
  request.set_verb(v1::ControlQueueRequest::RESUME_SERVICE);
  return Control(verb, std::move(request), "resumed: the queue accepts and delivers", "");
}

struct WaitOptions : QueueOptions {
  std::string timeout = "5m";
};

constexpr absl::Duration kWaitMax = absl::Hours(720);
constexpr absl::Duration kLookEvery = absl::Seconds(1);

absl::StatusOr<absl::Duration> ParseTimeout(const std::string& text) {
  ASSIGN_OR_RETURN(const absl::Duration timeout, ParseDuration(text));
  if (timeout < absl::Seconds(1) || timeout > kWaitMax) {
    return absl::InvalidArgumentError(absl::StrCat("--timeout: ", text, " is not in [1s, 720h]"));
  }
  return timeout;
}

// The queues that hold something and are waited for.
v1::ListQueuesResponse WhatIsLeft(const v1::ListQueuesResponse& list, const std::string& queue) {
  v1::ListQueuesResponse left = list;
  left.clear_queues();
  for (const v1::QueueStatus& one : list.queues()) {
    if (one.messages() == 0 || (queue.empty() && NeedsAPerson(one.name()))) continue;
    *left.add_queues() = one;
  }
  return left;
}

// Why it can't become empty by itself; nothing when it can.
std::string WhatHolds(const v1::ListQueuesResponse& left) {
  if (left.paused()) return "the service is paused (salvectl queue resume-service)";
  std::vector<std::string> held;
  for (const v1::QueueStatus& queue : left.queues()) {
    if (queue.state() == "suspended") held.push_back(queue.name());
  }
  return held.empty() ? "" : absl::StrCat("suspended: ", absl::StrJoin(held, ", "));
}

// What is left at the end: nothing, or what there was when the time was over.
absl::StatusOr<v1::ListQueuesResponse> WaitForEmpty(Verb& verb, const std::string& queue,
                                                    absl::Duration timeout) {
  const Instant end = verb.world.clock.Now() + timeout;
  bool is_told = false;
  for (bool is_first = true;; is_first = false) {
    absl::StatusOr<v1::ListQueuesResponse> list = Ask(verb, queue);
    // An empty queue may go.
    if (!is_first && absl::IsNotFound(list.status())) return v1::ListQueuesResponse();
    RETURN_IF_ERROR(list.status());
    v1::ListQueuesResponse left = WhatIsLeft(*list, queue);
    const absl::Duration rest = end - verb.world.clock.Now();
    if (left.queues().empty() || rest <= absl::ZeroDuration()) return left;
    if (const std::string why = WhatHolds(left); !why.empty() && !is_told) {
      verb.err << "salvectl: queue wait-empty: " << Printable(why) << "\n";
      verb.err.flush();
      is_told = true;
    }
    verb.world.wait(std::min(rest, kLookEvery));
  }
}

absl::StatusOr<ExitStatus> WaitEmpty(Verb& verb, const WaitOptions& options) {
  ASSIGN_OR_RETURN(const absl::Duration timeout, ParseTimeout(options.timeout));
  ASSIGN_OR_RETURN(const v1::ListQueuesResponse left, WaitForEmpty(verb, options.queue, timeout));
  if (!verb.output.is_table()) {
    verb.output.PrintList(left, left.queues());
  } else {
    PrintQueues(left, verb);
  }
  if (left.queues().empty()) {
    if (verb.output.is_table()) verb.output.out() << "empty\n";
    return ExitStatus::kDone;
  }
  verb.err << "salvectl: queue wait-empty: not empty after " << options.timeout << "\n";
  return ExitStatus::kTimedOut;
}

void AddWaitVerb(CLI::App& queue, Choice& choice) {
  AddVerb(queue,
          {"wait-empty",
           "Waits until nothing waits any more; exit 11 when something still does after "
           "--timeout. Without QUEUE all are meant that empty by themselves: not unreachable, "
           "poison and dead",
           "salvectl queue wait-empty 'remote/*' --timeout 10m"},
          choice, WaitEmpty, [](CLI::App& verb, WaitOptions& options) {
            BindQueue(verb, options);
            verb.add_option("--timeout", options.timeout, "At most so long: 1s to 720h")
                ->capture_default_str();
          });
}

}  // namespace

void AddQueueVerbs(CLI::App& salvectl, Choice& choice, const Surroundings& world) {
  CLI::App* family = AddFamily(
      salvectl,
      {"queue", "What is still to be told or done (docs/QUEUE.md)", "salvectl queue list"});
  AddVerb(*family, {"list", "The queues, and what keeps each", "salvectl queue list 'remote/*'"},
          choice, ListQueues, BindQueue);
  AddVerb(*family,
          {"suspend", "Delivers nothing of a queue until it is resumed; what comes is still taken",
           "salvectl queue suspend remote/ops --reason 'the relay moves'"},
          choice, Suspend, BindSuspend);
  AddVerb(*family, {"resume", "Delivers again", "salvectl queue resume --all"}, choice, Resume,
          BindSuspend);
  AddVerb(*family,
          {"retry", "Tries now what waits for its next attempt",
           "salvectl queue retry remote/ops\n  salvectl queue retry unreachable --resubmit"},
          choice, Retry, [](CLI::App& verb, RetryOptions& options) {
            BindQueue(verb, options);
            verb.add_flag("--resubmit", options.resubmit,
                          "Routes them anew, out of unreachable too; never out of poison");
          });
  AddWaitVerb(*family, choice);
  AddVerb(
      *family,
      {"pause", "Stops all of the queue: nothing is accepted or delivered; it survives a restart",
       "salvectl queue pause --reason 'moving to web-2'"},
      choice, Pause, [](CLI::App& verb, PauseOptions& options) {
        verb.add_option("--reason", options.reason, "Why; it is recorded")->required();
      });
  AddVerb(*family, {"resume-service", "Ends a pause", "salvectl queue resume-service"}, choice,
          ResumeService, BindNothing);
  AddQueueMessageVerbs(*family, choice);
  AddQueueDbVerbs(*family, choice, world);
}

}  // namespace salve

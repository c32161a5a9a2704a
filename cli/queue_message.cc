// salvectl queue message list|show|suspend|resume|export|import|remove.
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/message_file.h"
#include "cli/queue_phrases.h"
#include "cli/verbs.h"

namespace salve {
namespace {

struct ListOptions {
  std::string queue;
  int limit = 100;
  int64_t skip = 0;
};

absl::StatusOr<ExitStatus> ListMessages(Verb& verb, const ListOptions& options) {
  v1::ListMessagesRequest request;
  request.set_queue(options.queue);
  request.set_limit(options.limit);
  request.set_offset(options.skip);
  ASSIGN_OR_RETURN(const v1::ListMessagesResponse list, verb.agent.ListMessages(request));
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.messages());
    return ExitStatus::kDone;
  }
  Table table =
      verb.output.NewTable({"MID", "TYPE", "QUEUE", "STATE", "AGE", "ATTEMPTS", "DEST", "SUBJECT"});
  for (const v1::QueueMessage& message : list.messages()) {
    const bool is_held = NeedsAPerson(message.queue()) && message.state() == "waiting";
    table.AddRow({message.mid(), message.type(), message.queue(),
                  is_held ? Cell("-") : QueueStateCell(message.state()),
                  AgeOf(message.has_created(), message.created(), verb),
                  absl::StrCat(message.attempts()), message.destination(), message.subject()});
  }
  table.Flush(verb.output.out());
  const int64_t left = list.total() - options.skip - list.messages_size();
  if (left > 0 && verb.output.with_header()) {
    verb.output.out() << "and " << left << " more (-n, --skip)\n";
  }
  return ExitStatus::kDone;
}

struct IdOptions {
  std::string id;
  std::string reason;
};

void BindId(CLI::App& verb, std::string& id) {
  verb.add_option("ID", id, "A MID, or a DMID")->required();
}

void BindIdAndReason(CLI::App& verb, IdOptions& options) {
  BindId(verb, options.id);
  verb.add_option("--reason", options.reason, "Why; it is recorded");
}

v1::ControlMessageRequest RequestOf(v1::ControlMessageRequest::Verb what,
                                    const IdOptions& options) {
  v1::ControlMessageRequest request;
  request.set_verb(what);
  request.set_id(options.id);
  request.set_reason(options.reason);
  return request;
}

absl::StatusOr<ExitStatus> Suspend(Verb& verb, const IdOptions& options) {
  return Control(verb, RequestOf(v1::ControlMessageRequest::SUSPEND, options), "suspended");
}
absl::StatusOr<ExitStatus> Resume(Verb& verb, const IdOptions& options) {
  return Control(verb, RequestOf(v1::ControlMessageRequest::RESUME, options), "resumed");
}

struct RemoveOptions : IdOptions {
  bool notify = false;
  bool no_notify = false;
};

absl::StatusOr<ExitStatus> Remove(Verb& verb, const RemoveOptions& options) {
  v1::ControlMessageRequest request = RequestOf(v1::ControlMessageRequest::REMOVE, options);
  request.set_notify(options.notify);
  return Control(verb, std::move(request), "removed");
}

struct ShowOptions {
  std::string id;
  bool body = false;
};

absl::StatusOr<ExitStatus> Show(Verb& verb, const ShowOptions& options) {
  v1::GetMessageRequest request;
  request.set_id(options.id);
  request.set_with_body(options.body);
  ASSIGN_OR_RETURN(const v1::GetMessageResponse response, verb.agent.GetMessage(request));
  if (!verb.output.is_table()) {
    verb.output.Print(response.message());
    return ExitStatus::kDone;
  }
  PrintMessage(response.message(), verb);
  if (options.body) {
    PrintBody(response.message().body(), std::numeric_limits<int64_t>::max(), verb);
  }
  return ExitStatus::kDone;
}

struct ExportOptions {
  std::string id;
  std::string dir = ".";
};

absl::StatusOr<ExitStatus> ExportOne(Verb& verb, const ExportOptions& options) {
  return Export(verb, options.id, options.dir);
}

struct ImportOptions {
  std::string file;
};

absl::StatusOr<ExitStatus> Import(Verb& verb, const ImportOptions& options) {
  v1::ImportMessageRequest request;
  ASSIGN_OR_RETURN(*request.mutable_parcel(), ReadMessageFile(options.file));
  request.set_user(verb.world.user);
  ASSIGN_OR_RETURN(const v1::ImportMessageResponse response, verb.agent.ImportMessage(request));
  if (!verb.output.is_table()) {
    verb.output.Print(response);
  } else {
    verb.output.out() << Printable(absl::StrCat(response.mid(), " is in ", response.queue()))
                      << "\n";
  }
  return ExitStatus::kDone;
}

void AddFileVerbs(CLI::App& family, Choice& choice) {
  AddVerb(family,
          {"export",
           "Copies a suspended message into DIR/<internal id>.msg, which is never written over; "
           "the message stays until it is removed",
           "salvectl queue message export web-1-0193a5b2c3d4-1f -d /var/tmp"},
          choice, ExportOne, [](CLI::App& verb, ExportOptions& options) {
            BindId(verb, options.id);
            verb.add_option("-d,--dir", options.dir, "The folder")->capture_default_str();
          });
  AddVerb(family,
          {"import",
           "Accepts a message from an exported file; exit 8 when it is here or has ended here",
           "salvectl queue message import /var/tmp/4711.msg"},
          choice, Import, [](CLI::App& verb, ImportOptions& options) {
            verb.add_option("FILE", options.file, "What export wrote; at most 1 MiB")->required();
          });
}

}  // namespace

void AddQueueMessageVerbs(CLI::App& queue, Choice& choice) {
  CLI::App* family = AddFamily(
      queue, {"message", "Single messages of the queue", "salvectl queue message list remote/ops"});
  AddVerb(*family,
          {"list", "The messages of a queue in the order of delivery",
           "salvectl queue message list remote/ops -n 20"},
          choice, ListMessages, [](CLI::App& verb, ListOptions& options) {
            verb.add_option("QUEUE", options.queue, "A queue. Default: all");
            verb.add_option("-n,--limit", options.limit, "The first so many")
                ->capture_default_str()
                ->check(CLI::Range(1, 1000));
            verb.add_option("--skip", options.skip, "After so many")->check(CLI::NonNegativeNumber);
          });
  AddVerb(*family,
          {"show", "A message: where it is and why; of one that has ended, how",
           "salvectl queue message show web-1-0193a5b2c3d4-1f --body"},
          choice, Show, [](CLI::App& verb, ShowOptions& options) {
            BindId(verb, options.id);
            verb.add_flag("--body", options.body, "Its body too, in hex and as text");
          });
  AddVerb(*family,
          {"suspend", "Holds a message; of one that is being delivered only if this attempt fails",
           "salvectl queue message suspend web-1-0193a5b2c3d4-1f"},
          choice, Suspend, BindIdAndReason);
  AddVerb(*family,
          {"resume", "Lets a message go on, out of poison too; it keeps its time of expiry",
           "salvectl queue message resume web-1-0193a5b2c3d4-1f"},
          choice, Resume, BindIdAndReason);
  AddFileVerbs(*family, choice);
  AddVerb(*family,
          {"remove",
           "Ends a message undelivered; one that is being delivered only if this attempt fails",
           "salvectl queue message remove web-1-0193a5b2c3d4-1f --reason 'told by phone'"},
          choice, Remove, [](CLI::App& verb, RemoveOptions& options) {
            BindIdAndReason(verb, options);
            CLI::Option* notify = verb.add_flag(
                "--notify", options.notify, "The other destinations are told that it was removed");
            verb.add_flag("--no-notify", options.no_notify, "Nobody is told; the default")
                ->excludes(notify);
          });
}

}  // namespace salve

// salvectl dead list|show|check|reregister|export|remove.
#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "cli/phrases.h"
#include "cli/queue_phrases.h"
#include "cli/verbs.h"

namespace salve {
namespace {

constexpr absl::string_view kDead = "dead";
constexpr int kPageMax = 1000;
constexpr int64_t kDeadMax = 10'000'000;  // As the configuration allows.

struct ListOptions {
  std::string former_queue;
  int limit = 100;
};

// A dead message and where it stands, from 1.
struct Row {
  int64_t position;
  v1::QueueMessage message;
};

bool Matches(const std::string& former_queue, const std::string& wanted) {
  absl::string_view begin = wanted;
  if (absl::ConsumeSuffix(&begin, "*")) return absl::StartsWith(former_queue, begin);
  return wanted.empty() || former_queue == wanted;
}

// The agent knows no former queues: what is dead is looked through page by page.
absl::StatusOr<std::vector<Row>> Find(Verb& verb, const ListOptions& options, int64_t& total) {
  std::vector<Row> rows;
  v1::ListMessagesRequest request;
  request.set_queue(std::string(kDead));
  request.set_limit(options.former_queue.empty() ? options.limit : kPageMax);
  for (int64_t position = 0; position < kDeadMax;) {
    request.set_offset(position);
    ASSIGN_OR_RETURN(v1::ListMessagesResponse page, verb.agent.ListMessages(request));
    total = page.total();
    for (v1::QueueMessage& message : *page.mutable_messages()) {
      ++position;
      if (!Matches(message.former_queue(), options.former_queue)) continue;
      rows.push_back({position, std::move(message)});
      if (rows.size() == static_cast<size_t>(options.limit)) return rows;
    }
    if (page.messages().empty() || position >= total) break;
  }
  return rows;
}

absl::StatusOr<ExitStatus> ListDead(Verb& verb, const ListOptions& options) {
  int64_t total = 0;
  ASSIGN_OR_RETURN(const std::vector<Row> rows, Find(verb, options, total));
  if (!verb.output.is_table()) {
    v1::ListMessagesResponse list;
    for (const Row& row : rows) *list.add_messages() = row.message;
    list.set_total(total);
    verb.output.PrintList(list, list.messages());
    return ExitStatus::kDone;
  }
  Table table =
      verb.output.NewTable({"#", "DMID", "TYPE", "FORMER QUEUE", "DIED", "REASON", "SUBJECT"});
  for (const Row& row : rows) {
    const v1::QueueMessage& message = row.message;
    table.AddRow({absl::StrCat(row.position), message.dmid(), message.type(),
                  message.former_queue(), Ago(message.has_moved_at(), message.moved_at(), verb),
                  message.reason(), message.subject()});
  }
  table.Flush(verb.output.out());
  if (!verb.output.with_header()) return ExitStatus::kDone;
  if (rows.empty()) verb.output.out() << "none\n";
  const int64_t left = rows.empty() ? 0 : total - rows.back().position;
  if (left > 0) verb.output.out() << "and at most " << left << " more (-n)\n";
  return ExitStatus::kDone;
}

struct ShowOptions {
  std::string dmid;
  int64_t serial = 0;
  int count = 1;
  int64_t body_bytes = 1024;
  bool properties_only = false;
};

absl::StatusOr<v1::ListMessagesResponse> Read(Verb& verb, const ShowOptions& options) {
  v1::GetMessageRequest request;
  request.set_with_body(!options.properties_only);
  v1::ListMessagesResponse list;
  if (!options.dmid.empty()) {
    request.set_id(options.dmid);
    ASSIGN_OR_RETURN(const v1::GetMessageResponse response, verb.agent.GetMessage(request));
    *list.add_messages() = response.message();
  } else {
    request.set_queue(std::string(kDead));
    for (int i = 0; i < options.count; ++i) {
      request.set_position(options.serial + i);
      const absl::StatusOr<v1::GetMessageResponse> response = verb.agent.GetMessage(request);
      if (i > 0 && absl::IsNotFound(response.status())) break;  // There are not so many.
      RETURN_IF_ERROR(response.status());
      *list.add_messages() = response->message();
    }
  }
  list.set_total(list.messages_size());
  return list;
}

absl::StatusOr<ExitStatus> ShowDead(Verb& verb, const ShowOptions& options) {
  if (options.dmid.empty() == (options.serial == 0)) {
    return absl::InvalidArgumentError("say -i DMID, or -n SERIAL");
  }
  ASSIGN_OR_RETURN(v1::ListMessagesResponse list, Read(verb, options));
  if (!verb.output.is_table()) {
    verb.output.PrintList(list, list.messages());
    return ExitStatus::kDone;
  }
  for (int i = 0; i < list.messages_size(); ++i) {
    if (i > 0) verb.output.out() << "\n";
    PrintMessage(list.messages(i), verb);
    if (!options.properties_only) PrintBody(list.messages(i).body(), options.body_bytes, verb);
  }
  return ExitStatus::kDone;
}

// What this family says of one that does not answer: here it is the peer that was waited for.
absl::StatusOr<ExitStatus> EndOf(Verb& verb, absl::string_view name, const absl::Status& status) {
  if (!absl::IsDeadlineExceeded(status)) return status;
  verb.err << "salvectl: " << name << ": " << Printable(status.message()) << "\n";
  return ExitStatus::kTimedOut;
}

struct CheckOptions {
  std::string dmid;
};

ExitStatus StatusOfArrival(const std::string& arrival) {
  if (absl::StartsWith(arrival, "arrived")) return ExitStatus::kDuplicate;
  return arrival == "not-arrived" ? ExitStatus::kDone : ExitStatus::kPrecondition;
}

absl::StatusOr<ExitStatus> CheckDead(Verb& verb, const CheckOptions& options) {
  v1::CheckDeadRequest request;
  request.set_dmid(options.dmid);
  const absl::StatusOr<v1::CheckDeadResponse> response = verb.agent.CheckDead(request);
  if (!response.ok()) return EndOf(verb, "dead check", response.status());
  if (!verb.output.is_table()) {
    verb.output.Print(*response);
  } else {
    verb.output.out() << Printable(absl::StrCat(options.dmid, ": ", response->arrival(),
                                                response->detail().empty() ? "" : ": ",
                                                response->detail()))
                      << "\n";
  }
  return StatusOfArrival(response->arrival());
}

struct ReregisterOptions {
  std::string dmid;
  bool unchecked = false;
};

absl::StatusOr<ExitStatus> Reregister(Verb& verb, const ReregisterOptions& options) {
  v1::ReregisterRequest request;
  request.set_dmid(options.dmid);
  request.set_unchecked(options.unchecked);
  request.set_user(verb.world.user);
  const absl::StatusOr<v1::ReregisterResponse> response = verb.agent.Reregister(request);
  if (!response.ok()) return EndOf(verb, "dead reregister", response.status());
  if (!verb.output.is_table()) {
    verb.output.Print(*response);
  } else {
    verb.output.out() << Printable(absl::StrCat(options.dmid, " is ", response->mid(), " in ",
                                                response->queue()))
                      << "\n";
  }
  return ExitStatus::kDone;
}

struct ExportOptions {
  std::string dmid;
  std::string dir = ".";
};

absl::StatusOr<ExitStatus> ExportDead(Verb& verb, const ExportOptions& options) {
  return Export(verb, options.dmid, options.dir);
}

struct RemoveOptions {
  std::string dmid;
  std::string reason;
};

absl::StatusOr<ExitStatus> RemoveDead(Verb& verb, const RemoveOptions& options) {
  v1::ControlMessageRequest request;
  request.set_verb(v1::ControlMessageRequest::REMOVE);
  request.set_id(options.dmid);
  request.set_reason(options.reason);
  return Control(verb, std::move(request), "removed");
}

void BindDmid(CLI::App& verb, std::string& dmid) {
  verb.add_option("DMID", dmid, "As 'dead list' shows it")->required();
}

void BindShow(CLI::App& verb, ShowOptions& options) {
  CLI::Option* dmid = verb.add_option("-i,--id", options.dmid, "The one with this DMID");
  CLI::Option* serial = verb.add_option("-n,--serial", options.serial,
                                        "Or by position: from this one, counted from 1")
                            ->check(CLI::Range(int64_t{1}, kDeadMax))
                            ->excludes(dmid);
  verb.add_option("-e,--count", options.count, "With -n: so many")
      ->capture_default_str()
      ->check(CLI::Range(1, kPageMax))
      ->needs(serial);
  CLI::Option* bytes =
      verb.add_option("-o,--body-bytes", options.body_bytes, "At most so many bytes of the body")
          ->capture_default_str()
          ->check(CLI::Range(int64_t{1}, std::numeric_limits<int64_t>::max()));
  verb.add_flag("-p,--properties", options.properties_only,
                "Properties only: header, properties and dead attributes, without the body")
      ->excludes(bytes);
}

void AddRevivingVerbs(CLI::App& family, Choice& choice) {
  AddVerb(family,
          {"check",
           "Asks the peer whether a dead message has arrived: exit 0 not-arrived, 8 arrived-done, "
           "arrived-queued or arrived-dead, 3 unknown, 11 no answer in time",
           "salvectl dead check WEB-1-0193A5B2C3D4-1F"},
          choice, CheckDead,
          [](CLI::App& verb, CheckOptions& options) { BindDmid(verb, options.dmid); });
  AddVerb(family,
          {"reregister",
           "Puts a dead message back into its former queue as a new one, after the same check: "
           "exit 8 when it has arrived, 3 when that is unknown",
           "salvectl dead reregister WEB-1-0193A5B2C3D4-1F"},
          choice, Reregister, [](CLI::App& verb, ReregisterOptions& options) {
            BindDmid(verb, options.dmid);
            verb.add_flag("--unchecked", options.unchecked,
                          "Also when it is unknown whether it has arrived: it may be told twice");
          });
}

}  // namespace

void AddDeadVerbs(CLI::App& salvectl, Choice& choice) {
  CLI::App* family =
      AddFamily(salvectl, {"dead", "Messages that could not be delivered", "salvectl dead list"});
  AddVerb(*family, {"list", "The dead messages, the oldest first", "salvectl dead list remote/ops"},
          choice, ListDead, [](CLI::App& verb, ListOptions& options) {
            verb.add_option("QUEUE", options.former_queue,
                            "Only those of this former queue, or of 'remote/*'. Default: all");
            verb.add_option("-n,--limit", options.limit, "The first so many")
                ->capture_default_str()
                ->check(CLI::Range(1, kPageMax));
          });
  AddVerb(*family,
          {"show", "A dead message: header, properties, body in hex and as text, dead attributes",
           "salvectl dead show -i WEB-1-0193A5B2C3D4-1F -o 64\n"
           "  salvectl dead show -n 1 -e 10 -p"},
          choice, ShowDead, BindShow);
  AddRevivingVerbs(*family, choice);
  AddVerb(*family,
          {"export",
           "Copies a dead message into DIR/<internal id>.msg, which is never written over; the "
           "message stays until it is removed",
           "salvectl dead export WEB-1-0193A5B2C3D4-1F -d /var/tmp"},
          choice, ExportDead, [](CLI::App& verb, ExportOptions& options) {
            BindDmid(verb, options.dmid);
            verb.add_option("-d,--dir", options.dir, "The folder")->capture_default_str();
          });
  AddVerb(*family,
          {"remove", "Gives a dead message up", "salvectl dead remove WEB-1-0193A5B2C3D4-1F"},
          choice, RemoveDead, [](CLI::App& verb, RemoveOptions& options) {
            BindDmid(verb, options.dmid);
            verb.add_option("--reason", options.reason, "Why; it is recorded");
          });
}

}  // namespace salve

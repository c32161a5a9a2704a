#include "cli/queue_phrases.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/hex_dump.h"
#include "cli/message_file.h"
#include "cli/phrases.h"
#include "cli/when.h"

namespace salve {
namespace {

std::string When(bool is_set, const google::protobuf::Timestamp& t, const Verb& verb) {
  if (!is_set) return "";
  return LocalAndRelativeTime(TimeOf(t), verb.now(), verb.world.time_zone);
}

std::string NextAttemptOf(const v1::QueueMessage& message, const Verb& verb) {
  if (!message.has_next_attempt()) return "";
  const absl::Time next = TimeOf(message.next_attempt());
  if (next <= verb.now()) return "when its turn comes";
  return LocalAndRelativeTime(next, verb.now(), verb.world.time_zone);
}

std::string UnlessZero(int64_t count) { return count == 0 ? "" : absl::StrCat(count); }

// What tells more than the MID: where it came from, unless from here as it is.
std::string OriginOf(const v1::QueueMessage& message) {
  if (message.origin_mid().empty() || message.origin_mid() == message.mid()) {
    return message.origin_server();
  }
  return absl::StrCat(message.origin_server(), ", there ", message.origin_mid());
}

}  // namespace

Cell QueueStateCell(const std::string& state) {
  for (absl::string_view good : {"delivering", "done"}) {
    if (state == good) return Cell(state, Colour::kGreen);
  }
  for (absl::string_view held : {"suspended", "paused", "removing"}) {
    if (state == held) return Cell(state, Colour::kYellow);
  }
  for (absl::string_view bad : {"failed", "rejected"}) {
    if (state == bad) return Cell(state, Colour::kRed);
  }
  return Cell(state);
}

bool NeedsAPerson(const std::string& queue) {
  return queue == "unreachable" || queue == "poison" || queue == "dead";
}

std::string Counted(int64_t count, absl::string_view singular) {
  return absl::StrCat(count, " ", singular, count == 1 ? "" : "s");
}

std::string AgeOf(bool is_set, const google::protobuf::Timestamp& t, const Verb& verb) {
  if (!is_set) return "-";
  return ShortDuration(std::max(verb.now() - TimeOf(t), absl::ZeroDuration()));
}

void PrintMessage(const v1::QueueMessage& message, const Verb& verb) {
  verb.output.out() << Printable(message.mid()) << "\n";
  Table details = NewDetails(verb.output);
  AddDetail(details, "subject", message.subject());
  AddDetail(details, "type", message.type());
  AddDetail(details, "queue", message.queue());
  const bool is_dead = !message.dmid().empty();
  if (!is_dead) {
    AddDetail(details, "state", message.state(), QueueStateCell(message.state()).colour);
    AddDetail(details, "reason", message.reason());
  }
  AddDetail(details, "destination", message.destination());
  AddDetail(details, "requester", message.requester());
  AddDetail(details, "responder", message.responder());
  AddDetail(details, "action", message.action());
  AddDetail(details, "incident", message.correlation());
  AddDetail(details, "origin", OriginOf(message));
  AddDetail(details, "priority", UnlessZero(message.priority()));
  AddDetail(details, "created", When(message.has_created(), message.created(), verb));
  AddDetail(details, "expires", When(message.has_expires(), message.expires(), verb));
  AddDetail(details, "next attempt", NextAttemptOf(message, verb));
  if (message.has_created()) {  // Of one that has ended they are not remembered.
    AddDetail(details, "attempts",
              absl::StrCat(message.attempts(), ", ", message.deliveries(), " reached the peer"));
  }
  AddDetail(details, "crashes", UnlessZero(message.crash_count()), Colour::kRed);
  AddDetail(details, "may be also at", message.handed_to());
  AddDetail(details, "last error", message.last_error());
  AddDetail(details, "internal id", UnlessZero(message.internal_id()));
  if (is_dead) {
    AddDetail(details, "dmid", message.dmid());
    AddDetail(details, "former queue", message.former_queue());
    AddDetail(details, "dead because", message.reason(), Colour::kRed);
    AddDetail(details, "moved at", When(message.has_moved_at(), message.moved_at(), verb));
  }
  details.Flush(verb.output.out());
}

void PrintBody(const std::string& body, int64_t bytes_max, const Verb& verb) {
  std::ostream& out = verb.output.out();
  if (body.empty()) {
    out << "no body\n";
    return;
  }
  out << "body, " << Counted(static_cast<int64_t>(body.size()), "byte") << "\n"
      << HexDump(absl::string_view(body).substr(0, bytes_max));
  const int64_t left = static_cast<int64_t>(body.size()) - bytes_max;
  if (left > 0) out << "and " << Counted(left, "byte") << " more\n";
}

absl::StatusOr<ExitStatus> Control(Verb& verb, v1::ControlMessageRequest request,
                                   absl::string_view done) {
  request.set_user(verb.world.user);
  ASSIGN_OR_RETURN(const v1::ControlMessageResponse response, verb.agent.ControlMessage(request));
  if (!verb.output.is_table()) {
    verb.output.Print(response);
    return ExitStatus::kDone;
  }
  verb.output.out() << Printable(response.note().empty()
                                     ? absl::StrCat(done, " ", request.id())
                                     : absl::StrCat(request.id(), ": ", response.note()))
                    << "\n";
  return ExitStatus::kDone;
}

absl::StatusOr<ExitStatus> Export(Verb& verb, const std::string& id, const std::string& dir) {
  v1::ExportMessageRequest request;
  request.set_id(id);
  request.set_user(verb.world.user);
  ASSIGN_OR_RETURN(const v1::ExportMessageResponse response, verb.agent.ExportMessage(request));
  const std::string path = MessageFileOf(dir, response.internal_id());
  RETURN_IF_ERROR(WriteMessageFile(path, response.parcel()));
  if (!verb.output.is_table()) {
    verb.output.Print(response);
  } else {
    verb.output.out() << Printable(absl::StrCat(id, " is in ", path)) << "\n";
  }
  return ExitStatus::kDone;
}

}  // namespace salve

// What the verbs of the durable queue, its messages and its dead ones have in common.
#ifndef SALVE_CLI_QUEUE_PHRASES_H_
#define SALVE_CLI_QUEUE_PHRASES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "api/queue.pb.h"
#include "cli/table.h"
#include "cli/verb.h"

namespace salve {

// The state of a queue or message in its colour.
Cell QueueStateCell(const std::string& state);

// Whether nothing but a person empties this queue: what is in it does not wait for its turn.
bool NeedsAPerson(const std::string& queue);

// "1 message", "3 messages".
std::string Counted(int64_t count, absl::string_view singular);

// "3m 12s" since then; "-" when it is not set, "0ms" when it is to come.
std::string AgeOf(bool is_set, const google::protobuf::Timestamp& t, const Verb& verb);

// All of a message but its body: a line with its MID, then its properties; of a dead one its
// attributes last.
void PrintMessage(const v1::QueueMessage& message, const Verb& verb);

// The body in hex and as text, at most `bytes_max` of it, and how much is left out.
void PrintBody(const std::string& body, int64_t bytes_max, const Verb& verb);

// Suspends, resumes or removes one, and says `done` ("suspended"), or what the agent notes.
absl::StatusOr<ExitStatus> Control(Verb& verb, v1::ControlMessageRequest request,
                                   absl::string_view done);

// Writes a message into DIR/<internal id>.msg and says so. Errors: of the agent; WriteMessageFile.
absl::StatusOr<ExitStatus> Export(Verb& verb, const std::string& id, const std::string& dir);

}  // namespace salve

#endif  // SALVE_CLI_QUEUE_PHRASES_H_

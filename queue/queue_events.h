// Events of the durable queue: what each step of a message looks like in the event log.
#ifndef SALVE_QUEUE_QUEUE_EVENTS_H_
#define SALVE_QUEUE_QUEUE_EVENTS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "api/events.pb.h"
#include "queue/message_store.h"

namespace salve {

// A step of a message (api/events.proto, QueueEvent); `queue` is the row's.
v1::Event StepEvent(int event_id, const StoredMessage& row, const std::string& reason);

// Of the queue itself: a sentence and, when a person did it, who.
v1::Event QueueNews(int event_id, v1::Level level, const std::string& message,
                    const std::string& who = "", int64_t count = 0);

// The event of an end: of what may be untold, when no more is known of the message.
v1::Event EndEvent(const Ended& ended);
int EndEventId(Final final);
// Begins the reason of the end of one that was taken from another server and given back.
inline constexpr char kWithdrawnBy[] = "withdrawn by ";
// It was taken and given back: nothing of it is or was told here.
bool IsWithdrawn(const Ended& ended);
// The reason of the end of one that lives on as `mid`.
std::string ReregisteredAs(absl::string_view mid);

// What `explain` reads: Monitoring 5 delivered, 6 not delivered, 7 given up. `merged`: messages of
// its digest; 0: none.
v1::Event LetterEvent(int event_id, const queue::Message& message, const std::string& text,
                      int merged);

}  // namespace salve

#endif  // SALVE_QUEUE_QUEUE_EVENTS_H_

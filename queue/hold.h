// What a crash under HOLD found on its way: taken out of the queue for a crash set (crash_set.h).
// That a start does not take longer with a million messages, their queues as such are renamed in
// one step, to `held/<set>/<former queue>`, where nothing delivers them; page by page they end
// there (Final::kHeldInSet) while the agent works. Without a set they come back suspended. Only
// says what is to be done; blocks for the store.
#ifndef SALVE_QUEUE_HOLD_H_
#define SALVE_QUEUE_HOLD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "queue/message_store.h"

namespace salve {

struct HoldStep {
  Changes changes;
  std::vector<StoredMessage> leaving;  // Those that end or come back with it; a page at most.
  int64_t held = 0;                    // Of HoldAll: how many in all.
  // Of HoldAll: in flight, and a person had removed them meanwhile. The caller ends them.
  std::vector<StoredMessage> removed;
};

// Everything that is on its way, in one step; what was in flight has left with it. `set`: the name
// of the crash set; "": there is none. Errors: those of reading.
absl::StatusOr<HoldStep> HoldAll(const MessageStore& store, const std::string& set, absl::Time now);
// The next page of what is held. `leaving` is empty: nothing is.
absl::StatusOr<HoldStep> ReleaseHeld(const MessageStore& store, absl::Time now);
bool HasHeld(const std::vector<QueueRow>& queues);

}  // namespace salve

#endif  // SALVE_QUEUE_HOLD_H_

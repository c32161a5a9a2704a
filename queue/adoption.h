// Makes one queue of two, for `queue db adopt`. Of a message that both know stays what is more:
// being there, then an end for good, then one that says that it went elsewhere.
#ifndef SALVE_QUEUE_ADOPTION_H_
#define SALVE_QUEUE_ADOPTION_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "queue/adopt.h"
#include "queue/replacement.h"
#include "queue/store_builder.h"

namespace salve {

constexpr size_t kNamedMax = 20;  // Messages that an error or event names.

// Whether it waits to be delivered, and expires: not in poison, dead or inbox.
bool IsWaiting(const StoredMessage& stored);
// It would expire so soon.
constexpr absl::Duration kAtOnce = absl::Minutes(1);
bool ExpiresAtOnce(const StoredMessage& stored, absl::Time now);

// Adds to `builder` what is here (`target`, may be null) and what is in the pack, routed anew, and
// tells of it in `report`. The first MIDs of those that were known already, at most kNamedMax.
absl::StatusOr<std::vector<std::string>> MergeQueues(const AdoptOptions& options,
                                                     const DatabaseSource& pack,
                                                     const DatabaseSource* target,
                                                     StoreBuilder& builder,
                                                     queue::AdoptReport& report);

}  // namespace salve

#endif  // SALVE_QUEUE_ADOPTION_H_

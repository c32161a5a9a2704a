// What the ledger knows of the attempt of a deferred action.
#ifndef SALVE_QUEUE_KNOWN_ATTEMPT_H_
#define SALVE_QUEUE_KNOWN_ATTEMPT_H_

#include <string>

namespace salve {

struct KnownAttempt {
  std::string id;
  bool in_progress = false;
  bool crashed = false;
  std::string result;  // "Succeeded", …; for the reason.
};

}  // namespace salve

#endif  // SALVE_QUEUE_KNOWN_ATTEMPT_H_

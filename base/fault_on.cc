#include <signal.h>
#include <stdlib.h>

#include <atomic>
#include <cstring>

#include "base/fault.h"

namespace salve {
namespace {

// Counts the passes of the one point that SALVE_FAULT names; a global because a fault point
// has no object to keep it in. Tests only.
std::atomic<int> passes{0};

}  // namespace

void FaultPoint(const char* name) {
  const char* wanted = getenv("SALVE_FAULT");
  if (wanted == nullptr) return;
  const char* colon = strchr(wanted, ':');
  const size_t length = colon ? static_cast<size_t>(colon - wanted) : strlen(wanted);
  if (strlen(name) != length || strncmp(name, wanted, length) != 0) return;
  const int nth = colon ? atoi(colon + 1) : 1;
  if (++passes >= nth) raise(SIGKILL);
}

int FaultWallOffsetSeconds() {
  const char* offset = getenv("SALVE_WALL_OFFSET");
  return offset == nullptr ? 0 : atoi(offset);
}

}  // namespace salve

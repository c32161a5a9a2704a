#include "base/fault.h"

namespace salve {

// Weak, so that a test binary that links :fault_on statically gets the one that kills, with
// every other object the same as in the agent.
__attribute__((weak)) void FaultPoint(const char*) {}
__attribute__((weak)) int FaultWallOffsetSeconds() { return 0; }

}  // namespace salve

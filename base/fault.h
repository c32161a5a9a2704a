// Fault points: places where a test may kill the process, to prove that a crash there does no
// harm, and a wall clock that may be wrong. Which fault points there are is said where they stand
// ("ledger.begin.before"). Nothing happens in a binary that does not link :fault_on, which is
// testonly.
#ifndef SALVE_BASE_FAULT_H_
#define SALVE_BASE_FAULT_H_

namespace salve {

// With :fault_on: when the environment says SALVE_FAULT="name" or "name:n", raises SIGKILL at
// the n-th pass (default: the first) of the point of that name. Any thread.
void FaultPoint(const char* name);

// With :fault_on: the seconds of SALVE_WALL_OFFSET, by which the wall clock is wrong. Else 0.
int FaultWallOffsetSeconds();

}  // namespace salve

#endif  // SALVE_BASE_FAULT_H_

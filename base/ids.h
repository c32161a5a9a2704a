// Ids of incidents and attempts: 32 hex digits, the first 12 the wall time in milliseconds, so
// that they sort by time and index well; the rest random.
#ifndef SALVE_BASE_IDS_H_
#define SALVE_BASE_IDS_H_

#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace salve {

// A source of random numbers: SystemRandom() in the agent, a seeded one in tests.
using RandomSource = absl::AnyInvocable<uint64_t()>;
RandomSource SystemRandom();

std::string NewId(absl::Time wall, RandomSource& random);

}  // namespace salve

#endif  // SALVE_BASE_IDS_H_

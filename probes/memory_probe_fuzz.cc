// Whatever stands in /proc/meminfo, a state that is taken from it can be divided by.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "probes/memory_probe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const auto state =
      salve::ParseMemoryState(absl::string_view(reinterpret_cast<const char*>(bytes), size));
  CHECK(!state.ok() || state->total_bytes > 0);
  return 0;
}

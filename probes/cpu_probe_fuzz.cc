// Whatever stands in /proc/stat, no more is busy than there is, of at least one processor.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "probes/cpu_probe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const auto ticks =
      salve::ParseCpuTicks(absl::string_view(reinterpret_cast<const char*>(bytes), size));
  CHECK(!ticks.ok() || (ticks->cores > 0 && ticks->busy <= ticks->total));
  return 0;
}

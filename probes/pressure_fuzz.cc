// Whatever stands in a pressure file, a share is a number from 0 to 100.
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/check.h"
#include "probes/pressure.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const salve::Pressure pressure =
      salve::ParsePressure(absl::string_view(reinterpret_cast<const char*>(bytes), size));
  for (const std::optional<double>& share : {pressure.some, pressure.full}) {
    CHECK(!share.has_value() || (*share >= 0 && *share <= 100));
  }
  return 0;
}

// Whatever a plugin prints, what is taken from it is bounded and finite.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "probes/perf_data.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view output(reinterpret_cast<const char*>(bytes), size);
  const salve::PluginOutput parsed = salve::ParsePluginOutput(output);
  CHECK(parsed.text.size() <= size);
  CHECK(parsed.text.find('\n') == std::string::npos);
  CHECK(parsed.text.find('|') == std::string::npos);
  CHECK(parsed.values.size() <= salve::kValuesMax);
  for (const salve::ProbeValue& value : parsed.values) {
    CHECK(!value.name.empty() && value.name.size() <= 128);
    CHECK(std::isfinite(value.number));
    CHECK(value.unit.size() <= 7);  // "percent"
  }
  return 0;
}

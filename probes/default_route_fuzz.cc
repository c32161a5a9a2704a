// Whatever stands in the route tables, what is taken from them can be a folder of /sys/class/net.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "probes/default_route.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  for (const std::string& interface :
       {salve::DefaultInterface(text, ""), salve::DefaultInterface("", text)}) {
    CHECK(interface.empty() || salve::IsInterfaceName(interface));
  }
  return 0;
}

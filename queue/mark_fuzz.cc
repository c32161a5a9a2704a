// Whatever the bytes of a mark's file: it is refused as damaged, or it is a mark that could have
// been written.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "queue/mark.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const auto mark = salve::ParseMark(absl::string_view(reinterpret_cast<const char*>(bytes), size));
  if (!mark.ok()) {
    if (!absl::IsDataLoss(mark.status())) std::abort();
    return 0;
  }
  if (mark->commits < 0 || mark->signature.size() != 32) std::abort();
  return 0;
}

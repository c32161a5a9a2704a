// What Abseil decodes from base64 must encode to something it decodes to the
// same bytes. A small target with a known answer that keeps the fuzz macro
// itself tested.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string once, again;
  if (!absl::Base64Unescape(absl::string_view(reinterpret_cast<const char*>(bytes), size), &once)) {
    return 0;
  }
  if (!absl::Base64Unescape(absl::Base64Escape(once), &again) || once != again) std::abort();
  return 0;
}

// Whatever stands in a queue file, a time of arrival is one that can be reckoned with.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "probes/mail_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view head(reinterpret_cast<const char*>(bytes), size);
  for (const salve::MailFile& file : {salve::ParsePostfixFile(head), salve::ParseEximFile(head)}) {
    CHECK(!file.arrived.has_value() || *file.arrived > absl::UnixEpoch());
    CHECK(!file.arrived.has_value() || *file.arrived < absl::InfiniteFuture());
  }
  return 0;
}

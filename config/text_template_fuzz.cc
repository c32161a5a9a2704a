// Whatever the text: it is refused with a reason, or what it makes of empty values is the text
// without its names, and never longer.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "config/text_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  const auto parsed = salve::TextTemplate::Parse(text, salve::NamesOfMessages());
  if (!parsed.ok()) {
    CHECK(!parsed.status().message().empty());
    return 0;
  }
  size_t names = 0;
  const std::string empty = parsed->Render([&](absl::string_view name) {
    names += name.size() + 2;
    return std::string();
  });
  CHECK(empty.size() + names <= text.size());
  const std::string written = parsed->Render(
      [](absl::string_view name) { return "{" + std::string(name.data(), name.size()) + "}"; });
  CHECK(written.size() == empty.size() + names);
  return 0;
}

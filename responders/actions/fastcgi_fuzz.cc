// Whatever a server answers, what is taken from it is bounded, and the same however it is cut.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "responders/actions/fastcgi.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view answer(reinterpret_cast<const char*>(bytes), size);
  const auto whole = salve::ReadFastCgiAnswer(answer);
  if (!whole.ok() || !whole->is_complete) return 0;
  CHECK(whole->body.size() < size);
  // With more behind it, it is the same; the beginning of it is never another answer.
  const auto longer = salve::ReadFastCgiAnswer(std::string(answer) + "more");
  CHECK(size + 4 > salve::kFastCgiAnswerBytesMax || longer->body == whole->body);
  for (size_t part = 0; part < size; part += 1 + size / 16) {
    const auto begun = salve::ReadFastCgiAnswer(answer.substr(0, part));
    CHECK(begun.ok());
    CHECK(!begun->is_complete || begun->body == whole->body);
  }
  return 0;
}

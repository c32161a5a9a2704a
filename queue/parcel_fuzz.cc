// Whatever the bytes: no parcel, with a reason, or a message that can be packed again and is the
// same. So that the digest does not stop nearly every input, the bytes are taken as a message too.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "queue/parcel.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckRoundTrip(const salve::queue::Message& message) {
  const auto parcel = salve::MakeParcel(message);
  Require(parcel.ok());
  const auto opened = salve::OpenParcel(*parcel);
  Require(opened.ok());
  Require(opened->SerializeAsString() == message.SerializeAsString());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  const auto opened = salve::OpenParcel(text);
  if (opened.ok()) {
    CheckRoundTrip(*opened);
  } else {
    Require(!opened.status().message().empty());
  }
  salve::queue::Message message;
  if (!message.ParseFromArray(text.data(), static_cast<int>(text.size()))) return 0;
  const auto parcel = salve::MakeParcel(message);
  if (parcel.ok()) CheckRoundTrip(message);
  return 0;
}

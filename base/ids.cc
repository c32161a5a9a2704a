#include "base/ids.h"

#include <memory>
#include <random>

#include "absl/strings/str_format.h"

namespace salve {

RandomSource SystemRandom() {
  auto device = std::make_shared<std::random_device>();
  return [device] { return uint64_t{(*device)()} << 32 | (*device)(); };
}

std::string NewId(absl::Time wall, RandomSource& random) {
  const uint64_t millis = static_cast<uint64_t>(absl::ToUnixMillis(wall)) & 0xffff'ffff'ffff;
  return absl::StrFormat("%012x%04x%016x", millis, random() & 0xffff, random());
}

}  // namespace salve

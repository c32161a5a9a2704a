// Whatever stands in a mount table, what is taken from it can be asked for.
#include <cstddef>
#include <cstdint>
#include <set>

#include "base/check.h"
#include "probes/mount_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  const auto mounts = salve::ParseMountTable(text);
  CHECK(mounts.size() <= salve::kMountsMax);
  for (const salve::Mount& mount : mounts) {
    CHECK(mount.id != 0);
    CHECK(mount.point[0] == '/');
    CHECK(salve::FindMount(mounts, mount.id, "") != nullptr);
    CHECK(salve::FindMount(mounts, 0, mount.point) != nullptr);
  }
  std::set<std::string> seen;
  const auto local = salve::LocalFileSystems(mounts, 64);
  CHECK(local.size() <= 64);
  for (const salve::Mount& mount : local) CHECK(seen.insert(mount.device_id).second);
  return 0;
}

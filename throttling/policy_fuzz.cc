// Whatever the text: the policy is refused with a place in the file, or each of its entries is
// found again by its own fields.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "throttling/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view xml(reinterpret_cast<const char*>(bytes), size);
  const absl::StatusOr<salve::Policy> policy = salve::ParsePolicy(xml, "f.xml");
  if (!policy.ok()) {
    if (!absl::StartsWith(policy.status().message(), "f.xml:")) std::abort();
    return 0;
  }
  for (const salve::PolicyEntry& entry : policy->entries()) {
    if (policy->Match({entry.action, entry.resource, entry.responder_type, entry.responder_name}) !=
        &entry) {
      std::abort();
    }
    if (entry.limits.local_minimum_minutes < -1 || entry.limits.group_max_in_day < -1) {
      std::abort();
    }
  }
  return 0;
}

// Policy: which limits hold for which responder on which resource. Reads the policy XML, finds
// the most specific entry and lays a responder's own limits over it. Remembers no attempts.
// A Policy does not change once built; any thread may ask it.
#ifndef SALVE_THROTTLING_POLICY_H_
#define SALVE_THROTTLING_POLICY_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "config/config.pb.h"
#include "throttling/limits.h"

namespace salve {

inline constexpr size_t kPolicyBytesMax = 1 << 20;

// One entry, as written. "*" as a whole field matches anything; there are no partial wildcards.
struct PolicyEntry {
  RecoveryAction action;
  std::string responder_type = "*";
  std::string responder_name = "*";
  std::string resource = "*";
  Limits limits;

  // "RestartService/Default/*/*/msexchangefastsearch": for people. Entries are compared field
  // by field, never by this.
  std::string Identity() const;
};

// Who asks for what. Matching ignores ASCII case. Views: nothing is copied.
struct RequesterKey {
  RecoveryAction action;
  absl::string_view resource;
  absl::string_view responder_type;  // "RestartServiceResponder"
  absl::string_view responder_name;
};

class Policy {
 public:
  Policy() = default;  // No entries: matches nothing.
  // Errors: kInvalidArgument: two entries of one identity.
  static absl::StatusOr<Policy> Create(std::vector<PolicyEntry> entries);

  // The most specific entry that matches, by (exact name, exact resource, exact type) in this
  // order, or null. Allocates nothing; its time does not grow with the number of entries. The
  // entry lives as long as the policy.
  const PolicyEntry* Match(const RequesterKey& key) const;

  // In the order written.
  absl::Span<const PolicyEntry> entries() const { return entries_; }

 private:
  size_t Find(const RequesterKey& key, uint64_t hash) const;

  std::vector<PolicyEntry> entries_;
  struct Slot {
    uint64_t hash = 0;
    uint32_t entry = 0;  // Index + 1; 0: free.
  };
  std::vector<Slot> slots_;  // Open addressing, at most half full, a power of two.
};

// Reads a policy (docs/THROTTLING.md). `file` is only named in messages.
// Errors: kInvalidArgument: one line for each fault, `file:line:column: what is wrong`, at most
//   20 lines: not XML, over 1 MiB, an unknown or missing or duplicate attribute, a number that is
//   none or is below -1, an unknown action (with the nearest names), two entries of one
//   identity, a second root, stray text, a DOCTYPE.
absl::StatusOr<Policy> ParsePolicy(absl::string_view xml, absl::string_view file);
// The same from a file. Errors: also kNotFound, kPermissionDenied, kUnavailable.
absl::StatusOr<Policy> ReadPolicyFile(const std::string& path);

// What holds where throttle.xml says nothing: one entry for each action.
const Policy& BuiltInPolicy();

// Where a single limit comes from, from the lowest layer to the highest.
enum class LimitSource { kBuiltIn, kPolicy, kResponder, kGlobalOverride, kLocalOverride };
// "built-in", "policy", "responder", "global override", "local override"
absl::string_view LimitSourceName(LimitSource source);

// What overrides say of one responder's limits: single attributes, in either direction.
struct LimitOverrides {
  struct Flag {
    bool value;
    LimitSource source;
  };
  struct Number {
    int value;
    LimitSource source;
  };
  std::optional<Flag> enabled;
  std::array<std::optional<Number>, kLimitAttributeCount> limits;  // As kLimitAttributes.
};

// What holds for one responder on one resource, and why.
struct EffectiveLimits {
  Limits limits;
  std::string identity;                                        // Of the entry that matched.
  LimitSource layer = LimitSource::kPolicy;                    // Where that entry stands.
  LimitSource enabled_source = LimitSource::kPolicy;           // Of limits.enabled.
  std::array<LimitSource, kLimitAttributeCount> sources = {};  // As kLimitAttributes.

  // The highest layer that any of the six comes from.
  LimitSource HighestSource() const;
};

// A responder's own layers, over the policy. Both may be null.
struct ResponderLimits {
  const config::Throttle* own = nullptr;
  const LimitOverrides* overrides = nullptr;
};

// The best match of `policy`, and only where nothing there matches, of `built_in`; then of each
// attribute the stricter of that and of `own`; then what overrides say. An entry with
// Enabled="False" counts as all -1, so that the responder's own limits still hold; without own ones
// the numbers stay as written, not in force. An override of Enabled decides whether the result is
// in force, and with True the entry's numbers are. nullopt: nothing matches (NoThrottlePolicy), and
// then no override helps.
std::optional<EffectiveLimits> Resolve(const Policy& policy, const Policy& built_in,
                                       const RequesterKey& key, const ResponderLimits& responder);

// Of several that hold at once the strictest of each attribute; identity and layer are those of
// the first. Requires: at least one.
EffectiveLimits StrictestOf(absl::Span<const EffectiveLimits> all);

}  // namespace salve

#endif  // SALVE_THROTTLING_POLICY_H_

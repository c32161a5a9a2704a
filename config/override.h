// Override: one property of one item, changed from outside of the configuration for a while. Its
// parts as people write them, and whether two of them are the same. Plain values; any thread.
#ifndef SALVE_CONFIG_OVERRIDE_H_
#define SALVE_CONFIG_OVERRIDE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace salve {

inline constexpr size_t kOverrideTextBytesMax = 1000;  // Of a reason, a name, a value.
inline constexpr absl::Duration kVersionOverrideLife = absl::Hours(365 * 24);
inline constexpr absl::Duration kOverrideDurationMax = absl::Hours(3650 * 24);

enum class ItemType { kHealthSet, kProbe, kMonitor, kResponder };
// "HealthSet"
absl::string_view ItemTypeName(ItemType type);
// In any case. Errors: kInvalidArgument, with all names.
absl::StatusOr<ItemType> ParseItemType(absl::string_view text);

// What an override is about. An empty target means the item, or each instance of a for_each.
struct ItemIdentity {
  std::string health_set;
  std::string item;    // Empty: the health set itself.
  std::string target;  // With '/', whichever was written.

  // "Search\SearchIndexFailureRestartSearchService"
  std::string Text() const;
  friend bool operator==(const ItemIdentity&, const ItemIdentity&) = default;
};
// Reads `HealthSet\Item[\Target]`, where '/' is as good as '\' and everything after the second
// separator is the target; of a health set its bare name.
// Errors: kInvalidArgument: an empty part, too few or too many of them, a control character.
absl::StatusOr<ItemIdentity> ParseIdentity(ItemType type, absl::string_view text);

// A version in one spelling: "15.00.1044.025", "15.0.1044.25" and "Version 15.0 (Build 1044.25)"
// all give "15.0.1044.25". Parts are letters and digits (and + _ -), joined by dots; numbers lose
// their leading zeros, letters their case.
// Errors: kInvalidArgument: no such text, or more than 100 bytes.
absl::StatusOr<std::string> CanonicalVersion(absl::string_view text);

// "dd.hh:mm:ss": "1.00:00:00" is a day. Errors: kInvalidArgument: another form, nothing at all,
// hours over 23, minutes or seconds over 59, or more than 3,650 days.
absl::StatusOr<absl::Duration> ParseOverrideDuration(absl::string_view text);

struct Override {
  ItemType item_type = ItemType::kResponder;
  ItemIdentity identity;
  std::string property;  // "ThrottleAttributes.LocalMinimum…", "Enabled", "interval", "threshold"
  std::string value;     // As written.
  std::string version;   // As written; empty: holds for every version.
  absl::Time expiration = absl::InfiniteFuture();
  absl::Time created = absl::InfinitePast();  // InfinitePast: not told.
  std::string created_by;
  std::string reason;

  // When it ends, whatever was written: the expiration, and with a version 365 days after it was
  // created.
  absl::Time End() const;
  // Type, identity, property and version in one spelling: of two with the same key in one scope,
  // the later replaces the earlier.
  std::string Key() const;
  // "Responder Search\Restart: ThrottleAttributes.Enabled=False", for events and messages.
  std::string Text() const;

  friend bool operator==(const Override&, const Override&) = default;
};

enum class OverrideScope { kGlobal, kLocal };
// "local"
absl::string_view OverrideScopeName(OverrideScope scope);

struct ScopedOverride {
  OverrideScope scope = OverrideScope::kLocal;
  Override override;
};

}  // namespace salve

#endif  // SALVE_CONFIG_OVERRIDE_H_

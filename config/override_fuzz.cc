// Whatever the text: overrides are refused with a place in the file, or written out and read again
// they are the same; identities and versions that are read have one spelling that stays.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "config/override.h"
#include "config/override_property.h"
#include "config/override_xml.h"

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckXml(absl::string_view text) {
  const auto overrides = salve::ParseOverrides(text, "f.xml");
  if (!overrides.ok()) return Require(absl::StartsWith(overrides.status().message(), "f.xml:"));
  const std::string written = salve::OverridesXml(*overrides);
  // The names of attributes make a small set that was written short larger.
  if (written.size() > salve::kOverridesBytesMax) return;
  const auto again = salve::ParseOverrides(written, "f.xml");
  Require(again.ok() && again->size() == overrides->size());
  Require(salve::OverridesXml(*again) == written);
}

void CheckTexts(absl::string_view text) {
  for (const salve::ItemType type : {salve::ItemType::kHealthSet, salve::ItemType::kProbe,
                                     salve::ItemType::kMonitor, salve::ItemType::kResponder}) {
    const auto identity = salve::ParseIdentity(type, text);
    if (identity.ok()) {
      const auto again = salve::ParseIdentity(type, identity->Text());
      Require(again.ok() && again->Text() == identity->Text());
      Require(again->item == identity->item && again->target == identity->target);
    }
    const auto property = salve::CanonicalProperty(type, text);
    if (property.ok()) {
      salve::CheckOverrideValue(type, *property, text).IgnoreError();
    }
  }
  const auto version = salve::CanonicalVersion(text);
  if (version.ok()) Require(*salve::CanonicalVersion(*version) == *version);
  const auto duration = salve::ParseOverrideDuration(text);
  if (duration.ok()) Require(*duration > absl::ZeroDuration());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  CheckXml(text);
  CheckTexts(text.substr(0, 2000));
  return 0;
}

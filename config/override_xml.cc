#include "config/override_xml.h"

#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "config/errors.h"
#include "config/override_property.h"
#include "config/xml_reader.h"
#include "config/xml_text.h"

namespace salve {
namespace {

constexpr char kRoot[] = "MonitoringOverrides";
constexpr char kElement[] = "Override";

class OverridesReader {
 public:
  OverridesReader(absl::string_view xml, absl::string_view file) : xml_(xml, file) {}

  absl::StatusOr<std::vector<Override>> Read() {
    const pugi::xml_node root = xml_.Root(kRoot, kOverridesBytesMax);
    for (const pugi::xml_node& node : xml_.ElementsOf(root)) ReadElement(node);
    RETURN_IF_ERROR(xml_.status());
    return std::move(overrides_);
  }

 private:
  void ReadElement(const pugi::xml_node& node) {
    const size_t faults_before = xml_.fault_count();
    if (absl::string_view(node.name()) != kElement) {
      return xml_.Fault(xml_.OffsetOf(node), absl::StrCat("unknown element <", node.name(), ">; <",
                                                          kRoot, "> holds <", kElement, ">"));
    }
    for (const pugi::xml_node& child : xml_.ElementsOf(node)) {
      xml_.Fault(xml_.OffsetOf(child),
                 absl::StrCat("unknown element <", child.name(), ">; <", kElement, "> holds none"));
    }
    node_ = node;
    attributes_ = xml_.TakeAttributes(
        node, {"ItemType", "Identity", "PropertyName", "PropertyValue", "ApplyVersion",
               "ExpirationTime", "CreatedBy", "CreatedTime", "Reason"});
    CheckLengths();
    Override read;
    Take("ItemType", true,
         [&](const std::string& text) { return Put(ParseItemType(text), read.item_type); });
    // What the others mean depends on the type.
    if (xml_.fault_count() == faults_before) ReadRest(read);
    if (xml_.fault_count() == faults_before) Add(std::move(read));
  }

  void ReadRest(Override& read) {
    Take("Identity", true, [&](const std::string& text) {
      return Put(ParseIdentity(read.item_type, text), read.identity);
    });
    bool property_is_known = false;
    Take("PropertyName", true, [&](const std::string& text) {
      const absl::Status status = Put(CanonicalProperty(read.item_type, text), read.property);
      property_is_known = status.ok();
      return status;
    });
    Take("PropertyValue", true, [&](const std::string& text) {
      read.value = text;
      return property_is_known ? CheckOverrideValue(read.item_type, read.property, text)
                               : absl::OkStatus();
    });
    Take("ApplyVersion", false, [&](const std::string& text) {
      read.version = text;
      return text.empty() ? absl::OkStatus() : CanonicalVersion(text).status();
    });
    Take("ExpirationTime", false,
         [&](const std::string& text) { return PutTime(text, read.expiration); });
    Take("CreatedTime", false,
         [&](const std::string& text) { return PutTime(text, read.created); });
    Take("CreatedBy", false, [&](const std::string& text) {
      read.created_by = text;
      return absl::OkStatus();
    });
    Take("Reason", false, [&](const std::string& text) {
      read.reason = text;
      return absl::OkStatus();
    });
    if (read.End() == absl::InfiniteFuture()) {
      xml_.Fault(xml_.OffsetOf(node_),
                 read.version.empty()
                     ? "it would never end: ExpirationTime is needed"
                     : "it would never end: ExpirationTime or CreatedTime is needed");
    }
  }

  void CheckLengths() {
    for (const auto& [name, attribute] : attributes_) {
      if (attribute.value.size() <= kOverrideTextBytesMax) continue;
      xml_.Fault(attribute.offset,
                 absl::StrCat(name, " is longer than ", kOverrideTextBytesMax, " bytes"));
    }
  }

  // Hands the attribute to `take`, and says what that finds wrong at its place.
  template <typename Function>
  void Take(const std::string& name, bool is_needed, const Function& take) {
    const auto found = attributes_.find(name);
    if (found == attributes_.end()) {
      if (is_needed) {
        xml_.Fault(xml_.OffsetOf(node_), absl::StrCat("<", kElement, "> has no ", name));
      }
      return;
    }
    const absl::Status status = take(found->second.value);
    if (!status.ok()) {
      xml_.Fault(found->second.offset, absl::StrCat(name, ": ", status.message()));
    }
  }

  template <typename T>
  static absl::Status Put(absl::StatusOr<T> from, T& to) {
    if (from.ok()) to = *std::move(from);
    return from.status();
  }

  static absl::Status PutTime(const std::string& text, absl::Time& to) {
    std::string error;
    absl::Time time;
    if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error) ||
        time == absl::InfiniteFuture() || time == absl::InfinitePast()) {
      return absl::InvalidArgumentError(
          absl::StrCat(Quoted(text), " is no time such as 2027-11-21T00:00:00Z"));
    }
    to = time;
    return absl::OkStatus();
  }

  void Add(Override read) {
    const size_t offset = xml_.OffsetOf(node_);
    const auto [there, is_new] = seen_.emplace(read.Key(), offset);
    if (!is_new) {
      return xml_.Fault(
          offset, absl::StrCat("a second override of ", read.property, " of ", read.identity.Text(),
                               "; the first is in line ", xml_.LineOf(there->second)));
    }
    overrides_.push_back(std::move(read));
  }

  XmlReader xml_;
  std::vector<Override> overrides_;
  absl::flat_hash_map<std::string, size_t> seen_;
  // Of the element that is being read.
  pugi::xml_node node_;
  XmlAttributes attributes_;
};

}  // namespace

absl::StatusOr<std::vector<Override>> ParseOverrides(absl::string_view xml,
                                                     absl::string_view file) {
  if (xml.empty()) return std::vector<Override>();
  return OverridesReader(xml, file).Read();
}

std::string OverridesXml(absl::Span<const Override> overrides) {
  std::map<std::string, const Override*> by_key;
  for (const Override& one : overrides) by_key[one.Key()] = &one;
  std::string xml = absl::StrCat("<", kRoot, ">\n");
  for (const auto& [key, its] : by_key) {
    const Override& one = *its;
    absl::StrAppend(&xml, "  <", kElement, " ItemType=\"", ItemTypeName(one.item_type),
                    "\" Identity=\"", XmlEscape(one.identity.Text()), "\"\n    PropertyName=\"",
                    XmlEscape(one.property), "\" PropertyValue=\"", XmlEscape(one.value), "\"");
    if (!one.version.empty()) {
      absl::StrAppend(&xml, " ApplyVersion=\"", XmlEscape(one.version), "\"");
    }
    absl::StrAppend(&xml, "\n   ");
    if (one.expiration != absl::InfiniteFuture()) {
      absl::StrAppend(&xml, " ExpirationTime=\"", ResultTime(one.expiration), "\"");
    }
    absl::StrAppend(&xml, " CreatedBy=\"", XmlEscape(one.created_by), "\"");
    if (one.created != absl::InfinitePast()) {
      absl::StrAppend(&xml, " CreatedTime=\"", ResultTime(one.created), "\"");
    }
    absl::StrAppend(&xml, " Reason=\"", XmlEscape(one.reason), "\" />\n");
  }
  absl::StrAppend(&xml, "</", kRoot, ">\n");
  return xml;
}

}  // namespace salve

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "config/xml_reader.h"
#include "throttling/policy.h"

namespace salve {
namespace {

class PolicyReader {
 public:
  PolicyReader(absl::string_view xml, absl::string_view file) : xml_(xml, file) {}

  absl::StatusOr<Policy> Read() {
    const pugi::xml_node root = xml_.Root("ThrottleEntries", kPolicyBytesMax);
    for (const pugi::xml_node& node : xml_.ElementsOf(root)) ReadEntry(node);
    RETURN_IF_ERROR(xml_.status());
    absl::StatusOr<Policy> policy = Policy::Create(std::move(entries_));
    if (policy.ok()) return policy;
    xml_.Fault(0, policy.status().message());
    return xml_.status();
  }

 private:
  void ReadEntry(const pugi::xml_node& node) {
    const size_t faults_before = xml_.fault_count();
    const size_t offset = xml_.OffsetOf(node);
    PolicyEntry entry;
    const absl::StatusOr<RecoveryAction> action = ParseAction(node.name());
    if (!action.ok()) {
      xml_.Fault(offset, action.status().message());
    } else if (ActionName(*action) != node.name()) {
      xml_.Fault(offset, absl::StrCat("the action is written <", ActionName(*action), ">, not <",
                                      node.name(), ">"));
    } else {
      entry.action = *action;
    }
    XmlAttributes attributes = xml_.TakeAttributes(
        node, {"ResourceName", "ResponderCategory", "ResponderTypeName", "ResponderName"});
    TakeName(attributes, "ResponderTypeName", entry.responder_type);
    TakeName(attributes, "ResponderName", entry.responder_name);
    if (!TakeName(attributes, "ResourceName", entry.resource)) {
      xml_.Fault(offset, absl::StrCat("<", node.name(), "> has no ResourceName"));
    }
    if (const auto category = attributes.find("ResponderCategory");
        category != attributes.end() &&
        !absl::EqualsIgnoreCase(category->second.value, "Default")) {
      xml_.Fault(category->second.offset,
                 absl::StrCat("ResponderCategory is '", category->second.value,
                              "'; the only one is 'Default'"));
    }
    ReadConfigOf(node, entry.limits);
    if (xml_.fault_count() == faults_before) AddEntry(std::move(entry), offset);
  }

  void AddEntry(PolicyEntry entry, size_t offset) {
    // Joined with a byte that no name can hold: the identities are compared field by field.
    const std::string key =
        absl::AsciiStrToLower(absl::StrCat(ActionName(entry.action), "\n", entry.responder_type,
                                           "\n", entry.responder_name, "\n", entry.resource));
    const auto [there, is_new] = seen_.emplace(key, offset);
    if (!is_new) {
      xml_.Fault(offset, absl::StrCat("a second entry of the identity ", entry.Identity(),
                                      "; the first is in line ", xml_.LineOf(there->second)));
      return;
    }
    entries_.push_back(std::move(entry));
  }

  void ReadConfigOf(const pugi::xml_node& entry, Limits& limits) {
    bool seen = false;
    for (const pugi::xml_node& node : xml_.ElementsOf(entry)) {
      if (absl::string_view(node.name()) != "ThrottleConfig") {
        xml_.Fault(xml_.OffsetOf(node), absl::StrCat("unknown element <", node.name(),
                                                     ">; an entry holds one <ThrottleConfig>"));
      } else if (seen) {
        xml_.Fault(xml_.OffsetOf(node), "a second <ThrottleConfig>; an entry holds one");
      } else {
        seen = true;
        ReadLimits(node, limits);
      }
    }
    if (!seen) {
      xml_.Fault(xml_.OffsetOf(entry),
                 absl::StrCat("<", entry.name(), "> has no <ThrottleConfig>"));
    }
  }

  void ReadLimits(const pugi::xml_node& node, Limits& limits) {
    std::vector<std::string> names = {"Enabled"};
    for (const LimitAttribute& attribute : kLimitAttributes) names.push_back(attribute.name);
    const XmlAttributes attributes = xml_.TakeAttributes(node, names);
    for (const std::string& name : names) {
      if (!attributes.contains(name)) {
        xml_.Fault(xml_.OffsetOf(node), absl::StrCat("<ThrottleConfig> has no ", name));
      }
    }
    if (const auto it = attributes.find("Enabled"); it != attributes.end()) {
      limits.enabled = absl::EqualsIgnoreCase(it->second.value, "True");
      if (!limits.enabled && !absl::EqualsIgnoreCase(it->second.value, "False")) {
        xml_.Fault(it->second.offset,
                   absl::StrCat("Enabled is '", it->second.value, "'; it must be True or False"));
      }
    }
    for (const LimitAttribute& attribute : kLimitAttributes) {
      if (const auto it = attributes.find(attribute.name); it != attributes.end()) {
        ReadNumber(attribute.name, it->second, limits.*attribute.field);
      }
    }
    for (const pugi::xml_node& child : xml_.ElementsOf(node)) {
      xml_.Fault(xml_.OffsetOf(child),
                 absl::StrCat("unknown element <", child.name(), ">; <ThrottleConfig> holds none"));
    }
  }

  void ReadNumber(absl::string_view name, const XmlAttribute& attribute, int& number) {
    absl::string_view digits = attribute.value;
    const bool negative = absl::ConsumePrefix(&digits, "-");
    const bool is_integer =
        !digits.empty() && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit);
    int value = 0;
    if (!is_integer) {
      xml_.Fault(attribute.offset,
                 absl::StrCat(name, " is '", attribute.value, "', which is not an integer"));
    } else if (!absl::SimpleAtoi(attribute.value, &value)) {
      xml_.Fault(attribute.offset, absl::StrCat(name, " is ", attribute.value,
                                                negative ? "; it must be at least -1"
                                                         : "; it must be at most 2147483647"));
    } else if (value < -1) {
      xml_.Fault(attribute.offset, absl::StrCat(name, " is ", value, "; it must be at least -1"));
    } else {
      number = value;
    }
  }

  // Takes a name that must not be empty. Returns whether the attribute is there.
  bool TakeName(const XmlAttributes& attributes, absl::string_view name, std::string& value) {
    const auto it = attributes.find(name);
    if (it == attributes.end()) return false;
    value = it->second.value;
    if (value.empty()) {
      xml_.Fault(it->second.offset, absl::StrCat(name, " is empty; '*' matches anything"));
    }
    for (const char c : value) {
      // A line break could make two identities look alike; nothing is named so.
      if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
        xml_.Fault(it->second.offset, absl::StrCat(name, " holds a control character"));
        break;
      }
    }
    return true;
  }

  XmlReader xml_;
  std::vector<PolicyEntry> entries_;
  absl::flat_hash_map<std::string, size_t> seen_;
};

}  // namespace

absl::StatusOr<Policy> ParsePolicy(absl::string_view xml, absl::string_view file) {
  return PolicyReader(xml, file).Read();
}

absl::StatusOr<Policy> ReadPolicyFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string xml, ReadFile(path, kPolicyBytesMax + 1));
  return ParsePolicy(xml, path);
}

}  // namespace salve

#include <algorithm>
#include <cstring>
#include <pugixml.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "config/names.h"
#include "throttling/policy.h"
#include "throttling/xml_text.h"

namespace salve {
namespace {

constexpr size_t kFaultsMax = 20;

// One attribute as it stands in the text.
struct Attribute {
  std::string value;
  size_t offset = 0;
};
using Attributes = absl::flat_hash_map<std::string, Attribute>;

// pugixml reads the text in place, so that every name it hands out points into a buffer of the
// text's own length: that is where line and column come from. It lets pass much that is no
// well-formed XML; what matters here is checked beside it.
class PolicyReader {
 public:
  PolicyReader(absl::string_view xml, absl::string_view file)
      : xml_(xml), buffer_(xml), file_(file) {}

  absl::StatusOr<Policy> Read() {
    CheckBytes();
    if (faults_.empty()) ReadDocument();
    if (faults_.empty()) {
      absl::StatusOr<Policy> policy = Policy::Create(std::move(entries_));
      if (policy.ok()) return policy;
      Fault(0, policy.status().message());
    }
    return absl::InvalidArgumentError(absl::StrJoin(faults_, "\n"));
  }

 private:
  void Fault(size_t offset, absl::string_view what) {
    if (faults_.size() >= kFaultsMax) return;
    const absl::string_view before = xml_.substr(0, std::min(offset, xml_.size()));
    const size_t line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t start = before.rfind('\n');
    const size_t column =
        start == absl::string_view::npos ? before.size() + 1 : before.size() - start;
    faults_.push_back(absl::StrCat(file_, ":", line, ":", column, ": ", what));
  }

  void CheckBytes() {
    if (xml_.size() > kPolicyBytesMax) {
      Fault(0, absl::StrCat("the policy is larger than ", kPolicyBytesMax, " bytes"));
      return;
    }
    for (size_t i = 0; i < xml_.size();) {
      const unsigned char c = static_cast<unsigned char>(xml_[i]);
      if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
        Fault(i, absl::StrCat("the control character ", int{c}, " is not allowed in XML"));
        return;
      }
      const size_t length = Utf8Length(xml_.substr(i));
      if (length == 0) {
        Fault(i, "the text is not UTF-8");
        return;
      }
      i += length;
    }
  }

  size_t OffsetOf(const char* in_buffer) const {
    return static_cast<size_t>(in_buffer - buffer_.data());
  }
  // Of the '<' of an element, of the first byte of a text.
  size_t OffsetOf(const pugi::xml_node& node) const {
    const ptrdiff_t offset = node.offset_debug();
    if (offset < 0) return 0;
    const bool has_name = node.type() == pugi::node_element;
    return static_cast<size_t>(offset) - (has_name && offset > 0 ? 1 : 0);
  }

  void ReadDocument() {
    pugi::xml_document document;
    const unsigned flags = pugi::parse_default | pugi::parse_doctype | pugi::parse_pi |
                           pugi::parse_declaration | pugi::parse_comments | pugi::parse_fragment;
    const pugi::xml_parse_result result =
        document.load_buffer_inplace(buffer_.data(), buffer_.size(), flags, pugi::encoding_utf8);
    if (!result) {
      Fault(static_cast<size_t>(std::max<ptrdiff_t>(result.offset, 0)), result.description());
      return;
    }
    bool root_seen = false;
    for (const pugi::xml_node& node : document.children()) {
      if (node.type() == pugi::node_comment) continue;
      // The declaration is the very first thing or it is none.
      if (node.type() == pugi::node_declaration && !node.previous_sibling()) {
        CheckDeclaration(node);
        continue;
      }
      if (node.type() != pugi::node_element) {
        FaultOfStray(node);
      } else if (root_seen) {
        Fault(OffsetOf(node), absl::StrCat("a second root element <", node.name(), ">"));
      } else {
        root_seen = true;
        ReadRoot(node);
      }
    }
    if (!root_seen && faults_.empty()) Fault(0, "there is no <ThrottleEntries>");
  }

  void CheckDeclaration(const pugi::xml_node& node) {
    const absl::string_view encoding = node.attribute("encoding").value();
    if (!encoding.empty() && !absl::EqualsIgnoreCase(encoding, "utf-8") &&
        !absl::EqualsIgnoreCase(encoding, "us-ascii")) {
      Fault(0, absl::StrCat("the encoding '", encoding, "' is not UTF-8"));
    }
  }

  void FaultOfStray(const pugi::xml_node& node) {
    switch (node.type()) {
      case pugi::node_doctype:
        Fault(OffsetOf(node), "a DOCTYPE is not allowed");
        break;
      case pugi::node_pcdata:
      case pugi::node_cdata:
        Fault(OffsetOf(node), "stray text");
        break;
      case pugi::node_declaration:
        Fault(OffsetOf(node), "a stray XML declaration");
        break;
      default:
        Fault(OffsetOf(node), "a processing instruction is not allowed");
        break;
    }
  }

  void ReadRoot(const pugi::xml_node& root) {
    if (absl::string_view(root.name()) != "ThrottleEntries") {
      Fault(OffsetOf(root),
            absl::StrCat("the root element is <", root.name(), ">; it must be <ThrottleEntries>"));
      return;
    }
    TakeAttributes(root, {});
    for (const pugi::xml_node& node : root.children()) {
      if (node.type() == pugi::node_comment) continue;
      if (node.type() == pugi::node_element) {
        ReadEntry(node);
      } else {
        FaultOfStray(node);
      }
    }
  }

  void ReadEntry(const pugi::xml_node& node) {
    const size_t faults_before = faults_.size();
    const size_t offset = OffsetOf(node);
    PolicyEntry entry;
    const absl::StatusOr<RecoveryAction> action = ParseAction(node.name());
    if (!action.ok()) {
      Fault(offset, action.status().message());
    } else if (ActionName(*action) != node.name()) {
      Fault(offset, absl::StrCat("the action is written <", ActionName(*action), ">, not <",
                                 node.name(), ">"));
    } else {
      entry.action = *action;
    }
    Attributes attributes = TakeAttributes(
        node, {"ResourceName", "ResponderCategory", "ResponderTypeName", "ResponderName"});
    TakeName(attributes, "ResponderTypeName", entry.responder_type);
    TakeName(attributes, "ResponderName", entry.responder_name);
    if (!TakeName(attributes, "ResourceName", entry.resource)) {
      Fault(offset, absl::StrCat("<", node.name(), "> has no ResourceName"));
    }
    if (const auto category = attributes.find("ResponderCategory");
        category != attributes.end() &&
        !absl::EqualsIgnoreCase(category->second.value, "Default")) {
      Fault(category->second.offset, absl::StrCat("ResponderCategory is '", category->second.value,
                                                  "'; the only one is 'Default'"));
    }
    ReadConfigOf(node, entry.limits);
    if (faults_.size() == faults_before) AddEntry(std::move(entry), offset);
  }

  void AddEntry(PolicyEntry entry, size_t offset) {
    // Joined with a byte that no name can hold: the identities are compared field by field.
    const std::string key =
        absl::AsciiStrToLower(absl::StrCat(ActionName(entry.action), "\n", entry.responder_type,
                                           "\n", entry.responder_name, "\n", entry.resource));
    const auto [there, is_new] = seen_.emplace(key, offset);
    if (!is_new) {
      const absl::string_view before = xml_.substr(0, there->second);
      Fault(offset, absl::StrCat("a second entry of the identity ", entry.Identity(),
                                 "; the first is in line ",
                                 1 + std::count(before.begin(), before.end(), '\n')));
      return;
    }
    entries_.push_back(std::move(entry));
  }

  void ReadConfigOf(const pugi::xml_node& entry, Limits& limits) {
    bool seen = false;
    for (const pugi::xml_node& node : entry.children()) {
      if (node.type() == pugi::node_comment) continue;
      if (node.type() != pugi::node_element) {
        FaultOfStray(node);
      } else if (absl::string_view(node.name()) != "ThrottleConfig") {
        Fault(OffsetOf(node), absl::StrCat("unknown element <", node.name(),
                                           ">; an entry holds one <ThrottleConfig>"));
      } else if (seen) {
        Fault(OffsetOf(node), "a second <ThrottleConfig>; an entry holds one");
      } else {
        seen = true;
        ReadLimits(node, limits);
      }
    }
    if (!seen) {
      Fault(OffsetOf(entry), absl::StrCat("<", entry.name(), "> has no <ThrottleConfig>"));
    }
  }

  void ReadLimits(const pugi::xml_node& node, Limits& limits) {
    std::vector<std::string> names = {"Enabled"};
    for (const LimitAttribute& attribute : kLimitAttributes) names.push_back(attribute.name);
    const Attributes attributes = TakeAttributes(node, names);
    for (const std::string& name : names) {
      if (!attributes.contains(name)) {
        Fault(OffsetOf(node), absl::StrCat("<ThrottleConfig> has no ", name));
      }
    }
    if (const auto it = attributes.find("Enabled"); it != attributes.end()) {
      limits.enabled = absl::EqualsIgnoreCase(it->second.value, "True");
      if (!limits.enabled && !absl::EqualsIgnoreCase(it->second.value, "False")) {
        Fault(it->second.offset,
              absl::StrCat("Enabled is '", it->second.value, "'; it must be True or False"));
      }
    }
    for (const LimitAttribute& attribute : kLimitAttributes) {
      if (const auto it = attributes.find(attribute.name); it != attributes.end()) {
        ReadNumber(attribute.name, it->second, limits.*attribute.field);
      }
    }
    for (const pugi::xml_node& child : node.children()) {
      if (child.type() == pugi::node_element) {
        Fault(OffsetOf(child),
              absl::StrCat("unknown element <", child.name(), ">; <ThrottleConfig> holds none"));
      } else if (child.type() != pugi::node_comment) {
        FaultOfStray(child);
      }
    }
  }

  void ReadNumber(absl::string_view name, const Attribute& attribute, int& number) {
    absl::string_view digits = attribute.value;
    const bool negative = absl::ConsumePrefix(&digits, "-");
    const bool is_integer =
        !digits.empty() && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit);
    int value = 0;
    if (!is_integer) {
      Fault(attribute.offset,
            absl::StrCat(name, " is '", attribute.value, "', which is not an integer"));
    } else if (!absl::SimpleAtoi(attribute.value, &value)) {
      Fault(attribute.offset, absl::StrCat(name, " is ", attribute.value,
                                           negative ? "; it must be at least -1"
                                                    : "; it must be at most 2147483647"));
    } else if (value < -1) {
      Fault(attribute.offset, absl::StrCat(name, " is ", value, "; it must be at least -1"));
    } else {
      number = value;
    }
  }

  // All attributes of an element; a fault for each that is unknown or there twice.
  Attributes TakeAttributes(const pugi::xml_node& node, const std::vector<std::string>& known) {
    Attributes attributes;
    for (const pugi::xml_attribute& attribute : node.attributes()) {
      const std::string name = attribute.name();
      const size_t offset = OffsetOf(attribute.name());
      CheckRawValue(offset + name.size());
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        Fault(offset, absl::StrCat("unknown attribute '", name, "' of <", node.name(), ">",
                                   DidYouMean(name, known)));
      } else if (!attributes.emplace(name, Attribute{attribute.value(), offset}).second) {
        Fault(offset, absl::StrCat("a second attribute '", name, "' of <", node.name(), ">"));
      }
    }
    return attributes;
  }

  // Takes a name that must not be empty. Returns whether the attribute is there.
  bool TakeName(const Attributes& attributes, absl::string_view name, std::string& value) {
    const auto it = attributes.find(name);
    if (it == attributes.end()) return false;
    value = it->second.value;
    if (value.empty()) {
      Fault(it->second.offset, absl::StrCat(name, " is empty; '*' matches anything"));
    }
    for (const char c : value) {
      // A line break could make two identities look alike; nothing is named so.
      if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
        Fault(it->second.offset, absl::StrCat(name, " holds a control character"));
        break;
      }
    }
    return true;
  }

  // pugixml leaves an entity that it does not know as it stands, ends a value at a reference to
  // character 0 and accepts '<' inside: all of it is read wrongly by the next tool.
  void CheckRawValue(size_t after_name) {
    const size_t open = xml_.find_first_of("\"'", after_name);
    if (open == absl::string_view::npos) return;
    const size_t close = xml_.find(xml_[open], open + 1);
    if (close == absl::string_view::npos) return;
    for (size_t i = open + 1; i < close; ++i) {
      if (xml_[i] == '<') {
        Fault(i, "'<' is not allowed in a value; write &lt;");
      } else if (xml_[i] == '&' && !IsReference(xml_.substr(i, close - i))) {
        Fault(i, "'&' does not begin a known reference; write &amp;");
      }
    }
  }

  static bool IsReference(absl::string_view text) {
    for (const absl::string_view known : {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"}) {
      if (absl::StartsWith(text, known)) return true;
    }
    const size_t end = text.find(';');
    if (end == absl::string_view::npos || end > 10 || text[1] != '#') return false;
    absl::string_view digits = text.substr(2, end - 2);
    uint32_t code = 0;
    if (absl::ConsumePrefix(&digits, "x")) {
      if (digits.empty() || !std::all_of(digits.begin(), digits.end(), absl::ascii_isxdigit) ||
          !absl::SimpleHexAtoi(digits, &code)) {
        return false;
      }
    } else if (digits.empty() || !std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
               !absl::SimpleAtoi(digits, &code)) {
      return false;
    }
    const bool is_space = code == '\t' || code == '\n' || code == '\r';
    const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
    return is_space || (code >= 0x20 && code <= 0x10ffff && !is_surrogate);
  }

  const absl::string_view xml_;
  std::string buffer_;
  const absl::string_view file_;
  std::vector<std::string> faults_;
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

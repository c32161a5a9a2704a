#include "config/xml_reader.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "config/names.h"
#include "config/xml_text.h"

namespace salve {
namespace {

constexpr size_t kFaultsMax = 20;

// Whether `text` begins with a reference to a character that XML allows.
bool IsReference(absl::string_view text) {
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

}  // namespace

void XmlReader::Fault(size_t offset, absl::string_view what) {
  if (faults_.size() >= kFaultsMax) return;
  const absl::string_view before = xml_.substr(0, std::min(offset, xml_.size()));
  const size_t start = before.rfind('\n');
  const size_t column =
      start == absl::string_view::npos ? before.size() + 1 : before.size() - start;
  faults_.push_back(absl::StrCat(file_, ":", LineOf(offset), ":", column, ": ", what));
}

absl::Status XmlReader::status() const {
  if (faults_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(faults_, "\n"));
}

size_t XmlReader::LineOf(size_t offset) const {
  const absl::string_view before = xml_.substr(0, std::min(offset, xml_.size()));
  return 1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
}

size_t XmlReader::OffsetOf(const pugi::xml_node& node) const {
  const ptrdiff_t offset = node.offset_debug();
  if (offset < 0) return 0;
  const bool has_name = node.type() == pugi::node_element;
  return static_cast<size_t>(offset) - (has_name && offset > 0 ? 1 : 0);
}

bool XmlReader::CheckBytes(size_t bytes_max) {
  if (xml_.size() > bytes_max) {
    Fault(0, absl::StrCat("the text is larger than ", bytes_max, " bytes"));
    return false;
  }
  for (size_t i = 0; i < xml_.size();) {
    const unsigned char c = static_cast<unsigned char>(xml_[i]);
    if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
      Fault(i, absl::StrCat("the control character ", int{c}, " is not allowed in XML"));
      return false;
    }
    const size_t length = Utf8Length(xml_.substr(i));
    if (length == 0) {
      Fault(i, "the text is not UTF-8");
      return false;
    }
    i += length;
  }
  return true;
}

pugi::xml_node XmlReader::Root(absl::string_view root, size_t bytes_max) {
  if (!CheckBytes(bytes_max)) return {};
  const unsigned flags = pugi::parse_default | pugi::parse_doctype | pugi::parse_pi |
                         pugi::parse_declaration | pugi::parse_comments | pugi::parse_fragment;
  const pugi::xml_parse_result result =
      document_.load_buffer_inplace(buffer_.data(), buffer_.size(), flags, pugi::encoding_utf8);
  if (!result) {
    Fault(static_cast<size_t>(std::max<ptrdiff_t>(result.offset, 0)), result.description());
    return {};
  }
  pugi::xml_node found;
  for (const pugi::xml_node& node : document_.children()) {
    if (node.type() == pugi::node_comment) continue;
    // The declaration is the very first thing or it is none.
    if (node.type() == pugi::node_declaration && !node.previous_sibling()) {
      CheckDeclaration(node);
    } else if (node.type() != pugi::node_element) {
      FaultOfStray(node);
    } else if (found) {
      Fault(OffsetOf(node), absl::StrCat("a second root element <", node.name(), ">"));
    } else {
      found = node;
      if (node.name() != root) {
        Fault(OffsetOf(node),
              absl::StrCat("the root element is <", node.name(), ">; it must be <", root, ">"));
      } else {
        TakeAttributes(node, {});
      }
    }
  }
  if (!found && faults_.empty()) Fault(0, absl::StrCat("there is no <", root, ">"));
  // What is in a root of another name would only be misread; other faults are told together.
  return found && found.name() == root ? found : pugi::xml_node();
}

void XmlReader::CheckDeclaration(const pugi::xml_node& node) {
  const absl::string_view encoding = node.attribute("encoding").value();
  if (!encoding.empty() && !absl::EqualsIgnoreCase(encoding, "utf-8") &&
      !absl::EqualsIgnoreCase(encoding, "us-ascii")) {
    Fault(0, absl::StrCat("the encoding '", encoding, "' is not UTF-8"));
  }
}

void XmlReader::FaultOfStray(const pugi::xml_node& node) {
  switch (node.type()) {
    case pugi::node_doctype:
      return Fault(OffsetOf(node), "a DOCTYPE is not allowed");
    case pugi::node_pcdata:
    case pugi::node_cdata:
      return Fault(OffsetOf(node), "stray text");
    case pugi::node_declaration:
      return Fault(OffsetOf(node), "a stray XML declaration");
    default:
      return Fault(OffsetOf(node), "a processing instruction is not allowed");
  }
}

std::vector<pugi::xml_node> XmlReader::ElementsOf(const pugi::xml_node& node) {
  std::vector<pugi::xml_node> elements;
  for (const pugi::xml_node& child : node.children()) {
    if (child.type() == pugi::node_element) {
      elements.push_back(child);
    } else if (child.type() != pugi::node_comment) {
      FaultOfStray(child);
    }
  }
  return elements;
}

XmlAttributes XmlReader::TakeAttributes(const pugi::xml_node& node,
                                        const std::vector<std::string>& known) {
  XmlAttributes attributes;
  for (const pugi::xml_attribute& attribute : node.attributes()) {
    const std::string name = attribute.name();
    const size_t offset = static_cast<size_t>(attribute.name() - buffer_.data());
    CheckRawValue(offset + name.size());
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      Fault(offset, absl::StrCat("unknown attribute '", name, "' of <", node.name(), ">",
                                 DidYouMean(name, known)));
    } else if (!attributes.emplace(name, XmlAttribute{attribute.value(), offset}).second) {
      Fault(offset, absl::StrCat("a second attribute '", name, "' of <", node.name(), ">"));
    }
  }
  return attributes;
}

// pugixml leaves an entity that it does not know as it stands, ends a value at a reference to
// character 0 and accepts '<' inside: all of it is read wrongly by the next tool.
void XmlReader::CheckRawValue(size_t after_name) {
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

}  // namespace salve

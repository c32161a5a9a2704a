// XmlReader: an XML file that people write, read so strictly that every other tool reads the same
// out of it, with file, line and column of whatever is wrong. What the elements mean is for who
// reads them: the throttle policy, the overrides. Used once, by one thread.
#ifndef SALVE_CONFIG_XML_READER_H_
#define SALVE_CONFIG_XML_READER_H_

#include <cstddef>
#include <pugixml.hpp>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace salve {

// One attribute as it stands in the text.
struct XmlAttribute {
  std::string value;
  size_t offset = 0;  // Of its name.
};
using XmlAttributes = absl::flat_hash_map<std::string, XmlAttribute>;

class XmlReader {
 public:
  // `file` is only named in messages. Both texts must outlive the reader.
  XmlReader(absl::string_view xml, absl::string_view file) : xml_(xml), buffer_(xml), file_(file) {}
  XmlReader(const XmlReader&) = delete;
  XmlReader& operator=(const XmlReader&) = delete;

  // The root element, whose name must be `root` and which has no attributes. Faults: over
  // `bytes_max`, no UTF-8, not well-formed, a DOCTYPE, a processing instruction, stray text, a
  // second root. The element is null after a fault. Once.
  pugi::xml_node Root(absl::string_view root, size_t bytes_max);

  // All attributes of an element; a fault for each that is unknown, there twice or whose value is
  // not well-formed.
  XmlAttributes TakeAttributes(const pugi::xml_node& node, const std::vector<std::string>& known);

  // The elements in `node`; a fault for whatever else is in it but comments.
  std::vector<pugi::xml_node> ElementsOf(const pugi::xml_node& node);

  // Notes what is wrong at a byte of the text. Keeps 20.
  void Fault(size_t offset, absl::string_view what);
  size_t fault_count() const { return faults_.size(); }
  // OK, or kInvalidArgument with one line for each fault, `file:line:column: what is wrong`.
  absl::Status status() const;

  // Of the '<' of an element, of the first byte of a text.
  size_t OffsetOf(const pugi::xml_node& node) const;
  size_t LineOf(size_t offset) const;

 private:
  bool CheckBytes(size_t bytes_max);
  void CheckDeclaration(const pugi::xml_node& node);
  void CheckRawValue(size_t after_name);
  void FaultOfStray(const pugi::xml_node& node);

  const absl::string_view xml_;
  // pugixml reads the text in place, so that every name it hands out points into a buffer of the
  // text's own length: that is where line and column come from.
  std::string buffer_;
  const absl::string_view file_;
  pugi::xml_document document_;
  std::vector<std::string> faults_;
};

}  // namespace salve

#endif  // SALVE_CONFIG_XML_READER_H_

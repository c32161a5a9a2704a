// One file of Protobuf text: its message, and where in the file each of its fields stands.
#ifndef SALVE_CONFIG_TEXT_FILE_H_
#define SALVE_CONFIG_TEXT_FILE_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "config/errors.h"
#include "config/line_index.h"
#include "config/schema.h"
#include "google/protobuf/message.h"
#include "google/protobuf/text_format.h"

namespace salve {

class Place;

class TextFile {
 public:
  // Parses `text` as the schema's message `type`. Adds what is wrong to `errors`, each line as
  // `name:line:column: message` with the nearest names, and returns null then. Refused are, besides
  // what is no text format: anything unknown, a field that is given twice, a NUL or a string of
  // more than 64 KiB (a NUL may stand in what is sent: `send`, `body`), what is no UTF-8, a number
  // that is not finite. `text` and `schema` must outlive the file.
  static std::unique_ptr<TextFile> Parse(std::string name, absl::string_view text,
                                         absl::string_view type, const Schema& schema,
                                         ErrorList& errors);

  // Has presence: a field is set exactly if it stands in the file.
  const google::protobuf::Message& message() const { return *message_; }
  const std::string& name() const { return name_; }
  Place root() const;

 private:
  friend class Place;
  TextFile(std::string name, absl::string_view text)
      : name_(std::move(name)), text_(text), lines_(text) {}

  // "name:line:column" of a byte of the text, for people.
  std::string Describe(size_t offset) const;

  const std::string name_;
  const absl::string_view text_;
  const LineIndex lines_;
  std::unique_ptr<google::protobuf::Message> message_;
  google::protobuf::TextFormat::ParseInfoTree tree_;
};

// Where a message stands in its file. A cheap value; the file must outlive it.
class Place {
 public:
  // True if the field of this name stands in the message.
  bool Has(absl::string_view field) const;

  // The message in field `field`; of a repeated one, the `index`th.
  // Requires: it is a message and stands in the file.
  Place In(absl::string_view field, int index = 0) const;

  // "file:line:column" of the field at `path`, as `tcp.port` or `http.expected_status[1]`; or of
  // the deepest part of the path that stands in the file; or of the message itself.
  std::string Describe(absl::string_view path = "") const;

  // "file:line" of it.
  std::string DescribeLine(absl::string_view path) const;

 private:
  friend class TextFile;
  using Tree = google::protobuf::TextFormat::ParseInfoTree;

  size_t Offset() const;                        // Of the message itself.
  size_t Offset(absl::string_view path) const;  // Of the field at `path`.

  const TextFile* file_ = nullptr;
  const google::protobuf::Descriptor* type_ = nullptr;
  const Tree* tree_ = nullptr;
  // How the message is reached: its own offset is looked up only for an error.
  const Tree* parent_ = nullptr;
  const google::protobuf::FieldDescriptor* field_ = nullptr;
  int index_ = 0;
};

}  // namespace salve

#endif  // SALVE_CONFIG_TEXT_FILE_H_

// The language of config.proto, or another, with presence: which fields were written, even as 0 or
// "".
#ifndef SALVE_CONFIG_SCHEMA_H_
#define SALVE_CONFIG_SCHEMA_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/dynamic_message.h"

namespace salve {

// In proto3 a number given as 0 and one not given are the same, a field given twice is seen only
// if the first value was not 0, and a number stands for any enum value. So files are
// parsed into a proto2 twin of config.proto, made at run time: same names, same wire format.
// Immutable; must outlive the messages it made. Not cheap: one for a load.
class Schema {
 public:
  Schema();  // Of config.proto.
  // Of another language, whose file imports none.
  explicit Schema(const google::protobuf::FileDescriptor& language);

  // An empty message of the language's type `name`, e.g. "Agent". Requires: there is one.
  std::unique_ptr<google::protobuf::Message> NewMessage(absl::string_view name) const;

  const google::protobuf::FileDescriptor& file() const { return *file_; }

 private:
  google::protobuf::DescriptorPool pool_;
  const google::protobuf::FileDescriptor* file_;
  mutable google::protobuf::DynamicMessageFactory factory_;  // Locks itself.
};

}  // namespace salve

#endif  // SALVE_CONFIG_SCHEMA_H_

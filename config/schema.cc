#include "config/schema.h"

#include "base/check.h"
#include "config/config.pb.h"
#include "google/protobuf/descriptor.pb.h"

namespace salve {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptorProto;

// `optional` fields of proto3 stand in a oneof of their own, which proto2 does not need. Those
// come after all others, so that cutting them off leaves the indices of the rest.
void GivePresence(DescriptorProto* message) {
  int real_oneofs = message->oneof_decl_size();
  for (FieldDescriptorProto& field : *message->mutable_field()) {
    if (!field.proto3_optional()) continue;
    field.clear_proto3_optional();
    field.clear_oneof_index();
    --real_oneofs;
  }
  while (message->oneof_decl_size() > real_oneofs) message->mutable_oneof_decl()->RemoveLast();
  for (DescriptorProto& nested : *message->mutable_nested_type()) GivePresence(&nested);
}

}  // namespace

Schema::Schema() : Schema(*config::Agent::descriptor()->file()) {}

Schema::Schema(const google::protobuf::FileDescriptor& language) : factory_(&pool_) {
  FileDescriptorProto file;
  language.CopyTo(&file);
  file.set_syntax("proto2");
  for (DescriptorProto& message : *file.mutable_message_type()) GivePresence(&message);
  file_ = pool_.BuildFile(file);
  CHECK(file_ != nullptr);
}

std::unique_ptr<google::protobuf::Message> Schema::NewMessage(absl::string_view name) const {
  const google::protobuf::Descriptor* type = file_->FindMessageTypeByName(std::string(name));
  CHECK(type != nullptr);
  return std::unique_ptr<google::protobuf::Message>(factory_.GetPrototype(type)->New());
}

}  // namespace salve

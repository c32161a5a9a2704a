#include "config/expand.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace salve {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kTargetLengthMax = 100;
constexpr absl::string_view kPlaceholder = "{target}";

// Replaces each string of `message`, at any depth, by what `edit` makes of it.
template <typename Edit>
void EditStrings(Message& message, const Edit& edit) {
  const Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int size = field->is_repeated() ? reflection->FieldSize(message, field) : 0;
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      if (!field->is_repeated()) {
        reflection->SetString(&message, field, edit(field, reflection->GetString(message, field)));
      }
      for (int i = 0; i < size; ++i) {
        reflection->SetRepeatedString(
            &message, field, i, edit(field, reflection->GetRepeatedString(message, field, i)));
      }
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field->is_repeated()) EditStrings(*reflection->MutableMessage(&message, field), edit);
      for (int i = 0; i < size; ++i) {
        EditStrings(*reflection->MutableRepeatedMessage(&message, field, i), edit);
      }
    }
  }
}

}  // namespace

bool IsValidTarget(absl::string_view target) {
  if (target.empty() || target.size() > kTargetLengthMax) return false;
  if (absl::StartsWith(target, "/") || absl::EndsWith(target, "/")) return false;
  return std::all_of(target.begin(), target.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("._-@:/", c);
  });
}

void ExpandItem(absl::string_view target, Message& item) {
  const auto* type = item.GetDescriptor();
  EditStrings(item, [&](const FieldDescriptor* field, const std::string& value) {
    // Only the item's own: a header has a name, too.
    const bool is_name =
        field->containing_type() == type &&
        (field->name() == "name" || field->name() == "probe" || field->name() == "monitor");
    if (is_name) return absl::StrCat(value, "/", target);
    return absl::StrReplaceAll(value, {{kPlaceholder, target}});
  });
}

}  // namespace salve

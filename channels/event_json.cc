#include "channels/event_json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "channels/event_filter.h"
#include "channels/event_text.h"

namespace salve {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void AppendString(absl::string_view text, std::string* json) {
  std::string clean;
  if (!IsUtf8(text)) {
    clean = CleanText(text, text.size() + 3);
    text = clean;
  }
  json->push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        json->append("\\\"");
        break;
      case '\\':
        json->append("\\\\");
        break;
      case '\n':
        json->append("\\n");
        break;
      case '\r':
        json->append("\\r");
        break;
      case '\t':
        json->append("\\t");
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          absl::StrAppend(json, "\\u00", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
        } else {
          json->push_back(c);
        }
    }
  }
  json->push_back('"');
}

void AppendNumber(double number, std::string* json) {
  if (std::isnan(number)) return AppendString("NaN", json);
  if (std::isinf(number)) return AppendString(number > 0 ? "Infinity" : "-Infinity", json);
  char text[40];
  const std::to_chars_result end = std::to_chars(text, text + sizeof(text), number);
  json->append(text, end.ptr - text);
}

void AppendMessage(const Message& message, std::string* json);

void AppendMessageOrTime(const Message& message, std::string* json) {
  const auto* time = dynamic_cast<const google::protobuf::Timestamp*>(&message);
  if (time == nullptr) return AppendMessage(message, json);
  AppendString(absl::FormatTime("%E4Y-%m-%dT%H:%M:%E9SZ", ToTime(*time), absl::UTCTimeZone()),
               json);
}

// `index` is that of the element of a repeated field, or -1.
void AppendValue(const Message& message, const FieldDescriptor* field, int index,
                 std::string* json) {
  const Reflection* from = message.GetReflection();
  const bool repeated = index >= 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      return AppendString(repeated
                              ? from->GetRepeatedStringReference(message, field, index, &scratch)
                              : from->GetStringReference(message, field, &scratch),
                          json);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return AppendMessageOrTime(repeated ? from->GetRepeatedMessage(message, field, index)
                                          : from->GetMessage(message, field),
                                 json);
    case FieldDescriptor::CPPTYPE_ENUM:
      return AppendString(
          (repeated ? from->GetRepeatedEnum(message, field, index) : from->GetEnum(message, field))
              ->name(),
          json);
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrAppend(json, "\"",
                             repeated ? from->GetRepeatedUInt64(message, field, index)
                                      : from->GetUInt64(message, field),
                             "\"");
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrAppend(
          json, "\"",
          repeated ? from->GetRepeatedInt64(message, field, index) : from->GetInt64(message, field),
          "\"");
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrAppend(json, repeated ? from->GetRepeatedInt32(message, field, index)
                                            : from->GetInt32(message, field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrAppend(json, repeated ? from->GetRepeatedUInt32(message, field, index)
                                            : from->GetUInt32(message, field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return AppendNumber(repeated ? from->GetRepeatedDouble(message, field, index)
                                   : from->GetDouble(message, field),
                          json);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return AppendNumber(
          repeated ? from->GetRepeatedFloat(message, field, index) : from->GetFloat(message, field),
          json);
    case FieldDescriptor::CPPTYPE_BOOL:
      json->append(
          (repeated ? from->GetRepeatedBool(message, field, index) : from->GetBool(message, field))
              ? "true"
              : "false");
  }
}

// `"Name":value`, after a comma where one is needed; nothing for a message that is not set.
void AppendField(const Message& message, const FieldDescriptor* field, std::string* json) {
  const Reflection* from = message.GetReflection();
  const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if (!field->is_repeated() && is_message && !from->HasField(message, field)) return;
  if (json->back() != '{') json->push_back(',');
  AppendString(field->json_name(), json);
  json->push_back(':');
  if (!field->is_repeated()) return AppendValue(message, field, -1, json);
  json->push_back('[');
  for (int i = 0; i < from->FieldSize(message, field); ++i) {
    if (i > 0) json->push_back(',');
    AppendValue(message, field, i, json);
  }
  json->push_back(']');
}

void AppendMessage(const Message& message, std::string* json) {
  json->push_back('{');
  const Descriptor* fields = message.GetDescriptor();
  for (int i = 0; i < fields->field_count(); ++i) AppendField(message, fields->field(i), json);
  json->push_back('}');
}

bool IsEmptyString(const Message& message, const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_STRING &&
         message.GetReflection()->GetString(message, field).empty();
}

// The field of `message` that users know by this name; null: none.
const FieldDescriptor* FieldNamed(const Message* message, const std::string& json_name) {
  if (message == nullptr) return nullptr;
  const Descriptor* fields = message->GetDescriptor();
  for (int i = 0; i < fields->field_count(); ++i) {
    if (fields->field(i)->json_name() == json_name) return fields->field(i);
  }
  return nullptr;
}

const Message* ContentOf(const v1::Event& event) {
  const auto* content = v1::Event::descriptor()->FindOneofByName("content");
  const Reflection* from = event.GetReflection();
  const FieldDescriptor* field = from->GetOneofFieldDescriptor(event, content);
  return field == nullptr ? nullptr : &from->GetMessage(event, field);
}

}  // namespace

std::string EventToJson(const v1::Event& event) {
  std::string json = "{";
  const Message* content = ContentOf(event);
  const Descriptor* envelope = v1::Event::descriptor();
  for (int i = 0; i < envelope->field_count(); ++i) {
    const FieldDescriptor* field = envelope->field(i);
    if (field->containing_oneof() != nullptr) continue;
    const FieldDescriptor* twin = FieldNamed(content, field->json_name());
    if (twin != nullptr && IsEmptyString(event, field)) {
      AppendField(*content, twin, &json);
    } else {
      AppendField(event, field, &json);
    }
  }
  for (int i = 0; content != nullptr && i < content->GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = content->GetDescriptor()->field(i);
    const FieldDescriptor* twin = FieldNamed(&event, field->json_name());
    if (twin == nullptr || twin->containing_oneof() != nullptr) AppendField(*content, field, &json);
  }
  json.push_back('}');
  return json;
}

}  // namespace salve

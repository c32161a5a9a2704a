#include "channels/event_text.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>

namespace salve {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The length of the UTF-8 sequence at the start of `text`; 0 when there is none. Refuses
// overlong forms, surrogates and what is beyond U+10FFFF. Requires: text is not empty.
size_t SequenceLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) > 0x9f) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) > 0x8f) return 0;
  return length;
}

bool IsAscii(absl::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
}

bool IsStorable(const std::string& text) {
  return text.size() <= kTextBytesMax && (IsAscii(text) || IsUtf8(text));
}

void MakeMessageStorable(Message* message);

void MakeFieldStorable(Message* message, const FieldDescriptor* field) {
  const auto* reflection = message->GetReflection();
  const bool is_text = field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if (!field->is_repeated()) {
    if (is_message) MakeMessageStorable(reflection->MutableMessage(message, field));
    if (!is_text) return;
    std::string scratch;
    const std::string& text = reflection->GetStringReference(*message, field, &scratch);
    if (!IsStorable(text)) reflection->SetString(message, field, CleanText(text, kTextBytesMax));
    return;
  }
  while (reflection->FieldSize(*message, field) > kRepeatedMax) {
    reflection->RemoveLast(message, field);
  }
  for (int i = 0; i < reflection->FieldSize(*message, field) && (is_text || is_message); ++i) {
    if (is_message) {
      MakeMessageStorable(reflection->MutableRepeatedMessage(message, field, i));
      continue;
    }
    const std::string text = reflection->GetRepeatedString(*message, field, i);
    if (IsStorable(text)) continue;
    reflection->SetRepeatedString(message, field, i, CleanText(text, kTextBytesMax));
  }
}

bool HoldsText(const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_STRING ||
         field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
}

// Runs for each event on the engine's loop: it asks of a oneof only which member is set.
// Bounded: the schema is no deeper than three messages.
void MakeMessageStorable(Message* message) {
  const auto* descriptor = message->GetDescriptor();
  const auto* reflection = message->GetReflection();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (field->containing_oneof() != nullptr) continue;
    const bool there = field->is_repeated()
                           ? reflection->FieldSize(*message, field) > 0
                           : HoldsText(field) && reflection->HasField(*message, field);
    if (there) MakeFieldStorable(message, field);
  }
  for (int i = 0; i < descriptor->oneof_decl_count(); ++i) {
    const FieldDescriptor* field =
        reflection->GetOneofFieldDescriptor(*message, descriptor->oneof_decl(i));
    if (field != nullptr) MakeFieldStorable(message, field);
  }
}

}  // namespace

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string CleanText(absl::string_view text, size_t bytes_max) {
  constexpr absl::string_view kEllipsis = "…";
  const bool cut = text.size() > bytes_max;
  const size_t room = cut ? bytes_max - kEllipsis.size() : text.size();
  std::string clean;
  clean.reserve(std::min(text.size(), bytes_max));
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    const size_t step = std::max<size_t>(length, 1);
    if (clean.size() + step > room) break;
    clean.append(length == 0 ? "?" : text.data(), step);
    text.remove_prefix(step);
  }
  if (cut) clean.append(kEllipsis.data(), kEllipsis.size());
  return clean;
}

void MakeStorable(v1::Event* event) { MakeMessageStorable(event); }

}  // namespace salve

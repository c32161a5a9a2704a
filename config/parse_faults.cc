#include "config/parse_faults.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "config/errors.h"
#include "config/names.h"

namespace salve {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

// What stands between `before` and `after` in `message`; takes it and all before off.
std::optional<std::string> Take(absl::string_view* message, absl::string_view before,
                                absl::string_view after) {
  const size_t begin = message->find(before);
  if (begin == absl::string_view::npos) return std::nullopt;
  const absl::string_view rest = message->substr(begin + before.size());
  const size_t end = rest.find(after);
  if (end == absl::string_view::npos) return std::nullopt;
  *message = rest.substr(end + after.size());
  return std::string(rest.substr(0, end));
}

std::vector<std::string> FieldNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return names;
}

std::vector<std::string> ValueNames(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
  return names;
}

// " (it is a field of …)": a field that stands in the wrong message is spelled right.
std::string Owners(const FileDescriptor& file, const std::string& field) {
  std::vector<std::string> owners;
  for (int i = 0; i < file.message_type_count() && owners.size() < 4; ++i) {
    const Descriptor* type = file.message_type(i);
    if (type->FindFieldByName(field) != nullptr) owners.push_back(type->name());
  }
  if (owners.empty()) return "";
  return absl::StrCat(" (it is a field of ", absl::StrJoin(owners, ", "), ")");
}

const EnumDescriptor* EnumOfField(const FileDescriptor& file, const std::string& field) {
  for (int i = 0; i < file.message_type_count(); ++i) {
    const FieldDescriptor* found = file.message_type(i)->FindFieldByName(field);
    if (found != nullptr && found->enum_type() != nullptr) return found->enum_type();
  }
  return nullptr;
}

}  // namespace

void ParseFaults::AddError(int line, int column, const std::string& message) {
  if (faults_.size() >= ErrorList::kLinesMax) return;
  faults_.push_back({line < 0 ? 0 : lines_.OffsetOf(line, column), message});
  Improve(faults_.back());
}

void ParseFaults::AddWarning(int line, int column, const std::string& message) {
  AddError(line, column, message);
}

// The parser reports behind the token it means: back to it.
size_t ParseFaults::StartOf(absl::string_view token, size_t offset) const {
  const size_t found = text_.substr(0, offset).rfind(token);
  return found == absl::string_view::npos ? offset : found;
}

void ParseFaults::Improve(Fault& fault) const {
  const std::string original = fault.message;
  absl::string_view rest = original;
  if (auto type = Take(&rest, "Message type \"", "\" has no field named \"")) {
    UnknownField(*type, std::string(absl::StripSuffix(rest, "\".")), fault);
  } else if (auto value = Take(&rest, "Unknown enumeration value of \"", "\" for field \"")) {
    UnknownValue(*value, std::string(absl::StripSuffix(rest, "\".")), fault);
  } else if (auto extension = Take(&rest, "Ignoring extension \"", "\"")) {
    fault.offset = StartOf("[", fault.offset);
    fault.message = absl::StrCat(Quoted(*extension), " is no field: there are no extensions");
  } else if (auto twice = Take(&rest, "Non-repeated field \"", "\" is specified multiple")) {
    fault.offset = StartOf(*twice, fault.offset);
    fault.message = absl::StrCat(Quoted(*twice), " is given twice");
  } else if (auto second = Take(&rest, "Field \"", "\" is specified along with field \"")) {
    fault.offset = StartOf(*second, fault.offset);
    const auto first = Take(&rest, "", "\"");
    fault.message = absl::StrCat(Quoted(*second), " is given besides ", Quoted(first.value_or("")),
                                 ": only one of them may be");
  } else if (absl::EndsWith(original, ", got: ")) {
    fault.message = absl::StrCat(absl::StripSuffix(original, ", got: "), ", but the file ends");
  } else if (absl::StartsWith(original, "Expected string, got: ")) {
    absl::StrAppend(&fault.message, "; text stands in quotes");
  }
}

void ParseFaults::UnknownField(const std::string& type_name, const std::string& field,
                               Fault& fault) const {
  const Descriptor* type = file_.pool()->FindMessageTypeByName(type_name);
  CHECK(type != nullptr);
  const std::string owners = Owners(file_, field);
  fault.offset = StartOf(field, fault.offset);
  fault.message = absl::StrCat(type->name(), " has no field ", Quoted(field),
                               owners.empty() ? DidYouMean(field, FieldNames(*type)) : owners);
}

void ParseFaults::UnknownValue(const std::string& value, const std::string& field,
                               Fault& fault) const {
  const EnumDescriptor* type = EnumOfField(file_, field);
  CHECK(type != nullptr);
  const std::vector<std::string> values = ValueNames(*type);
  std::string hint = DidYouMean(value, values);
  if (hint.empty()) hint = absl::StrCat(": it is one of ", absl::StrJoin(values, ", "));
  fault.offset = StartOf(value, fault.offset);
  fault.message = absl::StrCat(field, " has no value ", Quoted(value), hint);
}

}  // namespace salve

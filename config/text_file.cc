#include "config/text_file.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "config/parse_faults.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace salve {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;
using google::protobuf::io::ArrayInputStream;
using google::protobuf::io::ErrorCollector;
using google::protobuf::io::Tokenizer;

constexpr int kNestingMax = 32;  // The language itself needs five; the parser recurses.
constexpr size_t kStringBytesMax = 64 << 10;
constexpr size_t kCountedValuesMax = 1000;

// --- Places.

class NoErrors final : public ErrorCollector {
 public:
  void AddError(int, int, const std::string&) override {}
};

// Of a field whose text begins at `start`: where its value number `*index` stands. That is
// `start` itself in `a: 1`, and within the list in `a: [1, 2]`. When it has fewer values, nothing,
// and `*index` is less by their number. Requires: the text was parsed, so that brackets match.
std::optional<size_t> ValueOffset(absl::string_view text, const LineIndex& lines, size_t start,
                                  size_t* index) {
  const absl::string_view rest = text.substr(start);
  ArrayInputStream stream(rest.data(), static_cast<int>(rest.size()));
  NoErrors errors;
  Tokenizer tokens(&stream, &errors);
  tokens.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
  tokens.set_allow_f_after_float(true);
  tokens.Next();  // The name.
  tokens.Next();
  if (tokens.current().text == ":") tokens.Next();
  if (tokens.current().text != "[") {
    if (*index == 0) return start;
    --*index;
    return std::nullopt;
  }
  int depth = 0;
  bool begins = false;
  do {
    const Tokenizer::Token& token = tokens.current();
    const char symbol = token.type == Tokenizer::TYPE_SYMBOL ? token.text[0] : '\0';
    if (begins && symbol != ']') {
      if (*index == 0) return lines.OffsetOf(token.line, token.column, start);
      --*index;
    }
    begins = (symbol == '[' && depth == 0) || (symbol == ',' && depth == 1);
    if (symbol == '[' || symbol == '{' || symbol == '<') ++depth;
    if (symbol == ']' || symbol == '}' || symbol == '>') --depth;
  } while (depth > 0 && tokens.Next());
  return std::nullopt;
}

// Where the `index`th value of `field` stands. The tree has one location for a whole list, so
// its values are counted in the text; past a thousand the location is good enough.
std::optional<size_t> FieldOffset(absl::string_view text, const LineIndex& lines,
                                  const TextFormat::ParseInfoTree& tree,
                                  const FieldDescriptor* field, size_t index) {
  const auto offset = [&](int i) -> std::optional<size_t> {
    const TextFormat::ParseLocation found = tree.GetLocation(field, i);
    if (found.line < 0) return std::nullopt;
    return lines.OffsetOf(found.line, found.column);
  };
  if (!field->is_repeated()) return offset(-1);
  if (index >= kCountedValuesMax) return offset(static_cast<int>(index));
  for (int i = 0;; ++i) {
    const std::optional<size_t> start = offset(i);
    if (!start.has_value()) return std::nullopt;
    const std::optional<size_t> value = ValueOffset(text, lines, *start, &index);
    if (value.has_value()) return value;
  }
}

// --- Values that parse and still can't be meant.

bool MayHoldNul(const FieldDescriptor& field) {
  return field.full_name() == "salve.config.TcpProbe.send" ||
         field.full_name() == "salve.config.HttpProbe.body";
}

std::string FaultOfString(const FieldDescriptor& field, const std::string& value) {
  if (value.size() > kStringBytesMax) {
    return absl::StrCat("a string of ", value.size(), " bytes; at most ", kStringBytesMax,
                        " may be");
  }
  if (EndOfUtf8(value) != value.size()) return "the string is no valid UTF-8";
  if (!MayHoldNul(field) && absl::StrContains(value, '\0')) return "the string holds a NUL";
  return "";
}

std::string FaultOfValue(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection* reflection = message.GetReflection();
  const bool repeated = field->is_repeated();
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    std::string scratch;
    return FaultOfString(
        *field, repeated ? reflection->GetRepeatedStringReference(message, field, index, &scratch)
                         : reflection->GetStringReference(message, field, &scratch));
  }
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE && !repeated &&
      !std::isfinite(reflection->GetDouble(message, field))) {
    return "the number is not finite";
  }
  return "";
}

void CheckValues(const Message& message, const Place& place, ErrorList& errors) {
  const Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const bool repeated = field->is_repeated();
    const int size = repeated ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < size; ++i) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        CheckValues(repeated ? reflection->GetRepeatedMessage(message, field, i)
                             : reflection->GetMessage(message, field),
                    place.In(field->name(), i), errors);
        continue;
      }
      const std::string fault = FaultOfValue(message, field, i);
      if (fault.empty()) continue;
      const std::string path = repeated ? absl::StrCat(field->name(), "[", i, "]") : field->name();
      errors.Add(absl::StrCat(errors.full() ? "" : place.Describe(path), ": ", path, ": ", fault));
    }
  }
}

}  // namespace

std::unique_ptr<TextFile> TextFile::Parse(std::string name, absl::string_view text,
                                          absl::string_view type, const Schema& schema,
                                          ErrorList& errors) {
  std::unique_ptr<TextFile> file(new TextFile(std::move(name), text));
  const size_t before = errors.count();

  const size_t bad = std::min(EndOfUtf8(text), text.find('\0'));
  if (bad < text.size()) {
    errors.Add(
        absl::StrCat(file->Describe(bad), text[bad] == '\0' ? ": a NUL byte" : ": no valid UTF-8"));
    return nullptr;
  }

  file->message_ = schema.NewMessage(type);
  ParseFaults faults(text, file->lines_, schema.file());
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&faults);
  parser.WriteLocationsTo(&file->tree_);
  parser.AllowUnknownField(true);  // As a warning, which ParseFaults takes for an error.
  parser.SetRecursionLimit(kNestingMax);
  ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
  const bool parsed = parser.Parse(&stream, file->message_.get());
  for (const ParseFaults::Fault& fault : faults.faults()) {
    errors.Add(absl::StrCat(file->Describe(fault.offset), ": ", fault.message));
  }
  if (!parsed && faults.faults().empty()) {
    errors.Add(absl::StrCat(file->Describe(0), ": can't be parsed"));
  }
  if (errors.count() == before) CheckValues(*file->message_, file->root(), errors);
  return errors.count() == before ? std::move(file) : nullptr;
}

Place TextFile::root() const {
  Place place;
  place.file_ = this;
  place.type_ = message_->GetDescriptor();
  place.tree_ = &tree_;
  return place;
}

std::string TextFile::Describe(size_t offset) const {
  return absl::StrCat(name_, ":", lines_.Describe(offset));
}

bool Place::Has(absl::string_view field) const {
  const FieldDescriptor* found = type_->FindFieldByName(std::string(field));
  if (found == nullptr || tree_ == nullptr) return false;
  return tree_->GetLocation(found, found->is_repeated() ? 0 : -1).line >= 0;
}

Place Place::In(absl::string_view field, int index) const {
  Place place;
  place.file_ = file_;
  place.parent_ = tree_;
  place.field_ = type_->FindFieldByName(std::string(field));
  place.index_ = index;
  place.type_ = place.field_->message_type();
  if (tree_ != nullptr) {
    place.tree_ = tree_->GetTreeForNested(place.field_, place.field_->is_repeated() ? index : -1);
  }
  return place;
}

std::string Place::Describe(absl::string_view path) const { return file_->Describe(Offset(path)); }

std::string Place::DescribeLine(absl::string_view path) const {
  const std::string described = Describe(path);
  return described.substr(0, described.rfind(':'));
}

size_t Place::Offset() const {
  if (parent_ == nullptr) return 0;
  return FieldOffset(file_->text_, file_->lines_, *parent_, field_, index_).value_or(0);
}

size_t Place::Offset(absl::string_view path) const {
  size_t offset = Offset();
  const Descriptor* type = type_;
  const Tree* tree = tree_;
  for (absl::string_view part : absl::StrSplit(path, '.', absl::SkipEmpty())) {
    int index = 0;
    const size_t bracket = part.find('[');
    if (bracket != absl::string_view::npos) {
      const absl::string_view number = absl::StripSuffix(part.substr(bracket + 1), "]");
      if (!absl::SimpleAtoi(number, &index) || index < 0) break;
      part = part.substr(0, bracket);
    }
    if (type == nullptr || tree == nullptr) break;
    const FieldDescriptor* field = type->FindFieldByName(std::string(part));
    if (field == nullptr) break;
    const std::optional<size_t> found =
        FieldOffset(file_->text_, file_->lines_, *tree, field, index);
    if (!found.has_value()) break;
    offset = *found;
    type = field->message_type();
    tree = type == nullptr ? nullptr
                           : tree->GetTreeForNested(field, field->is_repeated() ? index : -1);
  }
  return offset;
}

}  // namespace salve

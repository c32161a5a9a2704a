#include "config/item_faults.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace salve {
namespace {

constexpr size_t kReasonBytesMax = 1000;

bool IsPath(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || absl::StrContains("_.[]", c);
  });
}

}  // namespace

void ItemFaults::Add(absl::string_view path, absl::string_view why) {
  any_ = true;
  if (silent_) return;
  if (errors_.full()) {
    errors_.Add("");  // Only counted.
    return;
  }
  std::string line = absl::StrCat(place_.Describe(path), ": ");
  if (!title_.empty()) absl::StrAppend(&line, title_, ": ");
  if (!path.empty()) absl::StrAppend(&line, path, ": ");
  // What a kind says may quote what it was given: one fault stays one line.
  absl::StrAppend(&line, absl::StrReplaceAll(why.substr(0, kReasonBytesMax), {{"\n", " "}}));
  errors_.Add(std::move(line));
}

void ItemFaults::Add(const absl::Status& status) {
  if (status.ok()) return;
  const absl::string_view message = status.message();
  const size_t colon = message.find(": ");
  const absl::string_view path = message.substr(0, colon);
  if (colon == absl::string_view::npos || !IsPath(path)) return Add("", message);
  Add(path, message.substr(colon + 2));
}

void ItemFaults::CheckHasOne(const google::protobuf::Message& message, const std::string& oneof,
                             absl::string_view path) {
  const auto* members = message.GetDescriptor()->FindOneofByName(oneof);
  if (message.GetReflection()->HasOneof(message, members)) return;
  std::vector<std::string> names;
  for (int i = 0; i < members->field_count(); ++i) names.push_back(members->field(i)->name());
  Add(path, absl::StrCat("needs one of ", absl::StrJoin(names, ", ")));
}

}  // namespace salve

#include "cli/output.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "google/protobuf/util/json_util.h"

namespace salve {

std::string ToJson(const google::protobuf::Message& message, bool indented) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.add_whitespace = indented;
  std::string json;
  // It fails only on a message that is not of its own type, or on a timestamp out of range.
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) json = "{}";
  while (!json.empty() && json.back() == '\n') json.pop_back();
  return json;
}

// The empty list is found by its text: within a string of the JSON the quotes around `Events` would
// be written as \", so that only the field itself matches.
std::string Output::WithEvents(std::string json, const Events& events) const {
  const absl::string_view blank = indented() ? " " : "";
  const std::string list_begin = absl::StrCat("\"Events\":", blank, "[");
  const size_t at = json.find(list_begin + "]");
  CHECK(at != std::string::npos);
  std::vector<std::string> lines;
  for (const v1::Event& event : events) lines.push_back(EventToJson(event));
  const absl::string_view between = indented() ? "\n  " : "";
  const std::string list =
      lines.empty() ? ""
                    : absl::StrCat(between, absl::StrJoin(lines, absl::StrCat(",", between)),
                                   indented() ? "\n " : "");
  json.insert(at + list_begin.size(), list);
  return json;
}

void Output::PrintText(const std::string& json) {
  CHECK(!is_table());
  out_ << json << '\n';
}

}  // namespace salve

#include "config/text_template.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "config/errors.h"
#include "config/names.h"

namespace salve {

const std::vector<std::string>& NamesOfEscalations() {
  static const auto& names = *new std::vector<std::string>{
      "server", "group", "health_set", "monitor", "state", "error", "incident", "time", "kind"};
  return names;
}

const std::vector<std::string>& NamesOfMessages() {
  static const auto& names = *[] {
    auto* all = new std::vector<std::string>(NamesOfEscalations());
    all->insert(all->begin(), {"subject", "message"});
    return all;
  }();
  return names;
}

absl::StatusOr<TextTemplate> TextTemplate::Parse(absl::string_view text,
                                                 const std::vector<std::string>& known) {
  TextTemplate parsed;
  std::string literal;
  while (!text.empty()) {
    const size_t brace = text.find('{');
    literal.append(text.data(), std::min(brace, text.size()));
    if (brace == absl::string_view::npos) break;
    text.remove_prefix(brace + 1);
    if (!text.empty() && text.front() == '{') {
      literal += '{';
      text.remove_prefix(1);
      continue;
    }
    const size_t end = text.find('}');
    if (end == absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("a brace is not closed before ", Quoted(text), "; {{ is a brace"));
    }
    const std::string name(text.substr(0, end));
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat("there is no {} name ", Quoted(name),
                                                     DidYouMean(name, known), "; {{ is a brace"));
    }
    parsed.parts_.push_back({std::exchange(literal, ""), false});
    parsed.parts_.push_back({name, true});
    text.remove_prefix(end + 1);
  }
  parsed.parts_.push_back({std::move(literal), false});
  return parsed;
}

std::string TextTemplate::Render(
    absl::FunctionRef<std::string(absl::string_view name)> value_of) const {
  std::string text;
  for (const Part& part : parts_) text += part.is_name ? value_of(part.text) : part.text;
  return text;
}

}  // namespace salve

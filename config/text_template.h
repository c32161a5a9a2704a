// TextTemplate: a text with names in braces, as escalations have it: "{server}: {message}". "{{"
// is a brace; a closing one alone is itself, so that JSON needs only its opening ones doubled.
#ifndef SALVE_CONFIG_TEXT_TEMPLATE_H_
#define SALVE_CONFIG_TEXT_TEMPLATE_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace salve {

// What a destination's templates may name.
const std::vector<std::string>& NamesOfMessages();
// What an `escalate` responder's may: all but the subject and the message that they make.
const std::vector<std::string>& NamesOfEscalations();

class TextTemplate {
 public:
  // Errors: kInvalidArgument: a name that is not in `known`, with the nearest ones; a brace that
  // is not closed.
  static absl::StatusOr<TextTemplate> Parse(absl::string_view text,
                                            const std::vector<std::string>& known);

  // The text with `value_of(name)` in place of each name.
  std::string Render(absl::FunctionRef<std::string(absl::string_view name)> value_of) const;

 private:
  struct Part {
    std::string text;  // Or the name.
    bool is_name = false;
  };
  std::vector<Part> parts_;
};

}  // namespace salve

#endif  // SALVE_CONFIG_TEXT_TEMPLATE_H_

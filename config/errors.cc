#include "config/errors.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/redact.h"

namespace salve {
namespace {

constexpr size_t kQuotedBytesMax = 80;

bool ContinuesCharacter(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

void ErrorList::Add(std::string line) {
  if (!full()) lines_.push_back(RedactText(line));
  ++count_;
}

absl::Status ErrorList::ToStatus() const {
  if (empty()) return absl::OkStatus();
  if (count_ <= kLinesMax) return absl::InvalidArgumentError(absl::StrJoin(lines_, "\n"));
  const std::vector<std::string> first(lines_.begin(), lines_.end() - 1);
  return absl::InvalidArgumentError(absl::StrCat(absl::StrJoin(first, "\n"), "\n... and ",
                                                 count_ - first.size(), " more errors"));
}

std::string Quoted(absl::string_view value) {
  if (value.size() <= kQuotedBytesMax) return absl::StrCat("'", absl::Utf8SafeCEscape(value), "'");
  size_t end = kQuotedBytesMax;
  while (end > 0 && ContinuesCharacter(value[end])) --end;
  return absl::StrCat("'", absl::Utf8SafeCEscape(value.substr(0, end)), "...'");
}

}  // namespace salve

// The faults of a configuration, as they are collected for one refusal.
#ifndef SALVE_CONFIG_ERRORS_H_
#define SALVE_CONFIG_ERRORS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace salve {

// Lines of errors, in the order they were found. Keeps 20; of more, only the number. What they
// quote is redacted (redact.h).
class ErrorList {
 public:
  static constexpr size_t kLinesMax = 20;

  void Add(std::string line);

  bool empty() const { return count_ == 0; }
  size_t count() const { return count_; }
  // True when a further line would only be counted: no need to look for its place.
  bool full() const { return count_ >= kLinesMax; }

  // OK when empty, else kInvalidArgument with at most 20 lines, the last of which says how
  // many there are beyond it.
  absl::Status ToStatus() const;

 private:
  std::vector<std::string> lines_;
  size_t count_ = 0;
};

// `value` in single quotes, escaped and cut, so that it can stand in one line of an error.
std::string Quoted(absl::string_view value);

}  // namespace salve

#endif  // SALVE_CONFIG_ERRORS_H_

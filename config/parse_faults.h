// What Protobuf's text parser finds wrong, said so that it helps.
#ifndef SALVE_CONFIG_PARSE_FAULTS_H_
#define SALVE_CONFIG_PARSE_FAULTS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "config/line_index.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/tokenizer.h"

namespace salve {

// Collects the parser's errors, and its warnings as errors: an unknown field is a warning when the
// parser is to go on to the next one. Each gets the place of what it means, where the parser has
// that behind it, and the nearest names of fields and values. Keeps the first 20.
class ParseFaults final : public google::protobuf::io::ErrorCollector {
 public:
  struct Fault {
    size_t offset;  // In the text.
    std::string message;
  };

  // `file` holds the messages that are parsed. All arguments must outlive the faults.
  ParseFaults(absl::string_view text, const LineIndex& lines,
              const google::protobuf::FileDescriptor& file)
      : text_(text), lines_(lines), file_(file) {}

  void AddError(int line, int column, const std::string& message) override;
  void AddWarning(int line, int column, const std::string& message) override;

  const std::vector<Fault>& faults() const { return faults_; }

 private:
  size_t StartOf(absl::string_view token, size_t offset) const;
  void Improve(Fault& fault) const;
  void UnknownField(const std::string& type_name, const std::string& field, Fault& fault) const;
  void UnknownValue(const std::string& value, const std::string& field, Fault& fault) const;

  const absl::string_view text_;
  const LineIndex& lines_;
  const google::protobuf::FileDescriptor& file_;
  std::vector<Fault> faults_;
};

}  // namespace salve

#endif  // SALVE_CONFIG_PARSE_FAULTS_H_

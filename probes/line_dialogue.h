// A Dialogue of lines, as the protocols of mail and of Redis are.
#ifndef SALVE_PROBES_LINE_DIALOGUE_H_
#define SALVE_PROBES_LINE_DIALOGUE_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "probes/dialogue.h"

namespace salve {

// A line of more than 8 KiB, and more than 64 KiB of all, is Failed.
class LineDialogue : public Dialogue {
 public:
  Step OnBytes(absl::string_view received) final;
  Step OnEnd() override;

 protected:
  static constexpr size_t kLineBytesMax = 8 * 1024;
  static constexpr size_t kBytesMax = 64 * 1024;

  // One line, without its end. What several lines have to say is sent together.
  virtual Step OnLine(absl::string_view line) = 0;

 private:
  Step TakeLines();

  std::string buffer_;  // What came of the line that has not ended.
  size_t bytes_ = 0;
};

}  // namespace salve

#endif  // SALVE_PROBES_LINE_DIALOGUE_H_

#include "probes/line_dialogue.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace salve {

Step LineDialogue::OnBytes(absl::string_view received) {
  bytes_ += received.size();
  absl::StrAppend(&buffer_, received);
  Step step = TakeLines();
  if (step.next != Step::Next::kListen) return step;
  if (buffer_.size() > kLineBytesMax) {
    return Done(Failed(absl::StrCat("a line of more than 8 KiB while ", phase())));
  }
  if (bytes_ > kBytesMax) {
    return Done(Failed(absl::StrCat("more than 64 KiB came while ", phase())));
  }
  return step;
}

Step LineDialogue::TakeLines() {
  Step all;
  size_t taken = 0;
  for (size_t end; (end = buffer_.find('\n', taken)) != std::string::npos;) {
    absl::string_view line(buffer_.data() + taken, end - taken);
    taken = end + 1;
    if (line.size() > kLineBytesMax) {
      return Done(Failed(absl::StrCat("a line of more than 8 KiB while ", phase())));
    }
    absl::ConsumeSuffix(&line, "\r");
    Step step = OnLine(line);
    absl::StrAppend(&all.send, step.send);
    if (step.next == Step::Next::kListen) continue;
    // What was said before TLS and is read after it could be a stranger's.
    if (step.next == Step::Next::kStartTls && taken != buffer_.size()) {
      return Done(Failed("the server said more before TLS than it was asked"));
    }
    buffer_.clear();
    step.send = std::move(all.send);
    return step;
  }
  buffer_.erase(0, taken);
  return all;
}

Step LineDialogue::OnEnd() {
  return Done(Failed(absl::StrCat("the server closed the connection while ", phase())));
}

}  // namespace salve

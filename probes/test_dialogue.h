// Drives a Dialogue in tests, without any connection.
#ifndef SALVE_PROBES_TEST_DIALOGUE_H_
#define SALVE_PROBES_TEST_DIALOGUE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "probes/dialogue.h"

namespace salve {

struct Told {
  std::string said;  // By the client; "<TLS>" where that begins.
  Observation seen;
  std::string farewell;
  bool half_close = false;
  std::string phase;  // The last one before it was done.
};

// What a dialogue makes of a server that says `words`, one after another, and then closes.
inline Told Tell(std::unique_ptr<Dialogue> dialogue, const std::vector<std::string>& words) {
  Told told;
  size_t next = 0;
  Step step = dialogue->Begin();
  while (true) {
    told.said += step.send;
    if (step.next == Step::Next::kDone) break;
    told.phase = std::string(dialogue->phase());
    if (step.next == Step::Next::kStartTls) {
      told.said += "<TLS>";
      step = dialogue->OnTls();
    } else {
      step = next < words.size() ? dialogue->OnBytes(words[next]) : dialogue->OnEnd();
      ++next;
    }
  }
  told.seen = std::move(step.seen);
  told.farewell = std::move(step.farewell);
  told.half_close = step.half_close;
  return told;
}

inline std::string AttributeOf(const Observation& seen, const std::string& name) {
  for (const auto& [key, value] : seen.attributes) {
    if (key == name) return value;
  }
  return "";
}

// -1 when there is none.
inline double ValueOf(const Observation& seen, const std::string& name) {
  for (const ProbeValue& value : seen.values) {
    if (value.name == name) return value.number;
  }
  return -1;
}

}  // namespace salve

#endif  // SALVE_PROBES_TEST_DIALOGUE_H_

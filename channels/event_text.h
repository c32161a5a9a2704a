// Makes an event fit to be stored: its texts may come from anywhere (a plugin's output, a log).
#ifndef SALVE_CHANNELS_EVENT_TEXT_H_
#define SALVE_CHANNELS_EVENT_TEXT_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "api/events.pb.h"

namespace salve {

inline constexpr size_t kTextBytesMax = 64 * 1024;
inline constexpr int kRepeatedMax = 1'000;

// Cuts each text beyond kTextBytesMax (ending it with "…"), replaces bytes that are not UTF-8
// by "?", and drops elements of a repeated field beyond kRepeatedMax. Protobuf would write such
// a text and then refuse to read it.
void MakeStorable(v1::Event* event);

// The text itself, or one in which what is not UTF-8 is replaced by "?", cut at `bytes_max` with
// "…" as its end. Requires: bytes_max >= 3.
std::string CleanText(absl::string_view text, size_t bytes_max);

bool IsUtf8(absl::string_view text);

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_TEXT_H_

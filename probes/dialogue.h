// Dialogue: what is said over one connection, and what is made of the answers. Pure: no socket, no
// clock, no TLS; conversation.h has those and drives one Dialogue a look. So each protocol can be
// tested byte by byte.
#ifndef SALVE_PROBES_DIALOGUE_H_
#define SALVE_PROBES_DIALOGUE_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "probes/probe.h"

namespace salve {

// What follows a word of the peer's.
struct Step {
  enum class Next { kListen, kStartTls, kDone };
  std::string send;  // Written whole, before what follows.
  Next next = Next::kListen;
  Observation seen;  // With kDone. Its values and attributes are added to the connection's own.
  // With kDone: how the peer is left, so that it writes no broken connection into its log. Then it
  // has a moment to close, too. With neither the connection is reset.
  std::string farewell;     // Said.
  bool half_close = false;  // Our side is closed.
};

inline Step Say(std::string text) { return {.send = std::move(text)}; }
inline Step Listen() { return {}; }
// `text`, and then the handshake.
inline Step SayAndStartTls(std::string text) {
  return {.send = std::move(text), .next = Step::Next::kStartTls};
}
inline Step Done(Observation seen, std::string farewell = "") {
  return {.next = Step::Next::kDone, .seen = std::move(seen), .farewell = std::move(farewell)};
}
inline Step DoneAndHalfClose(Observation seen) {
  return {.next = Step::Next::kDone, .seen = std::move(seen), .half_close = true};
}

// After a step with kDone nothing is called but the destructor.
class Dialogue {
 public:
  virtual ~Dialogue() = default;

  // The connection stands, with TLS when that is there from the start.
  virtual Step Begin() = 0;
  // At least one byte came. Keeps no more than its own bound of all that comes, and ends there.
  virtual Step OnBytes(absl::string_view received) = 0;
  // The peer says no more. Must be kDone.
  virtual Step OnEnd() = 0;
  // TLS stands, after kStartTls.
  virtual Step OnTls() = 0;

  // What the look comes to when the connection breaks or time runs out here: nothing unless all
  // that it is about has been seen, and what is asked yet only adds to it.
  virtual std::optional<Observation> SoFar() const { return std::nullopt; }

  // What it waits for, for people: "waiting for the greeting".
  virtual absl::string_view phase() const = 0;
};

// What a peer wrote, fit for an error or an attribute: one line of valid UTF-8, at most `bytes_max`
// of it, with none of `secrets`, which a peer may well repeat.
std::string PeerWords(absl::string_view text, const std::vector<std::string>& secrets = {},
                      size_t bytes_max = 256);

}  // namespace salve

#endif  // SALVE_PROBES_DIALOGUE_H_
